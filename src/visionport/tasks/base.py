"""What every task can do. A task is one frozen object; verify, predict, evaluate and the report know only this."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from visionport.errors import OptionError
from visionport.inputs import pictures
from visionport.verification.bounds import Tolerance
from visionport.verification.checks import Check

Answer = Mapping[str, np.ndarray]  # of one picture; which keys, the task says
Labels = Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a metric says of one artifact. value: from 0 to 1, judged; more: other figures, in words."""

    value: float
    more: str = ""


class Metric(Protocol):
    """How good the answers to labelled pictures are."""

    @property
    def name(self) -> str:
        """What it is called: "mAP@0.5"."""
        ...

    def check(self, path: Path) -> None:
        """Raises OptionError where a package is missing, InputError for what is no such data set."""
        ...

    def evaluate(self, runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None) -> dict[str, Measure]:
        """Each of `runs`, a picture -> its answer, on every labelled picture. size: the only one that they take."""
        ...


class Task(Protocol):
    """One task: the meaning of a model's outputs.

    Besides what stands here a task may have `read`, `files`, `preview` and `features`, which the functions
    `read_picture`, `files_of`, `preview_of` and `features_of` below use in place of what most tasks do, and `coco` and
    `marks`, which `coco_of` and `marks_of` use.
    """

    name: str
    noun: str  # what its answers are called: "detections"
    fields: Mapping[str, Any]  # what `record` gives: name -> int, float, str, a mapping, or a list of one mapping
    metric: Metric | None
    outputs: tuple[str, ...]  # the outputs without which there is no answer

    def examples(self, paths: Sequence[Path], size: tuple[int, int] | None) -> dict[str, np.ndarray]:
        """Name -> picture uint8 [h, w, 3] to verify on: the given files, or bundled ones."""
        ...

    def answer(
        self, outputs: Mapping[str, np.ndarray], reading: Mapping[str, Any], extent: np.ndarray, row: int = 0
    ) -> Answer:
        """The answer to one picture of a batch.

        outputs: named arrays as the artifact gives them. reading: what the manifest says of them, see
        models/build.py. extent: how much of the network's height and width the picture takes [2].
        """
        ...

    def compare(
        self,
        artifact: str,
        picture: str,
        source: Answer,
        found: Answer,
        *,
        tolerance: Tolerance,
        by_design: str = "",
        moved: Answer | None = None,
    ) -> list[Check]:
        """Does one answer agree with another?

        by_design: why they may differ, where that was asked for. moved: the source's answer to the moved picture, see
        verification/bounds.py.
        """
        ...

    def record(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
        """JSON-ready. size: (height, width) of the picture."""
        ...

    def describe(self, answer: Answer, labels: Labels) -> str:
        """The answer in a line, for people."""
        ...

    def draw(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float) -> Any:
        """A Pillow image of the picture with its answer."""
        ...

    def print_lines(self, read: Callable[[str], str], names: Sequence[str]) -> str:
        """The last lines of a snippet: they print of an artifact's outputs what people look at first.

        read: output -> the expression that reads it. names: the outputs that there are.
        """
        ...


def read_picture(task: Task, path: Path, *, exif: bool = True) -> np.ndarray:
    """What a file holds that the task answers about: a picture uint8 [h, w, 3]; of some tasks, a clip of such.

    exif: a picture is turned as its EXIF data says. Raises InputError for what is none.
    """
    own = getattr(task, "read", None)
    return own(path) if own else pictures.read(path, exif=exif)


def files_of(task: Task, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float) -> dict[str, Any]:
    """Pillow images of an answer by what their files' names end in: {"detections": the drawn picture}."""
    own = getattr(task, "files", None)
    return (
        own(picture, answer, labels, min_score) if own else {task.noun: task.draw(picture, answer, labels, min_score)}
    )


def preview_of(task: Task, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float) -> tuple[Any, str]:
    """A Pillow image of an answer for a page of many, and what it leaves out, in words."""
    own = getattr(task, "preview", None)
    return own(picture, answer, labels, min_score) if own else (task.draw(picture, answer, labels, min_score), "")


def marks_of(task: Task, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
    """What a page draws of an answer, JSON-ready. size: (height, width) of the picture.

    Of these what the task has:
    found: [{class, label, colour, score, box, mask, points, lines}] of at least `min_score`. box: [xmin, ymin, xmax,
    ymax], from 0 to 1 of the picture; mask: {image, box}, gray by its share; points: [[x, y, score] or None], lines:
    pairs of them.
    bars: [{class, label, colour, score}].
    map: {image, classes: [{class, label, colour, share}]}: to be laid over the picture.
    Colours are #rrggbb, images data URLs.
    """
    own = getattr(task, "marks", None)
    return own(answer, labels, size, min_score) if own else {}


def features_of(
    task: Task, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float
) -> dict[str, list[Any]]:
    """An answer as the features of a tf.Example: lists of int, of float or of str by name.

    Of most tasks those of the record: "classes/score", a value a class; a text that is missing is "".
    """
    own = getattr(task, "features", None)
    if own:
        return own(answer, labels, size, min_score)
    return flatten(task.fields, [task.record(answer, labels, size, min_score)], "")


def flatten(fields: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, list[Any]]:
    """{"a/b": the values of all rows} of rows that are as `fields` says."""
    found: dict[str, list[Any]] = {}
    for name, kind in fields.items():
        values = [row[name] for row in rows if name in row]
        if isinstance(kind, Mapping):
            found |= flatten(kind, values, f"{prefix}{name}/")
        elif isinstance(kind, list):
            found |= flatten(kind[0], [one for value in values for one in value], f"{prefix}{name}/")
        else:
            found[prefix + name] = [kind() if value is None else value for value in values]
    return found


def coco_of(task: Task, answer: Answer, size: tuple[int, int], min_score: float) -> list[dict[str, Any]]:
    """An answer as COCO's results, without their `image_id`. Raises OptionError where COCO has none of the kind."""
    own = getattr(task, "coco", None)
    if own is None:
        raise OptionError(f"COCO's results hold boxes, and {task.name} gives {task.noun}: write jsonl or parquet.")
    return own(answer, size, min_score)
