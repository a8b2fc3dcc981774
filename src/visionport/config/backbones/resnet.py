"""ResNets of images: plain, ResNet-D, ResNet-RS; dilated. The fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ResNet:
    """He et al. 2015; Bello et al. 2021 (ResNet-RS). Reference: official/vision/modeling/backbones/resnet.py."""

    model_id: int = 50  # layers, 10 to 420
    depth_multiplier: float = 1.0  # of the channels
    scale_stem: bool = True  # the stem's too
    stem_type: str = "v0"  # v0: one 7x7 convolution, v1: three of 3x3
    replace_stem_max_pool: bool = False  # by a convolution of stride 2
    resnetd_shortcut: bool = False  # projections convolve averages of 2x2, in place of every second pixel
    se_ratio: float = 0.0  # channels of squeeze-and-excite, of a block's; 0: none
    activation: str = "relu"
    norm_epsilon: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class DilatedResNet:
    """Chen et al. 2017 (DeepLab v3). Reference: official/vision/modeling/backbones/resnet_deeplab.py."""

    model_id: int = 50  # layers, 50 to 200
    output_stride: int = 16  # past it convolutions are dilated in place of strides
    multigrid: tuple[int, ...] | None = None  # factors of the last stages' dilation, one a unit
    last_stage_repeats: int = 1  # how often the last stage is there
    stem_type: str = "v0"
    replace_stem_max_pool: bool = False
    resnetd_shortcut: bool = False
    se_ratio: float = 0.0
    activation: str = "relu"
    norm_epsilon: float = 1e-3
