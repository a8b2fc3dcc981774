"""A Check is one comparison of an artifact with its source; the comparisons here are of tensors, whatever the task."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from visionport.verification.bounds import NOISE, Tolerance

Outputs = Mapping[str, np.ndarray]
State = Literal["agrees", "differs by design", "not judged", "disagrees"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """`measured` must be at most `bound`, or at least where `at_least`; without a bound it is reported, not judged."""

    artifact: str  # its format
    what: str
    measured: float
    bound: float | None
    picture: str = ""  # that it was measured on; "" where it was none, or more than a picture
    data: str = ""  # the labelled or calibration pictures that it was measured on
    at_least: bool = False
    by_design: str = ""  # why what it measures differs, where that was asked for
    notes: str = ""

    @property
    def ok(self) -> bool:
        if self.bound is None:
            return True
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    @property
    def state(self) -> State:
        if self.bound is None:
            return "differs by design" if self.by_design else "not judged"
        return "agrees" if self.ok else "disagrees"

    @property
    def used(self) -> float:
        """How much of its bound it takes, for ranking: above 1 where it disagrees."""
        if math.isnan(self.measured):
            return math.inf
        if self.bound is None:
            return -self.measured if self.at_least else self.measured
        if self.at_least:
            return (
                (1 - self.measured) / max(1 - self.bound, 1e-12)
                if self.bound <= 1
                else self.bound / max(self.measured, 1e-12)
            )
        return self.measured / self.bound if self.bound else (math.inf if self.measured else 0.0)


def check_structure(artifact: str, source: Outputs, found: Outputs, left_out: Mapping[str, str], batch: int) -> Check:
    """Is every output of the source there, of its dtype and for as many pictures?

    left_out: outputs that the artifact does not have by design, and why.
    """
    wanted = [name for name in sorted(source) if name not in left_out]
    problems = [p for name in wanted if (p := _problem(name, source[name], found.get(name), batch))]
    notes = [f"of {len(wanted)}", *problems]
    notes += [f"left out by design: {', '.join(sorted(left_out))}"] if left_out else []
    return Check(
        artifact=artifact,
        what="outputs",
        measured=len(wanted) - len(problems),
        bound=max(1, len(wanted)),
        at_least=True,
        notes="; ".join(notes),
    )


def _problem(name: str, source: np.ndarray, found: np.ndarray | None, batch: int) -> str:
    if found is None:
        return f"{name} is missing"
    if found.dtype != source.dtype:
        return f"{name} is {found.dtype}, the source's is {source.dtype}"
    if found.ndim != source.ndim:
        return f"{name} has {found.ndim} dimensions, the source's has {source.ndim}"
    if source.ndim and source.shape[0] == batch and found.shape[0] != batch:
        return f"{name} is of {found.shape[0]} pictures for {batch}"
    return ""


def compare_tensors(
    artifact: str,
    picture: str,
    source: Outputs,
    found: Outputs,
    names: Iterable[str],
    *,
    tolerance: Tolerance,
    moved: Outputs | None = None,
) -> list[Check]:
    """A check or more of each tensor that both sides have. moved: the source's answer to the moved picture."""
    checks = []
    for name in names:
        if name not in source or name not in found:
            continue
        a, b = np.asarray(source[name], np.float64), np.asarray(found[name], np.float64)
        how: dict[str, Any] = {"artifact": artifact, "picture": picture}
        if b.size and np.ptp(a) and not np.ptp(b):
            notes = f"{b.flat[0]:g} everywhere, where the source's values differ"
            checks.append(Check(**how, what=name, measured=math.inf, bound=0.0, notes=notes))
        elif moved and a.shape == b.shape and np.isfinite(b).all():
            differences = np.abs(a - b), np.abs(a - np.asarray(moved[name], np.float64))
            for share, what in ((50, "median"), (99, "99th percentile")):
                worst, noise = (float(np.percentile(d, share)) for d in differences)
                bound = max(tolerance.floor, NOISE * noise)
                checks.append(Check(**how, what=f"{name}, {what}", measured=worst, bound=bound))
        else:
            checks.append(difference(artifact, picture, name, a, b, tolerance=tolerance))
            checks += _noise(how, name, a, b, tolerance)
    return checks


def compare_lists(
    artifact: str, picture: str, source: Outputs, found: Outputs, names: Iterable[str], *, tolerance: Tolerance
) -> list[Check]:
    """A check of all tensors of the same length together: the share of the source's rows that the artifact has too.

    A row is found where it is near in each of them. It may stand anywhere, as proposals with nearly equal scores do.
    """
    lists: dict[int, list[str]] = {}
    others = []
    for name in names:
        shapes = [np.shape(side[name]) for side in (source, found) if name in side]
        if len(shapes) == 2 and shapes[0] == shapes[1]:
            lists.setdefault(shapes[0][0], []).append(name)
        else:
            others.append(name)
    checks = compare_tensors(artifact, picture, source, found, others, tolerance=tolerance)
    for length, together in lists.items():
        matched = _same_rows([(np.asarray(source[n]), np.asarray(found[n])) for n in together], tolerance)
        checks.append(
            Check(
                artifact=artifact,
                picture=picture,
                what=f"rows of {' and '.join(together)} matched",
                measured=matched / max(1, length),
                bound=tolerance.matched,
                at_least=True,
                notes=f"of {length}",
            )
        )
    return checks


def _same_rows(pairs: list[tuple[np.ndarray, np.ndarray]], tolerance: Tolerance) -> int:
    """Of how many rows of the first of each pair the second has a twin of their own, the same in all pairs."""
    pairs = [(a.reshape(len(a), -1), b.reshape(len(b), -1)) for a, b in sorted(pairs, key=lambda pair: pair[0].size)]
    bounds = [max(tolerance.floor, tolerance.raw * spread(a)) for a, _ in pairs]
    left = np.ones(len(pairs[0][1]), bool)
    for i in range(len(left)):
        places = np.flatnonzero(left)
        worst = np.zeros(len(places))
        for (a, b), bound in zip(pairs, bounds, strict=True):  # what is small leaves few for what is large
            worst = np.maximum(worst, apart(b[places].astype(np.float64), a[i].astype(np.float64)).max(1) / bound)
            places, worst = places[worst <= 1], worst[worst <= 1]
        if len(places):
            left[places[worst.argmin()]] = False
    return len(left) - int(left.sum())


def difference(artifact: str, picture: str, name: str, source, found, *, tolerance: Tolerance) -> Check:
    """The worst difference of one tensor; another shape is always judged."""
    a, b = np.asarray(source, np.float64), np.asarray(found, np.float64)
    same = a.shape == b.shape
    worst = float(np.max(apart(a, b), initial=0)) if same else math.inf
    bound = max(tolerance.floor, tolerance.raw * spread(a)) if tolerance.judged or not same else None
    notes = "" if same else f"shape {b.shape}, the source's {a.shape}"
    return Check(artifact=artifact, picture=picture, what=name, measured=worst, bound=bound, notes=notes)


def _noise(how: Mapping[str, Any], name: str, a: np.ndarray, b: np.ndarray, tolerance: Tolerance) -> list[Check]:
    """Whether a tensor that is not judged otherwise is the source's at all: its root mean square difference."""
    if tolerance.judged or not tolerance.noise or a.shape != b.shape or not spread(a):
        return []
    both = np.isfinite(a) & np.isfinite(b)
    measured = float(np.sqrt(np.mean((a - b)[both] ** 2)) / spread(a)) if both.any() else math.inf
    notes = "root mean square difference, in standard deviations"
    return [Check(**how, what=f"{name}, noise", measured=measured, bound=tolerance.noise, notes=notes)]


def spread(a: np.ndarray) -> float:
    """The standard deviation of what is finite."""
    return float(a[np.isfinite(a)].std()) if np.isfinite(a).any() else 0.0


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Absolute differences; none between two infinities, as boxes that overflow in source and artifact alike."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.where(a == b, 0.0, np.abs(a - b)), nan=np.inf, posinf=np.inf)


def record(checks: Iterable[Check]) -> dict:
    """JSON-ready: the verdict and every check. What is not a finite number is null."""
    checks = list(checks)
    return {"agrees": agree(checks), "checks": [_row(c) for c in checks]}


def _row(check: Check) -> dict:
    row = asdict(check)
    return {
        "image": row.pop("picture"),
        **row,
        "measured": number_of(check.measured),
        "state": check.state,
        "ok": check.ok,
    }


def number_of(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None


def agree(checks: Iterable[Check]) -> bool:
    """Nothing disagrees, and of every artifact something was judged: to have compared nothing proves nothing."""
    checks = list(checks)
    judged = {c.artifact for c in checks if c.bound is not None}
    return bool(checks) and judged == {c.artifact for c in checks} and all(c.ok for c in checks)
