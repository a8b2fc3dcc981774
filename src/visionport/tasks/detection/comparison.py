"""When two answers of detectors agree: raw heads numerically, detections matched box by box."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport.tasks.base import Answer
from visionport.tasks.detection.answers import ATTRIBUTES, BOXES, CLASSES, LISTS, ROWS, SCORES
from visionport.verification.bounds import CLEAR, CLEAR_MATCHED, KEPT_BY_DESIGN, NOISE, Tolerance
from visionport.verification.checks import Check, compare_lists, compare_tensors, spread


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
    """See tasks/base.py: every raw head that both show, the detections, and what else each pair of twins has."""
    heads = sorted(k for k in source if not k.startswith(ROWS))
    lengths = {len(source[k]) for k in LISTS if k in source} if tolerance.listed else set()
    lists = [k for k in heads if np.ndim(source[k]) and len(source[k]) in lengths]
    others = [k for k in heads if k not in lists]
    checks = compare_lists(artifact, picture, source, found, lists, tolerance=tolerance)
    checks += compare_tensors(artifact, picture, source, found, others, tolerance=tolerance, moved=moved)
    if any(name not in answer for name in (BOXES, SCORES, CLASSES) for answer in (source, found)):
        return checks  # heads alone; a missing output is found by `check_structure`
    how: dict[str, Any] = {"artifact": artifact, "picture": picture, "at_least": True}
    pairs, count = twins(source, found, tolerance)
    least = _least(source, moved, tolerance)
    checks.append(
        Check(
            **how,
            what="detections matched",
            measured=len(pairs) / count if count else 1.0,
            bound=None if by_design or not tolerance.judged else least,
            by_design=by_design,
            notes=f"of {count}",
        )
    )
    if by_design:
        checks += _kept_by_design(how, source, found, tolerance)
    elif not tolerance.judged:
        checks += _clear(how, source, found, tolerance)
    return checks + _attributes(how, source, found, pairs, tolerance)


def _least(source: Answer, moved: Answer | None, tolerance: Tolerance) -> float:
    """The share of detections that must have a twin: fewer where moving the picture costs the source its own."""
    if not moved:
        return tolerance.matched
    kept, of = twins(source, moved, tolerance)
    return min(tolerance.matched, max(0.0, 1 - NOISE * (1 - len(kept) / of))) if of else tolerance.matched


def _kept_by_design(how: Mapping[str, Any], source: Answer, found: Answer, tolerance: Tolerance) -> list[Check]:
    """Whatever an artifact leaves out by design, what it gives must be the source's."""
    least = source[SCORES].min() if len(source[SCORES]) else 1.0
    sure = found[SCORES] > max(least, CLEAR if not tolerance.judged else 0.0) + tolerance.score
    given = {k: v[sure] for k, v in found.items() if k.startswith(ROWS)}
    if not sure.any():
        return []
    everything = {k: v for k, v in source.items() if k.startswith(ROWS)}
    pairs, _ = twins(everything, given, tolerance, all_rows=True)
    measured, notes = len(pairs) / int(sure.sum()), f"of {int(sure.sum())}"
    return [Check(**how, what="detections that the source has", measured=measured, bound=KEPT_BY_DESIGN, notes=notes)]


def _clear(how: Mapping[str, Any], source: Answer, found: Answer, tolerance: Tolerance) -> list[Check]:
    """What no rounding makes or unmakes."""
    clear = source[SCORES] >= CLEAR
    if not clear.any():
        return []
    sure = {k: v[clear] for k, v in source.items() if k.startswith(ROWS)}
    pairs, _ = twins(sure, found, tolerance, all_rows=True)
    measured, notes = len(pairs) / int(clear.sum()), f"of {int(clear.sum())} with a score of {CLEAR:g} or more"
    return [Check(**how, what="clear detections matched", measured=measured, bound=CLEAR_MATCHED, notes=notes)]


def _attributes(how: Mapping[str, Any], source: Answer, found: Answer, pairs, tolerance: Tolerance) -> list[Check]:
    checks = []
    for name in ATTRIBUTES:
        if pairs and name in source and name in found:
            a = np.asarray(source[name], np.float64)[[i for i, _ in pairs]]
            b = np.asarray(found[name], np.float64)[[j for _, j in pairs]]
            bound = max(tolerance.floor, tolerance.raw * spread(a))
            same = float(np.mean(np.abs(a - b) <= bound)) if a.shape == b.shape else 0.0
            notes, least = f"values within {bound:.1e}", tolerance.matched if tolerance.judged else None
            checks.append(Check(**how, what=name, measured=same, bound=least, notes=notes))
    return checks


def twins(
    source: Answer, found: Answer, tolerance: Tolerance, *, all_rows: bool = False
) -> tuple[list[tuple[int, int]], int]:
    """Pairs of detections of both sides with the same class, score and box within the tolerance, and of how many.

    A list may end earlier than the other, where the sides differ in what takes a place in it: what scores no better
    than the last of the shorter list is left aside, unless `all_rows`.
    """
    a, b = (_rows(x) for x in (source, found))
    judged = [np.ones(len(x[1]), bool) for x in (a, b)]
    if len(a[1]) != len(b[1]) and not all_rows:
        short = min((a, b), key=lambda x: len(x[1]))
        if len(short[1]):
            judged = [x[1] > short[1].min() + tolerance.score for x in (a, b)]
    pairs: dict[int, int] = {}  # of b, of a
    for i in np.argsort(-a[1], kind="stable"):
        near = judged[1] & (b[2] == a[2][i]) & (np.abs(b[1] - a[1][i]) <= tolerance.score)
        for j in np.flatnonzero(near) if judged[0][i] else ():
            if j not in pairs and np.max(np.abs(b[0][j] - a[0][i])) <= tolerance.place:
                pairs[int(j)] = int(i)
                break
    return [(i, j) for j, i in pairs.items()], max(int(k.sum()) for k in judged)


def _rows(answer: Answer):
    return [np.asarray(answer[k]) for k in (BOXES, SCORES, CLASSES)]
