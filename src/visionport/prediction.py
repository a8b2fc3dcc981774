"""Any artifact asked about pictures: `visionport.load` and `visionport.predict`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visionport import manifest
from visionport.errors import ArtifactError, InputError, OptionError
from visionport.formats.base import Asker, SignatureInfo
from visionport.inputs import pictures, side_inputs
from visionport.lineage import LABELS
from visionport.staging import MANIFEST, is_export
from visionport.tasks import task_of
from visionport.tasks.base import Answer, Task

Picture = str | os.PathLike | np.ndarray  # a file, or uint8 [h, w, 3], RGB


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """An artifact that answers about pictures. Call it with a picture, or with a list of them."""

    path: Path
    format: str
    labels: Mapping[int, str]
    asker: Asker = field(repr=False)

    @property
    def task(self) -> str:
        """What its answers are: "detection"."""
        return self.asker.task.name

    @property
    def signatures(self) -> Mapping[str, SignatureInfo]:
        """Names, dtypes and shapes of its inputs and outputs."""
        return self.asker.runner.signatures

    def __call__(self, images: Picture | Sequence[Picture]) -> Any:
        """The answer to a picture, a dict of arrays (see the task's module); a list of them to several.

        images: a file, uint8 [h, w, 3], a list of either, or a batch uint8 [b, h, w, 3]. Pictures of one size go
        together where the artifact takes any batch.
        """
        if isinstance(images, (str, os.PathLike)) or (isinstance(images, np.ndarray) and images.ndim == 3):
            return self.asker(read_picture(images))
        return self._answer_all([read_picture(image) for image in images])

    def _answer_all(self, images: Sequence[np.ndarray]) -> list[Answer]:
        together = self.asker.batch is None and len({image.shape for image in images}) == 1
        if not together:
            return [self.asker(image) for image in images]
        outputs, extent = self.asker.ask(np.stack(images))
        return [self.asker.read(outputs, extent, row) for row in range(len(images))]

    def predict(self, image: Picture, *, min_score: float = 0.3) -> dict[str, Any]:
        """The answer as plain data, ready for JSON; of a detector the boxes in pixels."""
        picture = read_picture(image)
        answer = self.asker(picture)
        self.check(answer)
        return self.asker.task.record(answer, self.labels, picture.shape[:2], min_score)

    def draw(self, image: Picture, *, min_score: float = 0.3):
        """The picture with its answer, as a Pillow image."""
        picture = read_picture(image)
        answer = self.asker(picture)
        self.check(answer)
        return self.asker.task.draw(picture, answer, self.labels, min_score)

    def check(self, answer: Answer) -> None:
        """Raises OptionError for an artifact that gives only what answers are made of."""
        check_answer(self.path, self.asker.task, answer)

    def close(self) -> None:
        """Gives back memory."""
        self.asker.runner.close()


def check_answer(path: Path, task: Task, answer: Answer) -> None:
    if any(name not in answer for name in task.outputs):
        raise OptionError(
            f"{path} gives no {task.noun}: its outputs are those of --tflite-head raw or decoded, or of another "
            "kind of model. `visionport inspect` shows them."
        )


def read_picture(image: Picture) -> np.ndarray:
    """uint8 [h, w, 3] of a file, or as it is. Raises InputError for what is neither."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"a picture is uint8 [h, w, 3], RGB, not {image.dtype} {list(image.shape)}.")
        return image
    return pictures.read(Path(image))


def load(
    path: str | os.PathLike, *, format: str | None = None, side_inputs: str | os.PathLike | None = None
) -> Predictor:
    """An artifact, ready to be asked: an export directory, one of its artifacts, or any TFLite detector.

    format: which artifact of a directory; the first by default. side_inputs: an .npz with what the model takes besides
    the picture, for all pictures; zeros by default.

    Raises InputError for what is no artifact, OptionError where the directory has no such format.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such artifact or export directory.")
    folder = next((p for p in (path, *path.parents[:2]) if is_export(p)), None)
    if is_tflite(path) and not (folder and artifacts_at(path, folder, manifest.read(folder))):
        return load_alone(path, format, side_inputs)
    if folder is None:
        raise InputError(
            f"{path}: no {MANIFEST} in it or beside it, so its preprocessing and labels are not known. Give an export "
            "directory, or an artifact that lies in one."
        )
    content = manifest.read(folder)
    chosen = choose_artifact(path, folder, content, format)
    file = folder / chosen["path"]
    if not file.exists():
        raise ArtifactError(f"{file} is named by {folder / MANIFEST} but is not there. Export again.")
    task = task_of(content.get("model", {}).get("task", "detection"))
    asker = manifest.open_artifact(folder, content, chosen, task, read_sides(side_inputs, content))
    return Predictor(path=file, format=chosen["format"], labels=read_labels(folder), asker=asker)


def read_sides(path, content: Mapping[str, Any]):
    return None if path is None else side_inputs.read(Path(path), side_inputs.of(content))


def choose_artifact(path: Path, folder: Path, content: Mapping[str, Any], kind: str | None) -> Mapping[str, Any]:
    """The record of the artifact that is meant."""
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
    return artifacts[0]


def artifacts_at(path: Path, folder: Path, content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of an export that lie at `path`."""
    return [a for a in content["artifacts"] if (folder / a["path"]).exists() and (folder / a["path"]).samefile(path)]


def is_tflite(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return path.suffix == ".tflite" or file.read(8)[4:] == b"TFL3"


def load_alone(path: Path, kind: str | None, sides) -> Predictor:
    """`load` of a TFLite file that lies in no export."""
    from visionport.formats.tflite.alone import open_alone

    if kind not in (None, "tflite"):
        raise OptionError(f"--format {kind}: {path} is a TFLite file. Leave it out.")
    if sides is not None:
        side_inputs.read(Path(sides), ())
    asker, labels = open_alone(path, task_of("detection"))
    return Predictor(path=path, format="tflite", labels=labels, asker=asker)


def read_labels(folder: Path) -> dict[int, str]:
    """Class number (from 1) -> name, from labels.txt; empty without it."""
    path = folder / LABELS
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return {i: name for i, name in enumerate(lines, 1) if name != "???"}


def predict(
    path: str | os.PathLike,
    images: Sequence[str | os.PathLike],
    *,
    format: str | None = None,
    min_score: float = 0.3,
    draw: bool = False,
    draw_dir: str | os.PathLike | None = None,
    side_inputs: str | os.PathLike | None = None,
) -> list[dict[str, Any]]:
    """For each picture {image, width, height, and the task's answer}, as `visionport predict` prints them.

    With `draw`, also writes IMAGE_detections.png (of a detector) beside it or in draw_dir.
    """
    files = [Path(image) for image in ([images] if isinstance(images, (str, os.PathLike)) else images)]
    loaded = {file: pictures.read(file) for file in files}
    predictor = load(path, format=format, side_inputs=side_inputs)
    task, out = predictor.asker.task, []
    for file, picture in loaded.items():
        answer = predictor(picture)
        predictor.check(answer)
        record = {"image": str(file), **task.record(answer, predictor.labels, picture.shape[:2], min_score)}
        if draw:
            target = (Path(draw_dir) if draw_dir else file.parent) / f"{file.stem}_{task.noun}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            task.draw(picture, answer, predictor.labels, min_score).save(target)
            record["drawn"] = str(target)
        out.append(record)
    return out
