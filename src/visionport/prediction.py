"""Any artifact asked about pictures: `visionport.load` and `visionport.predict`."""

import dataclasses
import io
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visionport import filetypes, manifest
from visionport.errors import ArtifactError, InputError, OptionError, OutputError, nearest
from visionport.filetypes import PICTURE, check_name, kind_of_file, open_file, read_file
from visionport.formats import FORMATS, format_of
from visionport.formats.base import Asker, SignatureInfo
from visionport.inputs import pictures, side_inputs
from visionport.inputs.types import INPUT_TYPES, split_name
from visionport.lineage import LABELS
from visionport.staging import MANIFEST, check_file, identity, is_export, write_file
from visionport.tasks import task_of
from visionport.tasks.base import Answer, Task, files_of, read_picture

MOST_LABELS = 1 << 24  # bytes of labels.txt

Picture = str | os.PathLike | np.ndarray  # a file, or uint8 [h, w, 3], RGB


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """An artifact that answers about pictures. Call it with a picture, or with a list of them.

    types: the input types of its signatures that have names of their own.
    """

    path: Path
    format: str
    labels: Mapping[int, str]
    asker: Asker = field(repr=False)
    types: Mapping[str, str] = field(default_factory=dict)

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

        images: a file, uint8 [h, w, 3], a list of either, or a batch uint8 [b, h, w, 3]; of a task that takes clips,
        a clip [t, h, w, 3] or a batch of such. Pictures of one size go together where the artifact takes any batch.
        """
        one = 4 if hasattr(self.asker.task, "read") else 3
        if isinstance(images, (str, os.PathLike)) or (isinstance(images, np.ndarray) and images.ndim == one):
            return self._ask(read_input(self.asker.task, images))
        return self._answer_all([read_input(self.asker.task, image) for image in images])

    def _answer_all(self, images: Sequence[np.ndarray]) -> list[Answer]:
        together = self.asker.batch is None and len({image.shape for image in images}) == 1
        if not together:
            return [self._ask(image) for image in images]
        with self._blamed():
            outputs, extent = self.asker.ask(np.stack(images))
            return [self.asker.read(outputs, extent, row) for row in range(len(images))]

    def _ask(self, picture: np.ndarray) -> Answer:
        with self._blamed():
            return self.asker(picture)

    def _blamed(self):
        return manifest.blamed(self.path, "does not answer")

    def predict(self, image: Picture, *, min_score: float = 0.3) -> dict[str, Any]:
        """The answer as plain data, ready for JSON; of a detector the boxes in pixels."""
        picture = read_input(self.asker.task, image)
        answer = self._ask(picture)
        self.check(answer)
        return self.asker.task.record(answer, self.labels, picture.shape[-3:-1], min_score)

    def draw(self, image: Picture, *, min_score: float = 0.3):
        """The picture with its answer, as a Pillow image."""
        picture = read_input(self.asker.task, image)
        answer = self._ask(picture)
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
            f"{path} gives no {task.noun}: its outputs are those of --tflite-head or --onnx-head raw or decoded, or "
            "of another kind of model. `visionport inspect` shows them."
        )
    for name in task.outputs:
        value = np.asarray(answer[name])
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ArtifactError(f"{path} answers with what is no number in {name}: NaN or infinite.")


def read_input(task: Task, image: Picture) -> np.ndarray:
    """uint8 [h, w, 3] of a file, or as it is; of some tasks a clip of such. Raises InputError for what is neither."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3:
            raise InputError(f"a picture is uint8 [h, w, 3], RGB, not {image.dtype} {list(image.shape)}.")
        return image
    return read_picture(task, Path(image))


def load(
    path: str | os.PathLike,
    *,
    format: str | None = None,
    side_inputs: str | os.PathLike | None = None,
    signature: str | None = None,
    allow_unsafe_ops: bool = False,
    threads: int | None = None,
) -> Predictor:
    """An artifact, ready to be asked: an export directory, one of its artifacts, an ONNX file of ours wherever it lies,
    or any TFLite detector.

    format: which artifact of a directory; the first by default. side_inputs: an .npz with what the model takes besides
    the picture, for all pictures; zeros by default. signature: by which of the artifact's signatures it is asked; the
    manifest's by default. allow_unsafe_ops: ops that read files or do something else outside of a graph may run, of a
    file that you trust. threads: that the runtime may use, as many as it likes by default; TensorFlow's are settled
    when it first runs in a process.

    Raises InputError for what is no artifact, OptionError where the directory has no such format, or the artifact no
    such signature.
    """
    found = find_artifact(path, format)
    if found.folder is None and not found.artifact:
        predictor = load_alone(found.path, side_inputs, threads)
    else:
        if not allow_unsafe_ops:
            format_of(found.artifact["format"]).check_foreign(found.path)
        sides = read_sides(side_inputs, found.content)
        folder = found.folder or found.path.parent
        asker = manifest.open_artifact(folder, found.content, found.artifact, found.task, sides, threads)
        first = found.content.get("model", {}).get("label_id_offset", 1)
        if found.folder is None:
            labels = named_labels(found.content.get("labels", ()), first)
        else:
            labels = read_labels(found.folder, first)
        named = map(split_name, found.content.get("options", {}).get("inputs", ()))
        types = {name: kind for kind, name in named if name}
        kind = found.artifact["format"]
        predictor = Predictor(path=found.path, format=kind, labels=labels, asker=asker, types=types)
    if signature is None:
        return predictor
    return dataclasses.replace(predictor, asker=with_signature(predictor, signature))


@dataclass(frozen=True, kw_only=True)
class Found:
    """An artifact that is not yet opened. folder: its export; None of a file that lies in none."""

    path: Path
    task: Task
    folder: Path | None = None
    content: Mapping[str, Any] = field(default_factory=dict)  # the manifest
    artifact: Mapping[str, Any] = field(default_factory=dict)  # its record there


def find_artifact(path: str | os.PathLike, format: str | None = None) -> Found:
    """What `load` opens, as its manifest tells, or the file itself; raises what that raises."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such artifact or export directory.")
    check_name(path)
    filetypes.check_file(path)
    folder = next((p for p in (path, *path.parents[:2]) if is_export(p)), None)
    if is_tflite(path) and not (folder and artifacts_at(path, folder, manifest.read(folder))):
        if format not in (None, "tflite"):
            raise OptionError(f"--format {format}: {path} is a TFLite file. Leave it out.")
        return Found(path=path, task=task_of("detection"))
    of_export = folder and (path == folder or artifacts_at(path, folder, manifest.read(folder)))
    if not of_export and (told := told_by(path, format)):
        return told
    if folder is None:
        kind = kind_of_file(path)
        is_ = f" is {kind}, and there is" if kind else ":"
        raise InputError(
            f"{path}{is_} no {MANIFEST} in it or beside it, so its preprocessing and labels are not known. Give an "
            "export directory, or an artifact that lies in one."
        )
    content = manifest.read(folder)
    chosen = choose_artifact(path, folder, content, format)
    file = manifest.place_of(folder, chosen["path"])
    if not file.exists():
        raise ArtifactError(f"{file} is named by {folder / MANIFEST} but is not there. Export again.")
    task = task_of(content.get("model", {}).get("task", "detection"))
    return Found(path=file, task=task, folder=folder, content=content, artifact=chosen)


def told_by(path: Path, format: str | None = None) -> Found | None:
    """An artifact that itself tells how it is asked, wherever it lies; None for any other."""
    kind = next((name for name in FORMATS if path.is_file() and format_of(name).recognises(path)), "")
    content = None if not kind or format_of(kind).missing_package() else format_of(kind).told(path)
    if content is None:
        return None
    if format not in (None, kind):
        raise OptionError(f"--format {format}: {path} is of the format {kind}. Leave it out.")
    try:
        manifest.check_told(content)
    except InputError as e:
        raise ArtifactError(f"{path}: what it says of itself is damaged: {e}") from None
    artifact = {"format": kind, "path": path.name, "reading": content["reading"]}
    task = task_of(content["model"].get("task", "detection"))
    return Found(path=path, task=task, content=content, artifact=artifact)


def check_signature(path: Path, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise OptionError(
            f"--signature {name}: {path} has no such signature{nearest(name, known)}. There: {', '.join(known)}."
        )


def with_signature(predictor: Predictor, name: str) -> Asker:
    """The Asker by another signature of its artifact. Raises OptionError where nothing tells how it takes pictures."""
    asker, known = predictor.asker, predictor.signatures
    check_signature(predictor.path, name, known)
    if name == asker.reading.signature:
        return asker
    kind = predictor.types.get(name) or name
    if kind not in INPUT_TYPES:
        raise OptionError(
            f"--signature {name}: nothing tells how pictures go into it. One of the input types' can be asked."
        )
    besides = {*INPUT_TYPES[kind].more, *(side.name for side in asker.sides)}
    sources = [t.name for t in known[name].inputs if t.name not in besides]
    kind = "preprocessed" if INPUT_TYPES[kind].preprocessed else kind
    return dataclasses.replace(
        asker, reading=dataclasses.replace(asker.reading, signature=name, input=sources[0], type=kind)
    )


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
    with open_file(path) as file:
        return path.suffix == ".tflite" or file.read(8)[4:] == b"TFL3"


def load_alone(path: Path, sides, threads: int | None = None) -> Predictor:
    """`load` of a TFLite file that lies in no export."""
    from visionport.formats.tflite.alone import open_alone

    if sides is not None:
        side_inputs.read(Path(sides), ())
    asker, labels = open_alone(path, task_of("detection"), threads)
    return Predictor(path=path, format="tflite", labels=labels, asker=asker)


def read_labels(folder: Path, first: int = 1) -> dict[int, str]:
    """Class number -> name, from labels.txt; empty without it. first: the number of its first line."""
    path = manifest.place_of(folder, LABELS)
    try:
        lines = read_file(path, limit=MOST_LABELS).decode("utf-8").splitlines() if path.is_file() else []
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8, so the classes' names cannot be read. Export again.") from None
    return named_labels(lines, first)


def named_labels(lines: Sequence[str], first: int) -> dict[int, str]:
    """Class number -> name, of the lines of labels.txt."""
    return {i: name for i, name in enumerate(lines, first) if name != "???"}


def predict(
    path: str | os.PathLike,
    images: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    format: str | None = None,
    min_score: float = 0.3,
    draw: bool = False,
    draw_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
    side_inputs: str | os.PathLike | None = None,
    exif: bool = True,
    skip: Callable[[InputError], None] | None = None,
    allow_unsafe_ops: bool = False,
) -> list[dict[str, Any]]:
    """For each picture {image, width, height, and the task's answer}, as `visionport predict` prints them.

    images: files, folders of pictures, patterns such as "photos/*.jpg". With `draw`, also writes IMAGE_detections.png
    (of a detector) beside it or in draw_dir; overwrite: what was drawn before is replaced. exif: pictures are turned as
    their EXIF data says, see inputs/pictures.py. skip: is told what is wrong with a picture, and the others are
    answered; without it, the first error is raised. allow_unsafe_ops: as of `load`.
    """
    given = [Path(image) for image in ([images] if isinstance(images, (str, os.PathLike)) else images)]
    check_order(Path(path), given)
    predictor = load(path, format=format, side_inputs=side_inputs, allow_unsafe_ops=allow_unsafe_ops)
    task, out = predictor.asker.task, []
    files = find_pictures(task, given, skip)
    drawing = Drawing(Path(path), files, Path(draw_dir) if draw_dir else None, overwrite=overwrite)
    for file in files if draw else ():
        drawing.check(file, task.noun)
    for file in files:
        try:
            picture = read_picture(task, file, exif=exif)
            answer = predictor(picture)
        except InputError as e:
            said = e if str(file) in str(e) else InputError(f"{file}: {e}")
            if skip is None:
                raise said from None
            skip(said)
            continue
        predictor.check(answer)
        record = {"image": str(file), **task.record(answer, predictor.labels, picture.shape[-3:-1], min_score)}
        if draw:
            for ending, image in files_of(task, picture, answer, predictor.labels, min_score).items():
                target = drawing.write(file, ending, image)
                record["drawn" if ending == task.noun else ending] = str(target)
        out.append(record)
    return out


class Drawing:
    """Where pictures are drawn to, each a file of its own."""

    def __init__(self, artifact: Path | None, files: Sequence[Path], folder: Path | None, *, overwrite: bool):
        """artifact: which is asked, where it lies here. folder: None for beside each picture."""
        self.inputs, self.folder, self.overwrite = [artifact] if artifact else [], folder, overwrite
        self.read = {identity(file) for file in files}
        self.targets: dict[tuple[Path, str], Path] = {}
        self.taken: set[Path] = set()

    def target(self, file: Path, ending: str) -> Path:
        """STEM_ENDING.png; of pictures from several folders with one name, the second is STEM-2_ENDING.png."""
        if (file, ending) not in self.targets:
            stems = itertools.chain([file.stem], (f"{file.stem}-{number}" for number in itertools.count(2)))
            names = ((self.folder or file.parent) / f"{stem}_{ending}.png" for stem in stems)
            self.targets[file, ending] = next(name for name in names if name not in self.taken)
            self.taken.add(self.targets[file, ending])
        return self.targets[file, ending]

    def check(self, file: Path, ending: str) -> None:
        """Raises OutputError where the picture could not be drawn."""
        target = self.target(file, ending)
        if target.exists() and identity(target) in self.read:
            raise OutputError(f"{target} is one of the pictures. Name a --draw-dir where none of them lies.")
        check_file(target, overwrite=self.overwrite, inputs=self.inputs, option="--draw-dir")

    def write(self, file: Path, ending: str, image) -> Path:
        self.check(file, ending)
        data = io.BytesIO()
        image.save(data, "PNG")
        return write_file(self.target(file, ending), [data.getvalue()], overwrite=self.overwrite, option="--draw-dir")


def check_order(path: Path, images: Sequence[Path]) -> None:
    """Raises InputError where a picture was given for the artifact, and the artifact for a picture."""
    if kind_of_file(path) != PICTURE:
        return
    swapped = next((i for i in images if is_tflite(i) or is_export(i) or is_export(i.parent)), None)
    order = f"visionport predict {swapped} {path}" if swapped else "visionport predict ARTIFACT IMAGE"
    raise InputError(f"{path} is a picture, and the artifact comes first: {order}")


def find_pictures(task: Task, given: Sequence[Path], skip: Callable[[InputError], None] | None) -> list[Path]:
    """The files that are meant, each once; of a task that reads clips, a folder is one of them."""
    found: list[Path] = []
    for path in given:
        try:
            found += [path] if path.is_dir() and hasattr(task, "read") else pictures.found_at(path)
        except InputError as e:
            if skip is None:
                raise
            skip(e)
    return list(dict.fromkeys(found))
