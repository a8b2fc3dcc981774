"""TFRecords as --calibration and --evaluate read them, for each task."""

import io
import random
import struct
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from visionport.checkpoint.crc32c import crc32c, masked
from visionport.errors import VisionportError
from visionport.inputs import calibration
from visionport.tasks.classification import metric as classification
from visionport.tasks.detection import metric as detection
from visionport.tasks.segmentation import metric as segmentation
from visionport.tasks.video import metric as video

SUFFIX = ".tfrecord"
PICTURE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8))


def encoded(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


def feature(values) -> tf.train.Feature:
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**more) -> bytes:
    given = {name.replace("__", "/"): feature(values) for name, values in more.items()}
    return tf.train.Example(features=tf.train.Features(feature=given)).SerializeToString(deterministic=True)


def framed(records) -> bytes:
    def checked(data: bytes) -> bytes:
        return data + struct.pack("<I", masked(crc32c(data)))

    return b"".join(checked(struct.pack("<Q", len(r))) + checked(r) for r in records)


def unframed(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        found.append(data[at + 12 : at + 12 + length])
        at += 16 + length
    return found


CORNERS = ("ymin", "xmin", "ymax", "xmax")
BOXES = {f"image__object__bbox__{k}": [0.1, 0.2] if "min" in k else [0.5, 0.75] for k in CORNERS}
DETECTION = example(
    image__encoded=[encoded(PICTURE, "JPEG")],
    **BOXES,
    image__object__class__label=[1, 2],
    image__object__is_crowd=[0, 1],
)
CLASSES = example(image__encoded=[encoded(PICTURE, "GIF")], image__class__label=[1])
PIXELS = example(
    image__encoded=[encoded(PICTURE, "PNG")],
    image__segmentation__class__encoded=[encoded(PICTURE.convert("L").point([v % 3 for v in range(256)]), "PNG")],
)
CLIP = tf.train.SequenceExample(
    context=tf.train.Features(feature={"clip/label/index": feature([1])}),
    feature_lists=tf.train.FeatureLists(
        feature_list={
            "image/encoded": tf.train.FeatureList(feature=[feature([encoded(PICTURE, "BMP")]) for _ in range(2)])
        }
    ),
).SerializeToString(deterministic=True)
SEEDS = tuple(framed([r, r]) for r in (DETECTION, CLASSES, PIXELS, CLIP))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A record's bytes, whose checksums then mostly fit again; or the file's."""
    records = unframed(data)
    if rng.random() < 0.25:
        return changed(data, rng)
    at = rng.randrange(len(records))
    records[at] = changed(records[at], rng)
    return framed(records)


def changed(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, kind = rng.randrange(len(out) or 1), rng.randrange(5)
        if kind < 2 and out:
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del out[at : at + rng.choice((1, 2, 9))]
        elif kind == 3:
            out[at:at] = out[at : at + rng.choice((1, 9, 60))]
        elif rng.random() < 0.3:
            del out[at:]
        else:
            out[at : at + 8] = rng.choice((b"\xff" * 8, bytes(8), struct.pack("<f", float("nan")) * 2))
    return bytes(out)


def read(path: Path) -> None:
    """All that is read of it, one task after another; what one refuses another may take."""
    refused = []
    ways = (
        lambda: list(calibration.load(path)),
        lambda: list(detection.labelled(path)),
        lambda: list(classification.labelled(path)),
        lambda: list(segmentation.labelled(path)),
        lambda: list(video.labelled(path)),
    )
    for way in ways:
        try:
            way()
        except VisionportError as error:
            refused.append(error)
    if len(refused) == len(ways):
        raise refused[0]
