"""The story, top to bottom: config, checkpoint, model, signatures, artifacts, verification, report."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from visionport import manifest
from visionport.config import Config, read_config
from visionport.errors import CheckpointError
from visionport.formats import format_of
from visionport.inputs import preprocessing, side_inputs
from visionport.inputs.types import check_model
from visionport.lineage import CHECKS, REPORT, names_beside, write_lineage
from visionport.options import Options
from visionport.progress import Progress, size_of
from visionport.staging import check_room, check_target, staged
from visionport.tasks import task_of
from visionport.verification.checks import Check, agree, record


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file or folder of an export; `path` is relative to it."""

    format: str
    path: str
    size: int
    seconds: float = 0.0  # that writing it took


@dataclass(frozen=True, kw_only=True)
class Export:
    """What an export wrote, and whether each artifact agrees with the checkpoint."""

    out: Path
    artifacts: tuple[Artifact, ...]
    checks: tuple[Check, ...]  # none without verification
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what was measured and is in no file, since it is another the next time
    verified: bool = True

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees, and of every artifact something was compared; true where nobody asked."""
        return not self.verified or agree(self.checks)

    def __str__(self) -> str:
        from visionport.verification.table import render_text

        files = [f"{self.out / a.path}  {a.size / 1e6:.1f} MB" for a in self.artifacts]
        return "\n".join([*files, *([render_text(self.checks)] if self.checks else [])])


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Files that stand beside the artifacts, as old scripts wrote them. write: (model, options, folder)."""

    names: tuple[str, ...]
    write: Callable[[Any, Options, Path], None]


def export(options: Options, progress: Progress | None = None, extras: Sequence[Extra] = ()) -> Export:
    """Makes an export directory. Raises VisionportError; then nothing is written and nothing is lost."""
    progress = progress or Progress()
    options.check()
    label_maps = options.labels, options.keypoint_label_map
    inputs = (options.config, options.checkpoint, *label_maps, *options.images)
    check_target(options.out, overwrite=options.overwrite, merge=options.merge, inputs=[p for p in inputs if p])
    config = read_config(options.config, options.config_override, *label_maps)
    task = task_of(config.task)
    if options.evaluate:
        check_metric(task, options.evaluate)
    pictures = task.examples(options.images, options.image_size) if options.verify or options.images else {}
    check_model(options.inputs, config)
    side_inputs.choose(getattr(config.model, "side_inputs", ()), options.sides, options.batch)
    formats = [format_of(name) for name in options.written]
    for fmt in formats:
        fmt.check(config, options)
        options = fmt.settle(config, options)
    if options.merge:
        files = [*(f.target for f in formats), *names_beside(config, verified=options.verify)]
        check_room(options.out, [*files, *(n for e in extras for n in e.names)])
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401

    from visionport.checkpoint.open import open_checkpoint
    from visionport.models.build import build
    from visionport.signatures import sign

    with progress.stage("read checkpoint"):
        checkpoint = open_checkpoint(options.checkpoint)
    if checkpoint.data_problem:
        raise CheckpointError(checkpoint.data_problem)
    with staged(options.out, overwrite=options.overwrite, merge=options.merge) as folder:
        with progress.stage("build model"):
            how = {"selection": options.selection, "batch": options.batch, "side_inputs": options.sides}
            model = build(config, checkpoint, **how)
        warnings = (*config.warnings, *checkpoint.warnings, *model.params.notes)
        for text in warnings:
            progress.warn(text)
        with progress.stage("trace signatures"):
            signatures = sign(model, options.inputs, batch=options.batch, image_size=options.image_size)
        artifacts = [write_artifact(f, model, signatures, options, folder, progress) for f in formats]
        with progress.stage("write checkpoint and config"):
            write_lineage(config, checkpoint, model, signatures, folder)
        for extra in extras:
            with progress.stage(f"write {extra.names[0]}"):
                extra.write(model, options, folder)
        content = describe(options, checkpoint, model, signatures, artifacts, folder)
        checks, answers = (), {}
        notes = [note for f in formats for note in f.warnings(config, options)]
        if options.verify:
            with progress.stage("verify"):
                checks, answers, more = verify_artifacts(model, options, folder, content, pictures)
            notes += more
            manifest.write_json(folder / CHECKS, record(checks))
        with progress.stage("write report"):
            from visionport.report.views import write_report

            write_report(folder / REPORT, folder, content, checks, answers, pictures, config, warnings)
            manifest.write(folder, content)
    return Export(
        out=options.out,
        artifacts=tuple(artifacts),
        checks=tuple(checks),
        warnings=warnings,
        notes=tuple(notes),
        verified=options.verify,
    )


def check_metric(task, path: Path) -> None:
    """Raises OptionError where the task has no metric, InputError where `path` is no labelled data."""
    from visionport.errors import OptionError

    if not task.metric:
        raise OptionError(f"--evaluate: there is no metric for {task.name}. Leave it out.")
    task.metric.check(path)


def write_artifact(fmt, model, signatures, options: Options, folder: Path, progress: Progress) -> Artifact:
    with progress.stage(f"write {fmt.name}") as remark:
        begun = time.perf_counter()
        path = fmt.write(model, signatures, options, folder, progress)
        took = time.perf_counter() - begun
        size = size_of(path)
        remark(f"{size / 1e6:.1f} MB")
    return Artifact(format=fmt.name, path=path.name, size=size, seconds=took)


def describe(
    options: Options, checkpoint, model, signatures, artifacts: Sequence[Artifact], folder: Path
) -> dict[str, Any]:
    """The manifest's content, but for the files."""
    import tensorflow as tf

    from visionport import __version__

    config: Config = model.config
    parameters = {**model.params.variables, **model.params.constants}
    return {
        "visionport": __version__,
        "tensorflow": tf.__version__,
        "options": manifest.options_record(options),
        "inputs": {p.name: manifest.file_record(p) for p in (config.path, *checkpoint.paths)},
        "model": {
            "architecture": config.architecture,
            "family": config.family,
            "task": config.task,
            "api": config.lineage.name,
            "num_classes": config.num_classes,
            "parameters": sum(
                int(v.shape.num_elements() if hasattr(v.shape, "num_elements") else v.size) for v in parameters.values()
            ),
            "checkpoint_step": checkpoint.step,
            "label_id_offset": config.label_offset,
        },
        "side_inputs": [dataclasses.asdict(i) for i in model.side_inputs],
        "preprocessing": preprocessing.describe(config.model.resizer, model.meta.normalization(config.model)),
        "artifacts": [describe_artifact(a, model, signatures, options, folder) for a in artifacts],
    }


def describe_artifact(artifact: Artifact, model, signatures, options: Options, folder: Path) -> dict[str, Any]:
    fmt = format_of(artifact.format)
    reading = fmt.reading(model, signatures, options)

    def tensors(side):
        return [
            {"name": t.name, "dtype": t.dtype, "shape": [-1 if d is None else int(d) for d in t.shape]} for t in side
        ]

    found = fmt.signatures(folder / artifact.path, reading)
    return {
        "format": artifact.format,
        "path": artifact.path,
        "reading": reading.record(),
        "signatures": [{"name": s.name, "inputs": tensors(s.inputs), "outputs": tensors(s.outputs)} for s in found],
    }


def verify_artifacts(model, options: Options, folder: Path, content: Mapping[str, Any], pictures):
    """Runs every artifact in its own runtime against the model: ([Check], answers, notes), see verification/run.py.

    notes: in words, what could not be run here, and what was measured and is another the next time.
    """
    from visionport.verification.run import Candidate, ask_model, evaluate, verify

    task = task_of(model.config.task)
    here = [a for a in content["artifacts"] if not format_of(a["format"]).missing_package()]
    formats = [format_of(a["format"]) for a in here]
    notes = [
        f"{a['path']} is not verified: {missing}."
        for a in content["artifacts"]
        if (missing := format_of(a["format"]).missing_package())
    ]
    probes = [probe for f in formats if (probe := f.probes(model, options))]
    source = ask_model(model, task, options.inputs[0], content["preprocessing"], probes, options.batch)
    outputs = [t.name for t in source.runner.signatures["model"].outputs]
    candidates = [
        Candidate(
            format=f.name,
            open=partial(manifest.open_artifact, folder, content, a, task, source.sided),
            tolerance=f.tolerance(model, options),
            left_out=f.left_out(model, options, outputs),
            by_design=f.differs(model, options),
            loss=f.loss(model, options),
            in_full=f.answers_in_full(options),
        )
        for f, a in zip(formats, here, strict=True)
    ]
    checks, answers = verify(source, candidates, pictures)
    if options.evaluate:
        checks += evaluate(source, candidates, options.evaluate, options.image_size)
    for f, a in zip(formats, here, strict=True):
        more, said = f.examine(model, options, folder / a["path"], content, pictures)
        checks += more
        notes += said
    return checks, answers, notes
