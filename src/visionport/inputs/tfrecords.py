"""TFRecords of tf.Examples: lengths are checked against the file, and features are read by what they are to be."""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from visionport import limits
from visionport.checkpoint.crc32c import crc32c, masked
from visionport.errors import InputError
from visionport.filetypes import kind_of_file, open_file

START, LENGTH = struct.Struct("<QI"), 8  # a record's length and the checksum of that
CHECKSUM = struct.Struct("<I")  # of the record, behind it
COMPRESSED = {b"\x1f\x8b": "gzip", b"\x78\x01": "zlib", b"\x78\x9c": "zlib", b"\x78\xda": "zlib"}
IMAGE = "image/encoded"


@dataclass(frozen=True)
class Features:
    """Features of a tf.Example, or of a sequence's context, by name. where: what the record is called in errors."""

    features: Mapping[str, Any]
    where: str

    def texts(self, name: str) -> list[bytes]:
        return list(self._values(name, "bytes"))

    def floats(self, name: str) -> np.ndarray:
        return np.array(self._values(name, "float"), np.float32)

    def integers(self, name: str) -> np.ndarray:
        return np.array(self._values(name, "int64"), np.int64)

    def text(self, name: str) -> bytes:
        """The one that there has to be."""
        values = self.texts(name)
        if len(values) != 1:
            raise InputError(f"{self.where} has {len(values) or 'nothing'} in {name!r}, where one is wanted.")
        return values[0]

    def picture(self) -> np.ndarray:
        """uint8 [h, w, 3], as TensorFlow's decoder gives it."""
        return decode(self.text(IMAGE), f"{self.where}: {IMAGE!r}")

    def _values(self, name: str, kind: str) -> Sequence[Any]:
        feature = self.features.get(name)
        found = feature.WhichOneof("kind") if feature is not None else None
        if found is None:
            return ()
        if found != f"{kind}_list":
            raise InputError(f"{self.where}: {name!r} holds {found.removesuffix('_list')} values, not {kind}.")
        values = getattr(feature, found).value
        if len(values) > limits.RECORD_VALUES:
            raise InputError(f"{self.where}: {name!r} has {len(values):,}; at most {limits.RECORD_VALUES:,} are read.")
        return values


def read(path: Path, option: str) -> Iterator[bytes]:
    """Its records' bytes. Raises InputError for what is damaged or cut short. option: which names it, for errors."""
    for i, (file, length) in enumerate(records(path, option)):
        data = file.read(length)
        if masked(crc32c(data)) != CHECKSUM.unpack(file.read(CHECKSUM.size))[0]:
            raise InputError(f"{option} {path} is damaged: the checksum of record {i} does not fit.")
        yield data


def frame(data: bytes) -> bytes:
    """A record as it lies in a file."""
    length = struct.pack("<Q", len(data))
    return b"".join([length, CHECKSUM.pack(masked(crc32c(length))), data, CHECKSUM.pack(masked(crc32c(data)))])


def count(path: Path, option: str) -> int:
    """How many records there are, by their lengths alone."""
    found = 0
    for file, length in records(path, option):
        file.seek(length + CHECKSUM.size, 1)
        found += 1
    return found


def records(path: Path, option: str) -> Iterator[tuple[BinaryIO, int]]:
    """(the file, where a record begins in it; the record's length) of each; whoever asks goes to its end."""
    with open_file(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        found = 0
        while (left := size - file.tell() - START.size) > -START.size:
            start = file.read(START.size)
            length, checksum = START.unpack(start.ljust(START.size, b"\0"))
            place = f"{option} {path} is no TFRecord, or is damaged or cut short: record {found}"
            if masked(crc32c(start[:LENGTH])) != checksum or left < 0:
                if not found and start[:2] in COMPRESSED:
                    raise InputError(f"{option} {path} is compressed ({COMPRESSED[start[:2]]}). Unpack it first.")
                kind = "" if found else kind_of_file(path)
                raise InputError(f"{place} has no sound length.{f' It is {kind}.' if kind else ''}")
            if length > limits.RECORD_BYTES:
                raise InputError(f"{place} has {length:,} bytes; at most {limits.RECORD_BYTES:,} are read.")
            if length + CHECKSUM.size > left:
                raise InputError(f"{place} has {length:,} bytes, of which {left:,} are there.")
            yield file, length
            found += 1
        if not found:
            raise InputError(f"{option} {path} holds no records.")


def parse_example(data: bytes, where: str) -> Features:
    """A serialized tf.train.Example."""
    import tensorflow as tf

    return Features(parsed(tf.train.Example, data, where).features.feature, where)


def parse_sequence(data: bytes, where: str) -> tuple[Features, Mapping[str, Sequence[Any]]]:
    """A serialized tf.train.SequenceExample: its context, and its lists of features by name."""
    import tensorflow as tf

    found = parsed(tf.train.SequenceExample, data, where)
    return Features(found.context.feature, where), {k: v.feature for k, v in found.feature_lists.feature_list.items()}


def parsed(kind: Any, data: bytes, where: str) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return kind.FromString(data)
    except (DecodeError, UnicodeDecodeError):
        raise InputError(f"{where} is no tf.train.{kind.__name__}, or its keys are not UTF-8.") from None


def decode(data: bytes, where: str) -> np.ndarray:
    """uint8 [h, w, 3] from the bytes of a picture. Raises InputError for what is none, or is too large.

    TensorFlow's decoder unpacks all frames of a GIF, though it gives the first.
    """
    import tensorflow as tf

    from visionport.inputs import pictures
    from visionport.ops import image

    with pictures.opened(io.BytesIO(data), where) as header:
        pictures.check_pixels(header.width * header.height * getattr(header, "n_frames", 1), where)
    try:
        return image.decode(data).numpy()
    except tf.errors.OpError as e:
        raise InputError(f"{where} is no picture that can be read: {str(e).splitlines()[0]}") from None
