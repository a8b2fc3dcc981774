"""Mean intersection over union of artifacts on labelled pictures."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visionport.errors import InputError
from visionport.inputs import pictures
from visionport.tasks import records
from visionport.tasks.base import Measure
from visionport.tasks.segmentation.answers import CLASSES, class_map

LABEL = "image/segmentation/class/encoded"
IGNORED = 255  # a pixel of no class: ignored


@dataclass(frozen=True, kw_only=True)
class MeanIntersectionOverUnion:
    """See tasks/base.py: Metric. At the size of the labels; the mean is over all classes of the model.

    A class that is neither in the labels nor in the answers counts as 0, as in the reference's mean of its PerClassIoU
    (official/vision/evaluation/segmentation_metrics.py).
    """

    name: str = "mIoU"

    def check(self, path: Path) -> None:
        records.check_file(path)

    def evaluate(
        self, runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None = None
    ) -> dict[str, Measure]:
        return evaluate(runs, path, size)


def labelled(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pictures of a TFRecord of tf.Examples, and the class of each pixel, an integer [h, w]."""
    for i, (picture, features) in enumerate(records.labelled(path)):
        classes = read_mask(features.text(LABEL), f"{path}: record {i}")
        if classes.shape != picture.shape[:2]:
            sizes = [f"{h},{w}" for h, w in (picture.shape[:2], classes.shape)]
            raise InputError(f"{path}: record {i} has a picture of {sizes[0]} and labels of {sizes[1]}.")
        yield picture, classes


def read_mask(data: bytes, where: str) -> np.ndarray:
    """The numbers in a PNG of one channel, palette or not."""
    with pictures.opened(io.BytesIO(data), f"{where}: {LABEL!r}") as image:
        found = np.asarray(image)
    if found.ndim != 2:
        raise InputError(f"{where}: {LABEL!r} has {found.shape[-1]} channels; a class map has one.")
    if found.dtype.kind not in "iub":
        raise InputError(f"{where}: {LABEL!r} has pixels that are no whole numbers, so no classes.")
    return found.astype(np.int64)


def evaluate(runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None = None) -> dict[str, Measure]:
    """Each of `runs`, uint8 [h, w, 3] -> answer, on every picture of a TFRecord. size: the only one that they take."""
    counts: dict[str, np.ndarray] = {}
    for i, (picture, wanted) in enumerate(labelled(path)):
        records.check_size(path, picture, size)
        counted = wanted != IGNORED
        for title, run in runs.items():
            answer = run(picture)
            first, number = int(answer[CLASSES][0]), len(answer[CLASSES])
            found, truth = class_map(answer, wanted.shape)[counted] - first, wanted[counted] - first
            if truth.size and not 0 <= truth.min() <= truth.max() < number:
                wrong = int(truth.max() if truth.max() >= number else truth.min()) + first
                raise InputError(
                    f"{path}: record {i} has a pixel of class {wrong}, and the model's are {first} to "
                    f"{first + number - 1}; {IGNORED} is for pixels of none."
                )
            pairs = np.bincount(truth * number + found.astype(np.int64), minlength=number * number)
            counts[title] = counts.get(title, 0) + pairs.reshape(number, number)
    return {title: measure(found) for title, found in counts.items()}


def measure(counts: np.ndarray) -> Measure:
    """counts: [class of the labels, class of the answers]."""
    both = np.diag(counts)
    either = counts.sum(0) + counts.sum(1) - both
    right = both.sum() / max(counts.sum(), 1)
    return Measure(value=float(np.mean(both / np.maximum(either, 1))), more=f"pixels right: {right:.4f}")
