"""Semantic segmentation: a class for each pixel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionport.inputs import pictures
from visionport.tasks.base import Answer, Labels, Metric
from visionport.tasks.segmentation import answers
from visionport.tasks.segmentation.comparison import compare_answers
from visionport.tasks.segmentation.metric import MeanIntersectionOverUnion

FIELDS = {"width": int, "height": int, "classes": [{"class": int, "label": str, "share": float, "mask_score": float}]}


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """See tasks/base.py."""

    name: str = "segmentation"
    noun: str = "masks"
    fields: Mapping[str, Any] = field(default_factory=lambda: FIELDS)
    outputs: tuple[str, ...] = (answers.LOGITS,)
    metric: Metric = field(default_factory=MeanIntersectionOverUnion)

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
        from visionport.tasks.segmentation.drawing import draw_classes

        return draw_classes(picture, answer, labels)

    def files(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float) -> dict[str, Any]:
        """The picture with its classes, and the class map itself: pixels that are classes' numbers, with a palette."""
        from visionport.tasks.segmentation.drawing import draw_mask

        drawn = self.draw(picture, answer, labels, min_score)
        return {self.noun: drawn, "class_map": draw_mask(answer, labels, picture.shape[:2])}

    def marks(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
        from visionport.tasks.segmentation.drawing import mark_classes

        return mark_classes(answer, labels, size)

    def print_lines(self, read: Callable[[str], str], names: Sequence[str]) -> str:
        """Each class of the network's view, counted from 0, and how many pixels have it."""
        return f"print(*np.unique(np.argmax({read(answers.LOGITS)}[0], -1), return_counts=True))\n"


TASK = Segmentation()
