"""From pixels to what a classifier takes, for each input type.

What was decoded is cut to whole numbers after the resize; arrays of pixels are not, so the same picture differs a
little between them. Reference: official/vision/serving/image_classification.py.
"""

import tensorflow as tf

from visionport import config
from visionport.config.classification import Classifier
from visionport.errors import UnsupportedError, nearest
from visionport.ops import image


def preprocess(model: Classifier, images, source: str = "image_tensor"):
    """float32 [b, H, W, 3], normalised, and int32 [b, 3], the sizes of these.

    images: uint8 or float32 [b, h, w, 3], 0 to 255, of one size; for "tflite" normalised already.
    source: the input type, a key of SOURCES.
    """
    if source not in SOURCES:
        raise UnsupportedError(
            f"input type {source!r}{nearest(source, SOURCES)}: classifiers take {', '.join(SOURCES)}."
        )
    return SOURCES[source](model, images)


def from_pixels(model: Classifier, images):
    return image.preprocess(images, model.resizer, model.normalization)


def from_decoded(model: Classifier, images):
    return image.preprocess(whole(model, images), config.Identity(), model.normalization)


def from_served_examples(model: Classifier, images):
    """Cropped and resized twice."""
    return image.preprocess(whole(model, images), model.resizer, model.normalization)


def whole(model: Classifier, images):
    """Resized images as uint8, fractions cut off."""
    return tf.cast(image.RESIZERS[type(model.resizer)](images, model.resizer), tf.uint8)


def from_normalized(model: Classifier, images):
    return images, tf.repeat(tf.shape(images)[None, 1:], tf.shape(images)[0], axis=0)


SOURCES = {
    "image_tensor": from_pixels,
    "image_bytes": from_decoded,
    "tf_example": from_decoded,
    "serve_examples": from_served_examples,
    "tflite": from_normalized,
}
