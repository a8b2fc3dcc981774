"""A config as it was read: the model that it describes, and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from visionport.config.center_net import CenterNet
from visionport.config.faster_rcnn import FasterRcnn
from visionport.config.ssd import Ssd

Model: TypeAlias = Ssd | CenterNet | FasterRcnn


@dataclass(frozen=True, kw_only=True)
class Config:
    """A model to build, and where it was read from."""

    path: Path
    model: Model
    architecture: str  # what the config calls it: "ssd_mobilenet_v2_keras"
    api: Literal["tf1", "tf2"]  # which of the reference's two trained it, as the config declares
    moving_averages: bool = False  # TF1: the averages are what is exported
    quantized: bool = False  # TF1: trained with fake quantisation to 8 bits
    text: str  # the whole config as it is exported
    labels: Mapping[int, str] | None = None  # class id (from 1) to name
    warnings: tuple[str, ...] = ()
    source: Any = None  # the parsed file
