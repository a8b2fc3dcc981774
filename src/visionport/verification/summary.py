"""What the terminal and the report show of checks: a row for each artifact and kind of check, the worst of its kind."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from visionport.verification.checks import Check, State

WORST = ("agrees", "differs by design", "not judged", "disagrees")


@dataclass(frozen=True, kw_only=True)
class Row:
    """worst: the check of this kind that comes nearest to its bound, or is farthest outside it."""

    artifact: str
    what: str
    worst: Check
    count: int
    disagreeing: int

    @property
    def state(self) -> State:
        return self.worst.state


def summarize(checks: Iterable[Check]) -> list[Row]:
    """In the order in which the kinds first come."""
    groups: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        groups.setdefault((check.artifact, check.what), []).append(check)
    return [
        Row(
            artifact=artifact,
            what=what,
            worst=max(group, key=lambda c: (not c.ok, c.used)),
            count=len(group),
            disagreeing=sum(not c.ok for c in group),
        )
        for (artifact, what), group in groups.items()
    ]


def pictures_of(checks: Iterable[Check]) -> list[str]:
    """The pictures that something was measured on; data sets are none."""
    return list(dict.fromkeys(c.picture for c in checks if c.picture))


def show_number(value: float) -> str:
    """Three figures: 0.0123, 1.5e-5, 12,346, inf."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if math.isfinite(value) and abs(value) >= 1e3 else f"{value:.3g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def show_bound(check: Check) -> str:
    if check.bound is None:
        return ""
    return f"{'>=' if check.at_least else '<='} {show_number(check.bound)}"


def notes_of(check: Check) -> str:
    return "; ".join(n for n in (check.notes, check.by_design) if n)


def verdict_of(checks: Sequence[Check]) -> State:
    """The state of an artifact, of its checks."""
    if any(not c.ok for c in checks):
        return "disagrees"
    return "agrees" if any(c.bound is not None for c in checks) else "not judged"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What all checks come to, in a line."""

    state: State
    text: str


def conclude(checks: Sequence[Check], artifacts: Sequence[str], source: str) -> Verdict:
    """artifacts: the formats that were written, or the files. source: what they were compared with, in words."""
    names = dict.fromkeys([*artifacts, *(c.artifact for c in checks)])
    states = {name: verdict_of([c for c in checks if c.artifact == name]) for name in names}
    good, bad, unknown = (
        [name for name, state in states.items() if state == wanted] for wanted in ("agrees", "disagrees", "not judged")
    )
    if bad:
        what = {name: [r.what for r in summarize(checks) if r.artifact == name and r.disagreeing] for name in bad}
        if len(names) == 1:
            return Verdict(state="disagrees", text=f"{bad[0]} disagrees with {source}: {', '.join(what[bad[0]])}")
        named = "; ".join(f"{name} ({', '.join(kinds)})" for name, kinds in what.items())
        verb = "disagrees" if len(bad) == 1 else "disagree"
        return Verdict(state="disagrees", text=f"{len(bad)} of {len(names)} artifacts {verb} with {source}: {named}")
    if not good:
        return Verdict(state="not judged", text=f"nothing was compared with {source}")
    agree = f"{len(good)} artifacts agree" if len(good) > 1 else f"{good[0]} agrees"
    skipped = f"; not verified: {', '.join(unknown)}" if unknown else ""
    return Verdict(state="not judged" if unknown else "agrees", text=f"{agree} with {source}{skipped}")
