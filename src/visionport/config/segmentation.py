"""The config of a semantic segmenter of TF Official Vision."""

from dataclasses import dataclass
from typing import Any

from visionport.config.decoders import Decoder
from visionport.config.layers import FitAndPad, Normalization


@dataclass(frozen=True, kw_only=True)
class SegmentationHead:
    level: int | str = 3  # of the decoder's map
    num_convs: int = 2
    num_filters: int = 256
    use_depthwise_convolution: bool = False
    prediction_kernel_size: int = 1
    upsample_factor: int = 1  # by nearest neighbours, before the prediction
    feature_fusion: str | None = None  # deeplabv3plus, deeplabv3plus_sum_to_merge, pyramid_fusion
    low_level: int | str = 2  # of the backbone's map which DeepLabv3+ takes too; an endpoint's name where it has such
    low_level_num_filters: int = 48
    logit_activation: str | None = None  # sigmoid, softmax, ...


@dataclass(frozen=True, kw_only=True)
class MaskScoringHead:
    """Judges how good each class's mask is (Huang et al. 2019)."""

    num_convs: int = 4
    num_filters: int = 128
    fc_input_size: tuple[int, int]  # the size in pixels to which the features are resized
    num_fcs: int = 2
    fc_dims: int = 1024
    use_depthwise_convolution: bool = False


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    num_classes: int  # the background, where there is one, is one of them
    backbone: Any  # a dataclass of config/backbones
    decoder: Decoder | None
    head: SegmentationHead
    mask_scoring_head: MaskScoringHead | None = None
    activation: str = "relu"  # of the heads
    norm_epsilon: float = 1e-3
    resizer: FitAndPad
    normalization: Normalization  # train_data.image_feature's
    rescale_output: bool = False  # logits of the picture's own size, not of the input's
