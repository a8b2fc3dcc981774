"""`visionport.benchmark`: every artifact of an export, or single ones of any maker, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from visionport import limits, manifest
from visionport.benchmarking import machine
from visionport.benchmarking.defaults import RUNS, SECONDS
from visionport.benchmarking.figures import Row
from visionport.benchmarking.machine import Machine
from visionport.benchmarking.worker import Request
from visionport.errors import InputError, OptionError, VisionportError
from visionport.filetypes import kind_of_file
from visionport.formats import FORMATS, format_of
from visionport.formats.base import picture_size
from visionport.inputs import pictures
from visionport.json_files import json_text
from visionport.prediction import artifacts_at
from visionport.progress import Progress, time_text
from visionport.staging import is_export
from visionport.tasks import task_of

PATIENCE = 150.0  # seconds of calls after which a slow artifact is spared the rest of its runs


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An artifact to measure.

    folder: the export that it is of, None for a foreign one; task: the export's; size: (height, width) of the only
    pictures that it takes.
    """

    path: Path
    format: str
    folder: Path | None = None
    task: str = "detection"
    size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What a benchmark measured. notes: what is to be known of all figures."""

    rows: tuple[Row, ...]
    machine: Machine
    threads: int
    batch: int
    runs: int
    seconds: float
    pictures: tuple[str, ...]  # given ones; a bundled one otherwise
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.error)

    def record(self) -> dict[str, Any]:
        """JSON-ready."""
        from visionport import __version__

        return {"visionport": __version__, **asdict(self)}

    def text(self) -> str:
        """The same as JSON."""
        return json_text(self.record()) + "\n"

    def __str__(self) -> str:
        from visionport.benchmarking.table import render_text

        return render_text(self)


def benchmark(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    images: Sequence[str | os.PathLike] = (),
    threads: int | None = None,
    batch: int = 1,
    runs: int = RUNS,
    seconds: float = SECONDS,
    patience: float = PATIENCE,
    evaluate: str | os.PathLike | None = None,
    allow_unsafe_ops: bool = False,
    progress: Progress | None = None,
) -> Benchmark:
    """Loads and calls artifacts, each in a fresh process, and measures what that takes.

    paths: export directories, all of whose artifacts are meant, and artifacts of any maker. images: called with in
    turn; a bundled picture by default. threads: of the runtime; by default as many as there are cores. batch: measure
    batches of so many pictures too. runs, seconds: at least so many calls, for at least so long; after `patience`
    seconds of calls the rest are left out. evaluate: labelled pictures, a TFRecord. allow_unsafe_ops: ops that read
    files or do something else outside of a graph may run, of artifacts that you trust.

    An artifact that cannot be measured has a row that says why. Raises InputError or OptionError for what is wrong
    before anything is measured.
    """
    given = [Path(p) for p in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    check_numbers(threads=threads, batch=batch, runs=runs, seconds=seconds)
    found = {subject.path: subject for path in given for subject in find_subjects(path)}
    if not found:
        raise InputError("there is nothing to benchmark. Name an export directory, or an artifact.")
    files, labelled = [Path(i) for i in images], Path(evaluate) if evaluate else None
    for subject in found.values():
        check_data(subject, files, labelled)
    here, count, progress = Machine.here(), threads or machine.cores(), progress or Progress()
    rows, notes = [], []
    for subject in found.values():
        if missing := format_of(subject.format).missing_package():
            notes.append(f"{subject.path} is not measured: {missing}.")
            continue
        request = Request(
            path=str(subject.path),
            format=subject.format,
            folder=str(subject.folder) if subject.folder else None,
            images=tuple(map(str, files)),
            threads=count,
            batch=batch,
            runs=runs,
            seconds=seconds,
            patience=patience,
            evaluate=str(labelled) if labelled else None,
        )
        with progress.stage(str(subject.path)) as remark:
            row = measure(subject, request, allow_unsafe_ops=allow_unsafe_ops)
            remark(f"{time_text(row.calls.p50_ms / 1e3)} a call" if row.calls and not row.error else row.error)
        rows.append(row)
    return Benchmark(
        rows=tuple(rows),
        machine=here,
        threads=count,
        batch=batch,
        runs=runs,
        seconds=seconds,
        pictures=tuple(map(str, files)),
        notes=(*notes, *unrest(here, rows)),
    )


def check_numbers(*, threads: int | None, batch: int, runs: int, seconds: float) -> None:
    given = {"--threads": threads, "--batch": batch, "--runs": runs}
    for flag, number in given.items():
        if number is not None and number < 1:
            raise OptionError(f"{flag} {number}: at least 1.")
    if not 0 <= seconds < float("inf"):
        raise OptionError(f"--seconds {seconds:g}: a number of seconds, from 0.")


def find_subjects(path: Path) -> list[Subject]:
    """The artifacts that a path means. Raises InputError where there is none."""
    if not path.exists():
        raise InputError(f"{path}: no such artifact or export directory.")
    folder = next((p for p in (path, *path.parents[:2]) if is_export(p)), None)
    if folder:
        content = manifest.read(folder)
        records = content["artifacts"] if path == folder else artifacts_at(path, folder, content)
        if records:
            return [subject_of(folder, content, record) for record in records]
    named = [path] if format_at(path) or not path.is_dir() else sorted(path.iterdir())
    found = [Subject(path=p, format=f) for p in named if (f := format_at(p))]
    if not found:
        kind = kind_of_file(path)
        said = f"{path} is {kind}, which is not measured here" if kind else f"{path} is no artifact, and holds none"
        titles = [format_of(name).title for name in FORMATS]
        raise InputError(f"{said}. Name an export directory, or one of: {', '.join(titles)}.")
    return found


def subject_of(folder: Path, content: Mapping[str, Any], record: Mapping[str, Any]) -> Subject:
    """An artifact of an export, as its manifest records it."""
    reading, (signature, *_) = record.get("reading", {}), record["signatures"]
    shapes = [t["shape"] for t in signature["inputs"] if t["name"].removesuffix(":0") == reading.get("input")]
    size = picture_size(reading["type"], [None if n < 0 else n for n in shapes[0]]) if shapes else None
    task = content.get("model", {}).get("task", "detection")
    return Subject(path=folder / record["path"], format=record["format"], folder=folder, task=task, size=size)


def format_at(path: Path) -> str:
    """The format of which an artifact lies at `path`; "" where there is none."""
    return next((name for name in FORMATS if format_of(name).recognises(path)), "")


def check_data(subject: Subject, images: Sequence[Path], labelled: Path | None) -> None:
    """Raises InputError or OptionError for pictures that cannot be used."""
    if not subject.folder:
        pictures.load(images) if images else None
        return
    task = task_of(subject.task)
    if images:
        task.examples(images, subject.size)
    if labelled and not task.metric:
        raise OptionError(f"--evaluate: there is no metric for {task.name}. Leave it out.")
    if labelled and task.metric:
        task.metric.check(labelled)


def measure(subject: Subject, request: Request, *, allow_unsafe_ops: bool = False) -> Row:
    """One artifact in a process of its own."""
    fmt = format_of(subject.format)
    row: dict[str, Any] = {"path": str(subject.path), "format": fmt.name, "title": fmt.title}
    row["size"] = fmt.size(subject.path)
    try:
        if not allow_unsafe_ops:
            fmt.check_foreign(subject.path)
        row["precision"], alone = fmt.precision(subject.path), fmt.single_threaded(subject.path)
    except VisionportError as e:
        return Row(**row, error=str(e))
    if alone and request.threads != 1:
        request = replace(request, threads=1)
        row["notes"] = [f"1 thread: {alone}"]
    row["threads"] = request.threads
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
    quiet[limits.EXPENDABLE] = "1"
    argv = [sys.executable, "-m", "visionport.benchmarking.worker", request.text()]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, env=quiet | dict(os.environ)) as process,
    ):
        try:
            assert process.stdout
            for line in process.stdout:
                told = json.loads(line)
                told["notes"] = [*row.get("notes", ()), *told.get("notes", ())]
                row |= told
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()
    if status and not row.get("error"):
        row["error"] = reason_of(status, said)
    return Row.read(row)


def reason_of(status: int, said: Sequence[str]) -> str:
    """Why the process of an artifact ended early. said: its standard error."""
    if status == -signal.SIGKILL:
        return "its process was killed, most likely for want of memory"
    last = f": {said[-1][:200]}" if said else ""
    if status < 0:
        return f"its process crashed ({signal.Signals(-status).name}){last}"
    return f"its process ended with status {status}{last}"


def unrest(here: Machine, rows: Iterable[Row]) -> list[str]:
    """What disturbed the measurement."""
    others = max((row.others or 0.0 for row in rows), default=0.0)
    said = [f"load average {here.load:.1f} on {here.cores} cores"] if here.load > machine.CALM * here.cores else []
    said += [f"other processes took up to {others:.0%} of it meanwhile"] if others > machine.CALM else []
    if not said:
        return []
    return [f"The machine was not calm: {', '.join(said)}. Wall times are too long, and CPU times may be."]
