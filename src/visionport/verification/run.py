"""Runs a source and its artifacts on the same pictures and compares what they answer."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from visionport.formats.base import Asker, Reading, SignatureInfo, Tensor
from visionport.inputs import side_inputs
from visionport.inputs.types import more_specs
from visionport.tasks.base import Answer, Measure, Task
from visionport.verification.bounds import METRIC_LOST, Tolerance
from visionport.verification.checks import Check, check_structure

SOURCE = "checkpoint"  # what the source is called beside the artifacts' formats
CALLS, LONG = 5, 1.0  # a call's time is the median of so many, or of as many as take so many seconds


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What verification found. answers: {picture: {"checkpoint" or a format: answer}}.

    seconds: what one picture takes here, preparing it included, by format. notes: what else is to be said, in words.
    """

    checks: tuple[Check, ...] = ()
    answers: Mapping[str, Mapping[str, Answer]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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

    A signature for each input type by which it may be asked, since some models prepare the same pictures otherwise.
    probes: functions of (preprocessed images, their true shapes, raw prediction) that give more answers, which some
    artifact shows. more: names and specs of inputs besides the pictures (inputs/types.py).
    """

    thread_safe = True
    INPUT = "image"

    def __init__(self, model, probes: Sequence[Callable] = (), more: Mapping[str, Any] = MappingProxyType({})):
        self._model: Any = model
        self._probes, self._more = probes, more
        size = model.detect.inputs[0].shape[0]
        sides = [Tensor(name=i.name, dtype=i.dtype, shape=i.shape) for i in model.side_inputs]
        found = model.trace(more).structured_outputs
        outputs = tuple(Tensor(name=n, dtype=t.dtype.name, shape=tuple(t.shape)) for n, t in found.items())
        inputs = (Tensor(name=self.INPUT, dtype="uint8", shape=(size, None, None, 3)), *sides)
        self.signatures: Mapping[str, SignatureInfo] = {
            name: SignatureInfo(name=name, inputs=inputs, outputs=outputs) for name in model.config.input_types
        }

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import tensorflow as tf

        model = self._model
        prepared, shapes = model.preprocess(tf.constant(feeds[self.INPUT]), source=signature)
        sides = [tf.constant(feeds[i.name]) for i in model.side_inputs]
        given = [tf.constant(feeds[name]) for name in self._more]
        outputs = {k: v.numpy() for k, v in model.trace(self._more)(prepared, shapes, *sides, *given).items()}
        raw = model.predict(prepared, shapes, *sides) if self._probes else None
        for probe in self._probes:
            outputs |= {k: np.asarray(v) for k, v in probe(prepared, shapes, raw).items()}
        return outputs

    def close(self) -> None:
        self._model = None


class Source:
    """The model, to be asked by each input type. input_type: the first of the export, which may take more inputs."""

    def __init__(self, model, task: Task, input_type: str, how: Mapping[str, Any], probes: Sequence[Callable], batch):
        more = more_specs(input_type, batch)
        self.task, self.sided = task, side_inputs.example(model.side_inputs)
        self._runner = ModelRunner(model, probes, more)
        self._how, self._sides = how, tuple(model.side_inputs)
        self._type = input_type if more else "image_tensor"
        self._answers = dict(model.reading) | ({"given": sorted(more)} if more else {})
        self.outputs = [t.name for t in self._runner.signatures[input_type].outputs]

    def asker(self, source: str = "image_tensor") -> Asker:
        """By the input type `source`, fed with pictures all the same."""
        known = source if source in self._runner.signatures else next(iter(self._runner.signatures))
        reading = Reading(input=ModelRunner.INPUT, type=self._type, signature=known, answers=self._answers)
        how: dict[str, Any] = {"how": self._how, "sides": self._sides, "sided": self.sided}
        return Asker(runner=self._runner, reading=reading, task=self.task, **how)


def verify(source: Source, candidates: Sequence[Candidate], pictures: Mapping[str, np.ndarray]) -> Findings:
    """Source and artifacts on every picture.

    source: takes float32 too, for moved pictures (bounds.py).
    """
    checks: list[Check] = []
    answers: dict[str, dict[str, Answer]] = {name: {} for name in pictures}
    asked: dict[tuple[str, str], tuple[Mapping[str, np.ndarray], Answer]] = {}
    moved: dict[tuple[str, str, float], Answer] = {}
    seconds: dict[str, float] = {}
    for candidate in candidates:
        tolerance, asker = candidate.tolerance, candidate.open()
        kind, itself = asker.reading.source, source.asker(asker.reading.source)
        for name, picture in pictures.items():
            if (name, kind) not in asked:
                outputs, extent = itself.ask(picture[None])
                asked[name, kind] = outputs, itself.read(outputs, extent)
            outputs, wanted = asked[name, kind]
            answers[name].setdefault(SOURCE, wanted)
            found, extent = asker.ask(picture[None])
            if name == next(iter(pictures)):
                checks.append(check_outputs(source, itself, asker, candidate, outputs, found))
            answer = answer_or_nothing(asker, found, extent)
            answers[name][candidate.format] = answer
            key = name, kind, tolerance.moved
            if tolerance.moved and key not in moved:
                moved[key] = itself(picture.astype(np.float32) + np.float32(tolerance.moved))
            checks += asker.task.compare(
                candidate.format,
                name,
                wanted,
                answer,
                tolerance=tolerance,
                by_design=candidate.by_design,
                moved=moved.get(key),
            )
        for picture in [*pictures.values()][:1]:
            seconds[candidate.format] = time_call(asker, picture)
        asker.runner.close()
        del asker
        gc.collect()  # TensorFlow's graphs refer to themselves, and hold the weights
    return Findings(checks=tuple(checks), answers=answers, seconds=seconds)


def time_call(asker: Asker, picture: np.ndarray) -> float:
    """Seconds that one picture takes, after earlier ones; preparing it is included where that is the client's work."""
    took: list[float] = []
    while len(took) < CALLS and sum(took) < LONG:
        begun = time.perf_counter()
        asker.ask(picture[None])
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def check_outputs(source: Source, itself: Asker, asker: Asker, candidate: Candidate, outputs, found) -> Check:
    """Whether an artifact has the outputs of the source, and what it shows besides of the source's inside."""
    own = {*asker.reading.outputs, *asker.reading.probes}
    wanted = {k: v for k, v in outputs.items() if k in source.outputs or k in own}
    dtypes = asker.reading.dtypes
    wanted = {k: v.astype(dtypes[k]) if k in dtypes else v for k, v in wanted.items()}
    there = itself.batch or 1
    batch = asker.batch or 1
    wanted = {k: np.repeat(v[:1], batch, axis=0) if np.ndim(v) and len(v) == there else v for k, v in wanted.items()}
    return check_structure(candidate.format, wanted, found, candidate.left_out, batch)


def answer_or_nothing(asker: Asker, outputs: Mapping[str, np.ndarray], extent: np.ndarray) -> Answer:
    """The answer; nothing where outputs are missing or not what they should be, which `check_structure` tells."""
    try:
        return asker.read(outputs, extent)
    except (KeyError, IndexError, ValueError, TypeError):
        return {}


def evaluate(source: Source, candidates: Sequence[Candidate], path: Path, size: tuple[int, int] | None) -> list[Check]:
    """What each artifact loses against its source on labelled pictures, by the task's metric."""
    metric = source.task.metric
    assert metric
    known = {c.format: c for c in candidates if c.in_full}
    runs = {SOURCE: source.asker()} | {name: c.open() for name, c in known.items()}
    measured = metric.evaluate(runs, path, size)
    return [metric_check(metric.name, known[k], measured[k], measured[SOURCE], path) for k in measured if k != SOURCE]


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
