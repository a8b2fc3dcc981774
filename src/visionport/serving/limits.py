"""What a request may cost, checked before it is paid: bytes of a body, time to send it, pixels of a picture."""

import asyncio
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.filetypes import HEAD, PICTURE, kind_of_bytes
from visionport.inputs import pictures
from visionport.serving.messages import message
from visionport.serving.statuses import RequestError, invalid

BLOCKS = 1_000_000  # of a GIF, each of up to 255 bytes
BITMAPS = (12, 40, 52, 56, 64, 108, 124)  # sizes of the second header of a BMP, whose first is two letters

# ---------------------------------------------------------------- bodies


class Room:
    """Bytes for all bodies together."""

    def __init__(self, free: int):
        self.free = free

    @contextmanager
    def sharing(self) -> Iterator[Callable[[int], None]]:
        """A function that takes so many bytes of it, which come back in the end."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if size > self.free:
                raise RequestError("RESOURCE_EXHAUSTED", "Too much is arriving at once: try again later.")
            self.free -= size
            taken += size

        try:
            yield take
        finally:
            self.free += taken


async def read_body(request, largest: int, seconds: float, take: Callable[[int], None]) -> bytes:
    """The body of a Starlette request. Raises RequestError for one that is too large or too slow.

    take: is told of bytes before they are kept, see Room.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > largest:
        raise too_large(largest)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise RequestError("INVALID_ARGUMENT", f"Content-Encoding {encoding[:40]} is not read: gzip is.", 415)
    try:
        body = await asyncio.wait_for(_receive(request, largest, take), seconds)
    except asyncio.TimeoutError:
        raise RequestError("DEADLINE_EXCEEDED", f"The body did not arrive within {seconds:g} s.", 408) from None
    if encoding == "identity":
        return body
    body = _unzip(body, largest)
    take(len(body))
    return body


async def _receive(request, largest: int, take: Callable[[int], None]) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise too_large(largest)
        take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _unzip(body: bytes, largest: int) -> bytes:
    reader = zlib.decompressobj(wbits=31)
    try:
        found = reader.decompress(body, largest + 1)
    except zlib.error as e:
        raise invalid(f"The body is not gzip, as its Content-Encoding says: {e}.") from None
    if len(found) > largest:
        raise too_large(largest)
    if not reader.eof:
        raise invalid("The body is not gzip to its end.")
    return found


def too_large(largest: int) -> RequestError:
    return RequestError("RESOURCE_EXHAUSTED", f"The body is larger than this server takes: {largest:,} bytes.", 413)


# ---------------------------------------------------------------- pictures


def check_pictures(feeds: Mapping[str, np.ndarray], most: int) -> None:
    """Raises RequestError where a string is, or holds in a tf.Example, a picture of more than `most` pixels."""
    for array in feeds.values():
        if array.dtype.kind == "O":
            for data in array.reshape(-1):
                check_string(data, most)


def check_string(data: Any, most: int) -> None:
    if not isinstance(data, bytes):
        return
    if is_picture(data):
        check_picture(data, most)
        return
    try:  # a tf.Example begins as a tf.SequenceExample does
        example = message("tensorflow.SequenceExample").FromString(data)
    except Exception:  # any other string; the kinds of errors differ between versions of protobuf
        return
    features = [*example.context.feature.values()]
    features += [f for steps in example.feature_lists.feature_list.values() for f in steps.feature]
    for feature in features:
        for value in feature.bytes_list.value:
            if is_picture(value):
                check_picture(value, most)


def is_picture(data: bytes) -> bool:
    if data.startswith(b"BM"):
        return int.from_bytes(data[14:18], "little") in BITMAPS
    return kind_of_bytes(data[:HEAD]) == PICTURE


def check_picture(data: bytes, most: int) -> None:
    try:
        height, width, frames = picture_size(data) or (0, 0, 0)
        pictures.check_pixels(height * width * frames, "a picture", most)
    except InputError as e:
        raise invalid(str(e)) from None


def picture_size(data: Any) -> tuple[int, int, int] | None:
    """(height, width, frames) as the header says; None for another string. Raises InputError for a broken picture."""
    if not isinstance(data, bytes) or not is_picture(data):
        return None
    with pictures.opened(io.BytesIO(data), "a picture") as image:
        return image.height, image.width, count_frames(data) if image.format == "GIF" else 1


def count_frames(data: bytes) -> int:
    """Of a GIF, by its blocks: TensorFlow's decoder unpacks them all. Raises InputError for too many blocks."""
    at = 13 + (3 << (data[10] % 8 + 1) if data[10] & 0x80 else 0)  # behind the palette
    frames = blocks = 0
    while (kind := data[at : at + 1]) in (b",", b"!"):
        if kind == b",":  # a frame, perhaps with a palette
            frames += 1
            flags = data[at + 9] if at + 9 < len(data) else 0
            at += 11 + (3 << (flags % 8 + 1) if flags & 0x80 else 0)
        else:
            at += 2
        while at < len(data) and data[at]:
            at += data[at] + 1
            blocks += 1
            if blocks > BLOCKS:
                raise InputError(f"a picture is a GIF of more than {BLOCKS:,} blocks: make it smaller.")
        at += 1
    return max(1, frames)


def read_picture(data: bytes, most: int) -> np.ndarray:
    """uint8 [h, w, 3], RGB, turned as its EXIF data says. Raises RequestError for what is no picture, or too large."""
    if not data:
        raise invalid("The body is empty: send a picture.")
    try:
        with pictures.opened(io.BytesIO(data), "The picture") as image:
            pictures.check_pixels(image.width * image.height, "The picture", most)
            return np.asarray(pictures.as_rgb(pictures.turned(image), Path("The picture")))
    except InputError as e:
        raise invalid(str(e)) from None
