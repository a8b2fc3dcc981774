"""The table of agreement on the terminal, in 80 columns without a broken word, and the verdict below it."""

from collections.abc import Sequence

from visionport.verification.checks import Check
from visionport.verification.summary import Row, Verdict, notes_of, show_bound, show_number, summarize

NARROW = 80
HEADS = ("compared", "times", "worst", "bound")
STYLES = {"agrees": "green", "disagrees": "bold red", "not judged": "", "differs by design": ""}


def table(checks: Sequence[Check], width: int = NARROW):
    """A rich renderable: under each artifact a line for each kind of check, the worst over the pictures.

    Long notes stand below their line. A name too long for its column has a line of its own.
    """
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    rows = summarize(checks)
    texts = [(str(row.count), show_number(row.worst.measured), show_bound(row.worst)) for row in rows]
    widths = [max(len(t) for t in (HEADS[i + 1], *(cells[i] for cells in texts))) for i in range(3)]
    word = max((len(row.state) for row in rows), default=0)
    room = min(max((len(row.what) for row in rows), default=0), max(width - sum(widths) - word - 12, len(HEADS[0])))

    def line(name: str, cells: Sequence[str], state: str = "", style: str = ""):
        numbers = "  ".join(f"{cell:>{w}}" for cell, w in zip(cells, widths, strict=True))
        return Text.assemble(f"  {name:<{room}}  {numbers}  ", (state, style), no_wrap=True, overflow="ignore")

    parts: list = [line(HEADS[0], HEADS[1:])]
    parts[0].stylize("dim")
    artifact = None
    for row, cells in zip(rows, texts, strict=True):
        if row.artifact != artifact:
            artifact = row.artifact
            parts.append(Text(artifact, style="bold"))
        name = row.what
        if len(name) > room:
            parts.append(Text(f"  {name}", no_wrap=True, overflow="ignore"))
            name = ""
        parts.append(line(name, cells, state_of(row), STYLES[row.state]))
        notes = notes_of(row.worst)
        if notes and parts[-1].cell_len + len(notes) + 2 <= width:
            parts[-1].append(f"  {notes}", style="dim")
        elif notes:
            parts.append(Padding(Text(notes, style="dim"), (0, 0, 0, 4), expand=False))
    return Group(*parts)


def state_of(row: Row) -> str:
    return "DISAGREES" if row.state == "disagrees" else row.state


def verdict_line(verdict: Verdict):
    """Green, red, or as it is where nothing was judged."""
    from rich.text import Text

    return Text(verdict.text, style={"agrees": "bold green", "disagrees": "bold red"}.get(verdict.state, "bold"))


def render_text(checks: Sequence[Check]) -> str:
    """The table as plain text of 100 columns."""
    import io

    from visionport.terminal import console_of

    out = io.StringIO()
    console_of(out, 100).print(table(checks, 100), crop=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
