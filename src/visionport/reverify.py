"""Verifies an export directory again, from what lies in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from visionport import manifest
from visionport.config import read_config
from visionport.config.lineage import LINEAGES
from visionport.errors import InputError
from visionport.exporter import check_metric, verify_artifacts
from visionport.filetypes import check_name
from visionport.formats import format_of
from visionport.inputs import side_inputs
from visionport.options import Options
from visionport.progress import Progress
from visionport.staging import check_file
from visionport.tasks import task_of
from visionport.verification.checks import Check, agree
from visionport.verification.summary import Verdict, conclude


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify` found. notes: in words, what was measured and is another the next time."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()  # their formats
    checkpoint: str = ""  # what they were compared with
    seconds: Mapping[str, float] = field(default_factory=dict)  # a picture's here, by format

    @property
    def agrees(self) -> bool:
        return agree(self.checks)

    def __str__(self) -> str:
        from visionport.verification.table import render_text

        return "\n".join([render_text(self.checks), *self.notes, self.verdict.text])

    @property
    def verdict(self) -> Verdict:
        """What the checks come to, in a line."""
        return conclude(self.checks, self.artifacts, self.checkpoint)


def verify(
    directory: str | os.PathLike,
    images: Sequence[str | os.PathLike] = (),
    *,
    evaluate: str | os.PathLike | None = None,
    report: str | os.PathLike | None = None,
    overwrite: bool = False,
    allow_unsafe_ops: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Runs each artifact of an export against the model built from its own checkpoint and config.

    images: pictures to compare on; bundled ones by default. evaluate: labelled pictures, a TFRecord. report: a file for
    the report of this verification, with its date and what a picture takes on this machine; overwrite: it may be there.
    allow_unsafe_ops: ops that read files or do something else outside of a graph may run, of an export that you trust.

    Raises InputError for what is not an export, or whose files are not those that were written.
    """
    directory = Path(directory)
    if directory.is_file():
        raise InputError(
            f"{directory} is a file. verify wants the export directory, where the checkpoint lies beside it; "
            "`visionport inspect` and `visionport predict` take the file."
        )
    check_name(directory)
    content = manifest.read(directory)
    task = task_of(content["model"].get("task", "detection"))
    labelled = Path(evaluate) if evaluate else None
    if labelled:
        check_metric(task, labelled)
    progress = progress or Progress()
    target = Path(report) if report else None
    if target:
        read = [directory, *map(Path, images), *([labelled] if labelled else [])]
        check_file(target, overwrite=overwrite, inputs=read, option="--report")
    with progress.stage("check files"):
        changed = [n for n, record in content["files"].items() if not same(directory, n, record)]
    if changed:
        raise InputError(
            f"{directory}: not the files that were exported (missing or changed): {', '.join(changed[:5])}"
            f"{' and more' * (len(changed) > 5)}. Export again."
        )
    options = options_of(directory, content, labelled)
    config = read_config(**options.config_request)
    pictures = task.examples([Path(p) for p in images], config.picture_size)
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401
    for artifact in content["artifacts"] if not allow_unsafe_ops else ():
        format_of(artifact["format"]).check_foreign(manifest.place_of(directory, artifact["path"]))
    with progress.stage("build model"):
        model = rebuild(config, options, content)
    with progress.stage("verify"):
        found = verify_artifacts(model, options, directory, content, pictures)
    if target:
        from visionport.report.views import write_report

        how = {"timed": True, "own": bool(images), "overwrite": overwrite}
        write_report(target, directory, content, found, pictures, config, config.warnings, **how)
    return Verification(
        checks=found.checks,
        notes=found.notes,
        artifacts=tuple(a["format"] for a in content["artifacts"]),
        checkpoint=f"the checkpoint in {directory}",
        seconds=found.seconds,
    )


def rebuild(config, options: Options, content: Mapping[str, Any]):
    """The model from the checkpoint in an export."""
    from visionport.checkpoint.open import open_checkpoint
    from visionport.models.build import build

    checkpoint = open_checkpoint(options.checkpoint)
    return build(config, checkpoint, batch=options.batch, side_inputs=side_inputs.of(content))


def options_of(directory: Path, content: Mapping[str, Any], evaluate: Path | None) -> Options:
    """The options of an export, as its manifest has them, but for places: those are in the export itself."""
    lineage = LINEAGES[content["model"]["api"]]
    known = {f.name for f in fields(Options)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["options"].items()}
    values = {k: v for k, v in values.items() if k in known} | {"out": Path()}
    given: dict[str, Any] = {"labels": None, "keypoint_label_map": None, "images": (), "evaluate": evaluate}
    given |= {"ema": False, "config_files": (), "params_override": ()}
    if lineage.trains_parts:
        given["experiment"] = content["model"]["architecture"]
    return replace(
        Options(**values),
        config=directory / lineage.config_name,
        checkpoint=directory / lineage.checkpoint_place,
        config_override="",
        out=directory,
        **given,
    )


def same(directory: Path, name: str, record) -> bool:
    """Whether a file is the one that the manifest has recorded."""
    path = manifest.place_of(directory, name)
    return path.is_file() and path.stat().st_size == record["size"] and manifest.file_record(path) == record
