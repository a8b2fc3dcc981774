"""The files of a checkpoint: which of them belong together, and what is wrong with them.

V2: `x/ckpt-5.index` and `x/ckpt-5.data-00000-of-00001`; V1, before TensorFlow 1.0: `x/ckpt-5`, or in shards
`x/ckpt-5-00000-of-00002`. The prefix is `x/ckpt-5` of all.
"""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from visionport import downloads
from visionport.downloads import check_download, is_web_page
from visionport.errors import CheckpointError
from visionport.filetypes import open_file

AGAIN = "Copy it again from its source."
PULL = "run `git lfs pull` in its repository."
SHOWN = 3  # names of missing files
LONG = 200  # characters of a tensor's name
NOTHING: Mapping[int, int] = MappingProxyType({})

PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
V1_SHARD = re.compile(r"-(\d{5}|\?{5})-of-(\d{5})$")  # question marks: as TensorFlow names all of them
V1_NAME = re.compile(r"(.*[._-])?ckpt(-\d+)?")


def prefix_of(path: Path) -> Path:
    """The prefix of the checkpoint to which a file belongs; any other path as it is."""
    path = Path(PART.sub("", str(path)))
    whole = Path(V1_SHARD.sub("", str(path)))
    return path if index(path).is_file() or not v1_shards(whole) else whole


def prefixes(folder: Path) -> list[Path]:
    """Of every checkpoint in `folder`; V1's only where there are none of V2."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    v2 = [path.with_suffix("") for path in files if path.suffix == ".index"]
    return v2 or list(dict.fromkeys(p for p in map(prefix_of, files) if V1_NAME.fullmatch(p.name) and exists(p)))


def exists(prefix: Path) -> bool:
    return index(prefix).is_file() or bool(v1_files(prefix))


def index(prefix: Path) -> Path:
    return Path(f"{prefix}.index")


def shards(prefix: Path) -> list[Path]:
    """The data files of V2 that are there."""
    return _matching(prefix, ".data-*-of-*", PART)


def v1_shards(prefix: Path) -> list[Path]:
    return _matching(prefix, "-*-of-*", V1_SHARD)


def v1_files(prefix: Path) -> list[Path]:
    if prefix.is_file() and not PART.search(prefix.name):
        return [prefix]
    return v1_shards(prefix)


def _matching(prefix: Path, ending: str, pattern: re.Pattern) -> list[Path]:
    found = prefix.parent.glob(f"{glob.escape(prefix.name)}{ending}")
    return sorted(path for path in found if pattern.sub("", path.name) == prefix.name)


def all_of(prefix: Path) -> list[Path]:
    """What the reader opens: the index and its data, or V1's files."""
    return [index(prefix), *shards(prefix)] if index(prefix).is_file() else v1_files(prefix)


def shard(prefix: Path, number: int, count: int) -> Path:
    """A data file of V2."""
    return Path(f"{prefix}.data-{number:05d}-of-{count:05d}")


def checked(prefix: Path) -> list[Path]:
    """The index, or V1's files. Raises CheckpointError where some are missing, or can be told to be no good."""
    v2 = index(prefix).is_file()
    found = [index(prefix)] if v2 else v1_files(prefix)
    for file in found:
        if is_lfs_pointer(file):
            raise CheckpointError(f"{file} is a Git LFS pointer, not the file: {PULL}")
        check_download(ends(file)[0], file, "checkpoint", CheckpointError)
        if not all(map(any, ends(file))):  # a good one starts with an entry and ends in a magic number
            what = "damaged: zeros stand where its data was" if file.stat().st_size else "empty"
            raise CheckpointError(f"{file} is {what}. {AGAIN}")
    first = V1_SHARD.search(found[0].name)
    if v2 or not first:
        return found
    wanted = [Path(f"{prefix}-{i:05d}-of-{first[2]}") for i in range(int(first[2]))]
    missing = listed([str(path) for path in wanted if path not in set(found)])
    if missing:
        raise CheckpointError(f"{prefix} is in {int(first[2])} shards, and {missing} is missing. {AGAIN}")
    return wanted


def data_problem(prefix: Path, needed: Mapping[int, int] = NOTHING, count: int | None = None) -> str | None:
    """Why values cannot be read, as sentences with what to do, or None.

    needed: for each data file of V2 the bytes that it must have; count: of data files, by default as their names say.
    """
    if not index(prefix).is_file():
        return None
    found = shards(prefix)
    count = count or (int(found[0].name[-5:]) if found else 1)
    names = {path.name for path in found}
    wanted = [shard(prefix, i, count) for i in range(count)]
    missing = listed([path.name for path in wanted if path.name not in names])
    if missing:
        return f"{missing} is missing beside {index(prefix)}, so values cannot be read. Copy it there."
    for number, path in enumerate(wanted):
        try:
            head = ends(path)[0]
        except CheckpointError as error:
            return str(error)
        if downloads.is_lfs_pointer(head):
            return f"{path} is a Git LFS pointer, not the data: {PULL}"
        if is_web_page(head):
            return f"{path} is a web page (HTML), not the data: download the raw file."
        size, least = size_of(path), needed.get(number, 0)
        if size < least:
            return f"{path} is truncated: {size:,} bytes where the index needs {least:,} or more. {AGAIN}"
    return None


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged, or no checkpoint ({reason}). {AGAIN}")


def shown(name: str) -> str:
    """A tensor's name in an error: nothing in it reaches a terminal as it is."""
    return repr(name if len(name) <= LONG else f"{name[:LONG]}...")


def opened(path: Path) -> BinaryIO:
    """The regular file at `path`. Raises CheckpointError for anything else."""
    try:
        return open_file(path, CheckpointError)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None


def size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def size_of(path: Path) -> int:
    with opened(path) as file:
        return size(file)


def is_lfs_pointer(path: Path) -> bool:
    return path.is_file() and downloads.is_lfs_pointer(ends(path)[0])


def ends(path: Path) -> tuple[bytes, bytes]:
    """Its first and last 64 bytes."""
    with opened(path) as file:
        head = file.read(64)
        file.seek(max(0, size(file) - 64))
        return head, file.read(64)
