"""Tables whose names are never folded: the last column is as long as it has to be."""

from collections.abc import Iterable, Sequence

from visionport.terminal import one_line


def name_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()):
    """A rich renderable. right: the columns that are flush right. To be printed with crop=False."""
    from rich.console import Group
    from rich.text import Text

    rows = [[one_line(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads) - 1)]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if head in right else cell.ljust(width)
            for cell, width, head in zip(row, widths, heads, strict=False)
        ]
        return "  ".join(["", *cells, row[-1]]).rstrip()

    texts = [Text(line(row), no_wrap=True, overflow="ignore") for row in rows]
    texts[0].stylize("dim")
    return Group(Text(one_line(title), style="bold"), *texts)
