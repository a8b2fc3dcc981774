"""The table format of LevelDB, in which an index and a V1 checkpoint are written: sorted keys with values, in blocks.

A file ends in a footer of 48 bytes: where the block of blocks lies, and a magic number. Of each block the checksum is
verified; entries must be in order, and blocks lie one behind the other.
See https://github.com/google/leveldb/blob/main/doc/table_format.md.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from visionport.checkpoint import files
from visionport.checkpoint.crc32c import crc32c, masked
from visionport.errors import CheckpointError
from visionport.limits import CHECKPOINT_INDEX, CHECKPOINT_TENSORS

FOOTER, TRAILER = 48, 5  # bytes; a block's trailer is its compression and checksum
MAGIC = 0xDB4775248B80FB57
PLAIN, SNAPPY = 0, 1
KEPT = 1 << 20  # bytes of a block that is kept for the next value
MOST_EXPANSION = 22  # of snappy: 64 bytes are copied by 3


@dataclass(frozen=True)
class Handle:
    """Where a block is."""

    offset: int
    size: int


class Table:
    """The table at `path`, open while it is in use: values by key. Raises CheckpointError for one that is damaged."""

    def __init__(self, path: Path):
        self.path = path
        self.last_keys: list[bytes] = []
        self.handles: list[Handle] = []
        self.kept: tuple[Handle | None, dict[bytes, bytes]] = (None, {})  # the last small block that was read
        with files.opened(path) as file:
            size = files.size(file)
            if size < FOOTER:
                raise self.damaged("it is shorter than its footer")
            self.end = size - FOOTER
            file.seek(self.end)
            footer = file.read(FOOTER)
            if int.from_bytes(footer[-8:], "little") != MAGIC:
                raise self.damaged("not an sstable (bad magic number)")
            try:
                _, at = handle(footer, 0)
                where, _ = handle(footer, at)
            except ValueError as error:
                raise self.damaged(str(error)) from None
            if where.size > CHECKPOINT_INDEX:
                raise self.damaged("its block of blocks is too large")
            before = 0
            for key, value in self.entries(file, where):
                try:
                    found, _ = handle(value, 0)
                except ValueError as error:
                    raise self.damaged(str(error)) from None
                if found.offset < before:
                    raise self.damaged("its blocks overlap")
                before = found.offset + found.size + TRAILER
                if len(self.handles) == CHECKPOINT_TENSORS:
                    raise self.damaged(f"it has more than {CHECKPOINT_TENSORS:,} blocks")
                self.last_keys.append(key)
                self.handles.append(found)
            if before > where.offset:
                raise self.damaged("its blocks overlap")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries, in order."""
        count, last = 0, None
        with files.opened(self.path) as file:
            for place in self.handles:
                for key, value in self.entries(file, place):
                    if last is not None and key <= last:
                        raise self.damaged("its entries are out of order")
                    count, last = count + 1, key
                    if count > CHECKPOINT_TENSORS:
                        raise self.damaged(f"it has more than {CHECKPOINT_TENSORS:,} entries")
                    yield key, value

    def get(self, key: bytes) -> bytes | None:
        """One value; None where there is no such key."""
        found = bisect_left(self.last_keys, key)
        if found == len(self.handles):
            return None
        place = self.handles[found]
        if place == self.kept[0]:
            return self.kept[1].get(key)
        with files.opened(self.path) as file:
            values = dict(self.entries(file, place))
        if place.size <= KEPT:
            self.kept = (place, values)
        return values.get(key)

    def entries(self, file: BinaryIO, place: Handle) -> Iterator[tuple[bytes, bytes]]:
        """Those of one block."""
        content = self.block(file, place)
        try:
            yield from entries(content)
        except (ValueError, IndexError) as error:
            raise self.damaged(str(error) or "a block ends too early") from None

    def block(self, file: BinaryIO, place: Handle) -> bytes:
        if place.offset + place.size + TRAILER > self.end:
            raise self.damaged("a block lies outside of the file")
        file.seek(place.offset)
        data = file.read(place.size + TRAILER)
        if len(data) != place.size + TRAILER:
            raise self.damaged("it has become shorter")
        content, kind = memoryview(data)[: place.size], data[place.size]
        if masked(crc32c(memoryview(data)[: place.size + 1])) != int.from_bytes(data[-4:], "little"):
            raise self.damaged("block checksum mismatch")
        if kind == PLAIN:
            return bytes(content)
        if kind != SNAPPY:
            raise self.damaged(f"a block is compressed by an unknown method ({kind})")
        try:
            return unpack(bytes(content))
        except (ValueError, IndexError) as error:
            raise self.damaged(str(error) or "a compressed block ends too early") from None

    def damaged(self, reason: str) -> CheckpointError:
        return files.damaged(self.path, reason)


def entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block: each key begins as the one before it."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ValueError("a block's restarts lie outside of it")
    at, key, last = 0, b"", None
    while at < end:
        if at + 3 <= end and block[at] | block[at + 1] | block[at + 2] < 0x80:  # nearly always
            shared, own, length = block[at : at + 3]
            at += 3
        else:
            shared, at = varint(block, at)
            own, at = varint(block, at)
            length, at = varint(block, at)
        if shared > len(key) or at + own + length > end:
            raise ValueError("an entry lies outside of its block")
        key = key[:shared] + block[at : at + own]
        if last is not None and key <= last:
            raise ValueError("its entries are out of order")
        at += own
        yield key, block[at : at + length]
        at += length
        last = key


def handle(data: bytes, at: int) -> tuple[Handle, int]:
    offset, at = varint(data, at)
    size, at = varint(data, at)
    return Handle(offset, size), at


def varint(data, at: int) -> tuple[int, int]:
    """A number of 64 bits, and what follows it. Raises ValueError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
    raise ValueError("a number is too large")


def unpack(data: bytes) -> bytes:
    """The bytes behind snappy's: https://github.com/google/snappy/blob/main/format_description.txt."""
    size, at = varint(data, 0)
    if size > MOST_EXPANSION * len(data):
        raise ValueError("a compressed block is larger than it can be")
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at : at + extra], "little")
                at += extra
            length += 1
            if at + length > len(data):
                raise ValueError("a compressed block ends too early")
            out += data[at : at + length]
            at += length
        else:
            length, extra = ((tag >> 2 & 7) + 4, 1) if tag & 3 == 1 else ((tag >> 2) + 1, 2 if tag & 3 == 2 else 4)
            if at + extra > len(data):
                raise ValueError("a compressed block ends too early")
            back = int.from_bytes(data[at : at + extra], "little") | (tag >> 5 << 8 if tag & 3 == 1 else 0)
            at += extra
            if not 0 < back <= len(out):
                raise ValueError("a compressed block copies what is not there")
            begin = len(out) - back
            if back >= length:
                out += out[begin : begin + length]
            else:
                out += (out[begin:] * (length // back + 1))[:length]
        if len(out) > size:
            raise ValueError("a compressed block is larger than it says")
    if len(out) != size:
        raise ValueError("a compressed block is smaller than it says")
    return bytes(out)
