"""Pictures as `visionport predict` reads them: each format, its modes, turned, animated."""

import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from visionport.inputs import pictures
from visionport.tasks.video import clips

SUFFIX = ".jpg"  # whatever the bytes are
RANDOM = np.random.default_rng(7)
COLOURS = Image.fromarray(np.kron(RANDOM.integers(0, 256, (5, 7, 3), np.uint8), np.ones((3, 3, 1), np.uint8)))
DEEP = Image.fromarray(RANDOM.integers(0, 1 << 16, (6, 8)).astype(np.uint16))
PNG_MARK = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    return exif


FRAMES = [COLOURS.rotate(90 * i) for i in range(3)]
SEEDS = (
    saved(COLOURS, "JPEG", exif=turned(6)),
    saved(COLOURS, "JPEG", progressive=True),
    saved(COLOURS.convert("CMYK"), "JPEG"),
    saved(COLOURS.convert("L"), "JPEG"),
    saved(COLOURS, "PNG", exif=turned(3)),
    saved(COLOURS.convert("P"), "PNG", transparency=3),
    saved(COLOURS.convert("RGBA"), "PNG"),
    saved(COLOURS.convert("1"), "PNG"),
    saved(DEEP, "PNG"),
    saved(COLOURS, "PNG", save_all=True, append_images=FRAMES),
    saved(COLOURS, "BMP"),
    saved(COLOURS.convert("P"), "BMP"),
    saved(COLOURS, "GIF", save_all=True, append_images=FRAMES),
    saved(COLOURS, "WEBP", lossless=True, exif=turned(8)),
    saved(COLOURS, "WEBP", save_all=True, append_images=FRAMES),
    saved(COLOURS, "TIFF"),
    saved(COLOURS, "TIFF", compression="tiff_lzw"),
    saved(COLOURS, "TIFF", compression="tiff_deflate"),
    saved(DEEP, "TIFF"),
    saved(COLOURS.convert("CMYK"), "TIFF"),
    saved(COLOURS.convert("YCbCr"), "TIFF"),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
    b"P6 2 2 255\n" + bytes(12),
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Bytes and words anywhere, mostly near the beginning; the checksums of a PNG fit again."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) if rng.random() < 0.5 else min(len(out), 80))
        kind = rng.randrange(5)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            size = rng.choice((1, 2, 4))
            out[at : at + size] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * size
        elif kind == 2:
            out[at:at] = out[at : at + rng.randrange(40)]
        elif kind == 3:
            del out[at : at + rng.choice((1, 4, 30))]
        elif rng.random() < 0.2:
            del out[at + 1 :]
        if not out:
            return data
    return mended(bytes(out)) if out.startswith(PNG_MARK) and rng.random() < 0.9 else bytes(out)


def mended(data: bytes) -> bytes:
    out, at = bytearray(data), len(PNG_MARK)
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def read(path: Path) -> None:
    """As a picture, and as a clip."""
    assert pictures.read(path).shape[2] == 3
    clips.read_animation(path)
