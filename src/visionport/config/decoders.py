"""What stands between a backbone and its heads in TF Official Vision; no decoder (`identity`) is None."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class Fpn:
    """Feature pyramid (Lin et al. 2017)."""

    min_level: int = 3  # the model's
    max_level: int = 7
    num_filters: int = 256
    fusion_type: str = "sum"  # sum, concat
    use_separable_conv: bool = False
    use_keras_layer: bool = False  # changes no answer, but may change the order in which layers are stored
    activation: str = "relu"
    norm_epsilon: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class NasFpn:
    """The feature pyramid found by search (Ghiasi et al. 2019)."""

    min_level: int = 3  # the model's
    max_level: int = 7
    num_filters: int = 256
    num_repeats: int = 5
    use_separable_conv: bool = False
    activation: str = "relu"
    norm_epsilon: float = 1e-3


@dataclass(frozen=True, kw_only=True)
class Aspp:
    """Atrous spatial pyramid pooling (Chen et al. 2017)."""

    level: int = 4
    dilation_rates: tuple[int, ...] = ()
    num_filters: int = 256
    use_depthwise_convolution: bool = False
    pool_kernel_size: tuple[int, int] | None = None  # of the input's pixels; None or (): the mean of the whole map
    spp_layer_version: str = "v1"  # v1, v2: names alone differ
    output_tensor: bool = False  # heads take this map whatever level they name
    activation: str = "relu"
    norm_epsilon: float = 1e-3


Decoder: TypeAlias = Fpn | NasFpn | Aspp
