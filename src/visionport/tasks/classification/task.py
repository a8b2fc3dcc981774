"""Image classification: a score for each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionport.inputs import pictures
from visionport.tasks.base import Answer, Labels, Metric
from visionport.tasks.classification import answers
from visionport.tasks.classification.comparison import compare_answers
from visionport.tasks.classification.metric import TopOne

FIELDS = {"width": int, "height": int, "classes": [{"class": int, "label": str, "score": float}]}


@dataclass(frozen=True, kw_only=True)
class Classification:
    """See tasks/base.py."""

    name: str = "classification"
    noun: str = "classes"
    fields: Mapping[str, Any] = field(default_factory=lambda: FIELDS)
    outputs: tuple[str, ...] = (answers.PROBS,)
    metric: Metric = field(default_factory=TopOne)

    def examples(self, paths, size):
        return pictures.load(paths, size)

    def answer(self, outputs, reading, extent, row: int = 0) -> Answer:
        return answers.read_answer(outputs, reading, extent, row)

    def compare(self, artifact, picture, source, found, **how):
        return compare_answers(artifact, picture, source, found, **how)

    def record(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
        return answers.record(answer, labels, size, min_score)

    def describe(self, answer: Answer, labels: Labels) -> str:
        return answers.describe(answer, labels)

    def draw(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float):
        from visionport.tasks.classification.drawing import draw_classes

        return draw_classes(picture, answer, labels, min_score)

    def marks(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
        """All that are shown at any least score, as drawings show them."""
        from visionport.tasks.drawing import mark_of

        return {"bars": [mark_of(number, labels) | {"score": score} for number, score in answers.best(answer)]}

    def print_lines(self, read: Callable[[str], str], names: Sequence[str]) -> str:
        return answers.print_lines(read, names)


TASK = Classification()
