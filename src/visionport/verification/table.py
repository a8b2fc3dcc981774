"""The table of agreement on the terminal: a row for each artifact and kind of check, the worst over the images."""

from collections.abc import Sequence

from visionport.verification.checks import Check

FOLDED = ("compared", "")


def table(checks: Sequence[Check]):
    """A rich table."""
    from rich.table import Table

    out = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("artifact", "compared", "images", "worst", "bound", ""):
        number_like = title in ("images", "worst", "bound")
        # Where the terminal is narrow, names of layers and notes are folded; numbers stay whole.
        out.add_column(title, justify="right" if number_like else "left", no_wrap=title not in FOLDED, overflow="fold")
    for key in dict.fromkeys((c.artifact, c.what) for c in checks):
        group = [c for c in checks if (c.artifact, c.what) == key]
        worst = min(group, key=lambda c: (c.ok, c.measured if c.at_least else -c.measured))
        sign = ">=" if worst.at_least else "<="
        bound = "" if worst.bound is None else f"{sign} {number(worst.bound)}"
        verdict = "told" if worst.bound is None else "ok" if worst.ok else "DISAGREES"
        out.add_row(*key, str(len(group)), number(worst.measured), bound, f"{verdict}  {worst.notes}".rstrip())
    return out


def number(value: float) -> str:
    return f"{value:.1e}" if 0 < abs(value) < 0.01 else f"{value:.3g}"
