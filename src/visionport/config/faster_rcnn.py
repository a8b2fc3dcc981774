"""What decides a two-stage detector's answers, as frozen dataclasses: Faster R-CNN, Mask R-CNN. No TensorFlow here."""

from dataclasses import dataclass
from typing import Literal

from visionport.config.detection import Anchors, BoxCoder, Nms, PostProcessing
from visionport.config.layers import BatchNorm, Hyperparams, Resizer, SideInput
from visionport.config.ssd import SsdFeatureExtractor


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
    batch_norm: BatchNorm | None = None  # behind each
    use_bias: bool = True
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
class Context:
    """Attention of boxes over features of other images (Beery et al. 2020, Context R-CNN)."""

    max_features: int  # of other images
    feature_length: int
    temperature: float
    position: Literal["post_rpn", "post_box_classifier", "none"]  # whose output it is added to
    self_attention: bool = False  # of the image's boxes over each other
    long_term: bool = True  # over the other images
    in_sequence: bool = False  # the first feeds the second
    heads: int = 1
    layers: int = 1
    adds_input: bool  # to what was found, as TF1's does
    use_bias: bool  # in projections before a batch norm, as Keras's


@dataclass(frozen=True, kw_only=True)
class FasterRcnn:
    """Two stages: proposals, then a look at each (Ren et al. 2015); reference: faster_rcnn_meta_arch.py."""

    num_classes: int  # without background
    proposals_only: bool = False  # the first stage alone
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
    context: Context | None = None
    output_box_features: bool = False
    output_rpn_features: bool = False
    output_map_indices: bool = False  # with the predictions below: of which map each raw box is; the reference says 0
    output_predictions: bool = False  # everything that was computed on the way, as the TF2 exporter of masks does

    @property
    def has_background(self) -> bool:
        return True

    @property
    def side_inputs(self) -> tuple[SideInput, ...]:
        """What it takes besides the image."""
        if not self.context:
            return ()
        shape = (None, self.context.max_features, self.context.feature_length)
        return (
            SideInput(name="context_features", dtype="float32", shape=shape),
            SideInput(name="valid_context_size", dtype="int32", shape=(None,)),
        )
