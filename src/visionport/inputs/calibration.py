"""Pictures to calibrate integer quantisation with: a folder of images, or TFRecords of the Object Detection API."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.inputs import pictures as images
from visionport.inputs import tfrecords
from visionport.inputs.pictures import SUFFIXES
from visionport.inputs.preprocessing import prepare

OPTION = "--calibration"
MOST = 300  # more change the ranges little and take their time
FEW = 50  # fewer leave ranges out


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Examples to calibrate with, each a list with an array for every input of a function; their number is known.

    read: gives them as the model takes them. ends: black and white as its only image holds them; two corner pixels of
    the first example get these, so that the range of that input, and with it its scale and zero point, are the
    normalisation's own and not the pictures'. trace: what the converted function takes of an input; None where it is
    the same.
    """

    read: Callable[[], Iterator[list[np.ndarray]]]
    count: int
    ends: tuple[np.ndarray, np.ndarray] | None = None
    trace: Callable[[np.ndarray], np.ndarray] | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        for i, example in enumerate(self.read()):
            if i == 0 and self.ends:
                example[0][0, 0, 0], example[0][0, 0, -1] = self.ends
            yield [self.trace(value) for value in example] if self.trace else example


def prepare_pictures(path: Path, preprocessing: Mapping[str, Any], *, batch: int = 1, dtype: str = "float32"):
    """The pictures of a folder or TFRecord as an image of that batch takes them, each alone in a list."""
    for picture in load(path):
        value, _ = prepare(picture, dict(preprocessing))
        value = np.rint(value).astype(dtype) if dtype != "float32" else value
        yield [np.repeat(value, batch, axis=0)]


def sources(path: Path) -> list[Path]:
    """The pictures of a folder and of those below it, by name, at most MOST spread evenly; or the TFRecord itself."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"--calibration {path}: no such folder or TFRecord.")
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            raise InputError(f"--calibration {path} is one picture; give a folder of about 100 typical ones.")
        return [path]
    try:
        return spread(images.found_at(path))
    except InputError as e:
        raise InputError(f"--calibration {e}") from None


def load(path: Path) -> Iterator[np.ndarray]:
    """uint8 [h, w, 3], one after another, read when asked for."""
    found = sources(path)
    if Path(path).is_dir():
        yield from map(images.read, found)
    else:
        yield from records(found[0])


def count(path: Path) -> int:
    """How many `load` gives."""
    return len(sources(path)) if Path(path).is_dir() else len(spread(range(tfrecords.count(path, OPTION))))


def few(number: int, quantize: str) -> str:
    """A warning where that many examples are few to measure ranges on; "" for enough."""
    if number >= FEW or not number:
        return ""
    return (
        f"--quantize {quantize}: {number} calibration picture{'s' * (number != 1)} are few to measure activations on; "
        "take about 100 typical ones, or the file may be worse than it need be"
    )


def records(path: Path) -> Iterator[np.ndarray]:
    """The pictures in a TFRecord of tf.Examples with the key `image/encoded`, at most MOST spread evenly."""
    wanted = set(spread(range(tfrecords.count(path, OPTION))))
    for i, data in enumerate(tfrecords.read(path, OPTION)):
        if i in wanted:
            yield tfrecords.parse_example(data, f"{path}: record {i}").picture()


def spread(items):
    """At most MOST of them, evenly."""
    if len(items) <= MOST:
        return items
    return [items[i * len(items) // MOST] for i in range(MOST)]
