"""The V2 format: an index, which is a table of names with shapes, types and places, and files of data.

All that an index says is checked before it is believed: against itself, and against the files of data that are there.
See https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

import math
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport import limits
from visionport.checkpoint import dtypes, files, slices
from visionport.checkpoint.crc32c import crc32c, masked
from visionport.checkpoint.schema import DecodeError, message_class
from visionport.checkpoint.table import Table, varint
from visionport.errors import CheckpointError

HEADER = b""  # its key
PARTS = b"\x00"  # begins the key of a part of a tensor
VERSION = 1  # of the format, tensor_bundle.h: kTensorBundleVersion
LITTLE = 0  # endian
PAGE = 4096  # bytes between values, at most


@dataclass(frozen=True)
class Stored:
    """What an index says of a tensor or of a part. parts: where those of a partitioned tensor are, by place."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    parts: Mapping[slices.Part, "Stored"]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * dtypes.item_size(self.dtype)


class Bundle:
    """The checkpoint with this prefix, by its index. Raises CheckpointError for what cannot be right."""

    def __init__(self, prefix: Path):
        self.prefix = prefix
        self.index = files.index(prefix)
        self.lock = threading.Lock()
        self.file: Any = None  # the data file that was read last, open
        self.open_shard, self.close = -1, lambda: None
        if files.size_of(self.index) > limits.CHECKPOINT_INDEX:
            raise files.damaged(self.index, f"no index is larger than {limits.CHECKPOINT_INDEX >> 20} MiB")
        header, found, parts = None, [], {}
        for key, value in Table(self.index).items():
            if header is None:
                if key != HEADER:
                    raise files.damaged(self.index, "it has no header")
                header = self.parsed("BundleHeader", value)
                self.check_header(header)
                self.shards: int = header.num_shards
                continue
            entry = self.parsed("BundleEntry", value)
            if key.startswith(PARTS):
                parts[key] = entry
            else:
                found.append((self.named(key), entry))
        if header is None:
            raise files.damaged(self.index, "it has no header")
        self.stored: dict[str, Stored] = {name: self.checked(name, entry, parts) for name, entry in found}
        if parts:
            raise files.damaged(self.index, "it holds parts of no tensor")
        self.needed = self.check_places()

    def check_header(self, header) -> None:
        if header.endianness != LITTLE:
            raise CheckpointError(
                f"{self.index} was written on a big-endian machine, and visionport reads little-endian checkpoints "
                "alone. Load it there, and save its values in another format, such as NumPy's."
            )
        version = header.version
        if version.min_consumer > VERSION or VERSION in version.bad_consumers:
            raise CheckpointError(
                f"{self.index} was written by a newer TensorFlow, in a format that visionport does not know (version "
                f"{version.producer}). Save it again by TensorFlow 2."
            )
        if not 1 <= header.num_shards <= limits.CHECKPOINT_SHARDS:
            raise files.damaged(self.index, f"it counts {header.num_shards} files of data")

    def parsed(self, kind: str, value: bytes):
        if len(value) > limits.CHECKPOINT_ENTRY:
            raise files.damaged(self.index, "an entry is too large")
        try:
            return message_class(kind).FromString(value)
        except DecodeError:
            raise files.damaged(self.index, "an entry cannot be read") from None

    def named(self, key: bytes) -> str:
        try:
            return key.decode()
        except UnicodeDecodeError:
            raise files.damaged(self.index, f"the name {key[:80]!r} is not UTF-8") from None

    def checked(self, name: str, entry, parts: dict[bytes, Any]) -> Stored:
        """What is said of one tensor; takes its parts from `parts`."""
        stored = self.plain(name, entry)
        if not entry.slices:
            return stored
        found, count = {}, 0
        for message in entry.slices:
            part = slices.part_of(message)
            try:
                count += slices.check_part(part, stored.shape)
            except ValueError as error:
                raise self.wrong(name, str(error)) from None
            own = parts.pop(slices.key_of(name, part), None)
            if own is None:
                raise self.wrong(name, "a part of it is missing, or there twice")
            found[part] = self.plain(name, own)
            if own.slices or (found[part].dtype, found[part].shape) != (
                stored.dtype,
                slices.size_of(part, stored.shape),
            ):
                raise self.wrong(name, "a part has another shape or type than the whole")
        if count != math.prod(stored.shape):
            raise self.wrong(name, "its parts do not make up the whole")
        return Stored(stored.dtype, stored.shape, 0, 0, 0, 0, found)

    def plain(self, name: str, entry) -> Stored:
        """The same without its parts."""
        dtype = dtypes.NAMES.get(entry.dtype)
        if dtype is None:
            raise self.wrong(name, f"its type, {entry.dtype}, is none that is known")
        shape = tuple(dim.size for dim in entry.shape.dim)
        if problem := shape_problem(shape, dtype, entry.shape.unknown_rank):
            raise self.wrong(name, problem)
        if not entry.slices:
            if not 0 <= entry.shard_id < self.shards:
                raise self.wrong(name, f"its values are in file {entry.shard_id} of {self.shards}")
            if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size >= 1 << 63:
                raise self.wrong(name, "its values lie at no possible place")
            size = dtypes.item_size(dtype)
            count = math.prod(shape)
            if size and entry.size != count * size:
                raise self.wrong(name, f"it has {entry.size:,} bytes, and its shape and type need {count * size:,}")
            if not size and entry.size < count:
                raise self.wrong(name, f"it has {entry.size:,} bytes for {count:,} values")
        return Stored(dtype, shape, entry.shard_id, entry.offset, entry.size, entry.crc32c, {})

    def check_places(self) -> dict[int, int]:
        """The number of bytes that each file of data must have: values lie one behind the other."""
        whole = [(name, stored) for name, stored in self.stored.items() if not stored.parts]
        parts = [(name, part) for name, stored in self.stored.items() for part in stored.parts.values()]
        ends: dict[int, int] = {}
        order = sorted(((s.shard, s.offset, s.size, name) for name, s in whole + parts if s.size))
        for shard, offset, size, name in order:
            gap = offset - ends.get(shard, 0)
            if gap < 0:
                raise self.wrong(name, "its values overlap those of another")
            ends[shard] = offset + size
        total: dict[int, int] = {}
        for shard, _, size, _ in order:
            total[shard] = total.get(shard, 0) + size + PAGE
        for shard, end in ends.items():
            if end > total[shard]:
                raise files.damaged(self.index, f"values lie at {end:,} of file {shard}, far behind all others")
        return ends

    def get_tensor(self, name: str):
        """The values of one tensor."""
        stored = self.stored[name]
        if not stored.parts:
            return self.read(name, stored)
        dtype = dtypes.numpy_dtype(stored.dtype)
        whole, filled = np.empty(stored.shape, dtype), np.zeros(stored.shape, bool)
        for part, own in stored.parts.items():
            place = slices.place_of(part)
            if filled[place].any():
                raise self.wrong(name, "its parts overlap")
            whole[place] = self.read(name, own)
            filled[place] = True
        return whole

    def read(self, name: str, stored: Stored) -> np.ndarray:
        if stored.dtype == "variant":
            raise CheckpointError(f"{self.prefix}: {files.shown(name)} holds an object (a variant), not numbers.")
        dtype = dtypes.numpy_dtype(stored.dtype)
        if dtype.hasobject and (problem := dtypes.strings_problem(math.prod(stored.shape), stored.size)):
            raise self.unreadable(name, problem)
        if not stored.size:
            return np.empty(stored.shape, dtype)
        values = np.empty(stored.size, np.uint8) if dtype.hasobject else np.empty(stored.shape, dtype)
        raw: Any = values.reshape(-1).view(np.uint8).data
        if not self.fill(raw, stored):
            raise self.unreadable(name, "its file has become shorter")
        if dtype.hasobject:
            return self.strings(name, stored, bytes(raw))
        if masked(crc32c(raw)) != stored.checksum:
            raise self.unreadable(name, "checksum mismatch")
        return values.view(np.uint8) != 0 if stored.dtype == "bool" else values

    def fill(self, raw, stored: Stored) -> bool:
        """Reads the bytes of a tensor into `raw`; False where they are not all there."""
        with self.lock:
            if self.open_shard != stored.shard:
                self.close()
                self.file = files.opened(files.shard(self.prefix, stored.shard, self.shards))
                self.close, self.open_shard = weakref.finalize(self, self.file.close), stored.shard
            self.file.seek(stored.offset)
            return self.file.readinto(raw) == stored.size

    def strings(self, name: str, stored: Stored, data: bytes) -> np.ndarray:
        """Their lengths, a checksum of those, and they."""
        count = math.prod(stored.shape)
        lengths, at = [], 0
        try:
            for _ in range(count):
                length, at = varint(data, at)
                lengths.append(length)
        except ValueError as error:
            raise self.unreadable(name, str(error)) from None
        if at + 4 + sum(lengths) != len(data):
            raise self.unreadable(name, "its lengths are not those of its strings")
        packed = b"".join(n.to_bytes(4 if n < 1 << 32 else 8, "little") for n in lengths)
        checksum = crc32c(packed)
        if masked(checksum) != int.from_bytes(data[at : at + 4], "little"):
            raise self.unreadable(name, "checksum mismatch of its lengths")
        if masked(crc32c(data[at:], checksum)) != stored.checksum:
            raise self.unreadable(name, "checksum mismatch")
        values = np.empty(count, object)
        at += 4
        for i, length in enumerate(lengths):
            values[i] = data[at : at + length]
            at += length
        return values.reshape(stored.shape)

    def wrong(self, name: str, problem: str) -> CheckpointError:
        return files.damaged(self.index, f"{files.shown(name)}: {problem}")

    def unreadable(self, name: str, problem: str) -> CheckpointError:
        return CheckpointError(
            f"{self.prefix}: cannot read {files.shown(name)}, its data is damaged ({problem}). {files.AGAIN}"
        )


def shape_problem(shape: tuple[int, ...], dtype: str, unknown: bool = False) -> str:
    """Why no tensor has such a shape, or ""."""
    if unknown:
        return "its shape is unknown"
    if len(shape) > limits.CHECKPOINT_RANK:
        return f"it has {len(shape)} dimensions, and {limits.CHECKPOINT_RANK} is the most"
    if any(size < 0 for size in shape):
        return f"its shape, {list(shape)}, is negative"
    if math.prod(max(size, 1) for size in shape) * max(dtypes.item_size(dtype), 1) > limits.CHECKPOINT_TENSOR:
        return f"its shape, {list(shape)}, is larger than any tensor"
    return ""
