"""TFRecords record by record, from any place in a file: a damaged one is told, and the next is read.

A record is its length (8 bytes), the length's checksum, its data, and theirs: CRC-32C, masked.
"""

import struct
from collections.abc import Iterable, Iterator

from visionport import limits
from visionport.checkpoint.crc32c import crc32c, masked
from visionport.inputs.tfrecords import frame

HEAD = struct.Struct("<QI")
CHECK = struct.Struct("<I")


class DamagedError(Exception):
    """rest: whether the file cannot be read on from here."""

    def __init__(self, message: str, *, rest: bool):
        super().__init__(message)
        self.rest = rest


def checksum(data: bytes) -> int:
    return masked(crc32c(data))


def read_head(file) -> int:
    """The length of the next record's data; -1 at the file's end. Raises DamagedError."""
    head = file.read(HEAD.size)
    if not head:
        return -1
    if len(head) < HEAD.size:
        raise DamagedError("the file is cut short", rest=True)
    length, check = HEAD.unpack(head)
    if checksum(head[:8]) != check:
        raise DamagedError("no TFRecord goes on here: the length's checksum is wrong", rest=True)
    if length > limits.RECORD_BYTES:
        raise DamagedError(f"it has {length:,} bytes, and at most {limits.RECORD_BYTES:,} are read", rest=True)
    return length


def read(file, count: int | None = None) -> Iterator[bytes | DamagedError]:
    """The data of the next `count` records, or of all to the end; a DamagedError in place of each that is damaged."""
    while count is None or count > 0:
        try:
            length = read_head(file)
            if length < 0:
                return
            data = file.read(length + CHECK.size)
            if len(data) < length + CHECK.size:
                raise DamagedError("the file is cut short", rest=True)
        except DamagedError as e:
            yield e
            return
        data, (check,) = data[:length], CHECK.unpack(data[length:])
        yield data if checksum(data) == check else DamagedError("the record's checksum is wrong", rest=False)
        count = None if count is None else count - 1


def places(file, every: int) -> list[tuple[int, int]]:
    """(offset, number of records) of pieces of `every` records, by their lengths alone; of a file that can seek.

    Where the file is damaged, the last piece ends with a record too many, which `read` tells.
    """
    found: list[list[int]] = []
    count = 0
    while True:
        at = file.tell()
        try:
            length = read_head(file)
        except DamagedError:
            length = None
        if length is not None and length < 0:
            break
        if count % every == 0:
            found.append([at, 0])
        found[-1][1] += 1
        count += 1
        if length is None:
            break
        file.seek(length + CHECK.size, 1)
    return [(offset, number) for offset, number in found]


def write(file, records: Iterable[bytes]) -> None:
    for data in records:
        file.write(frame(data))
