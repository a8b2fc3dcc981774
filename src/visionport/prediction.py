"""Detections in pictures, by any artifact of an export directory, as JSON and drawn."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from visionport import formats, manifest
from visionport.errors import ArtifactError, InputError, OptionError
from visionport.inputs import pictures as images
from visionport.inputs import side_inputs
from visionport.staging import MANIFEST, is_export


def load(path: Path | str, kind: str | None = None, side: Path | None = None) -> tuple[Callable, Mapping[int, str]]:
    """(run, labels) of an artifact: run takes uint8 [h, w, 3] and returns an answer (formats/__init__.py).

    path: an export directory, one of its artifacts, or any TFLite detector. kind: which format of a directory; the
    first by default.
    side: an .npz with the model's side inputs, for all pictures (see side_inputs.py); zeros by default.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such artifact or export directory.")
    folder = next((p for p in (path, *path.parents[:2]) if is_export(p)), None)
    if is_tflite(path) and not (folder and artifacts_at(path, folder, manifest.read(folder))):
        return load_alone(path, kind, side)
    if folder is None:
        raise InputError(
            f"{path}: no {MANIFEST} in it or beside it, so its preprocessing and labels are not known. Give an export "
            "directory, or an artifact that lies in one."
        )
    content = manifest.read(folder)
    artifacts = content["artifacts"]
    if path != folder:
        artifacts = artifacts_at(path, folder, content)
        if not artifacts:
            raise InputError(
                f"{path} is not an artifact of {folder}. There: {', '.join(a['path'] for a in content['artifacts'])}."
            )
    if kind:
        artifacts = [a for a in artifacts if a["format"] == kind]
        if not artifacts:
            raise OptionError(f"--format {kind}: {folder} has {', '.join(a['format'] for a in content['artifacts'])}.")
    chosen = artifacts[0]
    file = folder / chosen["path"]
    if not file.exists():
        raise ArtifactError(f"{file} is named by {folder / MANIFEST} but is not there. Export again.")
    run = formats.load(chosen["format"], file, content)
    if side is not None:
        run = partial(run, side=side_inputs.read(side, side_inputs.of(content)))
    return run, read_labels(folder)


def artifacts_at(path: Path, folder: Path, content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of an export that lie at `path`."""
    return [a for a in content["artifacts"] if (folder / a["path"]).exists() and (folder / a["path"]).samefile(path)]


def is_tflite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".tflite" or file.read(8)[4:] == b"TFL3"


def load_alone(path: Path, kind: str | None, side: Path | None) -> tuple[Callable, Mapping[int, str]]:
    """`load` of a TFLite file that lies in no export."""
    from visionport.formats.tflite import ssd

    if kind not in (None, "tflite"):
        raise OptionError(f"--format {kind}: {path} is a TFLite file. Leave it out.")
    if side is not None:
        side_inputs.read(side, ())
    return ssd.load_alone(path)


def read_labels(folder: Path) -> dict[int, str]:
    """Class id (from 1) -> name, from labels.txt; empty without it."""
    path = folder / "labels.txt"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return {i: name for i, name in enumerate(lines, 1) if name != "???"}


def predict(
    path: Path,
    pictures: Sequence[Path],
    *,
    kind: str | None = None,
    min_score: float = 0.3,
    draw: bool = False,
    draw_dir: Path | None = None,
    side: Path | None = None,
) -> list[dict[str, Any]]:
    """For each picture {image, width, height, detections: [{class, label, score, box}]}, boxes in pixels.

    With `draw`, also writes IMAGE_detections.png beside it or in draw_dir.
    """
    loaded = {p: images.read(p) for p in pictures}
    run, labels = load(path, kind, side)
    out = []
    for file, image in loaded.items():
        answer = run(image)
        if "detection_boxes" not in answer:
            raise OptionError(
                f"{path} gives no detections: its outputs are those of --tflite-head raw or decoded, or of another "
                "kind of model. `visionport inspect` shows them."
            )
        record = {"image": str(file), **detections(image, answer, labels, min_score)}
        if draw:
            from visionport.tasks.detection.drawing import draw_detections

            target = (draw_dir or file.parent) / f"{file.stem}_detections.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            draw_detections(image, answer, labels, min_score).save(target)
            record["drawn"] = str(target)
        out.append(record)
    return out


def detections(image, answer, labels, min_score) -> dict[str, Any]:
    height, width = image.shape[:2]
    found = []
    rows = zip(*(answer[f"detection_{k}"] for k in ("boxes", "scores", "classes")), strict=True)
    for (ymin, xmin, ymax, xmax), score, number in rows:
        if score >= min_score:
            box = {"xmin": xmin * width, "ymin": ymin * height, "xmax": xmax * width, "ymax": ymax * height}
            found.append(
                {
                    "class": int(number),
                    "label": labels.get(int(number)),
                    "score": round(float(score), 6),
                    "box": {k: round(float(v), 2) for k, v in box.items()},
                }
            )
    return {"width": width, "height": height, "detections": found}
