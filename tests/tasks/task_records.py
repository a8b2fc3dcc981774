"""TFRecords made for tests."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, palette: bool = False) -> bytes:
    """A PNG of them."""
    image, data = Image.fromarray(pixels), io.BytesIO()
    if palette:
        image.putpalette([v for i in range(256) for v in (255 - i, i, 7)])
    image.save(data, "PNG")
    return data.getvalue()


def feature(value):
    import tensorflow as tf

    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def features(values: Mapping):
    import tensorflow as tf

    return tf.train.Features(feature={key: feature(value) for key, value in values.items()})


def example(values: Mapping) -> bytes:
    import tensorflow as tf

    return tf.train.Example(features=features(values)).SerializeToString()


def sequence(context: Mapping, lists: Mapping[str, Iterable]) -> bytes:
    import tensorflow as tf

    found = {key: tf.train.FeatureList(feature=[feature(v) for v in values]) for key, values in lists.items()}
    lists = tf.train.FeatureLists(feature_list=found)
    return tf.train.SequenceExample(context=features(context), feature_lists=lists).SerializeToString()


def write(path: Path, records: Iterable[bytes]) -> Path:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path
