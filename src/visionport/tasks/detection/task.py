"""Object detection: boxes with a class and a score, and what else a detection may have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionport.inputs import pictures
from visionport.tasks.base import Answer, Labels, Metric
from visionport.tasks.detection.answers import BOXES, CLASSES, COUNT, SCORES, read_answer
from visionport.tasks.detection.comparison import compare_answers
from visionport.tasks.detection.metric import MeanAveragePrecision, rectangle

LABELLED = 10  # detections with a name in a preview
FIELDS = {
    "width": int,
    "height": int,
    "detections": [
        {
            "class": int,
            "label": str,
            "score": float,
            "box": {"xmin": float, "ymin": float, "xmax": float, "ymax": float},
        }
    ],
}


@dataclass(frozen=True, kw_only=True)
class Detection:
    """See tasks/base.py."""

    name: str = "detection"
    noun: str = "detections"
    fields: Mapping[str, Any] = field(default_factory=lambda: FIELDS)
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

    def features(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, list[Any]]:
        """By the names that the Object Detection API's evaluation of stored detections reads."""
        boxes, scores, classes = (np.asarray(answer[k]) for k in self.outputs)
        kept = scores >= min_score
        sides = dict(zip(("ymin", "xmin", "ymax", "xmax"), boxes[kept].T.tolist(), strict=True))
        numbers = [int(number) for number in classes[kept]]
        return {
            "image/height": [size[0]],
            "image/width": [size[1]],
            **{f"detection/bbox/{side}": sides[side] for side in ("ymin", "xmin", "ymax", "xmax")},
            "detection/score": scores[kept].tolist(),
            "detection/label": numbers,
            "detection/class/text": [labels.get(number) or "" for number in numbers],
        }

    def coco(self, answer: Answer, size: tuple[int, int], min_score: float) -> list[dict[str, Any]]:
        """[{category_id, bbox, score}], boxes as (x, y, width, height) in pixels."""
        return [
            {
                "category_id": int(number),
                "bbox": [round(v, 2) for v in rectangle(box, size)],
                "score": round(float(score), 6),
            }
            for box, score, number in zip(*(answer[k] for k in self.outputs), strict=True)
            if score >= min_score
        ]

    def describe(self, answer: Answer, labels: Labels) -> str:
        rows = [(int(c), float(s)) for c, s in zip(answer[CLASSES], answer[SCORES], strict=True) if s >= 0.3]
        return ", ".join(f"{labels.get(c) or f'class {c}'} {s:.2f}" for c, s in rows) or "nothing"

    def draw(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float):
        from visionport.tasks.detection.drawing import draw_detections

        return draw_detections(picture, answer, labels, min_score)

    def marks(self, answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
        from visionport.tasks.detection.marks import mark_detections

        return mark_detections(answer, labels, min_score)

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
