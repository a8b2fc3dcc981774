"""What is given, cut into pieces of work that a worker reads alone; and the pictures of a piece.

A piece is a part of a list of files, of a TFRecord, or of a Parquet file. The pieces of the same inputs are always the
same, so a run that ended early goes on piece by piece.
"""

import glob
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport.batch import failures, files, tfrecords
from visionport.batch.failures import Failure
from visionport.errors import InputError
from visionport.filetypes import open_file
from visionport.inputs import pictures
from visionport.tasks.base import Task, read_picture

PIECES, LEAST, MOST = (
    64,
    16,
    1000,
)  # that a run is cut into, if each then has at least so many pictures, at most so many
WHOLE = 1 << 30  # bytes of a remote TFRecord that is one piece, since finding its records reads it
TFRECORDS = (".tfrecord", ".tfrecords", ".record", ".records", ".tfrec")
PARQUET = (".parquet", ".pq")
EXAMPLE_KEY = "image/encoded"
SOURCE_ID = "image/source_id"
COLUMNS = ("image", "jpg", "png", "image_bytes", "img", "bytes")  # of a Parquet file that has several of bytes


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of the work. kind: "list", "tfrecord", "parquet".

    start: where it begins: the byte of a list or TFRecord, the row group of a Parquet file. first: the number of its
    first picture in that file. count: how many pictures; None for all to the end of the file.
    """

    number: int
    kind: str
    path: str
    start: int = 0
    first: int = 0
    count: int | None = None

    def record(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A picture to ask about. name: what its row calls it. data: its bytes; None where `name` is its file's.

    source: the record that it came in, as a serialized tf.Example without the picture.
    """

    name: str
    path: str = ""
    data: bytes | None = None
    source: bytes | None = None

    def read(self, task: Task, *, exif: bool = True) -> np.ndarray | Failure:
        """uint8 [h, w, 3]; of some tasks a clip of such."""
        if self.data is None and not files.scheme_of(self.path):
            return read_file(task, Path(self.path), self.name, exif=exif)
        data = self.data
        if data is None:
            try:
                data = files.read_bytes(self.path)
            except (OSError, ValueError) as e:
                return failures.unopened(self.name, e)
        return read_data(task, data, self.name, exif=exif)


def read_file(task: Task, path: Path, name: str, *, exif: bool) -> np.ndarray | Failure:
    try:
        return read_picture(task, path, exif=exif)
    except (InputError, OSError) as e:
        try:
            with open_file(path) as file:
                return failures.undecoded(name, e, file)
        except InputError:  # a pipe, a device
            return Failure(name=name, kind=failures.OTHER, error=failures.words(e))
        except IsADirectoryError:
            return Failure(name=name, kind=failures.OTHER, error=failures.words(e))
        except (OSError, ValueError) as why:
            return failures.unopened(name, why)


def read_data(task: Task, data: bytes, name: str, *, exif: bool) -> np.ndarray | Failure:
    """The same of a file's bytes."""
    if not hasattr(task, "read"):
        try:
            with pictures.opened(io.BytesIO(data), name) as image:
                return np.asarray(pictures.as_rgb(pictures.turned(image) if exif else image, name))
        except InputError as e:
            return failures.undecoded(name, e, io.BytesIO(data))
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as file:
        file.write(data)
        file.flush()
        found = read_file(task, Path(file.name), name, exif=exif)
        if isinstance(found, Failure):
            return Failure(name=name, kind=found.kind, error=found.error.replace(file.name, name))
        return found


# ---------------------------------------------------------------- what is given -> pieces


def find(given: Sequence[str], task: Task) -> tuple[list[str], list[str], list[str]]:
    """The files of pictures that are meant, each once, in the order given; the TFRecords; the Parquet files.

    Raises InputError where something means no file.
    """
    paths: dict[str, None] = {}
    sets: dict[str, dict[str, None]] = {"tfrecord": {}, "parquet": {}}

    def add(path: str) -> None:
        kind = kind_of(path)
        (sets[kind] if kind else paths)[path] = None

    for one in given:
        if one.startswith("@"):
            for path in read_list(one[1:]):
                add(path)
        elif files.scheme_of(one) in ("http", "https"):
            add(one)
        elif files.scheme_of(one):
            for path in expand_remote(one):
                add(path)
        else:
            for path in expand(one, task):
                add(path)
    return list(paths), list(sets["tfrecord"]), list(sets["parquet"])


def kind_of(path: str) -> str:
    """By its name, as data sets are called: "train.tfrecord-00003-of-00010" too."""
    name = path.rpartition("/")[2].lower()
    stem = name.removesuffix(".gz")
    if stem.endswith(TFRECORDS) or any(f"{suffix}-" in name for suffix in TFRECORDS):
        return "tfrecord"
    return "parquet" if name.endswith(PARQUET) else ""


def read_list(path: str) -> Iterator[str]:
    """The lines of a list: paths or URIs; of JSON, such as an error file's, what each calls "image"."""
    try:
        data = files.read_bytes(path)
    except (OSError, ValueError) as e:
        raise InputError(f"@{path}: the list cannot be read: {getattr(e, 'strerror', None) or e}.") from None
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"@{path} is not a list: not text in UTF-8. A line is a path or a URI.") from None
    found = 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("{"):
            try:
                text = json.loads(text)["image"]
            except (ValueError, KeyError, TypeError):
                raise InputError(f'@{path}, line {number}: no JSON with "image" in it.') from None
        if text:
            found += 1
            yield text
    if not found:
        raise InputError(f"@{path} is empty: a line is a path or a URI.")


def expand(one: str, task: Task) -> list[str]:
    """The files that a path on this machine means: itself, those of a folder, those of a pattern."""
    path = Path(one)
    if path.is_dir() and hasattr(task, "read"):
        return [one]
    if path.is_dir():
        kept = (*pictures.SUFFIXES, *PARQUET)
        walk = (os.path.join(root, name) for root, _, names in os.walk(one, followlinks=True) for name in names)
        found = sorted(p for p in walk if p.lower().endswith(kept) or kind_of(p))
        if not found:
            suffixes = ", ".join(s[1:] for s in pictures.SUFFIXES)
            raise InputError(f"{one}: no pictures ({suffixes}), TFRecords or Parquet files in that folder.")
        return found
    if not path.exists():
        if not glob.has_magic(one):
            raise InputError(f"{one}: no such file, folder or pattern. A list of paths is @FILE.")
        found = sorted(p for p in glob.glob(one, recursive=True) if os.path.isfile(p))
        if not found:
            raise InputError(f"{one}: no file has such a name.")
        return found
    return [one]


def expand_remote(one: str) -> list[str]:
    try:
        found = [path for path, _ in files.list_files(one)]
        found = found or [path for path, _ in files.list_files(f"{one.rstrip('/')}/**")]
    except Exception as e:  # each file system has its own
        raise InputError(f"{one}: cannot be listed: {' '.join(str(e).split())[:300]}") from None
    if not found:
        raise InputError(f"{one}: no file has such a name.")
    return found


def plan(
    given: Sequence[str], task: Task, image_key: str | None, folder: str, most: int = MOST
) -> tuple[list[Piece], int | None]:
    """The pieces of the inputs, and how many pictures they hold, where that is known.

    folder: the list of files goes there. most: pictures of a piece, of what can be cut.
    """
    paths, records, tables = find(given, task)
    cut: list[dict[str, Any]] = []
    local = [(path, count_records(path)) for path in records]
    rows = [(path, row_groups(path, image_key)) for path in tables]
    known = len(paths) + sum(c or 0 for _, c in local) + sum(sum(groups) for _, groups in rows)
    every = min(most, max(LEAST, -(-known // PIECES)))
    if paths:
        target, text, offset = files.join(folder, "inputs.jsonl"), io.BytesIO(), 0
        for i in range(0, len(paths), every):
            part = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in paths[i : i + every]).encode()
            text.write(part)
            cut.append(
                {"kind": "list", "path": target, "start": offset, "first": i, "count": len(paths[i : i + every])}
            )
            offset += len(part)
        files.write_bytes(target, text.getvalue())
    for path, count in local:
        cut += cut_records(path, every) if count is not None else [{"kind": "tfrecord", "path": path}]
    for path, groups in rows:
        first = 0
        for number, size in enumerate(groups):
            cut.append({"kind": "parquet", "path": path, "start": number, "first": first, "count": size})
            first += size
    counts = [c.get("count") for c in cut]
    total = None if None in counts else sum(c or 0 for c in counts)
    return [Piece(number=i, **c) for i, c in enumerate(cut)], total


def count_records(path: str) -> int | None:
    """How many a TFRecord holds, where it can be cut; None where it is to be read whole."""
    try:
        if path.endswith(".gz") or (files.scheme_of(path) and files.size_of(path) <= WHOLE):
            return None
        with files.open_read(path) as file:
            return sum(count for _, count in tfrecords.places(file, 1 << 62))
    except OSError as e:
        raise InputError(f"{path}: the TFRecord cannot be read: {e.strerror or e}.") from None


def cut_records(path: str, every: int) -> list[dict[str, Any]]:
    with files.open_read(path) as file:
        found, first = [], 0
        for offset, count in tfrecords.places(file, every):
            found.append({"kind": "tfrecord", "path": path, "start": offset, "first": first, "count": count})
            first += count
    if not found:
        raise InputError(f"{path} holds no records.")
    return found


def row_groups(path: str, image_key: str | None) -> list[int]:
    """How many rows each row group of a Parquet file has. Raises InputError where it has no pictures."""
    import pyarrow  # pyright: ignore[reportMissingImports]
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    try:
        with files.open_read(path) as file:
            opened = parquet.ParquetFile(file)
            image_column(path, opened.schema_arrow, image_key)
            return [opened.metadata.row_group(i).num_rows for i in range(opened.metadata.num_row_groups)]
    except (OSError, pyarrow.ArrowException) as e:
        raise InputError(f"{path} is no Parquet file that can be read: {' '.join(str(e).split())[:200]}") from None


def image_column(path: str, schema, image_key: str | None) -> str:
    """The column of pictures: of bytes, or of {bytes, path} as Hugging Face's data sets have it."""
    import pyarrow  # pyright: ignore[reportMissingImports]

    def holds(kind) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" and holds(kind.field(i).type) for i in range(kind.num_fields))
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    found = [field.name for field in schema if holds(field.type)]
    if image_key:
        if image_key not in found:
            raise InputError(f"{path}: no column {image_key!r} of bytes. There: {', '.join(found) or 'none'}.")
        return image_key
    named = [name for name in COLUMNS if name in found] or found
    if not found or (len(named) > 1 and named == found):
        which = f"several columns of bytes ({', '.join(found)}): name one" if found else "no column of pictures' bytes"
        raise InputError(f"{path} has {which} with --image-key.")
    return named[0]


# ---------------------------------------------------------------- a piece -> its pictures


def items(piece: Piece, folder: str, image_key: str | None) -> Iterator[Item | Failure]:
    """The pictures of a piece, one after another. folder: in which paths that are not absolute begin."""
    yield from READERS[piece.kind](piece, folder, image_key)


def read_paths(piece: Piece, folder: str, image_key: str | None) -> Iterator[Item | Failure]:
    with files.open_read(piece.path) as file:
        file.seek(piece.start)
        for _ in range(piece.count or 0):
            path = json.loads(file.readline())
            yield Item(name=path, path=path if files.scheme_of(path) else os.path.join(folder, path))


def read_examples(piece: Piece, folder: str, image_key: str | None) -> Iterator[Item | Failure]:
    path = piece.path if files.scheme_of(piece.path) else os.path.join(folder, piece.path)
    with files.open_read(path) as file:
        if piece.start:
            file.seek(piece.start)
        for number, data in enumerate(tfrecords.read(file, piece.count), piece.first):
            name = f"{piece.path}#{number}"
            if isinstance(data, tfrecords.DamagedError):
                what = f"{name} and what is behind it" if data.rest else name
                yield Failure(name=name, kind=failures.RECORD, error=f"{what} cannot be read: {data}.")
            else:
                yield of_example(name, data, image_key or EXAMPLE_KEY)


def of_example(name: str, data: bytes, key: str) -> Item | Failure:
    from google.protobuf.message import DecodeError
    from tensorflow.core.example import example_pb2

    try:
        example = example_pb2.Example.FromString(data)
    except DecodeError:
        return Failure(name=name, kind=failures.RECORD, error=f"{name} is no tf.Example.")
    features = example.features.feature
    encoded = list(features[key].bytes_list.value) if key in features else []
    if len(encoded) != 1:
        there = ", ".join(sorted(features)[:8]) or "nothing"
        error = f"{name}: no picture in {key!r}. There: {there}."
        return Failure(name=name, kind=failures.NO_IMAGE, error=error)
    del features[key]
    return Item(name=name, data=encoded[0], source=example.SerializeToString(deterministic=True))


def read_rows(piece: Piece, folder: str, image_key: str | None) -> Iterator[Item | Failure]:
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    path = piece.path if files.scheme_of(piece.path) else os.path.join(folder, piece.path)
    number = piece.first
    with files.open_read(path) as file:
        opened = parquet.ParquetFile(file)
        column = image_column(path, opened.schema_arrow, image_key)
        for batch in opened.iter_batches(batch_size=LEAST, row_groups=[piece.start], columns=[column]):
            for value in batch.column(0).to_pylist():
                data = value.get("bytes") if isinstance(value, Mapping) else value
                name, number = f"{piece.path}#{number}", number + 1
                if data is None:
                    yield Failure(name=name, kind=failures.NO_IMAGE, error=f"{name}: no picture in {column!r}.")
                else:
                    yield Item(name=name, data=data)


READERS: Mapping[str, Callable[[Piece, str, str | None], Iterable[Item | Failure]]] = {
    "list": read_paths,
    "tfrecord": read_examples,
    "parquet": read_rows,
}
