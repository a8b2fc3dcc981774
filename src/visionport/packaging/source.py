"""What is packaged: one artifact of an export, every file of it as the manifest lists it and no other."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from visionport import manifest, prediction
from visionport.errors import InputError, OptionError
from visionport.filetypes import open_file
from visionport.formats.base import Asker, Reading, SignatureInfo, Tensor
from visionport.inputs import side_inputs
from visionport.inputs.types import split_name
from visionport.prediction import Predictor
from visionport.staging import MANIFEST
from visionport.tasks import task_of
from visionport.tasks.base import Task

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
LARGEST_VERSION = (1 << 63) - 1
BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Source:
    """An artifact under the name and the number that it is to be served by.

    folder: the export; content: its manifest; artifact: the record there. files: name within the artifact -> what the
    manifest says of it; "" for an artifact that is one file. places: the same names -> the files' paths in the export.
    """

    folder: Path
    content: Mapping[str, Any]
    artifact: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    places: Mapping[str, str]
    name: str
    version: int

    @property
    def format(self) -> str:
        return self.artifact["format"]

    @property
    def task(self) -> Task:
        return task_of(self.content["model"].get("task", "detection"))

    @property
    def labels(self) -> dict[int, str]:
        return prediction.read_labels(self.folder, self.content["model"].get("label_id_offset", 1))

    @property
    def signatures(self) -> dict[str, SignatureInfo]:
        return {s["name"]: signature_of(s) for s in self.artifact["signatures"]}

    @property
    def default(self) -> str:
        """The signature that a client asks that names none."""
        return self.artifact["reading"].get("signature", "serving_default")

    def asker(self, signature: str) -> Asker:
        """How pictures become what a signature takes. Raises OptionError where that is not known."""
        reading = Reading.read(self.artifact["reading"])
        asker = Asker(
            runner=Described(self.signatures),
            reading=reading,
            task=self.task,
            how=self.content["preprocessing"],
            sides=side_inputs.of(self.content),
        )
        named = map(split_name, self.content["options"].get("inputs", ()))
        types = {name: kind for kind, name in named if name}
        predictor = Predictor(path=self.folder, format=self.format, labels={}, asker=asker, types=types)
        return prediction.with_signature(predictor, signature)

    def copy(self, to: Path, *, but: str = "") -> None:
        """Copies its files into the folder `to`. Raises as `copy_one`. but: one that is left out."""
        for name in self.files:
            if name != but:
                self.copy_one(name, to / name)

    def copy_one(self, name: str, to: Path) -> None:
        """Copies a file of it. Raises InputError where it is not the one that the manifest lists."""
        copy_file(self.folder, self.places[name], self.files[name], to)


class Described:
    """A Runner that is not there: what the manifest says of its signatures."""

    thread_safe = True

    def __init__(self, signatures: Mapping[str, SignatureInfo]):
        self.signatures = signatures

    def call(self, signature, feeds):
        raise InputError(f"{signature} is only described, and not opened.")

    def close(self) -> None:
        pass


def read_source(folder: Path, kind: str | None, name: str | None, version: int | None) -> Source:
    """The artifact that is meant of an export. kind: its format, the first by default."""
    if not folder.exists():
        raise InputError(f"{folder}: no such export directory.")
    content = manifest.read(folder)
    if not content["artifacts"]:
        raise InputError(f"{folder} holds no artifact, as a package does not that is packed. Name the export itself.")
    artifact = prediction.choose_artifact(folder, folder, content, kind)
    files, places = find_files(folder, content["files"], artifact)
    step = content["model"].get("checkpoint_step")
    number = version if version is not None else step if isinstance(step, int) and step > 0 else 1
    if not 0 < number <= LARGEST_VERSION:
        raise OptionError(f"--version {number}: a version is a number from 1 to {LARGEST_VERSION}.")
    return Source(
        folder=folder,
        content=content,
        artifact=artifact,
        files=files,
        places=places,
        name=check_name(name if name is not None else Path(os.path.abspath(folder)).name, given=name is not None),
        version=number,
    )


def check_name(name: str, *, given: bool) -> str:
    if not NAME.fullmatch(name):
        which = f"--name {name!r}" if given else f"the folder's name {name!r}"
        more = "" if given else " Give another with --name."
        raise OptionError(f"{which} cannot be a model's: letters, digits, '_', '.' and '-', up to 100.{more}")
    return name


def find_files(
    folder: Path, listed: Mapping[str, Any], artifact: Mapping[str, Any]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """An artifact's files by their names in it: what the manifest says of each, and where it lies in the export."""
    path = PurePosixPath(artifact["path"])
    found: dict[str, str] = {}
    for name in sorted(listed):
        place = PurePosixPath(name)
        if place.as_posix() != name:
            raise InputError(f"{folder / MANIFEST} lists {name[:80]!r}, which no path is written as. Export again.")
        if place == path:
            found[""] = name
        elif place.is_relative_to(path):
            found[place.relative_to(path).as_posix()] = name
        elif artifact["format"] == "openvino" and place == path.with_suffix(".bin"):
            found["bin"] = name
    if not found:
        raise InputError(f"{folder / MANIFEST} lists no file of {artifact['path']}. Export again.")
    return {name: listed[place] for name, place in found.items()}, found


def copy_file(folder: Path, name: str, record: Mapping[str, Any], to: Path) -> None:
    """Copies a file of an export. Raises InputError unless its bytes are those that the manifest lists."""
    path = folder / name
    if os.path.realpath(path) != os.path.join(os.path.realpath(folder), name):
        raise InputError(f"{path} is a link, or lies behind one, and is not followed. Copy what is meant.")
    digest, size = hashlib.sha256(), 0
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_file(path) as source, open(to, "xb") as target:
            while (block := source.read(BLOCK)) and size <= record["size"]:
                digest.update(block)
                size += len(block)
                target.write(block)
    except FileNotFoundError:
        raise InputError(f"{path} is listed by {folder / MANIFEST} but is not there. Export again.") from None
    if size != record["size"] or digest.hexdigest() != record["sha256"]:
        raise InputError(f"{path} is not the file that {folder / MANIFEST} lists: it was changed. Export again.")


def signature_of(record: Mapping[str, Any]) -> SignatureInfo:
    """What a manifest says of a signature."""

    def tensors(found):
        return tuple(
            Tensor(name=t["name"], dtype=t["dtype"], shape=tuple(None if s < 0 else s for s in t["shape"]))
            for t in found
        )

    return SignatureInfo(name=record["name"], inputs=tensors(record["inputs"]), outputs=tensors(record["outputs"]))
