"""When two answers of classifiers agree: logits and probabilities numerically, and in what they say first."""

import math
from dataclasses import replace

import numpy as np

from visionport.tasks.base import Answer
from visionport.tasks.classification.answers import CLASSES, PROBS
from visionport.verification.bounds import CLEAR, Tolerance
from visionport.verification.checks import Check, compare_tensors, difference


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
    """See tasks/base.py.

    Of what rounds too much to be judged number by number, probabilities are reported only, since 8 bits make 0 of all
    of a flat distribution; logits must be the source's at all, and the best class must be a good one to the source.
    """
    names = sorted({*source} - {CLASSES, PROBS})
    checks = compare_tensors(artifact, picture, source, found, names, tolerance=tolerance, moved=moved)
    if PROBS in source and PROBS in found:
        if tolerance.judged:
            # A score may move by what a score may, however small its neighbours are.
            near = replace(tolerance, floor=max(tolerance.floor, tolerance.score))
            checks += compare_tensors(artifact, picture, source, found, [PROBS], tolerance=near, moved=moved)
        else:
            checks.append(difference(artifact, picture, PROBS, source[PROBS], found[PROBS], tolerance=tolerance))
            checks += _best(artifact, picture, source, found)
    return [replace(c, bound=None, by_design=by_design) for c in checks] if by_design else checks


def _best(artifact: str, picture: str, source: Answer, found: Answer) -> list[Check]:
    """What the source's own score falls by from its best class to the artifact's."""
    a, b = np.asarray(source[PROBS], np.float64), np.asarray(found[PROBS], np.float64)
    if not a.size or a.shape != b.shape:
        return []
    mine, theirs = int(np.argmax(a)), int(np.argmax(b))
    numbers = source[CLASSES]
    return [
        Check(
            artifact=artifact,
            picture=picture,
            what="best class, score lost",
            measured=float(a[mine] - a[theirs]) if np.isfinite(b).all() else math.inf,
            bound=CLEAR,
            notes=f"class {numbers[theirs]}, the source's {numbers[mine]}",
        )
    ]
