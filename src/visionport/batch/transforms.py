"""Apache Beam's side of it: model handlers over an artifact, and the transform `Predict`.

pictures | Predict("exported")     paths, URIs, bytes or arrays, or (key, such) -> rows, or (key, row)
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam  # pyright: ignore[reportMissingImports]
import numpy as np
from apache_beam.ml.inference.base import (  # pyright: ignore[reportMissingImports]
    KeyedModelHandler,
    ModelHandler,
    RunInference,
)

from visionport.batch import answering, inputs, outputs
from visionport.batch.answering import Answering, Model
from visionport.batch.failures import Failure
from visionport.batch.inputs import Item, Piece
from visionport.batch.job import BATCH, Job
from visionport.batch.parts import Parts
from visionport.tasks.base import Task


class _Handler(ModelHandler):
    """A model once a process; a large one once a machine."""

    def __init__(self, job: Job, most: int):
        super().__init__(min_batch_size=1, max_batch_size=most)
        self.job = job
        self._share_across_processes = answering.is_large(job)

    def load_model(self) -> Model:
        return answering.open_model(self.job)

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        return 0  # Beam would pickle every picture to know

    def get_metrics_namespace(self) -> str:
        return "visionport"


# ---------------------------------------------------------------- for pipelines of one's own


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as a pipeline's element: a path or URI, the bytes of a file, or uint8 [h, w, 3]."""

    given: Any

    @property
    def name(self) -> str:
        return os.fspath(self.given) if isinstance(self.given, (str, os.PathLike)) else ""

    def read(self, task: Task, *, exif: bool = True) -> np.ndarray | Failure:
        if isinstance(self.given, np.ndarray):
            from visionport.prediction import read_input

            return read_input(task, self.given)
        data = bytes(self.given) if isinstance(self.given, (bytes, bytearray)) else None
        return Item(name=self.name, path=self.name, data=data).read(task, exif=exif)


class AnswerHandler(_Handler):
    """For RunInference: pictures of any sizes -> rows, in their order, {"image": its path, "detections": ...}.

    A picture that fails has the row {"image", "error", "kind"}. large_model: one process of a machine holds the model
    for all; None where its size decides.
    """

    def __init__(
        self,
        artifact: str | os.PathLike,
        *,
        format: str | None = None,
        signature: str | None = None,
        side_inputs: str | os.PathLike | None = None,
        exif: bool = True,
        min_score: float = 0.3,
        batch_size: int = BATCH,
        large_model: bool | None = None,
    ):
        job = Job(
            artifact=os.path.abspath(artifact),
            format=format,
            signature=signature,
            side_inputs=None if side_inputs is None else os.path.abspath(side_inputs),
            exif=exif,
            min_score=min_score,
            batch_size=batch_size,
            large_model=large_model,
        )
        super().__init__(job, most=4 * batch_size)  # among which some have the same size

    def run_inference(self, batch: Sequence[Any], model: Answering, inference_args=None) -> list[dict[str, Any]]:
        about = model.about()
        rows: list[dict[str, Any]] = [{}] * len(batch)
        for number, one in answering.answer_all(model, about, [Picture(given=one) for one in batch], self.job):
            row = one.row if isinstance(one, Failure) else outputs.record(one, about, self.job)
            rows[number] = row if row["image"] else {k: v for k, v in row.items() if k != "image"}
        return rows


class Predict(beam.PTransform):
    """Pictures -> rows as `visionport predict` gives them; (key, picture) -> (key, row). See AnswerHandler."""

    def __init__(self, artifact: str | os.PathLike, **options: Any):
        super().__init__()
        self._handler = AnswerHandler(artifact, **options)

    def expand(self, pcoll):
        keyed = pcoll | beam.Map(lambda one: one if isinstance(one, tuple) else (_NoKey(), one))
        rows = keyed | RunInference(KeyedModelHandler(self._handler))
        return rows | beam.Map(lambda pair: pair[1] if isinstance(pair[0], _NoKey) else pair)


class _NoKey:
    """The key of an element that has none."""


Detect = Predict  # as one looks for it who has a detector


# ---------------------------------------------------------------- for `visionport batch`


class PieceHandler(_Handler):
    """For RunInference: pieces of work -> how many pictures each had; their rows go into the run's parts."""

    def __init__(self, job: Job, parts: Parts, max_errors: int | None):
        super().__init__(job, most=1)
        self.parts, self.max_errors = parts, max_errors

    def load_model(self) -> Model:
        try:
            return super().load_model()
        except Exception as e:
            self.parts.stop(e)
            raise

    def run_inference(self, batch: Sequence[Piece], model: Answering, inference_args=None) -> Iterator[int]:
        about = model.about()
        for piece in batch:
            yield self.answer(piece, model, about)

    def answer(self, piece: Piece, model: Answering, about: answering.About) -> int:
        begun = time.perf_counter()
        self.parts.check_stop()
        rows: list[tuple[int, Any]] = []
        failed: list[tuple[int, Failure]] = []
        output = outputs.OUTPUTS[self.job.to]
        found = inputs.items(piece, self.job.folder, self.job.image_key)
        try:
            for number, one in answering.answer_all(model, about, found, self.job):
                if isinstance(one, Failure):
                    failed.append((number, one))
                    self.parts.check_errors(len(failed), self.max_errors)
                    continue
                rows.append((number, output.row(one, about, self.job)))
                if self.job.draw_dir:
                    draw(one, about, self.job)
        except Exception as e:
            self.parts.stop(e)
            raise
        rows.sort(key=lambda row: row[0])
        failed.sort(key=lambda row: row[0])
        self.parts.write(piece, [r for _, r in rows], [f for _, f in failed], about.task, time.perf_counter() - begun)
        return len(rows) + len(failed)


def draw(one: answering.Answered, about: answering.About, job: Job) -> None:
    """Writes the picture with its answer below draw_dir, as its path lies."""
    import io

    from visionport.batch import files
    from visionport.tasks.base import files_of

    assert job.draw_dir
    folder = job.draw_dir if files.scheme_of(job.draw_dir) else os.path.join(job.folder, job.draw_dir)
    _, _, name = one.item.name.rpartition("://")
    steps = [step for step in name.replace("\\", "/").replace("#", "/").split("/") if step not in ("", ".", "..")]
    *inner, last = steps or ["picture"]
    target = files.join(folder, *inner)
    files.make_folder(target)
    for ending, image in files_of(about.task, one.picture, one.answer, about.labels, job.min_score).items():
        data = io.BytesIO()
        image.save(data, "PNG")
        files.write_bytes(files.join(target, f"{last}_{ending}.png"), data.getvalue())
