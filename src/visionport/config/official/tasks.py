"""Official Vision's tasks: an experiment's tree becomes the dataclass of the model, a function a task."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from visionport.config import ranges
from visionport.config.classification import Classifier
from visionport.config.layers import CropAndResize, FitAndPad, Normalization
from visionport.config.mask_rcnn import (
    Cascade,
    DetectionHead,
    MaskHead,
    MaskRcnn,
    RoiAligner,
    RoiGenerator,
    RpnHead,
)
from visionport.config.mask_rcnn import DetectionGenerator as TwoStageGenerator
from visionport.config.official.backbones import backbone
from visionport.config.official.decoders import decoder, levels
from visionport.config.official.fields import check_choice, check_classes, check_length, frozen, taken, with_norm
from visionport.config.retinanet import (
    AttributeHead,
    DetectionGenerator,
    PyramidAnchors,
    RetinaNet,
    RetinaNetHead,
    TflitePostProcessing,
)
from visionport.config.segmentation import MaskScoringHead, SegmentationHead, Segmenter
from visionport.config.video import VideoClassifier
from visionport.errors import ConfigError, UnsupportedError

Size = tuple[int, int]  # (height, width)
CENTRE_CROP = 0.875  # of the short side
DEFAULT_SIZE = (224, 224)  # of the reference's flag


class Task(NamedTuple):
    """What a task's config is to us. read: task's tree and input size -> the model's dataclass."""

    read: Callable[[Mapping[str, Any], Size], Any]
    family: str  # see visionport.config.Config
    task: str
    inputs: tuple[str, ...]
    background: bool  # class 0 is the background, which is no answer
    kinds: Mapping[str, str] = {}


def classification(task: Mapping[str, Any], size: Size) -> Classifier:
    model, data = task["model"], task["train_data"]
    # With num_classes 0 the reference makes a classifier of nothing, and so do we.
    check_classes("task.model.num_classes", model["num_classes"], 0)
    return Classifier(
        num_classes=model["num_classes"],
        backbone=backbone(model),
        resizer=CropAndResize(height=size[0], width=size[1], crop=CENTRE_CROP if data["aug_crop"] else None),
        add_head_batch_norm=model["add_head_batch_norm"],
        norm_epsilon=model["norm_activation"]["norm_epsilon"],
        multilabel=bool(data["is_multilabel"]),
    )


def segmentation(task: Mapping[str, Any], size: Size) -> Segmenter:
    model, data = task["model"], task["train_data"]
    check_classes("task.model.num_classes", model["num_classes"])
    head, scoring, feature = model["head"], model["mask_scoring_head"], data["image_feature"]
    if head["feature_fusion"] == "panoptic_fpn_fusion":
        raise UnsupportedError(
            "task.model.head.feature_fusion is panoptic_fpn_fusion: the reference cannot build it from a config, since "
            "the levels in it are not passed on. pyramid_fusion is near it."
        )
    for name in ("mean", "stddev"):
        check_length(f"task.train_data.image_feature.{name}", feature[name], 3)
    if scoring:
        check_length("task.model.mask_scoring_head.fc_input_size", scoring["fc_input_size"], 2)
        if None in scoring["fc_input_size"]:
            raise ConfigError("task.model.mask_scoring_head.fc_input_size: height and width are needed, not null.")
    return Segmenter(
        num_classes=model["num_classes"],
        backbone=backbone(model),
        decoder=decoder(model),
        head=taken(SegmentationHead, head, ("decoder_min_level", "decoder_max_level")),
        mask_scoring_head=taken(MaskScoringHead, scoring) if scoring else None,
        **with_norm(Segmenter, model["norm_activation"]),
        resizer=FitAndPad(height=size[0], width=size[1], keep_aspect_ratio=data["preserve_aspect_ratio"]),
        normalization=Normalization(mean=frozen(feature["mean"]), std=frozen(feature["stddev"])),
        rescale_output=task["export_config"]["rescale_output"],
    )


def video(task: Mapping[str, Any], size: Size) -> VideoClassifier:
    model, data = task["model"], task["train_data"]
    check_classes("task.train_data.num_classes,task.validation_data.num_classes", data["num_classes"])
    check_choice("task.model.model_type", model["model_type"], ("video_classification",))
    if data["output_audio"]:
        raise UnsupportedError(
            "task.train_data.output_audio: no model of the reference's takes sound, and its exporter fails on it."
        )
    if model["aggregate_endpoints"] and model["require_endpoints"]:
        raise ConfigError("task.model: aggregate_endpoints takes all endpoints; leave out require_endpoints.")
    frames, crop, _, _ = checked_shape(data["feature_shape"])
    return VideoClassifier(
        num_classes=data["num_classes"],
        backbone=backbone(model),
        frames=frames,
        temporal_stride=data["temporal_stride"],
        min_image_size=data["min_image_size"],
        crop_size=crop,
        aggregate_endpoints=model["aggregate_endpoints"],
        require_endpoints=frozen(model["require_endpoints"] or ()),
        multilabel=data["is_multilabel"],
    )


def checked_shape(shape) -> tuple[int, int, int, int]:
    if len(shape) != 4 or shape[3] != 3:
        raise ConfigError(
            f"task.train_data.feature_shape is {list(shape)}; it is [frames, height, width, 3], as [64, 224, 224, 3]."
        )
    return tuple(shape)


def retinanet(task: Mapping[str, Any], size: Size) -> RetinaNet:
    model = task["model"]
    check_classes("task.model.num_classes", model["num_classes"], 2)
    generator, head = model["detection_generator"], model["head"]
    check_choice(
        "task.model.detection_generator.nms_version", generator["nms_version"], ("batched", "v1", "v2", "v3", "tflite")
    )
    if generator["use_class_agnostic_nms"] and generator["nms_version"] != "v2":
        raise UnsupportedError(
            f"task.model.detection_generator: use_class_agnostic_nms is of nms_version v2 alone, not of "
            f"{generator['nms_version']}; the reference refuses it too."
        )
    check_length("task.model.detection_generator.box_coder_weights", generator["box_coder_weights"], 4)
    for attribute in head["attribute_heads"] or ():
        check_choice("task.model.head.attribute_heads: a type", attribute["type"], ("regression", "classification"))
    return RetinaNet(
        num_classes=model["num_classes"],
        resizer=padded(task, size),
        backbone=backbone(model),
        decoder=decoder(model),
        anchors=anchors(model),
        head=taken(
            RetinaNetHead,
            head,
            attribute_heads=tuple(taken(AttributeHead, a) for a in head["attribute_heads"] or ()),
            share_level_convs=bool(head["share_level_convs"]),
        ),
        **with_norm(RetinaNet, model["norm_activation"]),
        detection_generator=taken(
            DetectionGenerator,
            generator,
            ("use_cpu_nms", "return_decoded", "tflite_post_processing"),  # of no output
            use_class_agnostic_nms=bool(generator["use_class_agnostic_nms"]),
            tflite=tflite(generator["tflite_post_processing"]),
        ),
        **task["export_config"],
    )


def tflite(tree: Mapping[str, Any]) -> TflitePostProcessing:
    scales = ("y_scale", "x_scale", "h_scale", "w_scale")
    return taken(
        TflitePostProcessing,
        tree,
        scales,
        normalize_anchor_coordinates=bool(tree["normalize_anchor_coordinates"]),
        omit_nms=bool(tree["omit_nms"]),
        scales=tuple(tree[name] for name in scales),
    )


def padded(task: Mapping[str, Any], size: Size) -> FitAndPad:
    parser, multiple = task["train_data"]["parser"], 2 ** levels(task["model"])["max_level"]
    return FitAndPad(
        height=size[0],
        width=size[1],
        keep_aspect_ratio=parser["keep_aspect_ratio"],
        multiple=multiple if parser["pad"] else 1,
    )


def anchors(model: Mapping[str, Any]) -> PyramidAnchors:
    if not model["anchor"]["aspect_ratios"]:
        raise ConfigError("task.model.anchor.aspect_ratios is empty; it has one number at least.")
    ends = levels(model)
    return taken(PyramidAnchors, model["anchor"], min_level=ends["min_level"], max_level=ends["max_level"])


def mask_rcnn(task: Mapping[str, Any], size: Size) -> MaskRcnn:
    model = task["model"]
    check_classes("task.model.num_classes", model["num_classes"], 2)
    check_mask_rcnn(model)
    rois, head, mask = model["roi_generator"], model["detection_head"], model["mask_head"]
    at_inference = {k.removeprefix("test_"): v for k, v in rois.items() if k.startswith("test_")}
    more = model["roi_sampler"]["cascade_iou_thresholds"]
    cascade = Cascade(stages=1 + len(more), class_ensemble=head["cascade_class_ensemble"]) if more else None
    return MaskRcnn(
        num_classes=model["num_classes"],
        resizer=padded(task, size),
        backbone=backbone(model),
        decoder=decoder(model),
        anchors=anchors(model),
        rpn_head=taken(RpnHead, model["rpn_head"]),
        roi_generator=RoiGenerator(use_batched_nms=rois["use_batched_nms"], **at_inference),
        roi_aligner=taken(RoiAligner, model["roi_aligner"]),
        detection_head=taken(DetectionHead, head, ("cascade_class_ensemble",)),
        cascade=cascade,
        detection_generator=taken(TwoStageGenerator, model["detection_generator"], ("use_cpu_nms",)),
        mask_head=taken(MaskHead, mask, aligner=taken(RoiAligner, model["mask_roi_aligner"]))
        if model["include_mask"]
        else None,
        outer_boxes_scale=model["outer_boxes_scale"],
        **with_norm(MaskRcnn, model["norm_activation"]),
    )


def check_mask_rcnn(model: Mapping[str, Any]) -> None:
    """Raises ConfigError or UnsupportedError for what the reference cannot build."""
    generator, more = model["detection_generator"], model["roi_sampler"]["cascade_iou_thresholds"] or ()
    check_choice("task.model.detection_generator.nms_version", generator["nms_version"], ("batched", "v1", "v2"))
    if len(more) > 2:
        raise UnsupportedError(
            f"task.model.roi_sampler.cascade_iou_thresholds has {len(more)} entries; the reference has box weights for "
            "three stages, so for two entries."
        )
    if more and not model["detection_head"]["class_agnostic_bbox_pred"]:
        raise ConfigError(
            "task.model: a cascade (roi_sampler.cascade_iou_thresholds) needs detection_head.class_agnostic_bbox_pred."
        )
    if not model["include_mask"]:
        return
    for name in ("mask_head", "mask_sampler", "mask_roi_aligner"):
        if model[name] is None:
            raise ConfigError(f"task.model: include_mask is true, and {name} is null. Give the one or the other.")
    if not generator["apply_nms"]:
        raise UnsupportedError(
            "task.model.detection_generator.apply_nms is false: masks are of detections, so there are none without. "
            "Set task.model.include_mask=false."
        )


def check_size(model: Any) -> None:
    """Raises ConfigError for numbers that are right each, and together fill a memory."""
    if isinstance(model, VideoClassifier):
        ranges.check_pixels("task.train_data.feature_shape: a clip", model.frames * model.crop_size, model.crop_size)
        return
    resizer = model.resizer
    ranges.check_pixels("a picture", resizer.height, resizer.width)
    if not isinstance(model, RetinaNet | MaskRcnn):
        return
    shape = model.anchors
    height, width = resizer.padded
    count = ranges.pyramid_anchors(height, width, shape.min_level, shape.max_level, shape.per_location)
    ranges.check_anchors("task.model.anchor: levels by num_scales by aspect_ratios", count)
    if isinstance(model, RetinaNet):
        ranges.check_scores("task.model: anchors by num_classes", count * model.num_classes)
        return
    regions = model.roi_generator.num_proposals
    ranges.check_scores("task.model: test_num_proposals by num_classes", regions * model.num_classes)
    ranges.check_samples("task.model: test_num_proposals by crop_size", regions * model.roi_aligner.crop_size**2)
    if model.mask_head:
        pixels = (model.mask_head.aligner.crop_size * model.mask_head.upsample_factor) ** 2
        shown = model.detection_generator.max_num_detections
        ranges.check_samples("task.model: max_num_detections by the masks' crop_size", shown * pixels)


IMAGES = ("image_tensor", "image_bytes", "tf_example", "serve_examples", "tflite")
CLIPS = ("image_tensor", "tf_example", "serve_examples")
CLIP_KINDS = {"image_tensor": "clip_tensor", "tf_example": "clip_example", "serve_examples": "clip_example"}

# By the class of the task's config, see schema.py: TASKS.
TASKS = {
    "ImageClassificationTask": Task(classification, "classification", "classification", IMAGES, background=False),
    "SemanticSegmentationTask": Task(segmentation, "segmentation", "segmentation", IMAGES, background=False),
    "VideoClassificationTask": Task(video, "video", "video", CLIPS, background=False, kinds=CLIP_KINDS),
    "RetinaNetTask": Task(retinanet, "retinanet", "detection", IMAGES, background=True),
    "MaskRCNNTask": Task(mask_rcnn, "mask_rcnn", "detection", IMAGES, background=True),
}
