"""What the numbers of a config may be: ranges with their units, in the terms that all sources of configs share.

Far beyond what anybody has trained, and far below what fills a machine's memory or makes endless loops. Which field has
which range is a table a source: pipeline/ranges.py, official/ranges.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from visionport.errors import ConfigError, OptionError


@dataclass(frozen=True)
class Range:
    """From `least` to `most`, both included; above: `least` itself is not."""

    least: float
    most: float
    unit: str
    above: bool = False

    def holds(self, value: float) -> bool:
        return self.least <= value <= self.most and not (self.above and value == self.least)  # NaN is in no range

    def __str__(self) -> str:
        return f"{'above' if self.above else 'from'} {self.least:,.7g} to {self.most:,.7g} ({self.unit})"


BATCH = Range(1, 65_536, "pictures")
SIDE = Range(1, 16_384, "pixels")
MULTIPLE = Range(1, 4096, "pixels")
OFFSET = Range(-16_384, 16_384, "pixels")
CROP = Range(1, 4096, "samples a side")
LEVEL = Range(1, 12, "level: 2 to this power is the stride of its map")
CLASSES = Range(1, 100_000, "classes")
CLASS = Range(0, 100_000, "number of a class")
DETECTIONS = Range(1, 100_000, "detections")
CANDIDATES = Range(1, 1_000_000, "candidates")
FILTERS = Range(1, 65_536, "channels")
MAYBE_FILTERS = Range(0, 65_536, "channels; 0: as the network has them")
LAYERS = Range(0, 32, "layers")
REPEATS = Range(1, 32, "times")
KERNEL = Range(1, 255, "pixels a side")
STRIDE = Range(1, 4096, "pixels")
DILATION = Range(1, 4096, "pixels between samples")
FACTOR = Range(1, 64, "factor")
MULTIPLIER = Range(0, 16, "factor of the channels", above=True)
RATIO = Range(0, 16, "fraction of the channels; 0: none")
ASPECT = Range(0, 1000, "width by height", above=True)
SCALE = Range(0, 1000, "factor", above=True)
NUMBERS = Range(1, 1000, "numbers")
SCORE = Range(-1, 1, "score")
FRACTION = Range(0, 1, "fraction")
OVERLAP = Range(0, 1, "intersection over union")
SIGMA = Range(0, 100, "standard deviation; 0: none")
EPSILON = Range(0, 1000, "added to a variance")
VALUE = Range(-1e6, 1e6, "number")
POSITIVE = Range(0, 1e6, "number", above=True)

MOST_ITEMS = 1000  # of a list of numbers
LONGEST_TEXT = 4096  # characters of a name or path
MOST_PIXELS = 1 << 26  # of the network's input: 8192x8192
MOST_ANCHORS = 10_000_000  # of a picture; of 1536x1536 EfficientDet-D7 has 441,936
MOST_SCORES = 1 << 31  # of a picture: places by classes
MOST_SAMPLES = 1 << 28  # of a picture: what is cut out of maps


def check_number(path: str, value: Any, allowed: Range) -> None:
    """Raises ConfigError for a number, or one of a list, that is out of range. path: of the field."""
    for item in (value,) if isinstance(value, str) or not isinstance(value, Sequence) else value:
        if isinstance(item, int | float) and not isinstance(item, bool) and not allowed.holds(item):
            raise ConfigError(f"{path} is {shown(item)}; it is {allowed}.")


def check_option(name: str, value: Any, allowed: Range) -> None:
    """Raises OptionError for a number on the command line, or a pair of them, that is out of range. None passes."""
    for item in value if isinstance(value, tuple) else (value,):
        if item is not None and not allowed.holds(item):
            raise OptionError(f"{name} {value}: {allowed}.")


def check_image_size(size: tuple[int, int] | None) -> None:
    """Raises OptionError for a height and width that no network takes."""
    check_option("--image-size", size, SIDE)
    if size and math.prod(size) > MOST_PIXELS:
        raise OptionError(f"--image-size {size}: {math.prod(size):,} pixels; at most {MOST_PIXELS:,}.")


def check_items(path: str, value: Sequence[Any]) -> None:
    """Raises ConfigError for a list that is too long to be somebody's."""
    if len(value) > MOST_ITEMS:
        raise ConfigError(f"{path} has {len(value):,} entries; at most {MOST_ITEMS:,} are taken.")


def check_text(path: str, value: str) -> None:
    """Raises ConfigError for a name that is too long to be one."""
    if len(value) > LONGEST_TEXT:
        raise ConfigError(f"{path} has {len(value):,} characters; at most {LONGEST_TEXT:,} are taken.")


def check_pixels(what: str, height: int, width: int) -> None:
    """Raises ConfigError for a picture that is too large as a whole. what: says where its size is from."""
    if height * width > MOST_PIXELS:
        raise ConfigError(f"{what} is {height:,} by {width:,}, {height * width:,} pixels; at most {MOST_PIXELS:,}.")


def check_anchors(what: str, count: int) -> None:
    check_product(what, count, MOST_ANCHORS, "anchors")


def check_scores(what: str, count: int) -> None:
    check_product(what, count, MOST_SCORES, "scores")


def check_samples(what: str, count: int) -> None:
    check_product(what, count, MOST_SAMPLES, "samples")


def check_product(what: str, count: int, most: int, unit: str) -> None:
    """Raises ConfigError for numbers that are right each and too much together. what: names them."""
    if count > most:
        raise ConfigError(f"{what}: {count:,} {unit} a picture; at most {most:,} are taken.")


def pyramid_anchors(height: int, width: int, min_level: int, max_level: int, per_location: int) -> int:
    """Anchors of all maps of a pyramid."""
    sides = [2**level for level in range(min_level, max_level + 1)]
    return per_location * sum(math.ceil(height / side) * math.ceil(width / side) for side in sides)


def shown(value: float) -> str:
    """A number for an error: 2147483647, nan, 1e+30."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else f"a number of {len(f'{abs(value):x}') * 4} bits"
    return f"{value:.7g}"
