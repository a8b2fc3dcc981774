"""EfficientNet as a frozen dataclass; the fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EfficientNet:
    """Tan and Le 2019. Reference: official/vision/modeling/backbones/efficientnet.py."""

    model_id: str = "b0"  # b0 to b7
    se_ratio: float = 0.0  # channels of squeeze-and-excite, of a block's input; 0: none
    activation: str = "relu"
    se_inner_activation: str = "relu"  # between squeeze-and-excite's two convolutions
    norm_epsilon: float = 1e-3
