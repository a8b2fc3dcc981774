"""When two answers of segmenters agree: logits and scores numerically, and the class of each pixel."""

from dataclasses import replace
from typing import Any

import numpy as np

from visionport.tasks.base import Answer
from visionport.tasks.segmentation.answers import INFO, LOGITS, SCORES
from visionport.verification.bounds import CLEAR, CLEAR_MATCHED, NOISE, Tolerance
from visionport.verification.checks import Check, compare_tensors


def compare_answers(
    artifact: str,
    picture: str,
    source: Answer,
    found: Answer,
    *,
    tolerance: Tolerance,
    by_design: str = "",
    moved: Answer | None = None,
) -> list[Check]:
    """See tasks/base.py."""
    names = (LOGITS, SCORES, INFO)
    checks = compare_tensors(artifact, picture, source, found, names, tolerance=tolerance, moved=moved)
    if LOGITS in source and LOGITS in found and source[LOGITS].shape == found[LOGITS].shape:
        how: dict[str, Any] = {"artifact": artifact, "picture": picture, "at_least": True}
        checks += _classes(how, source[LOGITS], found[LOGITS], tolerance, moved and moved[LOGITS])
    return [replace(c, bound=None, by_design=by_design) for c in checks] if by_design else checks


def _classes(how: dict[str, Any], source, found, tolerance: Tolerance, moved) -> list[Check]:
    """The share of pixels that keep their class; where that is not judged, of those whose class is clear."""
    same = source.argmax(-1) == found.argmax(-1)
    least = tolerance.matched if tolerance.judged else None
    if least is not None and moved is not None:  # no more than moving the picture costs the source
        least = min(least, 1 - NOISE * float(np.mean(source.argmax(-1) != moved.argmax(-1))))
    what, of = "pixels of the same class", f"of {same.size}"
    checks = [Check(**how, what=what, measured=float(same.mean()), bound=least, notes=of)]
    clear = highest(source) >= CLEAR
    if not tolerance.judged and clear.any():
        of = f"of {int(clear.sum())} with a probability of {CLEAR:g} or more"
        measured = float(same[clear].mean())
        checks.append(Check(**how, what=f"clear {what}", measured=measured, bound=CLEAR_MATCHED, notes=of))
    return checks


def highest(logits: np.ndarray) -> np.ndarray:
    """The probability of each pixel's best class."""
    below = np.asarray(logits, np.float64) - logits.max(-1, keepdims=True)
    return 1 / np.exp(below).sum(-1)
