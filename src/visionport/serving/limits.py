"""What a request may cost, checked before it is paid: bytes of a body, time to send it, pixels of a picture."""

import asyncio
import io
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.filetypes import HEAD, PICTURE, kind_of_bytes
from visionport.inputs.pictures import READ, as_rgb, turned
from visionport.serving.messages import message
from visionport.serving.statuses import RequestError, invalid

FORMATS = tuple(READ.upper().split(", "))  # others run programs, as EPS does, or are rare and little tried
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
    size = picture_size(data)
    if size is None:  # what no header bounds, another decoder might take all the same
        raise invalid("a picture cannot be read: its header is broken.")
    if size[0] * size[1] * size[2] > most:
        frames = f" in {size[2]} frames" if size[2] > 1 else ""
        raise invalid(f"a picture of {size[0]} x {size[1]} pixels{frames} is larger than this server takes: {most:,}.")


def picture_size(data: Any) -> tuple[int, int, int] | None:
    """(height, width, frames) as its first bytes say; None for what is no picture, or none that Pillow knows."""
    from PIL import Image

    if not isinstance(data, bytes) or not is_picture(data):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return image.height, image.width, data.count(GIF_FRAME) or 1 if image.format == "GIF" else 1
    except Image.DecompressionBombError:
        return 1 << 31, 1 << 31, 1
    except Exception:  # whatever a broken header makes a decoder say; the model's own decoder refuses it too
        return None


GIF_FRAME = b"\0\x21\xf9\x04"  # what a frame of an animation begins with: decoders that want all allocate all


def read_picture(data: bytes, most: int) -> np.ndarray:
    """uint8 [h, w, 3], RGB, turned as its EXIF data says. Raises RequestError for what is no picture, or too large."""
    from PIL import Image

    if not data:
        raise invalid("The body is empty: send a picture.")
    if picture_size(data) is None:
        kind = kind_of_bytes(data[:HEAD])
        said = f" It is {kind}." if kind and kind != PICTURE else ""
        raise invalid(f"The body is not an image that can be read ({READ}).{said}")
    check_picture(data, most)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return np.asarray(as_rgb(turned(image), Path("The picture")))
    except InputError as e:
        raise invalid(str(e)) from None
    except Exception as e:  # a decoder's own words
        raise invalid(f"The picture cannot be read: {' '.join(str(e).split())[:200]}.") from None
