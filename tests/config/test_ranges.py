"""Numbers of configs: each that decides inference has a range, and what is out of it is an error before all else."""

import sys

import pytest
from google.protobuf.descriptor import FieldDescriptor
from places import SHARED

from visionport.config import ranges, read_config
from visionport.config.official import ranges as official
from visionport.config.official.schema import class_of, defaults, element_of, fields_of, is_class
from visionport.config.pipeline import ranges as pipeline
from visionport.config.pipeline.text import message_class
from visionport.errors import ConfigError, OptionError

# Of model { ... } what training alone reads: whole messages, and fields of others.
TRAINING = {
    *("Loss", "LocalizationLoss", "ClassificationLoss", "HardExampleMiner", "Matcher", "RegionSimilarityCalculator"),
    *("Regularizer", "Initializer", "GroupNormalization", "RandomExampleSampler", "MaskHead"),
}
TRAINING_FIELDS = {
    *("decay", "dropout_keep_probability", "class_prediction_bias_init", "heatmap_bias_init", "task_loss_weight"),
    *("negative_class_weight", "implicit_example_weight", "weight", "min_num_negative_samples", "num_track_ids"),
    *("first_stage_minibatch_size", "first_stage_positive_balance_fraction", "second_stage_batch_size"),
    *("second_stage_balance_fraction", "offset_peak_radius", "min_box_overlap_iou", "num_fc_layers"),
    *("keypoint_weights_for_center", "allowed_masked_classes_ids", "max_roi_jitter_ratio", "mask_num_subsamples"),
    *("a", "b"),  # sigmoid calibration, which is refused
}
TRAINING_WORDS = ("loss", "color_consistency", "box_consistency", "self_supervision", "supervised")

MODEL = """model { ssd { num_classes: 2 feature_extractor { type: 'ssd_mobilenet_v2_fpn_keras' fpn { }
  conv_hyperparams { } }
  box_predictor { weight_shared_convolutional_box_predictor { depth: 8 conv_hyperparams { } } }
  anchor_generator { multiscale_anchor_generator { aspect_ratios: 1.0 } } box_coder { faster_rcnn_box_coder { } }
  image_resizer { fixed_shape_resizer { } } } }
"""


@pytest.fixture
def told(tmp_path):
    """What reading a config says, the text merged over a small SSD; "" where it is taken."""

    def read(text: str = "", model: str = MODEL) -> str:
        path = tmp_path / "pipeline.config"
        path.write_text(model)
        try:
            read_config(path, text)
        except ConfigError as error:
            return str(error).removeprefix(f"{path}: ")
        return ""

    return read


def is_number(field) -> bool:
    kinds = (FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_ENUM)
    return field.message_type is None and field.cpp_type not in kinds


def numbers(descriptor, seen: set[str]):
    """All fields below a message that are numbers, training's messages left out."""
    if descriptor.full_name in seen or descriptor.name in TRAINING:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        if field.message_type:
            yield from numbers(field.message_type, seen)
        elif is_number(field):
            yield field


def test_every_number_of_a_pipeline_config_has_a_range():
    model = message_class("TrainEvalPipelineConfig").DESCRIPTOR.fields_by_name["model"].message_type
    without = {
        f"{field.containing_type.name}.{field.name}"
        for field in numbers(model, set())
        if field.name not in TRAINING_FIELDS and not any(word in field.name for word in TRAINING_WORDS)
        if pipeline.range_of(field) is None and field.containing_type.name != "ClassIdSigmoidParametersMapEntry"
    }
    assert not without


def test_the_table_has_no_other_and_holds_the_defaults():
    for name, fields in pipeline.RANGES.items():
        descriptor = message_class(name).DESCRIPTOR
        for field, allowed in fields.items():
            known = descriptor.fields_by_name.get(field)
            if known is None:
                assert fields in (pipeline.BOX_SCALES,) or allowed is pipeline.BOX_SCALES.get(field), (name, field)
            elif not known.is_repeated and known.default_value:
                assert allowed.holds(known.default_value), (name, field)


def official_numbers(name: str, seen: set[str]):
    if name in seen:
        return
    seen.add(name)
    for field, (kinds, default) in fields_of(name).items():
        element = element_of(kinds)
        below = class_of(kinds) or (element if element and is_class(element) else None)
        if below:
            yield from official_numbers(below, seen)
        elif any(kind.lstrip("[").startswith(("int", "float")) for kind in kinds):
            yield name, field, default


MODELS = ("MaskRCNN", "RetinaNet", "ImageClassificationModel", "SemanticSegmentationModel", "VideoClassificationModel")


@pytest.mark.parametrize("name", MODELS)
def test_every_number_of_a_model_of_official_vision_has_a_range(name):
    found = list(official_numbers(name, set()))
    assert len(found) > 15
    for owner, field, default in found:
        assert official.range_of(owner, field), f"{owner}.{field}"
        official.check_field(owner, field, default, field)
    assert defaults(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "image_resizer { fixed_shape_resizer { height: -1 } }",
            "fixed_shape_resizer.height is -1; it is from 1 to 16",
        ),
        ("image_resizer { fixed_shape_resizer { width: 0 } }", "(pixels)"),
        ("image_resizer { fixed_shape_resizer { height: 16384 width: 16384 } }", "268,435,456 pixels; at most 67,108"),
        ("num_classes: 2147483647", "model.ssd.num_classes is 2147483647; it is from 1 to 5,000 (classes)"),
        ("num_classes: -1", "num_classes is -1"),
        (
            "feature_extractor { fpn { min_level: 0 } }",
            "feature_extractor.fpn.min_level is 0; it is from 1 to 12 (level",
        ),
        ("feature_extractor { fpn { min_level: -1 } }", "fpn.min_level is -1"),
        ("feature_extractor { fpn { min_level: 8 } }", "fpn: min_level 8 is above max_level 7"),
        ("feature_extractor { depth_multiplier: nan }", "depth_multiplier is nan; it is above 0 to 16"),
        ("feature_extractor { depth_multiplier: -0.5 }", "depth_multiplier is -0.5"),
        ("feature_extractor { pad_to_multiple: 0 }", "pad_to_multiple is 0"),
        ("box_coder { faster_rcnn_box_coder { y_scale: 0 } }", "y_scale is 0"),
        ("box_coder { faster_rcnn_box_coder { x_scale: inf } }", "x_scale is inf"),
        ("anchor_generator { multiscale_anchor_generator { max_level: 2147483647 } }", "max_level is 2147483647"),
        ("anchor_generator { multiscale_anchor_generator { min_level: 9 } }", "min_level 9 is above max_level 7"),
        ("anchor_generator { multiscale_anchor_generator { aspect_ratios: -1 } }", "aspect_ratios is -1"),
        ("anchor_generator { multiscale_anchor_generator { anchor_scale: 1e30 } }", "anchor_scale is 1e+30"),
        ("anchor_generator { multiscale_anchor_generator { scales_per_octave: 0 } }", "scales_per_octave is 0"),
        (
            "anchor_generator { ssd_anchor_generator { num_layers: 100000000 } }",
            "num_layers is 100000000; it is from 1",
        ),
        ("anchor_generator { ssd_anchor_generator { height_stride: 8 } }", "1 height_stride and 0 width_stride for 6"),
        ("anchor_generator { ssd_anchor_generator { scales: 0.5 } }", "1 scales for 6 layers"),
        ("anchor_generator { grid_anchor_generator { scales: 1 } }", "grid_anchor_generator.aspect_ratios is empty"),
        ("anchor_generator { flexible_grid_anchor_generator { } }", "anchor_grid is empty"),
        (
            "anchor_generator { flexible_grid_anchor_generator { anchor_grid { base_sizes: [1, 2] aspect_ratios: 1 } } "
            "}",
            "anchor_grid[0] has 2 base_sizes and 1 aspect_ratios",
        ),
        ("post_processing { batch_non_max_suppression { iou_threshold: 1.5 } }", "iou_threshold is 1.5; it is from 0"),
        ("post_processing { batch_non_max_suppression { score_threshold: nan } }", "score_threshold is nan"),
        ("post_processing { batch_non_max_suppression { max_total_detections: 0 } }", "max_total_detections is 0"),
        ("post_processing { logit_scale: 0 }", "logit_scale is 0; it is above 0"),
        (
            "post_processing { calibration_config { function_approximation { x_y_pairs { x_y_pair { x: nan } } } } }",
            "x_y_pair[0].x is nan",
        ),
        (
            "post_processing { calibration_config { class_id_function_approximations { class_id_xy_pairs_map { "
            "key: -5 value { } } } } }",
            "class_id_xy_pairs_map[-5] is -5",
        ),
        ("image_resizer { keep_aspect_ratio_resizer { per_channel_pad_value: 1 } }", "has 1 values; it has three"),
    ],
)
def test_absurd_numbers(told, text, expected):
    assert expected in told(f"model {{ ssd {{ {text} }} }}")


def test_a_usual_one_is_taken(told):
    assert told() == ""
    assert told("model { ssd { loss { classification_weight: nan localization_weight: -1e30 } } }") == ""  # training's


def test_many_numbers_and_anchors(told):
    ratios = ", ".join(["1.0"] * 1001)
    anchors = "model {{ ssd {{ anchor_generator {{ multiscale_anchor_generator {{ {} }} }} {} }} }}"
    assert "1,002 entries; at most 1,000" in told(anchors.format(f"aspect_ratios: [{ratios}]", ""))
    resizer = "image_resizer { fixed_shape_resizer { height: 4096 width: 4096 } }"
    most = anchors.format("min_level: 1 scales_per_octave: 100", resizer)
    assert "559,206,400 anchors a picture; at most 10,000,000" in told(most)
    assert "scores a picture" in told(
        f"{anchors.format('min_level: 3', resizer)} model {{ ssd {{ num_classes: 4999 }} }}"
    )


def test_a_long_side_alone_makes_no_large_picture(told):
    """Of panoramas, whose short side is small."""
    sides = "keep_aspect_ratio_resizer { min_dimension: 600 max_dimension: 16384 pad_to_max_dimension: "
    assert told(f"model {{ ssd {{ image_resizer {{ {sides} false }} }} }} }}") == ""
    assert "268,435,456 pixels" in told(f"model {{ ssd {{ image_resizer {{ {sides} true }} }} }} }}")


def test_a_large_crop_of_every_proposal(told):
    model = """model { faster_rcnn { num_classes: 2 feature_extractor { type: 'faster_rcnn_resnet50' }
      image_resizer { fixed_shape_resizer { } } initial_crop_size: 4096 maxpool_kernel_size: 1 maxpool_stride: 1
      first_stage_anchor_generator { grid_anchor_generator { scales: 1 aspect_ratios: 1 } }
      first_stage_box_predictor_conv_hyperparams { } second_stage_box_predictor { mask_rcnn_box_predictor {
      fc_hyperparams { } } } } }"""
    assert "5,033,164,800 samples a picture" in told(model=model)
    assert "number_of_stages is 4; it is from 1 to 3" in told("model { faster_rcnn { number_of_stages: 4 } }", model)
    assert told("model { faster_rcnn { initial_crop_size: 14 } }", model) == ""


@pytest.mark.parametrize(
    ("experiment", "override", "expected"),
    [
        (
            "resnet_imagenet",
            "task.model.num_classes=100000000000000000000000",
            "num_classes is a number of 80 bits; it",
        ),
        ("resnet_imagenet", "task.model.num_classes=2147483647", "num_classes is 2147483647; it is from -1 to 100,000"),
        ("resnet_imagenet", "task.model.input_size=[100000,100000,3]", "input_size is 100000; it is from 0 to 16,384"),
        ("resnet_imagenet", "task.model.input_size=[16384,16384,3]", "a picture is 16,384 by 16,384, 268,435,456"),
        (
            "resnet_imagenet",
            "task.model.backbone.resnet.depth_multiplier=.nan",
            "depth_multiplier is nan; it is above 0",
        ),
        ("resnet_imagenet", "task.model.norm_activation.norm_epsilon=-.inf", "norm_epsilon is -inf; it is from 0 to 1"),
        ("retinanet_mobile_coco", "task.model.min_level=0", "task.model.min_level is 0; it is from 1 to 12 (level"),
        ("retinanet_mobile_coco", "task.model.anchor.aspect_ratios=[]", "anchor.aspect_ratios is empty"),
        ("retinanet_mobile_coco", "task.model.anchor.aspect_ratios=[1, -1]", "aspect_ratios is -1"),
        ("retinanet_mobile_coco", "task.model.anchor.num_scales=1000000000", "num_scales is 1000000000"),
        ("retinanet_mobile_coco", "task.model.num_classes=99999", "scores a picture; at most 2,147,483,648"),
        ("retinanet_mobile_coco", "task.model.detection_generator.nms_iou_threshold=2", "intersection over union"),
        (
            "retinanet_mobile_coco",
            "task.model.detection_generator.max_num_detections=0",
            "it is from 1 to 100,000 (det",
        ),
        ("maskrcnn_resnetfpn_coco", "task.model.roi_aligner.crop_size=4096", "samples a picture"),
        ("maskrcnn_resnetfpn_coco", "task.model.mask_roi_aligner.crop_size=4096", "samples a picture"),
        (
            "video_classification_ucf101",
            "task.train_data.feature_shape=[16384,224,224,3]",
            "a clip is 3,670,016 by 224",
        ),
        ("video_classification_ucf101", "task.train_data.feature_shape=[0,224,224,3]", "feature_shape is 0"),
        ("seg_resnetfpn_pascal", "task.train_data.image_feature.stddev=[0,1,1]", "stddev is 0; it is above 0"),
        (
            "seg_resnetfpn_pascal",
            "{task: {model: {num_classes: 3, mask_scoring_head: {fc_input_size: [null, null]}}}}",
            "height and width are needed",
        ),
    ],
)
def test_absurd_numbers_of_official_vision(experiment, override, expected):
    with pytest.raises(ConfigError) as caught:
        read_config(experiment=experiment, params_override=override)
    assert expected in str(caught.value)
    assert "tensorflow" not in sys.modules or "tensorflow" not in str(caught.value)


@pytest.mark.parametrize("size", [(0, 5), (5, 100_000), (16_384, 16_384)])
def test_image_sizes_that_are_none(size):
    with pytest.raises(OptionError, match="--image-size"):
        read_config(experiment="resnet_imagenet", image_size=size)


def test_numbers_are_shown_as_they_are():
    assert [ranges.shown(value) for value in (1, 0.5, 1e30, float("nan"), -(10**30), 1e-9, 0.1 + 0.2)] == [
        *("1", "0.5", "1e+30", "nan", "a number of 100 bits", "1e-09", "0.3"),
    ]
    assert str(ranges.SIDE) == "from 1 to 16,384 (pixels)"
    assert str(ranges.SCALE) == "above 0 to 1,000 (factor)"


VALUES = SHARED / "cases" / "hostile" / "hang_values.txt"


@pytest.mark.skipif(not VALUES.exists(), reason="no folder of hostile files")
def test_values_that_make_memory_or_loops(told):
    lines = VALUES.read_text().splitlines()
    assert len(lines) > 1
    assert all("; it is from " in told(line) for line in lines)


def test_names_that_are_none(told):
    long = "x" * 5000
    assert "model.ssd.feature_extractor.type has 5,000 characters; at most 4,096" in told(
        f"model {{ ssd {{ feature_extractor {{ type: '{long}' }} }} }}"
    )
    with pytest.raises(ConfigError, match="model_name has 5,000 characters"):
        read_config(experiment="vit_imagenet_finetune", params_override=f"task.model.backbone.vit.model_name={long}")
