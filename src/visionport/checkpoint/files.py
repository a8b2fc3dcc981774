"""The files of a checkpoint: which of them belong together, and what is wrong with them.

V2: `x/ckpt-5.index` and `x/ckpt-5.data-00000-of-00001`; V1, before TensorFlow 1.0: `x/ckpt-5`, or in shards
`x/ckpt-5-00000-of-00002`. The prefix is `x/ckpt-5` of all.
"""

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from visionport.downloads import check_download, is_web_page
from visionport.errors import CheckpointError

AGAIN = "Copy it again from its source."
PULL = "run `git lfs pull` in its repository."

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


def for_reader(prefix: Path) -> str:
    """As TensorFlow's reader wants the prefix. Raises CheckpointError for an index, or V1's files, that are no good."""
    v2 = index(prefix).is_file()
    opened = [index(prefix)] if v2 else v1_files(prefix)
    for file in opened:
        if is_lfs_pointer(file):
            raise CheckpointError(f"{file} is a Git LFS pointer, not the file: {PULL}")
        check_download(ends(file)[0], file, "checkpoint", CheckpointError)
        if not all(map(any, ends(file))):  # a good one starts with an entry and ends in a magic number
            what = "damaged: zeros stand where its data was" if file.stat().st_size else "empty"
            raise CheckpointError(f"{file} is {what}. {AGAIN}")
    shard = V1_SHARD.search(opened[0].name)
    if v2 or not shard:
        return str(prefix)
    pattern = f"{prefix}-{{}}-of-{shard[2]}"
    missing = {pattern.format(f"{i:05d}") for i in range(int(shard[2]))} - set(map(str, opened))
    if missing:
        raise CheckpointError(
            f"{prefix} is in {int(shard[2])} shards, and {', '.join(sorted(missing))} is missing. {AGAIN}"
        )
    return pattern.format("?????")


def data_problem(prefix: Path, entries: Iterable = ()) -> str | None:
    """Why the values of `entries` (with `nbytes`) cannot be read, as sentences with what to do, or None."""
    if not index(prefix).is_file():
        return None
    found = shards(prefix)
    count = int(found[0].name[-5:]) if found else 1
    wanted = [f"{prefix.name}.data-{i:05d}-of-{count:05d}" for i in range(count)]
    missing = ", ".join(sorted({*wanted} - {shard.name for shard in found}))
    if missing:
        return f"{missing} is missing beside {index(prefix)}, so values cannot be read. Copy it there."
    for shard in found:
        if is_lfs_pointer(shard):
            return f"{shard} is a Git LFS pointer, not the data: {PULL}"
        if is_web_page(ends(shard)[0]):
            return f"{shard} is a web page (HTML), not the data: download the raw file."
    size, needed = sum(shard.stat().st_size for shard in found), sum(entry.nbytes for entry in entries)
    if size < needed:
        return f"{found[0]} is truncated: {size:,} bytes where the index needs {needed:,} or more. {AGAIN}"
    return None


def is_lfs_pointer(path: Path) -> bool:
    return path.is_file() and ends(path)[0].startswith(b"version https://git-lfs.github.com/")


def ends(path: Path) -> tuple[bytes, bytes]:
    """Its first and last 64 bytes."""
    with path.open("rb") as file:
        head = file.read(64)
        file.seek(max(0, path.stat().st_size - 64))
        return head, file.read()
