"""What decides a two-stage detector's answers, as frozen dataclasses: Faster R-CNN, Mask R-CNN. No TensorFlow here."""

from dataclasses import dataclass
from typing import Literal

from visionport.config import (
    Anchors,
    BoxCoder,
    Hyperparams,
    Nms,
    PostProcessing,
    Resizer,
    SsdFeatureExtractor,
)


@dataclass(frozen=True, kw_only=True)
class TwoStageExtractor:
    type: str  # as the config names it
    stride: int = 16  # of the map that proposals come from; below 16 convolutions are dilated
    stride_placement: Literal["first", "last"] = "first"  # of ResNet's strides: Keras's, slim's
    second_stage_padding: Literal["SAME", "VALID"] = "SAME"  # of Inception-ResNet's strides: Keras's, slim's
    pyramid: SsdFeatureExtractor | None = None  # where features come from a pyramid, its levels and hyperparameters


@dataclass(frozen=True, kw_only=True)
class FirstStage:
    """Region proposals (Ren et al. 2015, section 3.1)."""

    hyperparams: Hyperparams
    kernel_size: int = 3
    atrous_rate: int = 1
    nms: Nms


@dataclass(frozen=True, kw_only=True)
class BoxHeads:
    """Fully connected class and box heads of the second stage."""

    share_box: bool = False  # one box a proposal, not one a class
    use_dropout: bool = False  # changes the layers' indices in a TF2 checkpoint, nothing else


@dataclass(frozen=True, kw_only=True)
class RfcnHeads:
    """Position-sensitive maps of the whole image in place of a look at each proposal (Dai et al. 2016)."""

    hyperparams: Hyperparams
    bins: tuple[int, int]  # parts of a box, rows and columns
    crop_size: tuple[int, int]  # samples of a box, divisible by the bins


@dataclass(frozen=True, kw_only=True)
class MaskHead:
    """Convolutions from the box's features to one mask a class (He et al. 2017)."""

    hyperparams: Hyperparams
    size: tuple[int, int]
    num_layers: int = 2  # convolutions, the last one included
    class_agnostic: bool = False
    upsample_last: bool = False  # convolve, then upsample, in place of the reverse


@dataclass(frozen=True, kw_only=True)
class FasterRcnn:
    """Two stages: proposals, then a look at each (Ren et al. 2015); reference: faster_rcnn_meta_arch.py."""

    num_classes: int  # without background
    feature_extractor: TwoStageExtractor
    resizer: Resizer
    anchors: Anchors
    first_stage: FirstStage
    crop_size: int  # these three are not for RfcnHeads
    pool_kernel: int
    pool_stride: int
    heads: BoxHeads | RfcnHeads
    masks: MaskHead | None = None
    post_processing: PostProcessing
    box_coder: BoxCoder  # the config cannot choose it
    output_box_features: bool = False
    output_rpn_features: bool = False
    output_predictions: bool = False  # everything that was computed on the way, as the TF2 exporter of masks does

    @property
    def has_background(self) -> bool:
        return True
