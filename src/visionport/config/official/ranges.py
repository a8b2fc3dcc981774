"""The range of every number of Official Vision's configs that decides inference, by its field's name.

A class of the schema that means another thing by a name has an entry of its own, as "Class.name".
"""

from typing import Any

from visionport.config import ranges
from visionport.config.ranges import Range, check_items, check_number, check_text

MODEL = Range(0, 1000, "layers that a published network has")
MAYBE_SIDE = Range(0, 16_384, "pixels; 0: not said")

RANGES: dict[str, Range] = {
    # Models
    "num_classes": Range(-1, 100_000, "classes; below 1: not said"),
    "input_size": MAYBE_SIDE,
    "min_level": ranges.LEVEL,
    "max_level": ranges.LEVEL,
    "level": Range(0, 12, "level: 2 to this power is the stride of its map"),
    "low_level": Range(0, 12, "level: 2 to this power is the stride of its map"),
    "decoder_min_level": Range(0, 12, "level"),
    "decoder_max_level": Range(0, 12, "level"),
    "dropout_rate": ranges.FRACTION,
    "attention_dropout_rate": ranges.FRACTION,
    "norm_epsilon": ranges.EPSILON,
    "norm_momentum": ranges.FRACTION,
    "outer_boxes_scale": Range(1, 100, "factor"),
    # Backbones
    "model_id": MODEL,
    "depth_multiplier": ranges.MULTIPLIER,
    "filter_size_scale": ranges.MULTIPLIER,
    "se_ratio": ranges.RATIO,
    "expand_ratio": ranges.FACTOR,
    "stochastic_depth_drop_rate": ranges.FRACTION,
    "init_stochastic_depth_rate": ranges.FRACTION,
    "output_stride": ranges.FACTOR,
    "multigrid": ranges.FACTOR,
    "last_stage_repeats": ranges.REPEATS,
    "representation_size": ranges.MAYBE_FILTERS,
    "hidden_size": ranges.FILTERS,
    "patch_size": ranges.KERNEL,
    "mlp_dim": ranges.FILTERS,
    "num_heads": Range(1, 128, "heads"),
    "num_layers": Range(1, 200, "layers"),
    "pos_embed_shape": Range(1, 1024, "patches"),
    "transformer_partition_dims": Range(1, 1024, "parts"),
    "layer_scale_init_value": ranges.VALUE,
    "stem_conv_temporal_kernel_size": ranges.KERNEL,
    "stem_conv_temporal_stride": ranges.FACTOR,
    "stem_pool_temporal_stride": ranges.FACTOR,
    "temporal_strides": ranges.FACTOR,
    "temporal_kernel_sizes": ranges.KERNEL,
    # Decoders and heads
    "num_filters": ranges.FILTERS,
    "low_level_num_filters": ranges.FILTERS,
    "num_repeats": ranges.REPEATS,
    "num_convs": ranges.LAYERS,
    "num_fcs": ranges.LAYERS,
    "fc_dims": ranges.FILTERS,
    "fc_input_size": ranges.SIDE,
    "dilation_rates": ranges.DILATION,
    "pool_kernel_size": ranges.SIDE,
    "prediction_kernel_size": ranges.KERNEL,
    "upsample_factor": ranges.FACTOR,
    "AttributeHead.size": ranges.NUMBERS,
    # Anchors and answers
    "num_scales": Range(1, 100, "sizes an octave"),
    "aspect_ratios": ranges.ASPECT,
    "anchor_size": ranges.SCALE,
    "pre_nms_top_k": ranges.CANDIDATES,
    "pre_nms_score_threshold": ranges.SCORE,
    "pre_nms_min_size_threshold": Range(0, 16_384, "pixels"),
    "nms_iou_threshold": ranges.OVERLAP,
    "num_proposals": Range(1, 100_000, "proposals"),
    "test_pre_nms_top_k": ranges.CANDIDATES,
    "test_pre_nms_score_threshold": ranges.SCORE,
    "test_pre_nms_min_size_threshold": Range(0, 16_384, "pixels"),
    "test_nms_iou_threshold": ranges.OVERLAP,
    "test_num_proposals": Range(1, 100_000, "proposals"),
    "num_sampled_rois": ranges.CANDIDATES,
    "num_sampled_masks": ranges.CANDIDATES,
    "foreground_fraction": ranges.FRACTION,
    "foreground_iou_threshold": ranges.OVERLAP,
    "background_iou_high_threshold": ranges.OVERLAP,
    "background_iou_low_threshold": ranges.OVERLAP,
    "cascade_iou_thresholds": ranges.OVERLAP,
    "ROIAligner.crop_size": ranges.CROP,
    "MaskROIAligner.crop_size": ranges.CROP,
    "sample_offset": ranges.FRACTION,
    "max_num_detections": ranges.DETECTIONS,
    "soft_nms_sigma": ranges.SIGMA,
    "box_coder_weights": ranges.POSITIVE,
    "max_detections": ranges.DETECTIONS,
    "max_classes_per_detection": ranges.CLASSES,
    "detections_per_class": ranges.DETECTIONS,
    "nms_score_threshold": ranges.SCORE,
    "y_scale": ranges.POSITIVE,
    "x_scale": ranges.POSITIVE,
    "w_scale": ranges.POSITIVE,
    "h_scale": ranges.POSITIVE,
    # Pictures and clips
    "output_size": MAYBE_SIDE,
    "feature_shape": Range(1, 16_384, "frames, pixels, pixels, channels"),
    "temporal_stride": Range(1, 1000, "frames"),
    "min_image_size": ranges.SIDE,
    "DenseFeatureConfig.mean": ranges.VALUE,
    "DenseFeatureConfig.stddev": ranges.POSITIVE,
}


def range_of(name: str, field: str) -> Range | None:
    """Of a field of the schema's class `name`; None for what training alone reads, and for what is no number."""
    return RANGES.get(f"{name}.{field}") or RANGES.get(field)


def check_field(name: str, field: str, value: Any, path: str) -> None:
    """Raises ConfigError for a number that is out of its range, or a list or name that is too long."""
    if isinstance(value, list | tuple):
        check_items(path, value)
    if isinstance(value, str):
        check_text(path, value)
    if allowed := range_of(name, field):
        check_number(path, value, allowed)
