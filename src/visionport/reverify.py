"""Verifies an export directory again, from what lies in it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from visionport import manifest
from visionport.errors import InputError
from visionport.exporter import Artifact, check_artifacts
from visionport.inputs import pictures as images
from visionport.inputs import side_inputs
from visionport.options import Options
from visionport.tasks.detection import metric
from visionport.verification.checks import Check


def verify_export(
    directory: Path, paths: Sequence[Path] = (), evaluate: Path | None = None
) -> tuple[list[Check], tuple[str, ...]]:
    """Runs each artifact of an export against the model built from its own checkpoint/ and pipeline.config.

    Returns the checks and, in words, what was measured besides, as an export tells it. Raises InputError for what is
    not an export, or whose files are not those that were written.
    """
    if Path(directory).is_file():
        raise InputError(
            f"{directory} is a file. verify wants the export directory, where the checkpoint lies beside it; "
            "`visionport inspect` and `visionport predict` take the file."
        )
    if evaluate:
        metric.check(evaluate)
    content = manifest.read(directory)
    changed = [n for n, record in content["files"].items() if not same(directory / n, record)]
    if changed:
        raise InputError(
            f"{directory}: not the files that were exported (missing or changed): {', '.join(changed[:5])}"
            f"{' and more' * (len(changed) > 5)}. Export again."
        )
    size = content["options"]["image_size"]
    pictures = images.load(paths, tuple(size) if size else None)
    from visionport.checkpoint.open import open_checkpoint
    from visionport.checkpoint.write import PLACES
    from visionport.config import read_config
    from visionport.models.build import build

    given: dict[str, Any] = {"labels": None, "keypoint_label_map": None, "images": (), "evaluate": evaluate}
    options = replace(
        recorded(content["options"]),
        config=directory / "pipeline.config",
        checkpoint=directory / PLACES[content["model"]["api"]],
        config_override="",
        out=directory,
        **given,
    )
    model = build(
        read_config(options.config),
        open_checkpoint(options.checkpoint),
        batch=options.batch,
        side_inputs=side_inputs.of(content),
    )
    artifacts = [Artifact(format=a["format"], path=a["path"], size=0) for a in content["artifacts"]]
    checks, _, notes = check_artifacts(model, artifacts, options, directory, content, pictures)
    return checks, notes


def recorded(record: Mapping[str, Any]) -> Options:
    """The options of an export, as its manifest has them."""
    known = {f.name for f in fields(Options)}
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k in known}
    return Options(**values, out=Path())


def same(path: Path, record) -> bool:
    return path.is_file() and path.stat().st_size == record["size"] and manifest.file_record(path) == record
