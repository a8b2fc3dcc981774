"""The story, top to bottom: config, checkpoint, model, signatures, artifacts, verification, report."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionport import manifest
from visionport.config import Config, read_config
from visionport.errors import CheckpointError
from visionport.formats import format_of
from visionport.inputs import preprocessing, side_inputs
from visionport.inputs.types import check_model, split_name
from visionport.json_files import write_json
from visionport.lineage import CHECKS, REPORT, names_beside, write_counts, write_lineage
from visionport.options import Options
from visionport.progress import Progress, size_text
from visionport.staging import check_room, check_target, staged
from visionport.tasks import task_of
from visionport.verification.checks import Check, agree, record
from visionport.verification.summary import Verdict, conclude

if TYPE_CHECKING:
    from visionport.verification.run import Findings


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
    checkpoint: str = ""  # the prefix that was read
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)  # a picture's, by format; in no file

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees, and of every artifact something was compared; true where nobody asked."""
        return not self.verified or agree(self.checks)

    def __str__(self) -> str:
        from visionport.verification.table import render_text

        files = [f"{self.out / a.path}  {size_text(a.size)}" for a in self.artifacts]
        return "\n".join([*files, *([render_text(self.checks), self.verdict.text] if self.checks else [])])

    @property
    def verdict(self) -> Verdict:
        """What the checks come to, in a line."""
        return conclude(self.checks, [a.format for a in self.artifacts], self.checkpoint)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Files that stand beside the artifacts, as old scripts wrote them. write: (model, options, folder)."""

    names: tuple[str, ...]
    write: Callable[[Any, Options, Path], None]


def export(options: Options, progress: Progress | None = None, extras: Sequence[Extra] = ()) -> Export:
    """Makes an export directory. Raises VisionportError; then nothing is written and nothing is lost."""
    progress = progress or Progress()
    options.check()
    check_target(options.out, overwrite=options.overwrite, merge=options.merge, inputs=options.files)
    config = read_config(**options.config_request)
    task = task_of(config.task)
    if options.evaluate:
        check_metric(task, options.evaluate)
    pictures = task.examples(options.images, config.picture_size) if options.verify or options.images else {}
    check_model(options.inputs, config)
    side_inputs.choose(getattr(config.model, "side_inputs", ()), options.sides, options.batch)
    formats = [format_of(name) for name in options.written]
    for fmt in formats:
        fmt.check(config, options)
        options = fmt.settle(config, options)
    if options.merge:
        files = [*(n for f in formats for n in f.targets(options)), *names_beside(config, options)]
        check_room(options.out, [*files, *(n for e in extras for n in e.names)])
    from visionport.checkpoint.averages import choose_weights
    from visionport.checkpoint.open import open_checkpoint

    with progress.stage("read checkpoint"):
        checkpoint = choose_weights(open_checkpoint(options.checkpoint), options.ema)
    if checkpoint.data_problem:
        raise CheckpointError(checkpoint.data_problem)
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401

    from visionport.models.build import build
    from visionport.signatures import sign
    from visionport.verification.run import Findings

    with staged(options.out, overwrite=options.overwrite, merge=options.merge) as folder:
        with progress.stage("build model"):
            how = {"selection": options.selection, "batch": options.batch, "side_inputs": options.sides}
            model = build(config, checkpoint, **how)
        warnings = (*config.warnings, *checkpoint.warnings, *model.params.notes)
        for text in warnings:
            progress.warn(text)
        with progress.stage("trace signatures"):
            size = {"image_size": config.picture_size, "input_name": options.input_name}
            signatures = sign(model, options.inputs, batch=options.batch, **size)
        layers = []
        artifacts = [write_artifact(f, model, signatures, options, folder, progress) for f in formats]
        with progress.stage("write checkpoint and config"):
            write_lineage(config, checkpoint, model, signatures, folder)
        if options.flops:
            with progress.stage("count operations"):
                layers = write_counts(model, folder)
        for extra in extras:
            with progress.stage(f"write {extra.names[0]}"):
                extra.write(model, options, folder)
        content = describe(options, checkpoint, model, signatures, artifacts, folder)
        found = Findings()
        notes = [note for f in formats for note in f.warnings(config, options)]
        if options.verify:
            with progress.stage("verify"):
                found = verify_artifacts(model, options, folder, content, pictures)
            notes += found.notes
            write_json(folder / CHECKS, record(found.checks))
        with progress.stage("write report"):
            from visionport.report.views import write_report

            write_report(
                folder / REPORT, folder, content, found, pictures, config, warnings, timed=options.timed, layers=layers
            )
            manifest.write(folder, content)
    return Export(
        out=options.out,
        artifacts=tuple(artifacts),
        checks=found.checks,
        warnings=warnings,
        notes=tuple(notes),
        verified=options.verify,
        checkpoint=str(checkpoint.prefix),
        seconds=found.seconds,
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
        size = fmt.size(path)
        remark(size_text(size))
    return Artifact(format=fmt.name, path=str(path.relative_to(folder)), size=size, seconds=took)


def describe(
    options: Options, checkpoint, model, signatures, artifacts: Sequence[Artifact], folder: Path
) -> dict[str, Any]:
    """The manifest's content, but for the files."""
    import tensorflow as tf

    from visionport import __version__

    config: Config = model.config
    parameters = {**model.params.variables, **model.params.constants}
    configs = [p for p in dict.fromkeys((config.path, *options.config_files)) if p.is_file()]  # none: a name alone
    return {
        "visionport": __version__,
        "tensorflow": tf.__version__,
        "options": manifest.options_record(options),
        "inputs": {p.name: manifest.file_record(p) for p in (*configs, *checkpoint.paths)},
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


def verify_artifacts(model, options: Options, folder: Path, content: Mapping[str, Any], pictures) -> "Findings":
    """Runs every artifact in its own runtime against the model.

    Its notes say what could not be run here, and what was measured and is another the next time.
    """
    from visionport.verification.run import Candidate, Source, evaluate, verify

    task = task_of(model.config.task)
    here = [a for a in content["artifacts"] if not format_of(a["format"]).missing_package()]
    formats = [format_of(a["format"]) for a in here]
    notes = [
        f"{a['path']} is not verified: {missing}."
        for a in content["artifacts"]
        if (missing := format_of(a["format"]).missing_package())
    ]
    probes = [probe for f in formats if (probe := f.probes(model, options))]
    source = Source(model, task, split_name(options.inputs[0])[0], content["preprocessing"], probes, options.batch)
    candidates = [
        Candidate(
            format=f.name,
            open=partial(manifest.open_artifact, folder, content, a, task, source.sided),
            tolerance=f.tolerance(model, options),
            left_out=left_out(f, model, options, source.outputs, a["reading"]),
            by_design=f.differs(model, options),
            loss=f.loss(model, options),
            in_full=f.answers_in_full(options),
        )
        for f, a in zip(formats, here, strict=True)
    ]
    found = verify(source, candidates, pictures)
    checks = [*found.checks]
    if options.evaluate:
        checks += evaluate(source, candidates, options.evaluate, model.config.picture_size)
    for f, a in zip(formats, here, strict=True):
        more, said = f.examine(model, options, folder / a["path"], content, pictures)
        checks += more
        notes += said
    return dataclasses.replace(found, checks=tuple(checks), notes=tuple(notes))


def left_out(fmt, model, options: Options, outputs: Sequence[str], reading: Mapping[str, Any]) -> dict[str, str]:
    """Which of the model's outputs an artifact does not have by design, and why."""
    of_pictures = model.of_pictures if reading["type"] == "preprocessed" else ()
    untold = dict.fromkeys(of_pictures, "preprocessed images do not tell the picture's size")
    return {**untold, **fmt.left_out(model, options, outputs)}
