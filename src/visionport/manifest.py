"""manifest.json: what an export holds, what it was made of and with, to read by programs."""

import dataclasses
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from visionport.errors import ArtifactError, InputError, OptionError, VisionportError
from visionport.filetypes import open_file
from visionport.json_files import json_text, read_json, write_json
from visionport.schema import check, kind_of, list_of, number
from visionport.staging import MANIFEST, lies_in, write_file

LONGEST_SIDE = 1 << 14  # of a picture or a network's input, in pixels
LONGEST_PATH, LONGEST_NAME = 1000, 255  # bytes
LARGEST_BATCH = 1 << 16
METHODS = {"bilinear", "nearest", "bicubic", "area"}  # of resizing
LARGEST_INPUT = 1 << 26  # values of an input besides the picture
LARGEST_PIXEL = 1e6  # mean or standard deviation
EARLIER = "is of an earlier version of visionport. Export again."


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes folder/manifest.json: `content`, and size and SHA-256 of every file in the folder."""
    files = {f.relative_to(folder).as_posix(): file_record(f) for f in sorted(folder.rglob("*")) if f.is_file()}
    write_json(folder / MANIFEST, {**content, "files": files})


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an export. Raises InputError where there is none, or one that says what none can say."""
    path = folder / MANIFEST
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{folder} is not an export of visionport: no {MANIFEST} in it.") from None
    except OSError as e:
        raise InputError(f"{path} cannot be read: {e.strerror}. Export again.") from None
    if not isinstance(content, dict) or "visionport" not in content:
        raise InputError(f"{path} is another program's: {folder} is not an export of visionport.")
    artifacts = content.get("artifacts")
    if isinstance(artifacts, list) and any(isinstance(a, dict) and "reading" not in a for a in artifacts):
        raise InputError(f"{path} {EARLIER}")
    try:
        check(content, schema())
    except InputError as e:
        raise InputError(f"{path}: {e} Export again.") from None
    for artifact in content["artifacts"]:
        place_of(folder, artifact["path"])
    return content


def add(folder: Path, file: Path) -> None:
    """Lists one more file of an export, so that it is known as the export's own."""
    content = read(folder)
    files = content["files"] | {file.relative_to(folder).as_posix(): file_record(file)}
    text = json_text(content | {"files": dict(sorted(files.items()))})
    write_file(folder / MANIFEST, [f"{text}\n".encode()], overwrite=True)


def place_of(folder: Path, name: str) -> Path:
    """The path of what an export holds. Raises InputError where a link leads out of the export."""
    if not lies_in(folder / name, folder):
        raise InputError(
            f"{folder / name} is a link that leads out of {folder}, and is not followed. Copy what is meant."
        )
    return folder / name


def schema() -> dict[Any, Any]:
    """What a manifest must say, as far as it is read; see schema.py. Other names are for people."""
    from visionport.config.lineage import LINEAGES
    from visionport.formats import FORMATS
    from visionport.formats.base import Reading
    from visionport.inputs.types import INPUT_TYPES
    from visionport.options import Options
    from visionport.tasks import TASKS

    size = number(-1, 1 << 40)
    tensor = {"name": str, "dtype": str, "shape": [size], ...: anything}
    reading = kind_of(Reading) | {
        "type": {*INPUT_TYPES, "preprocessed", "pixels"},
        "answers?": {
            "classes_from?": number(-1, 1000),
            "boxes?": {"picture", "frame", "scaled"},
            "frame?": list_of(number(1, LONGEST_SIDE, float), 2),
            "logits?": {"picture", "input"},
            "drops_empty?": bool,
            "given?": [str],
        },
        "dtypes?": {...: str},
    }
    options = {name.removesuffix("?"): kind for name, kind in kind_of(Options).items()} | {
        "formats": [{*FORMATS}],
        "batch": (number(1, LARGEST_BATCH), None),
        "image_size": (list_of(number(1, LONGEST_SIDE), 2), None),
        "score_threshold": (number(0, 1, float), None),
    }
    for f in dataclasses.fields(Options):
        if choices := f.metadata.get("choices"):
            options[f.name] = ({*choices}, None)
    return {
        "visionport": str,
        "tensorflow?": str,
        "options": {"checkpoint": str, **{f"{name}?": kind for name, kind in options.items()}, ...: anything},
        "model": {
            "architecture": str,
            "task?": {*TASKS},
            "api": {*LINEAGES},
            "num_classes?": number(0, 1 << 31),
            "label_id_offset?": number(0, 1),
            ...: anything,
        },
        "side_inputs?": [{"name": str, "dtype": {"float32", "int32"}, "shape": check_shape, ...: anything}],
        "preprocessing": check_preprocessing,
        "artifacts": [
            {
                "format": {*FORMATS},
                "path": check_path,
                "reading": reading,
                "signatures": [{"name": str, "inputs": [tensor], "outputs": [tensor], ...: anything}],
                ...: anything,
            }
        ],
        "files": check_files,
        ...: anything,
    }


def check_told(content: Any) -> None:
    """Raises InputError for what an artifact cannot truly say of how it is asked; see formats/base.py: told."""
    known = schema()
    (artifact,) = known["artifacts"]
    kinds: dict[Any, Any] = {name: known[name] for name in ("model", "preprocessing", "side_inputs?")}
    check(content, kinds | {"reading": artifact["reading"], "labels?": [str], ...: anything})


def anything(value: Any, where: str) -> None:
    pass


def check_path(value: Any, where: str) -> None:
    """A kind: a relative path that goes down only, of names that a file system has."""
    check(value, str, where)
    try:
        lengths = [len(os.fsencode(part)) for part in value.split("/")]
    except UnicodeEncodeError:  # half a character
        lengths = [LONGEST_NAME + 1]
    apart = PurePosixPath(value).is_absolute() or ".." in value.split("/") or "\0" in value or "\\" in value
    if apart or not value or max(lengths) > LONGEST_NAME or sum(lengths) + len(lengths) > LONGEST_PATH:
        raise InputError(f"{where} is {value[:80]!r}, not a path in the export, from the manifest's folder down.")


def check_files(value: Any, where: str) -> None:
    record = {"size": number(0, 1 << 50), "sha256": str}
    check(value, {...: record}, where)
    for name in value:
        check_path(name, f"a name of {where}")


def check_shape(value: Any, where: str) -> None:
    check(value, [(number(1, LARGEST_INPUT), None)], where)
    if math.prod(size or 1 for size in value) > LARGEST_INPUT:
        raise InputError(f"{where} is of more than {LARGEST_INPUT:,} values.")


def check_preprocessing(value: Any, where: str) -> None:
    from visionport.config import Normalization
    from visionport.inputs.preprocessing import RESIZERS

    check(value, {"resizer": {*RESIZERS}, ...: anything}, where)
    fields = kind_of(RESIZERS[value["resizer"]]) | kind_of(Normalization) | {"resizer": str}
    fields |= {"method?": METHODS} if "method?" in fields else {}
    side, pixel = number(1, LONGEST_SIDE), number(-LARGEST_PIXEL, LARGEST_PIXEL, float)
    sized = {name: side if kind is int else pixel if kind is float else kind for name, kind in fields.items()}
    three = list_of(pixel, 3)
    sized |= {"mean": three, "std": list_of(number(1e-6, LARGEST_PIXEL, float), 3)}
    sized |= {"pad_value?": three} if "pad_value?" in sized else {}
    check(value, sized, where)


def open_artifact(
    folder: Path,
    content: Mapping[str, Any],
    artifact: Mapping[str, Any],
    task,
    sided=None,
    threads: int | None = None,
):
    """An Asker (formats/base.py) of an artifact of that manifest. sided: its side inputs' values; zeros by default."""
    from visionport.formats import format_of
    from visionport.formats.base import Asker, Reading
    from visionport.inputs import side_inputs

    path = place_of(folder, artifact["path"])
    reading = Reading.read(artifact["reading"])
    fmt = format_of(artifact["format"])
    if missing := fmt.missing_package():
        raise OptionError(f"{path} cannot be opened here: {missing}.")
    with blamed(path, f"cannot be opened as {fmt.title}"):
        runner = fmt.open(path, reading, threads)
    found = runner.signatures.get(reading.signature)
    if not found or reading.input not in (t.name for t in found.inputs):
        runner.close()
        raise InputError(
            f"{path} has no input {reading.input!r} in a signature {reading.signature!r}, as {folder / MANIFEST} says. "
            "Export again."
        )
    sides = side_inputs.of(content)
    return Asker(runner=runner, reading=reading, task=task, how=content["preprocessing"], sides=sides, sided=sided)


@contextmanager
def blamed(path: Path, what: str) -> Iterator[None]:
    """An artifact that is not what its manifest says is told, whatever its runtime raises for it."""
    try:
        yield
    except (VisionportError, MemoryError):
        raise
    except Exception as e:
        lines = str(e).strip().splitlines() or [type(e).__name__]
        raise ArtifactError(
            f"{path} {what}, as its {MANIFEST} says: {lines[0][:200].rstrip('.')}. Export again."
        ) from e


def options_record(options) -> dict[str, Any]:
    """The exact options, but for the target's name and what does not change the files."""
    left_out = ("out", "overwrite", "merge")
    return {k: plain(v) for k, v in dataclasses.asdict(options).items() if k not in left_out}


def plain(value):
    if isinstance(value, Path):
        return str(value)
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def file_record(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with open_file(path) as f:
        size = os.fstat(f.fileno()).st_size
        while block := f.read(1 << 20):
            digest.update(block)
    return {"size": size, "sha256": digest.hexdigest()}
