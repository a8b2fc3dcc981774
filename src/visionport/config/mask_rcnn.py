"""The config of an R-CNN of TF Official Vision: Faster, Mask, Cascade. No TensorFlow here."""

from dataclasses import dataclass
from typing import Any

from visionport.config.classification import IMAGENET
from visionport.config.decoders import Decoder
from visionport.config.layers import FitAndPad, Normalization
from visionport.config.retinanet import PyramidAnchors


@dataclass(frozen=True, kw_only=True)
class RpnHead:
    """Proposes regions."""

    num_convs: int = 1
    num_filters: int = 256
    use_separable_conv: bool = False


@dataclass(frozen=True, kw_only=True)
class RoiGenerator:
    """Which regions go to the second stage, at inference. Reference: vision/modeling/layers/roi_generator.py."""

    pre_nms_top_k: int = 1000  # a level
    pre_nms_score_threshold: float = 0.0
    pre_nms_min_size_threshold: float = 0.0  # pixels, of either side
    nms_iou_threshold: float = 0.7
    num_proposals: int = 1000
    use_batched_nms: bool = False


@dataclass(frozen=True, kw_only=True)
class RoiAligner:
    """Crops of a region: crop_size x crop_size samples, each at sample_offset of its cell."""

    crop_size: int
    sample_offset: float = 0.5


@dataclass(frozen=True, kw_only=True)
class DetectionHead:
    num_convs: int = 4
    num_filters: int = 256
    use_separable_conv: bool = False
    num_fcs: int = 1
    fc_dims: int = 1024
    class_agnostic_bbox_pred: bool = False  # one box a region, not one a class


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """More detection heads, each on the boxes of the one before (Cai and Vasconcelos 2018)."""

    stages: int  # heads in all, 2 or 3
    class_ensemble: bool = False  # the mean of all heads' class logits, not the last one's


@dataclass(frozen=True, kw_only=True)
class MaskHead:
    num_convs: int = 4
    num_filters: int = 256
    use_separable_conv: bool = False
    upsample_factor: int = 2  # of the mask, to the crop's size
    class_agnostic: bool = False
    aligner: RoiAligner


@dataclass(frozen=True, kw_only=True)
class DetectionGenerator:
    """How the second stage's answers become detections."""

    apply_nms: bool = True  # otherwise all decoded boxes and scores are the answer
    pre_nms_top_k: int = 5000  # a class; batched NMS ignores it
    pre_nms_score_threshold: float = 0.05
    nms_iou_threshold: float = 0.5
    max_num_detections: int = 100
    nms_version: str = "v2"  # batched, v1, v2
    soft_nms_sigma: float | None = None  # of v1
    use_sigmoid_probability: bool = False  # otherwise scores are a softmax


@dataclass(frozen=True, kw_only=True)
class MaskRcnn:
    """Ren et al. 2015, He et al. 2017. Reference: official/vision/modeling/maskrcnn_model.py."""

    num_classes: int  # with the background, whose column is dropped
    resizer: FitAndPad
    normalization: Normalization = IMAGENET  # before the resizing
    backbone: Any  # a dataclass of config/backbones
    decoder: Decoder | None
    anchors: PyramidAnchors
    rpn_head: RpnHead
    roi_generator: RoiGenerator
    roi_aligner: RoiAligner
    detection_head: DetectionHead
    cascade: Cascade | None = None
    detection_generator: DetectionGenerator
    mask_head: MaskHead | None = None
    outer_boxes_scale: float = 1.0  # masks are of boxes larger by this, which are outputs too
    activation: str = "relu"  # of the heads
    norm_epsilon: float = 1e-3
