"""What every model's config is made of: resizers, normalisation, batch norm, activations."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class FixedShape:
    """Resize to height x width, aspect lost."""

    height: int
    width: int
    method: str = "bilinear"  # bilinear, nearest, bicubic, area
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class KeepAspectRatio:
    """Resize so that the short side is min_dimension, unless the long one would exceed max_dimension."""

    min_dimension: int
    max_dimension: int
    pad_to_max: bool = False
    pad_value: tuple[float, ...] = (0.0, 0.0, 0.0)  # in normalised space
    method: str = "bilinear"
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class ConditionalShape:
    """Resize only images whose long side is greater (or short side smaller) than the threshold, to the threshold."""

    condition: Literal["greater", "smaller"]
    threshold: int
    method: str = "bilinear"
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class PadToMultiple:
    """Pad bottom and right with zeros to a multiple."""

    multiple: int
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Leave the image as it is."""

    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """(x - mean) / std a channel, of RGB values from 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False  # channels are reversed first; mean and std are of blue, green, red
    pads_first: bool = False  # the resizer's padding is normalised too


Resizer = FixedShape | KeepAspectRatio | ConditionalShape | PadToMultiple | Identity


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    epsilon: float = 1e-3
    center: bool = True  # beta is there
    scale: bool = True  # gamma is there


@dataclass(frozen=True, kw_only=True)
class Hyperparams:
    """How a convolution is completed: bias or batch norm, then the activation."""

    activation: str = "relu6"  # none, relu, relu6, swish
    batch_norm: BatchNorm | None = BatchNorm()
    use_bias: bool = False
    force_use_bias: bool = False  # where batch norm alone would decide


@dataclass(frozen=True, kw_only=True)
class SideInput:
    """One input: its name, dtype (float32 or int32) and shape, None where any size will do; axis 0 is the batch."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
