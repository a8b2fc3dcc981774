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
class CropAndResize:
    """Resize the middle of the image to height x width; a pixel is where its centre is, unlike above."""

    height: int
    width: int
    crop: float | None = 0.875  # side of the square that is kept, of the image's short side; None: all is kept
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class FitAndPad:
    """Resize into height x width, then pad below and right with the mean; a pixel is where its centre is.

    Reference: official/vision/serving/detection.py and semantic_segmentation.py.
    """

    height: int
    width: int
    keep_aspect_ratio: bool = True  # otherwise the image is stretched to the size
    multiple: int = 1  # height and width are padded to multiples of it
    grayscale: bool = False

    @property
    def padded(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return self.height + -self.height % self.multiple, self.width + -self.width % self.multiple


@dataclass(frozen=True, kw_only=True)
class MiddleClip:
    """Take frames from the middle of a video, resize their short side, and crop the middle square."""

    frames: int
    temporal_stride: int  # between them, in frames of the video
    short_side: int  # in pixels
    side: int  # of the square, in pixels
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """(x - mean) / std a channel, of RGB values from 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False  # channels are reversed first; mean and std are of blue, green, red
    pads_first: bool = False  # the resizer's padding is normalised too


Resizer = (
    FixedShape | KeepAspectRatio | ConditionalShape | PadToMultiple | Identity | CropAndResize | FitAndPad | MiddleClip
)


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
