"""From pixels to what a segmenter takes, for each input type.

Arrays of pixels and decoded pictures are prepared alike. Reference: official/vision/serving/semantic_segmentation.py.
"""

import tensorflow as tf

from visionport.config.segmentation import Segmenter
from visionport.errors import UnsupportedError, nearest
from visionport.ops import image


def preprocess(model: Segmenter, images, source: str = "image_tensor"):
    """float32 [b, H, W, 3], normalised, and int32 [b, 3], the sizes of the pictures as they came.

    images: uint8 or float32 [b, h, w, 3], 0 to 255, of one size; for "tflite" normalised already.
    source: the input type, a key of SOURCES.
    """
    if source not in SOURCES:
        raise UnsupportedError(
            f"input type {source!r}{nearest(source, SOURCES)}: segmenters take {', '.join(SOURCES)}."
        )
    return SOURCES[source](model, images), tf.repeat(tf.shape(images)[None, 1:], tf.shape(images)[0], axis=0)


def from_pixels(model: Segmenter, images):
    return image.preprocess(images, model.resizer, model.normalization)[0]


def from_normalized(model: Segmenter, images):
    return images


SOURCES = {
    "image_tensor": from_pixels,
    "image_bytes": from_pixels,
    "tf_example": from_pixels,
    "serve_examples": from_pixels,
    "tflite": from_normalized,
}
