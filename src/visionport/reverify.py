"""Verifies an export directory again, from what lies in it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from visionport import manifest
from visionport.config.lineage import LINEAGES
from visionport.errors import InputError
from visionport.exporter import check_metric, verify_artifacts
from visionport.inputs import side_inputs
from visionport.options import Options
from visionport.tasks import task_of
from visionport.verification.checks import Check, agree


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify` found. notes: in words, what was measured and is another the next time."""

    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        return agree(self.checks)

    def __str__(self) -> str:
        from visionport.verification.table import render_text

        return "\n".join([render_text(self.checks), *self.notes])


def verify(
    directory: str | os.PathLike,
    images: Sequence[str | os.PathLike] = (),
    *,
    evaluate: str | os.PathLike | None = None,
) -> Verification:
    """Runs each artifact of an export against the model built from its own checkpoint and config.

    images: pictures to compare on; bundled ones by default. evaluate: labelled pictures, a TFRecord.

    Raises InputError for what is not an export, or whose files are not those that were written.
    """
    directory = Path(directory)
    if directory.is_file():
        raise InputError(
            f"{directory} is a file. verify wants the export directory, where the checkpoint lies beside it; "
            "`visionport inspect` and `visionport predict` take the file."
        )
    content = manifest.read(directory)
    task = task_of(content["model"].get("task", "detection"))
    labelled = Path(evaluate) if evaluate else None
    if labelled:
        check_metric(task, labelled)
    changed = [n for n, record in content["files"].items() if not same(directory / n, record)]
    if changed:
        raise InputError(
            f"{directory}: not the files that were exported (missing or changed): {', '.join(changed[:5])}"
            f"{' and more' * (len(changed) > 5)}. Export again."
        )
    size = content["options"]["image_size"]
    pictures = task.examples([Path(p) for p in images], tuple(size) if size else None)
    options = options_of(directory, content, labelled)
    model = rebuild(options, content)
    checks, _, notes = verify_artifacts(model, options, directory, content, pictures)
    return Verification(checks=tuple(checks), notes=tuple(notes))


def rebuild(options: Options, content: Mapping[str, Any]):
    """The model from the checkpoint and the config in an export."""
    from visionport.checkpoint.open import open_checkpoint
    from visionport.config import read_config
    from visionport.models.build import build

    config, checkpoint = read_config(options.config), open_checkpoint(options.checkpoint)
    return build(config, checkpoint, batch=options.batch, side_inputs=side_inputs.of(content))


def options_of(directory: Path, content: Mapping[str, Any], evaluate: Path | None) -> Options:
    """The options of an export, as its manifest has them, but for places: those are in the export itself."""
    lineage = LINEAGES[content["model"]["api"]]
    known = {f.name for f in fields(Options)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content["options"].items()}
    values = {k: v for k, v in values.items() if k in known} | {"out": Path()}
    given: dict[str, Any] = {"labels": None, "keypoint_label_map": None, "images": (), "evaluate": evaluate}
    return replace(
        Options(**values),
        config=directory / lineage.config_name,
        checkpoint=directory / lineage.checkpoint_place,
        config_override="",
        out=directory,
        **given,
    )


def same(path: Path, record) -> bool:
    """Whether a file is the one that the manifest has recorded."""
    return path.is_file() and path.stat().st_size == record["size"] and manifest.file_record(path) == record
