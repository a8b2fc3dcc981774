"""Runs a source and its artifacts on the same pictures and compares what they answer."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visionport.formats.base import Asker, Reading, SignatureInfo, Tensor
from visionport.inputs import side_inputs
from visionport.inputs.types import more_specs
from visionport.tasks.base import Answer, Measure
from visionport.verification.bounds import METRIC_LOST, Tolerance
from visionport.verification.checks import Check, check_structure

SOURCE = "checkpoint"  # what the source is called beside the artifacts' formats


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An artifact to verify. open: an Asker of it, in memory while it is asked and no longer.

    left_out: outputs that it does not have by design, and why. by_design: why its answers differ, where asked for.
    """

    format: str
    open: Callable[[], Asker]
    tolerance: Tolerance
    left_out: Mapping[str, str] = field(default_factory=dict)
    by_design: str = ""
    loss: str = ""  # what rounds it, see bounds.METRIC_LOST
    in_full: bool = True  # it gives the task's answers


class ModelRunner:
    """The model as it was built from the checkpoint, as a Runner of pictures uint8 or float32 [b, h, w, 3].

    probes: functions of (preprocessed images, their true shapes, raw prediction) that give more answers, which some
    artifact shows. more: names and specs of inputs besides the pictures (inputs/types.py).
    """

    thread_safe = True
    INPUT = "image"

    def __init__(self, model, probes: Sequence[Callable] = (), more: Mapping[str, Any] = {}):
        self._model: Any = model
        self._probes, self._more = probes, more
        size = model.detect.inputs[0].shape[0]
        sides = [Tensor(name=i.name, dtype=i.dtype, shape=i.shape) for i in model.side_inputs]
        outputs = model.trace(more).structured_outputs
        self.signatures: Mapping[str, SignatureInfo] = {
            "model": SignatureInfo(
                name="model",
                inputs=(Tensor(name=self.INPUT, dtype="uint8", shape=(size, None, None, 3)), *sides),
                outputs=tuple(
                    Tensor(name=n, dtype=outputs[n].dtype.name, shape=tuple(outputs[n].shape)) for n in outputs
                ),
            )
        }

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        model = self._model
        prepared, shapes = model.preprocess(tf.constant(feeds[self.INPUT]))
        sides = [tf.constant(feeds[i.name]) for i in model.side_inputs]
        given = [tf.constant(feeds[name]) for name in self._more]
        outputs = {k: v.numpy() for k, v in model.trace(self._more)(prepared, shapes, *sides, *given).items()}
        raw = model.predict(prepared, shapes, *sides) if self._probes else None
        for probe in self._probes:
            outputs |= {k: np.asarray(v) for k, v in probe(prepared, shapes, raw).items()}
        return outputs

    def close(self) -> None:
        self._model = None


def ask_model(model, task, input_type: str, how: Mapping[str, Any], probes: Sequence[Callable], batch) -> Asker:
    """An Asker of the model itself; `input_type` says what goes in besides pictures."""
    more = more_specs(input_type, batch)
    kind = "image_and_boxes_tensor" if more else "image_tensor"
    reading = Reading(
        input=ModelRunner.INPUT, type=kind, signature="model", answers=dict(model.reading) | {"given": sorted(more)}
    )
    sided = side_inputs.example(model.side_inputs)
    runner = ModelRunner(model, probes, more)
    return Asker(runner=runner, reading=reading, task=task, how=how, sides=tuple(model.side_inputs), sided=sided)


def verify(
    source: Asker, candidates: Sequence[Candidate], pictures: Mapping[str, np.ndarray]
) -> tuple[list[Check], dict[str, dict[str, Answer]]]:
    """Source and artifacts on every picture: ([Check], {picture: {"checkpoint" or a format: answer}}).

    source: takes float32 too, for moved pictures (bounds.py).
    """
    checks: list[Check] = []
    answers: dict[str, dict[str, Answer]] = {}
    outputs: dict[str, Mapping[str, np.ndarray]] = {}
    moved: dict[tuple[str, float], Answer] = {}
    for name, picture in pictures.items():
        outputs[name], extent = source.ask(picture[None])
        answers[name] = {SOURCE: source.read(outputs[name], extent)}
    for candidate in candidates:
        tolerance, asker = candidate.tolerance, candidate.open()
        for name, picture in pictures.items():
            found, extent = asker.ask(picture[None])
            if name == next(iter(pictures)):
                checks.append(check_outputs(source, asker, candidate, outputs[name], found))
            answer = answer_or_nothing(asker, found, extent)
            answers[name][candidate.format] = answer
            key = name, tolerance.moved
            if tolerance.moved and key not in moved:
                moved[key] = source(picture.astype(np.float32) + np.float32(tolerance.moved))
            checks += asker.task.compare(
                candidate.format,
                name,
                answers[name][SOURCE],
                answer,
                tolerance=tolerance,
                by_design=candidate.by_design,
                moved=moved.get(key),
            )
        asker.runner.close()
        del asker
        gc.collect()  # TensorFlow's graphs refer to themselves, and hold the weights
    return checks, answers


def check_outputs(source: Asker, asker: Asker, candidate: Candidate, outputs, found) -> Check:
    """Whether an artifact has the outputs of the source, and what it shows besides of the source's inside."""
    own = {*asker.reading.outputs, *asker.reading.probes}
    names = {t.name for t in source.runner.signatures["model"].outputs}
    wanted = {k: v for k, v in outputs.items() if k in names or k in own}
    there = source.batch or 1
    batch = asker.batch or 1
    wanted = {k: np.repeat(v[:1], batch, axis=0) if np.ndim(v) and len(v) == there else v for k, v in wanted.items()}
    return check_structure(candidate.format, wanted, found, candidate.left_out, batch)


def answer_or_nothing(asker: Asker, outputs: Mapping[str, np.ndarray], extent: np.ndarray) -> Answer:
    """The answer; nothing where outputs are missing or not what they should be, which `check_structure` tells."""
    try:
        return asker.read(outputs, extent)
    except (KeyError, IndexError, ValueError, TypeError):
        return {}


def evaluate(source: Asker, candidates: Sequence[Candidate], path: Path, size: tuple[int, int] | None) -> list[Check]:
    """What each artifact loses against its source on labelled pictures, by the task's metric."""
    metric = source.task.metric
    assert metric
    runs = {SOURCE: source} | {c.format: c.open() for c in candidates if c.in_full}
    measured = metric.evaluate(runs, path, size)
    known = {c.format: c for c in candidates}
    return [
        metric_check(metric.name, known[kind], measured[kind], measured[SOURCE], path)
        for kind in measured
        if kind != SOURCE
    ]


def metric_check(metric: str, candidate: Candidate, mine: Measure, source: Measure, path: Path) -> Check:
    figures = [f"{mine.value:.4f} of {source.value:.4f}"]
    figures += [f"{mine.more} (source {source.more.rpartition(' ')[2]})"] if mine.more else []
    return Check(
        artifact=candidate.format,
        what=f"{metric} lost",
        measured=source.value - mine.value,
        bound=None if candidate.by_design else METRIC_LOST[candidate.loss],
        data=path.name,
        by_design=candidate.by_design,
        notes="; ".join(figures),
    )
