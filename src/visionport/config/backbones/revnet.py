"""RevNet as a frozen dataclass; the fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RevNet:
    """Gomez et al. 2017. Reference: official/vision/modeling/backbones/revnet.py."""

    model_id: int = 56  # layers: 38, 56, 104
    activation: str = "relu"  # of the stem, as the epsilon; blocks have ReLU and 1e-3
    norm_epsilon: float = 1e-3
