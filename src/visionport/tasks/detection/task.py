"""Object detection: boxes with a class and a score, and what else a detection may have."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionport.inputs import pictures
from visionport.tasks.base import Answer, Labels, Metric
from visionport.tasks.detection.answers import BOXES, CLASSES, COUNT, SCORES, read_answer
from visionport.tasks.detection.comparison import compare_answers
from visionport.tasks.detection.metric import MeanAveragePrecision

LABELLED = 10  # detections with a name in a preview


@dataclass(frozen=True, kw_only=True)
class Detection:
    """See tasks/base.py."""

    name: str = "detection"
    noun: str = "detections"
    outputs: tuple[str, ...] = (BOXES, SCORES, CLASSES)
    metric: Metric = field(default_factory=MeanAveragePrecision)

    def examples(self, paths, size):
        return pictures.load(paths, size)

    def answer(self, outputs, reading, extent, row: int = 0) -> Answer:
        return read_answer(outputs, reading, extent, row)

    def compare(self, artifact, picture, source, found, **how):
        return compare_answers(artifact, picture, source, found, **how)

    def record(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
        """width, height, and detections: [{class, label, score, box}], boxes in pixels."""
        height, width = size
        found = []
        for (ymin, xmin, ymax, xmax), score, number in zip(*(answer[k] for k in self.outputs), strict=True):
            if score >= min_score:
                box = {"xmin": xmin * width, "ymin": ymin * height, "xmax": xmax * width, "ymax": ymax * height}
                found.append(
                    {
                        "class": int(number),
                        "label": labels.get(int(number)),
                        "score": round(float(score), 6),
                        "box": {k: round(float(v), 2) for k, v in box.items()},
                    }
                )
        return {"width": width, "height": height, "detections": found}

    def describe(self, answer: Answer, labels: Labels) -> str:
        rows = [(int(c), float(s)) for c, s in zip(answer[CLASSES], answer[SCORES], strict=True) if s >= 0.3]
        return ", ".join(f"{labels.get(c) or f'class {c}'} {s:.2f}" for c, s in rows) or "nothing"

    def draw(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float):
        from visionport.tasks.detection.drawing import draw_detections

        return draw_detections(picture, answer, labels, min_score)

    def preview(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float):
        """All boxes, names at the LABELLED best alone."""
        from visionport.tasks.detection.drawing import draw_detections

        more = int(np.sum(np.asarray(answer[SCORES]) >= min_score)) - LABELLED
        note = f"{more} more detections above {min_score:g} have a box and no name" if more > 0 else ""
        return draw_detections(picture, answer, labels, min_score, max_labels=LABELLED), note

    def print_lines(self, read: Callable[[str], str], names: Sequence[str]) -> str:
        shown = [name for name in (BOXES, CLASSES, SCORES) if name in names]
        if len(shown) == len(self.outputs):
            return f"print({', '.join(f'{read(name)}[0, 0]' for name in shown)})\n"
        return "".join(f'print("{name}", {read(name)}.shape)\n' for name in names if name != COUNT)


TASK = Detection()
