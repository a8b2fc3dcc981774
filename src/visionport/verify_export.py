"""Verifies an export directory again, from what lies in it."""

from collections.abc import Sequence
from pathlib import Path

from visionport import images, manifest
from visionport.errors import InputError
from visionport.exporter import Artifact, check_artifacts
from visionport.options import Options
from visionport.verify import Check


def verify_export(directory: Path, paths: Sequence[Path] = ()) -> list[Check]:
    """Runs each artifact of an export against the model built from its own checkpoint/ and pipeline.config.

    Raises InputError for what is not an export, or whose files are not those that were written.
    """
    content = manifest.read(directory)
    changed = [n for n, record in content["files"].items() if not same(directory / n, record)]
    if changed:
        raise InputError(
            f"{directory}: not the files that were exported (missing or changed): {', '.join(changed[:5])}"
            f"{' and more' * (len(changed) > 5)}. Export again."
        )
    size = content["options"]["image_size"]
    pictures = images.load(paths, tuple(size) if size else None)
    from visionport.checkpoint import open_checkpoint
    from visionport.config import read_config
    from visionport.exported_checkpoint import PLACES
    from visionport.models.build import build

    record = content["options"]
    options = Options(
        config=directory / "pipeline.config",
        checkpoint=directory / PLACES[content["model"]["api"]],
        out=directory,
        tflite_nms=record["tflite_nms"],
        max_detections=record["max_detections"],
        quantize=record.get("quantize", "none"),
        tflite_input=record.get("tflite_input"),
        tflite_head=record.get("tflite_head", "detections"),
    )
    model = build(read_config(options.config), open_checkpoint(options.checkpoint), batch=record["batch"])
    artifacts = [Artifact(format=a["format"], path=a["path"], size=0) for a in content["artifacts"]]
    checks, _ = check_artifacts(model, artifacts, options, directory, content, pictures)
    return list(checks)


def same(path: Path, record) -> bool:
    return path.is_file() and path.stat().st_size == record["size"] and manifest.file_record(path) == record
