"""The table of agreement on the terminal."""

from collections.abc import Sequence

from visionport.verification.checks import Check
from visionport.verification.summary import notes_of, show_bound, show_number, summarize

FOLDED = ("compared", "")


def table(checks: Sequence[Check]):
    """A rich table: a row for each artifact and kind of check, the worst over the pictures."""
    from rich.table import Table

    out = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("artifact", "compared", "times", "worst", "bound", ""):
        number_like = title in ("times", "worst", "bound")
        # Where the terminal is narrow, names of layers and notes are folded; numbers stay whole.
        out.add_column(title, justify="right" if number_like else "left", no_wrap=title not in FOLDED, overflow="fold")
    for row in summarize(checks):
        state = "DISAGREES" if row.state == "disagrees" else row.state
        said = f"{state}  {notes_of(row.worst)}".rstrip()
        out.add_row(
            row.artifact, row.what, str(row.count), show_number(row.worst.measured), show_bound(row.worst), said
        )
    return out


def render_text(checks: Sequence[Check]) -> str:
    """The table as plain text of 100 columns."""
    import io

    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=100, highlight=False).print(table(checks))
    return out.getvalue().rstrip()
