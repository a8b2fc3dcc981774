"""The config of a RetinaNet of TF Official Vision. No TensorFlow here."""

from dataclasses import dataclass
from typing import Any

from visionport.config.classification import IMAGENET
from visionport.config.decoders import Decoder
from visionport.config.layers import FitAndPad, Normalization


@dataclass(frozen=True, kw_only=True)
class PyramidAnchors:
    """On each level's map the anchors of every place: for each scale every aspect ratio. In pixels, not clipped.

    Reference: official/vision/ops/anchor.py.
    """

    min_level: int
    max_level: int
    num_scales: int  # sizes an octave
    aspect_ratios: tuple[float, ...]  # width by height
    anchor_size: float  # side of the first scale's square, in strides of its level

    @property
    def per_location(self) -> int:
        return self.num_scales * len(self.aspect_ratios)


@dataclass(frozen=True, kw_only=True)
class AttributeHead:
    """Predicts more of each anchor than its class and box; its answers are no outputs of an export."""

    name: str
    type: str = "regression"  # regression, classification
    size: int = 1  # numbers an anchor
    prediction_tower_name: str = ""  # those of the same name share the first one's tower
    num_convs: int | None = None  # None: the head's own
    num_filters: int | None = None


@dataclass(frozen=True, kw_only=True)
class RetinaNetHead:
    num_convs: int = 4
    num_filters: int = 256
    use_separable_conv: bool = False
    attribute_heads: tuple[AttributeHead, ...] = ()
    share_classification_heads: bool = False  # attributes are predicted from the class tower
    share_level_convs: bool = True  # one tower for all levels, batch norms apart; otherwise one a level


@dataclass(frozen=True, kw_only=True)
class TflitePostProcessing:
    """The attributes of TFLite's detection operation."""

    max_detections: int = 200
    max_classes_per_detection: int = 5
    detections_per_class: int = 5  # of regular NMS
    use_regular_nms: bool = False
    nms_score_threshold: float = 0.1
    nms_iou_threshold: float = 0.5
    normalize_anchor_coordinates: bool = False  # boxes are from 0 to 1, not pixels
    omit_nms: bool = False  # boxes and scores are the answer
    scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)  # y, x, height, width


@dataclass(frozen=True, kw_only=True)
class DetectionGenerator:
    """How raw answers become detections. Reference: official/vision/modeling/layers/detection_generator.py."""

    apply_nms: bool = True  # otherwise all decoded boxes and scores are the answer
    decode_boxes: bool = True  # of apply_nms false: otherwise the raw ones are
    pre_nms_top_k: int = 5000  # a class; batched NMS ignores it
    pre_nms_score_threshold: float = 0.05
    nms_iou_threshold: float = 0.5
    max_num_detections: int = 100
    nms_version: str = "v2"  # batched, v1, v2, v3, tflite
    soft_nms_sigma: float | None = None  # of v1
    use_class_agnostic_nms: bool = False  # of v2
    box_coder_weights: tuple[float, ...] | None = None  # y, x, height, width; None: 1 each
    tflite: TflitePostProcessing = TflitePostProcessing()


@dataclass(frozen=True, kw_only=True)
class RetinaNet:
    """Lin et al. 2017. Reference: official/vision/modeling/retinanet_model.py."""

    num_classes: int  # with the background, whose column is dropped
    resizer: FitAndPad
    normalization: Normalization = IMAGENET  # before the resizing
    backbone: Any  # a dataclass of config/backbones
    decoder: Decoder | None
    anchors: PyramidAnchors
    head: RetinaNetHead
    activation: str = "relu"  # of the head
    norm_epsilon: float = 1e-3
    detection_generator: DetectionGenerator
    output_normalized_coordinates: bool = False  # boxes are of the original image, from 0 to 1
    cast_num_detections_to_float: bool = False
    cast_detection_classes_to_float: bool = False
    output_intermediate_features: bool = False  # the maps of backbone and decoder are outputs too
