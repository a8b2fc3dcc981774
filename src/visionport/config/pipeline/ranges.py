"""The range of every number of a pipeline.config that decides inference, by its message and field."""

from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from visionport.config import ranges
from visionport.config.ranges import Range, check_items, check_number, check_text

CLASSES = Range(1, 5000, "classes")  # each has an NMS of its own in the graph
SIZES = {"height": ranges.SIDE, "width": ranges.SIDE}
BOX_SCALES: dict[str, Range] = dict.fromkeys(
    ("y_scale", "x_scale", "height_scale", "width_scale", "length_scale"), ranges.POSITIVE
)
CLIP = {"min": ranges.VALUE, "max": ranges.VALUE}
PYRAMID = {"min_level": ranges.LEVEL, "max_level": ranges.LEVEL}
MASK = {"mask_height": ranges.CROP, "mask_width": ranges.CROP}
STRIDES = {"height_stride": ranges.STRIDE, "width_stride": ranges.STRIDE}
OFFSETS = {"height_offset": ranges.OFFSET, "width_offset": ranges.OFFSET}
MASK_LAYERS = {
    "mask_prediction_conv_depth": ranges.MAYBE_FILTERS,
    "mask_prediction_num_conv_layers": Range(1, 32, "layers"),
}
PREDICTOR = {
    "num_layers_before_predictor": ranges.LAYERS,
    "kernel_size": ranges.KERNEL,
    "box_code_size": ranges.NUMBERS,
}

RANGES: dict[str, dict[str, Range]] = {
    # Pictures
    "FixedShapeResizer": SIZES,
    "KeepAspectRatioResizer": {
        "min_dimension": ranges.SIDE,
        "max_dimension": ranges.SIDE,
        "per_channel_pad_value": ranges.VALUE,
    },
    "ConditionalShapeResizer": {"size_threshold": ranges.SIDE},
    "PadToMultipleResizer": {"multiple": ranges.MULTIPLE},
    # Networks
    "BatchNorm": {"epsilon": ranges.EPSILON},
    "SsdFeatureExtractor": {
        "depth_multiplier": ranges.MULTIPLIER,
        "min_depth": ranges.MAYBE_FILTERS,
        "pad_to_multiple": ranges.MULTIPLE,
        "num_layers": Range(1, 12, "feature maps"),
    },
    "FeaturePyramidNetworks": {**PYRAMID, "additional_layer_depth": ranges.FILTERS},
    "BidirectionalFeaturePyramidNetworks": {
        **PYRAMID,
        "num_iterations": ranges.REPEATS,
        "num_filters": ranges.FILTERS,
    },
    "FasterRcnnFeatureExtractor": {
        "first_stage_features_stride": ranges.STRIDE,
        "pad_to_multiple": ranges.MULTIPLE,
    },
    "CenterNetFeatureExtractor": {
        "channel_means": ranges.VALUE,
        "channel_stds": ranges.POSITIVE,
        "depth_multiplier": ranges.MULTIPLIER,
    },
    # Anchors
    "SsdAnchorGenerator": {
        "num_layers": Range(1, 12, "feature maps"),
        "min_scale": ranges.SCALE,
        "max_scale": ranges.SCALE,
        "scales": ranges.SCALE,
        "aspect_ratios": ranges.ASPECT,
        "interpolated_scale_aspect_ratio": Range(-1, 100, "width by height; not above 0: none"),
        "base_anchor_height": ranges.SCALE,
        "base_anchor_width": ranges.SCALE,
        **STRIDES,
        **OFFSETS,
    },
    "MultiscaleAnchorGenerator": {
        **PYRAMID,
        "anchor_scale": ranges.SCALE,
        "aspect_ratios": ranges.ASPECT,
        "scales_per_octave": Range(1, 100, "sizes an octave"),
    },
    "GridAnchorGenerator": {
        **SIZES,
        **STRIDES,
        **OFFSETS,
        "scales": ranges.SCALE,
        "aspect_ratios": ranges.ASPECT,
    },
    "AnchorGrid": {
        "base_sizes": Range(0, 16_384, "pixels", above=True),
        "aspect_ratios": ranges.ASPECT,
        **STRIDES,
        **OFFSETS,
    },
    "FasterRcnnBoxCoder": BOX_SCALES,
    "SquareBoxCoder": BOX_SCALES,
    "KeypointBoxCoder": {**BOX_SCALES, "num_keypoints": Range(1, 400, "keypoints")},
    "MeanStddevBoxCoder": {"stddev": ranges.POSITIVE},
    # Heads
    "ConvolutionalBoxPredictor": {**PREDICTOR, "min_depth": ranges.MAYBE_FILTERS, "max_depth": ranges.MAYBE_FILTERS},
    "ConvolutionalBoxPredictor.BoxEncodingsClipRange": CLIP,
    "WeightSharedConvolutionalBoxPredictor": {**PREDICTOR, "depth": ranges.MAYBE_FILTERS},
    "WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange": CLIP,
    "MaskRCNNBoxPredictor": {"box_code_size": ranges.NUMBERS, **MASK, **MASK_LAYERS},
    "RfcnBoxPredictor": {
        "num_spatial_bins_height": Range(1, 16, "parts of a box"),
        "num_spatial_bins_width": Range(1, 16, "parts of a box"),
        "depth": ranges.FILTERS,
        "box_code_size": ranges.NUMBERS,
        "crop_height": ranges.CROP,
        "crop_width": ranges.CROP,
    },
    # Answers
    "PostProcessing": {"logit_scale": ranges.POSITIVE},
    "BatchNonMaxSuppression": {
        "score_threshold": ranges.SCORE,
        "iou_threshold": ranges.OVERLAP,
        "max_detections_per_class": ranges.DETECTIONS,
        "max_total_detections": ranges.DETECTIONS,
        "max_classes_per_detection": ranges.CLASSES,
        "soft_nms_sigma": ranges.SIGMA,
    },
    "XYPairs.XYPair": {"x": ranges.VALUE, "y": ranges.VALUE},
    "ClassIdFunctionApproximations.ClassIdXyPairsMapEntry": {"key": ranges.CLASS},
    "TemperatureScalingCalibration": {"scaler": ranges.POSITIVE},
    # Models
    "Ssd": {"num_classes": CLASSES},
    "FasterRcnn": {
        "num_classes": CLASSES,
        "number_of_stages": Range(1, 3, "stages: proposals, detections, masks"),
        "first_stage_atrous_rate": ranges.DILATION,
        "first_stage_box_predictor_kernel_size": ranges.KERNEL,
        "first_stage_box_predictor_depth": ranges.FILTERS,
        "first_stage_nms_score_threshold": ranges.SCORE,
        "first_stage_nms_iou_threshold": ranges.OVERLAP,
        "first_stage_max_proposals": Range(1, 100_000, "proposals"),
        "initial_crop_size": ranges.CROP,
        "maxpool_kernel_size": ranges.KERNEL,
        "maxpool_stride": ranges.KERNEL,
    },
    "Context": {
        "max_num_context_features": Range(1, 1_000_000, "features"),
        "context_feature_length": ranges.FILTERS,
        "attention_bottleneck_dimension": ranges.FILTERS,
        "attention_temperature": ranges.POSITIVE,
        "num_attention_heads": Range(1, 32, "heads"),
        "num_attention_layers": ranges.LAYERS,
    },
    "CenterNet": {"num_classes": CLASSES},
    "CenterNet.PredictionHeadParams": {"num_filters": ranges.FILTERS, "kernel_sizes": ranges.KERNEL},
    "CenterNet.ObjectCenterParams": {
        "max_box_predictions": ranges.DETECTIONS,
        "peak_max_pool_kernel_size": ranges.KERNEL,
    },
    "CenterNet.KeypointEstimation": {
        "keypoint_candidate_score_threshold": ranges.SCORE,
        "num_candidates_per_keypoint": Range(1, 10_000, "candidates"),
        "peak_max_pool_kernel_size": ranges.KERNEL,
        "unmatched_keypoint_score": ranges.SCORE,
        "box_scale": ranges.SCALE,
        "candidate_search_scale": Range(0, 1000, "of the box's longer side"),
        "score_distance_offset": ranges.POSITIVE,
        "score_distance_multiplier": ranges.VALUE,
        "std_dev_multiplier": ranges.POSITIVE,
        "rescoring_threshold": ranges.SCORE,
        "gaussian_denom_ratio": ranges.POSITIVE,
    },
    "CenterNet.KeypointEstimation.KeypointLabelToStdEntry": {"value": ranges.POSITIVE},
    "CenterNet.MaskEstimation": {**MASK, "score_threshold": ranges.SCORE},
    "CenterNet.DensePoseEstimation": {"class_id": ranges.CLASS, "num_parts": Range(1, 200, "parts of a body")},
    "CenterNet.TrackEstimation": {"reid_embed_size": ranges.FILTERS},
    "CenterNet.DeepMACMaskEstimation": {
        "dim": ranges.FILTERS,
        "pixel_embedding_dim": ranges.FILTERS,
        "mask_size": ranges.CROP,
        "num_init_channels": ranges.FILTERS,
        "postprocess_crop_size": ranges.CROP,
    },
}


def check_ranges(message: Message, path: str) -> None:
    """Raises ConfigError for the first number in it, and below, that is set and out of its range; for long names too.

    path: its own.
    """
    for field, value in message.ListFields():
        where = f"{path}.{field.name}"
        for place, below in messages(field, value, where):
            check_ranges(below, place)
        if field.message_type is None:
            check_values(where, list(value) if field.is_repeated else [value], range_of(field))


def check_values(path: str, values: list, allowed: Range | None) -> None:
    """The same of what a field holds that is no message."""
    check_items(path, values)
    for value in values:
        if isinstance(value, str):
            check_text(path, value)
        elif allowed:
            check_number(path, value, allowed)


def range_of(field: FieldDescriptor) -> Range | None:
    """None for what training alone reads, and for what is no number."""
    message = field.containing_type
    return RANGES.get(message.full_name.removeprefix("visionport.od."), {}).get(field.name) if message else None


def messages(field: FieldDescriptor, value, where: str) -> Iterator[tuple[str, Message]]:
    """(path, message) of each that a field holds."""
    if field.message_type is None:
        return
    if field.message_type.GetOptions().map_entry:
        keys, values = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for key, item in value.items():
            for part, allowed in ((key, range_of(keys)), (item, range_of(values))):
                if allowed:
                    check_number(f"{where}[{key!r}]", part, allowed)
            if values.message_type:
                yield f"{where}[{key!r}]", item
    elif field.is_repeated:
        check_items(where, value)
        yield from ((f"{where}[{i}]", item) for i, item in enumerate(value))
    else:
        yield where, value
