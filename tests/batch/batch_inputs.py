"""Pictures of many sizes, data sets of them, and pictures that are broken in every way, for tests of batches."""

import io
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visionport.inputs import pictures

DIGITS = Path(str(pictures.example("digits")))
SIZES = ((192, 192), (200, 208), (208, 192))  # height, width


def write_pictures(folder: Path, count: int, *, seed: int = 0) -> list[Path]:
    """JPEGs of digits, of three sizes, each another."""
    sources = sorted((DIGITS / "images").glob("*.jpg"))
    random, found = np.random.default_rng(seed), []
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        height, width = SIZES[i % len(SIZES)]
        image = np.asarray(Image.open(sources[i % len(sources)]).convert("RGB").resize((width, height))).astype(int)
        noisy = np.clip(image + random.integers(-20, 20, image.shape), 0, 255).astype(np.uint8)
        found.append(folder / f"p{i:04}.jpg")
        Image.fromarray(noisy).save(found[-1], quality=90)
    return found


def broken(good: bytes) -> dict[str, tuple[bytes | None, str]]:
    """Name -> (bytes; None for a file that is not there, the kind of the error). good: a JPEG."""
    png = io.BytesIO()
    Image.open(io.BytesIO(good)).save(png, "PNG")
    floats, bomb = io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(floats, "TIFF")
    Image.new("L", (8, 8)).save(bomb, "PNG")
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + bomb.getvalue()[24:29]
    large = bomb.getvalue()[:12] + header + struct.pack(">I", zlib.crc32(header)) + bomb.getvalue()[33:]
    return {
        "absent.jpg": (None, "no such file"),
        "empty.jpg": (b"", "empty"),
        "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "a web page (HTML)"),
        "pointer.jpg": (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234\n",
            "a Git LFS pointer",
        ),
        "document.png": (b"%PDF-1.7\n" + b"0" * 100, "a PDF"),
        "array.png": (b"\x93NUMPY\x01\x00" + b"0" * 100, "a NumPy array"),
        "text.jpg": (b"just some words, no picture\n", "not a picture"),
        "noise.bmp": (bytes(np.random.default_rng(1).integers(1, 255, 400, np.uint8)), "not a picture"),
        "cut.jpg": (good[: len(good) // 3], "damaged picture"),
        "cut.png": (png.getvalue()[: len(png.getvalue()) // 2], "damaged picture"),
        "phone.jpg": (b"\x00\x00\x00\x18ftypheic" + b"\x00" * 64, "a HEIC picture"),
        "depth.tif": (floats.getvalue(), "damaged picture"),
        "huge.png": (large, "too many pixels"),
        "packed.jpg": (b"\x1f\x8b\x08" + b"\x00" * 64, "an archive"),
    }


def write_broken(folder: Path, good: bytes) -> dict[str, str]:
    """Writes them; path -> kind, of those that are not there too."""
    kinds = {}
    for name, (data, kind) in broken(good).items():
        if data is not None:
            (folder / name).write_bytes(data)
        kinds[str(folder / name)] = kind
    return kinds


def rows(path: Path) -> list[dict[str, Any]]:
    """Of a file of JSON lines, by their pictures."""
    return sorted((json.loads(line) for line in path.read_text().splitlines()), key=lambda row: row["image"])


def example(values: Mapping[str, Any]) -> bytes:
    import tensorflow as tf

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        if isinstance(value[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))

    features = tf.train.Features(feature={key: feature(value) for key, value in values.items()})
    return tf.train.Example(features=features).SerializeToString()


def write_examples(path: Path, files: Sequence[Path], **more: Any) -> Path:
    """A TFRecord of them; `image/source_id` is their number."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for i, file in enumerate(files):
            values = {"image/encoded": file.read_bytes(), "image/source_id": str(i).encode(), **more}
            writer.write(example(values))
    return path


def write_table(path: Path, files: Sequence[Path], *, nested: bool, group: int = 7) -> Path:
    """A Parquet file of them, as Hugging Face's data sets are, or with a plain column."""
    import pyarrow  # pyright: ignore[reportMissingImports]
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    data = [f.read_bytes() for f in files]
    column = [{"bytes": d, "path": f.name} for d, f in zip(data, files, strict=True)] if nested else data
    parquet.write_table(pyarrow.table({"id": list(range(len(files))), "image": column}), path, row_group_size=group)
    return path
