"""A run's own folder, OUT.batch beside its output: the plan, the parts that are done, and what ended it.

run.json        what was asked, to be compared when the run goes on
pieces.jsonl    the work, piece by piece; left.jsonl: what of it was left when this process began
rows/           a part a piece; errors/ likewise, where pictures failed
done/           an empty file a piece, PIECE-PICTURES-ERRORS, that appears behind its part
stop            why workers are to stop
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import __version__, staging
from visionport.batch import failures, files, outputs
from visionport.batch.failures import Failure
from visionport.batch.inputs import Piece
from visionport.batch.job import Job
from visionport.errors import OptionError, OutputError, VisionportError
from visionport.tasks.base import Task

DONE = "_batch.json"  # in an output folder: it is whole
FREE = ("large_model",)  # of a Job, that may change when a run goes on


class StoppedError(VisionportError):
    """The run was stopped; what is done is kept."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """How far a run is."""

    pieces: int = 0
    pictures: int = 0
    errors: int = 0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The folder of the run that writes `out`."""

    out: str
    job: Job

    @property
    def folder(self) -> str:
        return self.out.rstrip("/") + ".batch"

    @property
    def one_file(self) -> bool:
        return outputs.is_file(self.out, self.job.to)

    @property
    def errors_file(self) -> str:
        """Where pictures that failed are told."""
        if not self.one_file:
            return files.join(self.out, "_errors.jsonl")
        return f"{self.out.rpartition('.')[0]}.errors.jsonl"

    def place(self, *names: str) -> str:
        return files.join(self.folder, *names)

    # ------------------------------------------------------------ where the run begins

    def check_target(self, *, overwrite: bool) -> None:
        """Raises OutputError unless the output may be written."""
        if files.scheme_of(self.out):
            if not overwrite and files.exists(self.out):
                raise OutputError(f"{self.out} exists. Name another --out, or add --overwrite.")
            return
        out = Path(self.out)
        if self.one_file:
            for file in (out, Path(self.errors_file)):
                staging.check_file(file, overwrite=overwrite)
        elif out.exists() and (not out.is_dir() or any(out.iterdir())):
            if not overwrite:
                raise OutputError(f"{out} exists and is not empty. Name another --out, or add --overwrite.")
            if not (out / DONE).is_file():
                raise OutputError(f"{out} is no output of `visionport batch` (no {DONE} in it): name another --out.")

    def begin(self, asked: Mapping[str, Any], pieces: Sequence[Piece], total: int | None) -> None:
        for name in ("rows", "errors", "done"):
            files.make_folder(self.place(name))
        self._write_pieces("pieces.jsonl", pieces)
        content = {"visionport": __version__, "asked": asked, "pieces": len(pieces), "pictures": total}
        files.write_bytes(self.place("run.json"), json.dumps(content, indent=1).encode())

    def begun(self) -> dict[str, Any] | None:
        """What `begin` wrote; None where no run began, or ended before it had a plan."""
        if not files.exists(self.place("run.json")):
            return None
        return json.loads(files.read_bytes(self.place("run.json")))

    def check_same(self, asked: Mapping[str, Any]) -> None:
        """Raises OptionError where another run than that one is to go on."""
        before = (self.begun() or {}).get("asked", {})
        changed = [k for k in asked if asked[k] != before.get(k) and k not in FREE]
        if changed:
            what = "; ".join(f"{k.replace('_', '-')} was {brief(before.get(k))}, is {brief(asked[k])}" for k in changed)
            raise OptionError(
                f"--resume: the run in {self.folder} was another one: {what}. Ask as then, or begin again with "
                "--overwrite."
            )

    def left(self) -> list[Piece]:
        """The pieces that are not done; a list of them for the pipeline too."""
        lines = files.read_bytes(self.place("pieces.jsonl")).splitlines()
        done = self._done()
        found = [p for p in (Piece(**json.loads(line)) for line in lines) if p.number not in done]
        self._write_pieces("left.jsonl", found)
        files.remove(self.place("stop"))
        return found

    def _write_pieces(self, name: str, pieces: Sequence[Piece]) -> None:
        lines = "".join(json.dumps(p.record(), ensure_ascii=False) + "\n" for p in pieces)
        files.write_bytes(self.place(name), lines.encode())

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Raises OutputError while another process of this machine works in the folder."""
        try:
            import fcntl
        except ImportError:  # Windows
            fcntl = None
        if fcntl is None or files.scheme_of(self.folder):
            yield
            return
        files.make_folder(self.folder)
        with open(self.place("lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OutputError(f"{self.out} is being written by another run. Wait, or name another --out.") from None
            yield

    # ------------------------------------------------------------ in a worker

    def write(self, piece: Piece, rows: Sequence[Any], failed: Sequence[Failure], task: Task, seconds: float) -> None:
        """A part, whole. The same piece gives the same part, however often it is answered."""
        output, name = outputs.OUTPUTS[self.job.to], outputs.part_name(piece.number, self.job.to)
        data = io.BytesIO()
        (output.part if self.one_file else output.alone)(data, rows, task, self.job)
        files.write_bytes(self.place("rows", name), data.getvalue())
        if failed:
            lines = "".join(json.dumps(f.row, ensure_ascii=False) + "\n" for f in failed)
            files.write_bytes(self.place("errors", outputs.part_name(piece.number, "jsonl")), lines.encode())
        marker = f"{piece.number:07}-{len(rows) + len(failed)}-{len(failed)}"
        files.write_bytes(self.place("done", marker), f"{seconds:.3f}\n".encode())

    def check_errors(self, failed: int, most: int | None) -> None:
        """Raises StoppedError past that many in one piece; the run's sum is watched where it began."""
        if most is not None and failed > most:
            raise StoppedError(f"more than --max-errors {most} pictures failed.")

    def check_stop(self) -> None:
        if files.exists(self.place("stop")):
            raise StoppedError(files.read_bytes(self.place("stop")).decode())

    def stop(self, error: Exception) -> None:
        """Ends the work of all workers; the first reason stays."""
        if not files.exists(self.place("stop")):
            files.write_bytes(self.place("stop"), failures.words(error).encode())

    def stopped(self) -> str:
        return files.read_bytes(self.place("stop")).decode() if files.exists(self.place("stop")) else ""

    # ------------------------------------------------------------ while it runs, and at its end

    def _done(self) -> dict[int, tuple[int, int]]:
        """Piece -> its pictures and errors."""
        found = {}
        for name in files.names_in(self.place("done")):
            number, _, counts = name.partition("-")
            pictures, _, errors = counts.partition("-")
            if errors.isdecimal():
                found[int(number)] = (int(pictures), int(errors))
        return found

    def count(self) -> Count:
        done = self._done().values()
        return Count(pieces=len(done), pictures=sum(p for p, _ in done), errors=sum(e for _, e in done))

    def kinds(self) -> dict[str, int]:
        """The errors by their kinds, the most first."""
        found: dict[str, int] = {}
        for name in self._failed():
            for line in files.read_bytes(self.place("errors", name)).splitlines():
                kind = json.loads(line)["kind"]
                found[kind] = found.get(kind, 0) + 1
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _failed(self) -> list[str]:
        return [outputs.part_name(number, "jsonl") for number, (_, errors) in sorted(self._done().items()) if errors]

    def finish(self, task: Task, summary: Mapping[str, Any]) -> None:
        """The output of the parts, at once; then the folder goes."""
        names = [outputs.part_name(number, self.job.to) for number in sorted(self._done())]
        errors = self._failed()
        if self.one_file:
            files.remove(self.errors_file)
            if errors:
                self._join(self.errors_file, "errors", errors, outputs.OUTPUTS["jsonl"].join, task)
            self._join(self.out, "rows", names, outputs.OUTPUTS[self.job.to].join, task)
        else:
            self._move(names, errors, task, summary)
        files.remove(self.folder)

    def _join(self, target: str, kind: str, names: Sequence[str], join, task: Task) -> None:
        parts = outputs.open_parts(self.place(kind), names)
        with files.whole(target) as file:
            join(file, parts, task, self.job)

    def _move(self, names: Sequence[str], errors: Sequence[str], task: Task, summary: Mapping[str, Any]) -> None:
        """The folder of parts to its place; that it is whole is written last."""
        content = json.dumps({"visionport": __version__, "parts": len(names), **summary}, indent=1) + "\n"
        rows = self.place("rows")
        if files.scheme_of(self.out):
            files.move([files.join(rows, n) for n in names], [files.join(self.out, n) for n in names])
            rows = self.out
        if errors:
            self._join(files.join(rows, "_errors.jsonl"), "errors", errors, outputs.OUTPUTS["jsonl"].join, task)
        files.write_bytes(files.join(rows, DONE), content.encode())
        if rows != self.out:
            files.remove(self.out)
            files.move([rows], [self.out])


def brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 80 else f"{text[:77]}..."
