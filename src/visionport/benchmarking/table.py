"""The table of a benchmark on the terminal, in 80 columns."""

from collections.abc import Sequence

from visionport.benchmarking.benchmark import Benchmark
from visionport.benchmarking.figures import Calls, Row
from visionport.progress import size_text

HEADS = ("load s", "first", "min", "p50", "p90", "p99", "CPU", "pict/s", "MiB")
ROOM, WIDE = 15, 7  # columns of a line's name, and of each figure
EXPLAINED = (
    "load: wall s; first to p99: wall ms a call; CPU: ms a call of all threads together; MiB: peak memory above the "
    "bare runtime's."
)


def table(found: Benchmark):
    """A rich renderable: under each artifact a line for each kind of call."""
    from rich.console import Group
    from rich.text import Text

    parts = [Text(line_of("", HEADS), style="dim", no_wrap=True, overflow="ignore")]
    for row in found.rows:
        parts.append(Text.assemble((row.path, "bold"), f"  {', '.join(facts_of(row))}"))
        parts += [Text(line, no_wrap=True, overflow="ignore") for line in lines_of(row)]
        parts += [Text(f"  {note}", style="dim") for note in notes_of(row)]
        parts += [Text(f"  not measured: {row.error}", style="bold red")] if row.error else []
    parts.append(Text(EXPLAINED, style="dim"))
    parts.append(Text(setting(found), style="dim"))
    parts += [Text(note, style="yellow") for note in found.notes]
    return Group(*parts)


def facts_of(row: Row) -> list[str]:
    return [t for t in (size_text(row.size), row.precision, row.input) if t]


def notes_of(row: Row) -> list[str]:
    """What is to be said below the figures."""
    accuracy = row.accuracy
    found = [f"{accuracy.name} {accuracy.value:.4f} on {accuracy.data}"] if accuracy else []
    found += [f"network: {row.network_is}"] if row.network else []
    return [*found, *row.notes]


def setting(found: Benchmark) -> str:
    """What the figures were taken with and on."""
    versions = {k: v for row in found.rows for k, v in (row.versions or {}).items()}
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    here = found.machine
    return (
        f"{here.processor}, {here.cores} cores, {found.threads} threads; load average {here.load:.1f}; "
        f"Python {here.python}{', ' * bool(packages)}{packages}."
    )


def lines_of(row: Row) -> list[str]:
    """The lines of an artifact; loading and the first call stand in its first."""
    start = ("", "") if not row.load or not row.first else (seconds(row.load.wall), number(row.first.wall * 1e3))
    lines = []
    for name, calls, memory in series_of(row):
        lines.append(line_of(name, (*start, *cells_of(calls), mebibytes(memory))))
        start = ("", "")
    return lines


def series_of(row: Row) -> list[tuple[str, Calls, int | None]]:
    """(name, calls, peak memory) of each series of calls that was made."""
    found = [(f"batch {c.batch}", c, m) for c, m in ((row.calls, row.memory), (row.batched, row.batched_memory)) if c]
    return [*found, *([("network alone", row.network, None)] if row.network else [])]


def cells_of(calls: Calls) -> tuple[str, ...]:
    """min, p50, p90, p99, CPU, pictures a second."""
    times = (calls.min_ms, calls.p50_ms, calls.p90_ms, calls.p99_ms, calls.cpu_ms, calls.pictures_per_second)
    return tuple(map(number, times))


def line_of(name: str, cells: Sequence[str]) -> str:
    return f"{'  ' + name if name else '':<{ROOM}}{''.join(f'{cell:>{WIDE}}' for cell in cells)}".rstrip()


def number(value: float) -> str:
    """At most five characters up to 99,999: 0.123, 1.23, 12.3, 123, 12345."""
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f}"


def seconds(value: float) -> str:
    return f"{value:.2f}"


def mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:.0f}"


def render_text(found: Benchmark) -> str:
    """The table as plain text of 80 columns."""
    import io

    from visionport.terminal import console_of

    out = io.StringIO()
    console_of(out, 80).print(table(found), crop=False)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
