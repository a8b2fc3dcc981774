"""From pixels to what a detector of TF Official Vision takes, for each input type.

Reference: official/vision/serving/detection.py.
"""

import tensorflow as tf

from visionport.errors import UnsupportedError, nearest
from visionport.ops import image


def preprocess(model, images, source: str = "image_tensor"):
    """float32 [b, H, W, 3], normalised, and int32 [b, 3], the sizes of the pictures as they came.

    model: a config with `resizer` and `normalization`. images: uint8 or float32 [b, h, w, 3], 0 to 255, of one size;
    for "tflite" resized, padded and normalised already, and the picture's size is then the resizer's.
    source: the input type, a key of SOURCES.
    """
    if source not in SOURCES:
        raise UnsupportedError(f"input type {source!r}{nearest(source, SOURCES)}: detectors take {', '.join(SOURCES)}.")
    return SOURCES[source](model, images)


def from_pixels(model, images):
    sizes = tf.repeat(tf.shape(images)[None, 1:], tf.shape(images)[0], axis=0)
    return image.preprocess(images, model.resizer, model.normalization)[0], sizes


def from_prepared(model, images):
    size = tf.constant([[model.resizer.height, model.resizer.width, images.shape[-1]]])
    return images, tf.repeat(size, tf.shape(images)[0], axis=0)


SOURCES = {
    "image_tensor": from_pixels,
    "image_bytes": from_pixels,
    "tf_example": from_pixels,
    "serve_examples": from_pixels,
    "tflite": from_prepared,
}
