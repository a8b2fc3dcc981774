"""A segmenter's outputs as the answer to one picture, and the class map that they make.

An answer holds logits [h, w, n]; extent [2], how much of their height and width the picture takes, from its upper left
corner; classes int [n], the classes' numbers as labels have them; and image_info [4, 2] (see ops/image.py) and
mask_scores [n] where the artifact gives them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport.tasks.base import Answer, Labels

LOGITS, INFO, SCORES = "logits", "image_info", "mask_scores"
CLASSES, EXTENT = "classes", "extent"
ROWS = 64  # of the class map that are made at once


def read_answer(
    outputs: Mapping[str, np.ndarray], reading: Mapping[str, Any], extent: np.ndarray, row: int = 0
) -> dict[str, np.ndarray]:
    """See tasks/base.py.

    reading: logits, whether these have the size of the "input" or of the "picture"; classes_from, the first class's
    number, 0 by default.
    """
    answer = {name: value[row] for name, value in outputs.items()}
    if LOGITS not in answer:
        return answer
    *size, classes = answer[LOGITS].shape
    if INFO in answer:  # pictures of one batch may fill unlike parts of it
        own, _, scale, _ = answer[INFO]
        taken = own if reading.get("logits") == "picture" else own * scale
        extent = np.minimum(np.rint(taken) / size, 1)
    return answer | {
        EXTENT: np.asarray(extent, np.float64),
        CLASSES: reading.get("classes_from", 0) + np.arange(classes),
    }


def class_map(answer: Answer, size: tuple[int, int]) -> np.ndarray:
    """The number of the best class of each pixel, uint8 (uint16 past 255) [height, width] of the picture's size.

    Logits are resized, linear between the centres of pixels, and then compared.
    """
    logits = np.asarray(answer[LOGITS], np.float32)
    (top, bottom, down), (left, right, across) = (
        neighbours(wanted, given, share)
        for wanted, given, share in zip(size, logits.shape[:2], answer[EXTENT], strict=True)
    )
    best = np.empty(size, np.int64)
    for start in range(0, size[0], ROWS):
        part = slice(start, start + ROWS)
        rows = mixed(logits[top[part]], logits[bottom[part]], down[part, None, None])
        best[part] = mixed(rows[:, left], rows[:, right], across[:, None]).argmax(-1)
    numbers = np.asarray(answer[CLASSES])
    return numbers.astype(np.uint8 if numbers.max() < 256 else np.uint16)[best]


def neighbours(size: int, length: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `size` pixels over that share of `length` values: the two beside it, and how near the second is."""
    inside = max(1, round(share * length))
    at = np.clip((np.arange(size) + 0.5) * inside / size - 0.5, 0, inside - 1)
    low = np.floor(at).astype(np.int64)
    return low, np.minimum(low + 1, inside - 1), (at - low).astype(np.float32)


def mixed(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a where the share is 0, b where it is 1."""
    return a + (b - a) * share if share.any() else a


def shares(found: np.ndarray) -> list[tuple[int, float]]:
    """(class, share of the pixels) of a class map, falling."""
    numbers, counts = np.unique(found, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(numbers[i]), float(counts[i] / found.size)) for i in order]


def record(answer: Answer, labels: Labels, size: tuple[int, int], min_score: float) -> dict[str, Any]:
    """width, height, and classes: [{class, label, share}] of those that a pixel has, by their share of the pixels.

    And mask_score, how good the mask of a class is thought to be, where the model says it.
    """
    height, width = size
    scores = dict(zip(answer[CLASSES].tolist(), answer.get(SCORES, ()), strict=False))
    found = []
    for number, share in shares(class_map(answer, size)):
        row = {"class": number, "label": labels.get(number), "share": round(share, 6)}
        found.append(row | ({"mask_score": round(float(scores[number]), 6)} if scores else {}))
    return {"width": width, "height": height, "classes": found}


def describe(answer: Answer, labels: Labels) -> str:
    """Those that take a hundredth of the pixels or more."""
    found = shares(class_map(answer, answer[LOGITS].shape[:2]))
    return ", ".join(f"{labels.get(c) or f'class {c}'} {s:.0%}" for c, s in found if s >= 0.01)
