"""SpineNet as TF Official Vision's `backbone.spinenet` configures it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SpineNet:
    model_id: str = "49"  # 49S, 49, 96, 143, 143L, 190
    min_level: int = 3  # of the backbone's own; the model's min_level and max_level are the decoder's
    max_level: int = 7
    activation: str = "relu"  # relu, swish
    norm_epsilon: float = 1e-3
