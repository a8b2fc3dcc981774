"""SpineNet-Mobile as a frozen dataclass; the fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpineNetMobile:
    """Du et al. 2020. Reference: official/vision/modeling/backbones/spinenet_mobile.py."""

    model_id: str = "49"  # 49, 49S, 49XS
    min_level: int = 3  # of the maps given, the lowest and the highest
    max_level: int = 7
    se_ratio: float = 0.2  # channels of squeeze-and-excite, of a block's input; 0: none
    expand_ratio: int = 6  # channels inside a block, of its input's; 1: no expansion
    use_keras_upsampling_2d: bool = False  # decides the order of the checkpoint's layers alone
    activation: str = "relu"
    norm_epsilon: float = 1e-3
