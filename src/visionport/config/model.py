"""A config as it was read: the model that it describes, its task, and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport.config.lineage import Lineage

# What every model takes; see inputs/types.py.
COMMON_INPUTS = ("image_tensor", "float_image_tensor", "encoded_image_string_tensor", "tf_example")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A model to build, and where it was read from."""

    path: Path
    model: Any  # a frozen dataclass of this package: Ssd, FasterRcnn, ...
    family: str  # which meta-architecture builds it: a key of models/build.py's FAMILIES
    task: str  # what its answers are: a key of tasks/__init__.py's TASKS
    architecture: str  # what the config calls it: "ssd_mobilenet_v2_keras"
    lineage: Lineage
    num_classes: int  # without background
    label_offset: int = 1  # the first class's number in the answers
    input_types: tuple[str, ...] = COMMON_INPUTS  # which it takes
    input_kinds: Mapping[str, str] = field(default_factory=dict)  # those that go in otherwise: a key of INPUT_TYPES
    picture_size: tuple[int, int] | None = None  # (height, width), where the pictures to come have one size
    moving_averages: bool = False  # TF1: the averages are what is exported
    quantized: bool = False  # TF1: trained with fake quantisation to 8 bits
    synchronised_norms: bool = False  # batch norms of their own ops, which count as operations
    text: str  # the whole config as it is exported
    labels: Mapping[int, str] | None = None  # class number, from `label_offset`, to name
    files: Mapping[str, str] = field(default_factory=dict)  # more that an export holds: name to text
    warnings: tuple[str, ...] = ()
    source: Any = None  # the parsed file
