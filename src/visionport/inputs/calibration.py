"""Pictures to calibrate integer quantisation with: a folder of images, or TFRecords of the Object Detection API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.inputs import pictures as images

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
MOST = 300  # more change the ranges little and take their time


def sources(path: Path) -> list[Path]:
    """The pictures of a folder and of those below it, by name, at most MOST spread evenly; or the TFRecord itself."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"--calibration {path}: no such folder or TFRecord.")
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            raise InputError(f"--calibration {path} is one picture; give a folder of about 100 typical ones.")
        return [path]
    found = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not found:
        raise InputError(f"--calibration {path}: no pictures ({', '.join(s[1:] for s in SUFFIXES)}) in that folder.")
    return spread(found)


def load(path: Path) -> Iterator[np.ndarray]:
    """uint8 [h, w, 3], one after another, read when asked for."""
    found = sources(path)
    if Path(path).is_dir():
        yield from map(images.read, found)
    else:
        yield from records(found[0])


def count(path: Path) -> int:
    """How many `load` gives."""
    return len(sources(path)) if Path(path).is_dir() else len(spread(range(sum(1 for _ in raw(path)))))


def records(path: Path) -> Iterator[np.ndarray]:
    """The pictures in a TFRecord of tf.Examples with the key `image/encoded`, at most MOST spread evenly."""
    import tensorflow as tf

    from visionport.ops import image

    wanted = set(spread(range(sum(1 for _ in raw(path)))))
    for i, data in enumerate(raw(path)):
        if i not in wanted:
            continue
        try:
            yield image.decode_example(data).numpy()
        except tf.errors.InvalidArgumentError as e:
            raise InputError(
                f"{path}: record {i} is no tf.Example with an image in 'image/encoded': {str(e).splitlines()[0]}"
            ) from None


def raw(path: Path, option: str = "--calibration") -> Iterator[Any]:
    """Its records' bytes. option: which names it, for errors."""
    import tensorflow as tf

    empty = True
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            empty = False
            yield record
    except tf.errors.DataLossError as e:
        raise InputError(f"{option} {path} is no TFRecord, or is cut short: {e.message}.") from None
    if empty:
        raise InputError(f"{option} {path} holds no records.")


def spread(items):
    """At most MOST of them, evenly."""
    if len(items) <= MOST:
        return items
    return [items[i * len(items) // MOST] for i in range(MOST)]
