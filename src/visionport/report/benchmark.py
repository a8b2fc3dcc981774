"""The figures of `visionport benchmark` as a section of an export's report, which stays one of its files."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from visionport import manifest
from visionport.benchmarking.benchmark import Benchmark
from visionport.benchmarking.figures import Row
from visionport.benchmarking.table import facts_of, mebibytes, notes_of, number, series_of, setting
from visionport.errors import InputError, OptionError
from visionport.lineage import REPORT
from visionport.report.page import BENCHMARK, soft, table_of
from visionport.staging import is_export, write_file

HEADS = ("Calls", "p50", "CPU", "Pictures/s", "Memory", "min", "p90", "p99", "Load", "First call")


def check_reports(artifacts: Sequence[Path]) -> None:
    """Raises OptionError where no export is named, InputError for a report without a place for the figures."""
    folders = [path for path in artifacts if is_export(path)]
    if not folders:
        raise OptionError(f"--into-report: {artifacts[0]} is no export directory, and has no {REPORT}. Name one.")
    for folder in folders:
        read_report(folder)


def read_report(folder: Path) -> tuple[str, str]:
    """The report around the figures: what stands before and behind them."""
    path = folder / REPORT
    if not path.is_file():
        raise InputError(f"{path} is not there. Export again.")
    before, begin, rest = path.read_text("utf-8", errors="backslashreplace").partition(BENCHMARK[0])
    _, end, behind = rest.partition(BENCHMARK[1])
    if not begin or not end:
        raise InputError(f"{path} is of an earlier version of visionport, without a place for figures. Export again.")
    return before + begin, end + behind


def write_into_reports(found: Benchmark, artifacts: Sequence[Path]) -> list[Path]:
    """Writes each export's figures into its report, in place of earlier ones; its manifest gets the report's hash."""
    written = []
    for folder in (path for path in artifacts if is_export(path)):
        rows = [row for row in found.rows if Path(row.path).is_relative_to(folder)]
        before, behind = read_report(folder)
        page = before + section(found, rows, folder) + behind
        path = write_file(folder / REPORT, [page.encode(errors="backslashreplace")], overwrite=True)
        manifest.add(folder, path)
        written.append(path)
    return written


def section(found: Benchmark, rows: Iterable[Row], folder: Path) -> str:
    lead = (
        f"Each artifact in a fresh process, {escape(found.machine.date)}. Milliseconds of wall time, but for CPU, "
        "which is of all threads together; memory: the peak above the bare runtime's."
    )
    table = table_of(HEADS, "".join(body_of(row, folder) for row in rows), "costs")
    notes = "".join(f"<li>{soft(note)}</li>" for note in (setting(found), *found.notes))
    return (
        f'\n<section id="benchmark"><h2>What a call costs</h2>\n<p class="lead">{lead}</p>\n{table}'
        f'<ul class="remarks">{notes}</ul></section>\n'
    )


def body_of(row: Row, folder: Path) -> str:
    """A line of the table for each series of calls, below one that says of what, and above one of notes."""
    name = soft(Path(row.path).relative_to(folder).as_posix())
    title = f'{name}<span class="note">{soft(", ".join(facts_of(row)))}</span>'
    lines = [f'<tr class="group"><th colspan="{len(HEADS)}" scope="rowgroup">{title}</th></tr>']
    start = ["", ""] if not row.load or not row.first else [number(row.load.wall * 1e3), number(row.first.wall * 1e3)]
    for kind, c, memory in series_of(row):
        cells = [number(n) for n in (c.p50_ms, c.cpu_ms, c.pictures_per_second, c.min_ms, c.p90_ms, c.p99_ms)]
        cells.insert(3, f"{mebibytes(memory)} MiB" if memory is not None else "")
        values = "".join(f'<td class="number">{cell}</td>' for cell in (*cells, *start))
        lines.append(f'<tr><th scope="row">{kind}</th>{values}</tr>')
        start = ["", ""]
    notes = [*notes_of(row), *([f"not measured: {row.error}"] if row.error else [])]
    if notes:
        lines.append(f'<tr><td colspan="{len(HEADS)}"><span class="note">{soft("; ".join(notes))}</span></td></tr>')
    return "\n".join(["<tbody>", *lines, "</tbody>\n"])
