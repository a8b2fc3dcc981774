"""`visionport batch`: an artifact asked about any number of pictures, in a pipeline of Apache Beam.

A run is cut into pieces. A worker takes a piece, answers its pictures and writes its part, whole; no row travels. What
is done stays done: a run that was killed goes on with the pieces that are left, and the output appears when all are.
"""

import functools
import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from visionport import prediction
from visionport.batch import check_installed, files, inputs, outputs
from visionport.batch.inputs import Piece
from visionport.batch.job import BATCH, Job
from visionport.batch.local import LOCAL, WorkerLostError, run_here
from visionport.batch.options import pipeline_options
from visionport.batch.parts import Parts, StoppedError
from visionport.batch.watch import Watch
from visionport.errors import ArtifactError, OptionError, OutputError
from visionport.prediction import Found
from visionport.staging import MANIFEST


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did. errors: kind -> how many pictures; errors_file: where each is told, where there are any."""

    out: str
    pictures: int
    errors: Mapping[str, int] = field(default_factory=dict)
    errors_file: str | None = None
    seconds: float = 0.0
    done_before: int = 0  # pictures that an earlier, interrupted run had done

    @property
    def answered(self) -> int:
        return self.pictures - sum(self.errors.values())


def run(
    artifact: str | os.PathLike,
    given: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    to: str | None = None,
    format: str | None = None,
    signature: str | None = None,
    side_inputs: str | os.PathLike | None = None,
    image_key: str | None = None,
    exif: bool = True,
    min_score: float = 0.3,
    batch_size: int = BATCH,
    raw: bool = False,
    draw_dir: str | os.PathLike | None = None,
    large_model: bool | None = None,
    workers: int = 1,
    max_errors: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
    beam_options: Mapping[str, Any] | None = None,
) -> Summary:
    """Asks an artifact about pictures and writes the answers to `out`.

    given: files, folders, patterns, "@FILE" for a list of paths or URIs, TFRecords, Parquet files. to: a key of
    outputs.OUTPUTS; by the suffix of `out` by default; without a suffix of such, `out` becomes a folder of parts.
    beam_options: Beam's own by their names, such as runner. See Job for the others, and the command's help.

    Raises StoppedError where more than `max_errors` pictures fail; what is done then is kept for `resume`.
    """
    check_installed()
    begun = time.perf_counter()
    found = prediction.find_artifact(artifact, format)
    target = os.fspath(out)
    job = Job(
        artifact=os.fspath(artifact),
        format=format,
        signature=signature,
        side_inputs=None if side_inputs is None else os.fspath(side_inputs),
        image_key=image_key,
        exif=exif,
        min_score=min_score,
        batch_size=batch_size,
        to=outputs.kind_of(target, to),
        raw=raw,
        draw_dir=None if draw_dir is None else os.fspath(draw_dir),
        folder=os.getcwd(),
        large_model=large_model,
    )
    check(job, found, workers)
    parts = Parts(out=target if files.scheme_of(target) else os.path.abspath(target), job=job)
    asked = {"inputs": [os.fspath(g) for g in given], "model": digest(found), **job.record()}
    earlier = resume_or_begin(parts, asked, found, resume=resume, overwrite=overwrite)
    with parts.claimed():
        content = parts.begun() or {}
        before = parts.count()
        with Watch(parts, content["pieces"], content["pictures"], max_errors=max_errors, quiet=quiet) as watch:
            execute(parts, job, watch, workers, max_errors, beam_options or {})
        count = parts.count()
        if count.pieces < content["pieces"]:
            raise ArtifactError(f"the run ended before all was done. {kept(parts)}")
        if max_errors is not None and count.errors > max_errors:
            raise StoppedError(f"{count.errors:,} pictures failed, more than --max-errors {max_errors}. {kept(parts)}")
        summary = Summary(
            out=target,
            pictures=count.pictures,
            errors=parts.kinds() if count.errors else {},
            errors_file=parts.errors_file if count.errors else None,
            seconds=time.perf_counter() - begun,
            done_before=before.pictures if earlier else 0,
        )
        parts.finish(found.task, {"pictures": summary.pictures, "errors": dict(summary.errors)})
    return summary


def check(job: Job, found: Found, workers: int) -> None:
    """Refuses what cannot be, before anything is read."""
    output = outputs.OUTPUTS[job.to]
    output.check(found.task)
    if job.signature and found.folder:
        prediction.check_signature(found.path, job.signature, [s["name"] for s in found.artifact["signatures"]])
    if job.raw and not output.raw:
        able = ", ".join(name for name, o in outputs.OUTPUTS.items() if o.raw)
        raise OptionError(f"--include raw: {job.to} has no place for arrays. One of: {able}.")
    if not 0 <= job.min_score <= 1:
        raise OptionError(f"--min-score {job.min_score:g} is not a score from 0 to 1.")
    for name, value in (("--batch-size", job.batch_size), ("--workers", workers)):
        if value < 1:
            raise OptionError(f"{name} {value}: at least 1.")


def digest(found: Found) -> str:
    """Of what tells a model from another: its export's manifest, which holds the SHA-256 of every file; or the file."""
    path = found.folder / MANIFEST if found.folder else found.path
    return hashlib.sha256(path.read_bytes()).hexdigest()


def resume_or_begin(parts: Parts, asked: Mapping[str, Any], found: Found, *, resume: bool, overwrite: bool) -> bool:
    """The plan, in the run's folder; whether it is that of an earlier run."""
    earlier = parts.begun() is not None
    if earlier and resume:
        parts.check_same(asked)
        return True
    if earlier and not overwrite:
        raise OutputError(
            f"{parts.folder} holds what an interrupted run has done: add --resume to go on, or --overwrite to begin "
            "again."
        )
    parts.check_target(overwrite=overwrite)
    with parts.claimed():
        if earlier:
            files.remove(parts.place("run.json"))
            for name in ("rows", "errors", "done"):
                files.remove(parts.place(name))
        most = inputs.LEAST if parts.job.raw else inputs.MOST  # a part is written from memory
        try:
            pieces, total = inputs.plan(asked["inputs"], found.task, parts.job.image_key, parts.folder, most)
            parts.begin(asked, pieces, total)
        except BaseException:
            files.remove(parts.folder)
            raise
    return False


def kept(parts: Parts) -> str:
    """What is said of a run that ended early; where it did nothing, nothing stays of it."""
    count = parts.count()
    if not count.pieces:
        files.remove(parts.folder)
        return "Nothing was written."
    return f"{count.pictures:,} pictures are done and kept in {parts.folder}: go on with --resume."


def execute(
    parts: Parts, job: Job, watch: Watch, workers: int, max_errors: int | None, beam_options: Mapping[str, Any]
) -> None:
    """The pipeline, on the runner that the options name. Where a process is lost, what is left begins anew."""
    named = beam_options.get("runner") or LOCAL[0]
    others = {name: value for name, value in beam_options.items() if name != "runner"}
    done = -1
    try:
        while left := parts.left():
            build = functools.partial(build_pipeline, parts, job, max_errors)
            if named not in LOCAL:
                result = build(named, others).run()
                watch.cancel = getattr(result, "cancel", watch.cancel)
                result.wait_until_finish()
                return
            try:
                run_here(build, min(workers, len(left)), others)
                return
            except WorkerLostError:
                if not parts.left():
                    return
                if parts.count().pieces == done:
                    raise
                done = parts.count().pieces
                watch.tell("a process of the run was killed: what is left begins anew.")
    except WorkerLostError:
        reason = (
            "the run's processes are killed again and again, as happens where memory is short: try fewer --workers."
        )
        raise StoppedError(f"{reason} {kept(parts)}") from None
    except Exception as e:
        reason = parts.stopped() or f"the pipeline failed: {last_line(e)}."
        raise StoppedError(f"{reason} {kept(parts)}") from e


def build_pipeline(parts: Parts, job: Job, max_errors: int | None, runner: Any, beam_options: Mapping[str, Any]) -> Any:
    import apache_beam as beam  # pyright: ignore[reportMissingImports]
    from apache_beam.ml.inference.base import RunInference  # pyright: ignore[reportMissingImports]

    from visionport.batch.transforms import PieceHandler

    pipeline = beam.Pipeline(runner=runner, options=pipeline_options(beam_options))
    pieces = pipeline | "Read the plan" >> beam.io.ReadFromText(parts.place("left.jsonl"))
    pieces = pieces | "Pieces" >> beam.Map(read_piece) | beam.Reshuffle()
    _ = pieces | "Answer" >> RunInference(PieceHandler(job, parts, max_errors))
    return pipeline


def read_piece(line: str) -> Piece:
    return Piece(**json.loads(line))


def last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1][:300].rstrip(".")


def quiet_beam() -> None:
    """Beam's log has a traceback for each worker that ends."""
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    logging.getLogger().setLevel(logging.CRITICAL)
