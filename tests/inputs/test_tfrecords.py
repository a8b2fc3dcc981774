"""TFRecords: lengths that lie, checksums, features of other kinds, pictures in them."""

import gzip
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from places import SHARED

from visionport import limits
from visionport.checkpoint.crc32c import crc32c, masked
from visionport.errors import InputError
from visionport.inputs import calibration, tfrecords
from visionport.tasks.detection import metric

PIXELS = np.random.default_rng(4).integers(0, 256, (5, 6, 3), np.uint8)
HOSTILE = SHARED / "cases" / "hostile" / "utf8key.tfrecord"
OPTION = "--evaluate"


def encoded(kind: str = "PNG", **options) -> bytes:
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, kind, **options)
    return data.getvalue()


def feature(values) -> tf.train.Feature:
    if values and isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(features) -> bytes:
    given = {k: feature(v) for k, v in features.items() if v}
    return tf.train.Example(features=tf.train.Features(feature=given)).SerializeToString()


def labelled(**changes) -> dict:
    corners = {f"image/object/bbox/{k}": [0.25] if k.endswith("min") else [0.5] for k in ("ymin", "xmin")}
    corners |= {f"image/object/bbox/{k}": [0.5] for k in ("ymax", "xmax")}
    found = {"image/encoded": [encoded()], **corners, "image/object/class/label": [1]}
    return found | {k.replace("__", "/"): v for k, v in changes.items()}


def write(path, records) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def test_records_as_tensorflow_writes_them(tmp_path):
    path = tmp_path / "r.tfrecord"
    records = [b"", b"a", bytes(99_999), example(labelled())]
    write(path, records)
    assert list(tfrecords.read(path, OPTION)) == records
    assert tfrecords.count(path, OPTION) == 4
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(path))] == records


def length(number: int) -> bytes:
    packed = struct.pack("<Q", number)
    return packed + struct.pack("<I", masked(crc32c(packed)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "holds no records"),
        (length(1 << 60), "1,152,921,504,606,846,976 bytes; at most 1,073,741,824 are read"),
        (length(1000) + b"abc", "record 0 has 1,000 bytes, of which 3 are there"),
        (length(3) + b"abc", "record 0 has 3 bytes, of which 3 are there"),
        (length(3) + b"abc" + bytes(4), "the checksum of record 0 does not fit"),
        (length(3)[:7], "record 0 has no sound length"),
        (bytes(8) + b"abcd", "record 0 has no sound length"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "has no sound length. It is a picture"),
        (gzip.compress(length(3), mtime=0), r"is compressed \(gzip\)"),
        (zlib.compress(length(3)), r"is compressed \(zlib\)"),
    ],
)
def test_what_is_no_tfrecord(tmp_path, data, words):
    path = tmp_path / "r.tfrecord"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        list(tfrecords.read(path, OPTION))


def test_the_end_is_missing(tmp_path):
    path = tmp_path / "r.tfrecord"
    write(path, [b"abc", b"def"])
    data = path.read_bytes()
    for kept in range(20, len(data)):
        path.write_bytes(data[:kept])
        with pytest.raises(InputError, match="record 1 has"):
            list(tfrecords.read(path, OPTION))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image__encoded": [1]}, "'image/encoded' holds int64 values, not bytes"),
        ({"image__encoded": []}, "has nothing in 'image/encoded', where one is wanted"),
        ({"image__encoded": [b"a", b"b"]}, "has 2 in 'image/encoded', where one is wanted"),
        ({"image__encoded": [b"none"]}, "is not an image that can be read"),
        ({"image__encoded": [encoded("TIFF")]}, "is no picture that can be read"),
        ({"image__encoded": [encoded()[:60]]}, "is no picture that can be read"),
        ({"image__object__bbox__ymin": [1, 2]}, "holds int64 values, not float"),
        ({"image__object__class__label": [b"cat"]}, "holds bytes values, not int64"),
        ({"image__object__class__label": [1, 2]}, "has 2 labels for 1 boxes"),
        ({"image__object__class__label": [-5]}, "a box of class -5; classes are from 1"),
        ({"image__object__bbox__ymax": [float("nan")]}, "corners are no numbers"),
        ({"image__object__bbox__ymax": [float("inf")]}, "corners are no numbers"),
        ({"image__object__class__label": [0] * (limits.RECORD_VALUES + 1)}, "has 100,001; at most 100,000 are read"),
    ],
)
def test_features_that_are_not_as_they_should_be(tmp_path, change, words):
    path = tmp_path / "r.tfrecord"
    write(path, [example(labelled()), example(labelled(**change))])
    found = metric.labelled(path)
    assert next(found).image.shape == PIXELS.shape
    with pytest.raises(InputError, match=f"r.tfrecord: record 1.*{words}"):
        list(found)


def test_pictures_are_measured_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "r.tfrecord"
    frames = [Image.fromarray(np.rot90(PIXELS, 2 * i).copy()) for i in range(1, 6)]
    write(path, [example({"image/encoded": [encoded("GIF", save_all=True, append_images=frames)]})])
    assert [p.shape for p in calibration.load(path)] == [PIXELS.shape]
    monkeypatch.setattr(limits, "PICTURE_PIXELS", 100)
    monkeypatch.setattr("visionport.ops.image.decode", lambda _: pytest.fail("decodes it"))
    with pytest.raises(InputError, match=r"has 1[0-9]+ pixels, and at most 100 are read"):
        list(calibration.load(path))


def test_keys_that_are_not_utf8(tmp_path):
    path = tmp_path / "r.tfrecord"
    write(path, [example({"image/encoded": [encoded()], "labelxx": [1]}).replace(b"labelxx", b"label\xff\xfe")])
    with pytest.raises(InputError, match=r"record 0 is no tf\.train\.Example, or its keys are not UTF-8"):
        list(calibration.load(path))


@pytest.mark.skipif(not HOSTILE.exists(), reason="needs ../shared")
def test_the_record_that_was_made_to_break():
    with pytest.raises(InputError, match="record 0"):
        list(calibration.load(HOSTILE))
