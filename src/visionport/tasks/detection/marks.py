"""Detections as a page draws them, see `marks_of` in tasks/base.py."""

from typing import Any

import numpy as np

from visionport.tasks.base import Answer, Labels
from visionport.tasks.detection.answers import BOXES, CLASSES, KEYPOINTS, MASKS, OUTER, SCORES
from visionport.tasks.drawing import as_url, mark_of

POINT_SCORES = "detection_keypoint_scores"
# Which of the 17 keypoints of COCO's persons belong together, from nose to ankles.
PERSON = (
    (0, 1), (0, 2), (1, 3), (2, 4), (0, 5), (0, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12),
    (11, 12), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
POINTS = 17


def mark_detections(answer: Answer, labels: Labels, min_score: float) -> dict[str, Any]:
    """{found: [...]}, the highest score first: see `marks_of`. Boxes that are no numbers are left out."""
    boxes, scores = (np.asarray(answer[k], np.float64) for k in (BOXES, SCORES))
    found = []
    for i in np.argsort(-scores, kind="stable"):
        if scores[i] >= min_score and np.isfinite(boxes[i]).all():
            mark = mark_of(round(float(answer[CLASSES][i])), labels) | {
                "score": float(scores[i]),
                "box": sides(boxes[i]),
            }
            found.append(mark | mask_of(answer, i) | points_of(answer, i))
    return {"found": found}


def sides(box) -> list[float]:
    """(ymin, xmin, ymax, xmax) as [xmin, ymin, xmax, ymax], inside the picture."""
    top, left, bottom, right = (round(float(v), 5) for v in np.clip(box, 0, 1))
    return [left, top, right, bottom]


def mask_of(answer: Answer, i: int) -> dict[str, Any]:
    """Where there are masks: one as a gray image, over the box that it is of."""
    if MASKS not in answer:
        return {}
    from PIL import Image

    share = np.clip(np.nan_to_num(np.asarray(answer[MASKS][i], np.float32)), 0, 1)
    box = np.nan_to_num(np.asarray(answer.get(OUTER, answer[BOXES])[i], np.float64))
    top, left, bottom, right = (round(float(v), 5) for v in box)
    image = Image.fromarray(np.rint(share * 255).astype(np.uint8))
    return {"mask": {"image": as_url(image), "box": [left, top, right, bottom]}}


def points_of(answer: Answer, i: int) -> dict[str, Any]:
    """Where there are keypoints: [[x, y, score]], and the pairs of them that lines join."""
    if KEYPOINTS not in answer:
        return {}
    points = np.asarray(answer[KEYPOINTS][i], np.float64)
    scores = np.asarray(answer[POINT_SCORES][i] if POINT_SCORES in answer else np.ones(len(points)), np.float64)
    rows = np.column_stack([points[:, ::-1], scores])
    known = [[round(float(v), 5) for v in row] if np.isfinite(row).all() else None for row in rows]
    return {"points": known, "lines": [*PERSON] if len(points) == POINTS else []}
