"""A classifier's outputs as the answer to one picture, and what is said of it. Video classifiers answer alike.

An answer holds probs [n], from 0 to 1; logits [n]; and classes int [n], the classes' numbers as labels have them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from visionport.tasks.base import Answer, Labels

LOGITS, PROBS = "logits", "probs"
CLASSES = "classes"
MOST = 5  # classes that are shown


def read_answer(
    outputs: Mapping[str, np.ndarray], reading: Mapping[str, Any], extent: np.ndarray, row: int = 0
) -> dict[str, np.ndarray]:
    """See tasks/base.py. reading: classes_from, the first class's number, 0 by default."""
    answer = {name: value[row] for name, value in outputs.items()}
    if PROBS in answer:
        answer[CLASSES] = reading.get("classes_from", 0) + np.arange(len(answer[PROBS]))
    return answer


def best(answer: Answer, most: int = MOST) -> list[tuple[int, float]]:
    """(class, score) of the highest scores, falling."""
    order = np.argsort(-answer[PROBS], kind="stable")[:most]
    return [(int(answer[CLASSES][i]), float(answer[PROBS][i])) for i in order]


def shown(answer: Answer, min_score: float) -> list[tuple[int, float]]:
    """Of the best those with that score, at least the first."""
    return [row for i, row in enumerate(best(answer)) if not i or row[1] >= min_score]


def record(answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
    """width, height, and classes: [{class, label, score}], at most MOST, the best always among them."""
    height, width = size
    rows = shown(answer, min_score)
    found = [{"class": c, "label": labels.get(c), "score": round(score, 6)} for c, score in rows]
    return {"width": width, "height": height, "classes": found}


def describe(answer: Answer, labels: Labels) -> str:
    return ", ".join(f"{labels.get(c) or f'class {c}'} {s:.2f}" for c, s in shown(answer, 0.3)) or "nothing"


def print_lines(read: Callable[[str], str], names: Sequence[str]) -> str:
    """The best class, counted from 0, and its score."""
    if PROBS not in names:
        return "".join(f'print("{name}", {read(name)}.shape)\n' for name in names)
    return f"probs = np.asarray({read(PROBS)})[0]\nprint(probs.argmax(), probs.max())\n"
