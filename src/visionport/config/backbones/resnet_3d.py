"""ResNets of video clips, ResNet-3D-RS among them; the fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ResNet3DBlock:
    """One of the four stages."""

    temporal_strides: int = 1  # of the first unit
    temporal_kernel_sizes: tuple[int, ...] = ()  # one a unit; see ResNet3D.repeat_kernel_sizes
    use_self_gating: bool = False  # in the last unit


@dataclass(frozen=True, kw_only=True)
class ResNet3D:
    """Reference: official/vision/modeling/backbones/resnet_3d.py."""

    model_id: int = 50  # layers, 50 to 350
    stem_type: str = "v0"  # v0: one convolution of 7x7, v1: three of 3x3
    stem_conv_temporal_kernel_size: int = 5
    stem_conv_temporal_stride: int = 2
    stem_pool_temporal_stride: int = 2
    block_specs: tuple[ResNet3DBlock, ...]
    repeat_kernel_sizes: bool = False  # resnet_3d_rs: a stage's kernel sizes are repeated for each of its units
    se_ratio: float = 0.0  # channels of squeeze-and-excite, of a unit's; 0: none
    activation: str = "relu"
    norm_epsilon: float = 1e-3
