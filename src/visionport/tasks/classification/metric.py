"""How often the right class is the best one, or among the best five."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visionport.errors import InputError
from visionport.tasks import records
from visionport.tasks.base import Measure
from visionport.tasks.classification.answers import CLASSES, MOST, best

LABEL = "image/class/label"


@dataclass(frozen=True, kw_only=True)
class TopOne:
    """See tasks/base.py: Metric. The value is top-1; top-5 stands beside it."""

    name: str = "top-1"

    def check(self, path: Path) -> None:
        records.check_file(path)

    def evaluate(
        self, runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None = None
    ) -> dict[str, Measure]:
        return evaluate(runs, path, size, labelled(path))


def labelled(path: Path) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """The pictures of a TFRecord of tf.Examples and the numbers of their classes; one, where not multilabel."""
    for picture, features in records.labelled(path):
        yield picture, features.integers(LABEL)


def evaluate(runs: Mapping[str, Callable], path: Path, size, pairs: Iterable) -> dict[str, Measure]:
    """Each of `runs`, uint8 [..., h, w, 3] -> answer, on every (picture or clip, its classes). path: for errors."""
    hits: dict[str, list[tuple[bool, bool]]] = {title: [] for title in runs}
    for i, (picture, wanted) in enumerate(pairs):
        records.check_size(path, picture, size)
        if not len(wanted):
            raise InputError(f"{path}: record {i} has no label.")
        for title, run in runs.items():
            answer = run(picture)
            check_classes(path, i, wanted, answer[CLASSES])
            found = [number in wanted for number, _ in best(answer, MOST)]
            hits[title].append((any(found[:1]), any(found)))
    return {title: measure(rows) for title, rows in hits.items()}


def check_classes(path: Path, record: int, wanted, known) -> None:
    if unknown := sorted({int(number) for number in wanted} - {int(number) for number in known}):
        raise InputError(
            f"{path}: record {record} has the class {unknown[0]}, and the model's are {known[0]} to {known[-1]}."
        )


def measure(rows: list[tuple[bool, bool]]) -> Measure:
    first, among = (float(np.mean(column)) for column in zip(*rows, strict=True))
    return Measure(value=first, more=f"top-{MOST}: {among:.4f}")
