"""Classifiers of TF Official Vision give the reference's answers, for each input type, and its feature maps."""

import numpy as np
import pytest

from visionport.config import CropAndResize
from visionport.config.classification import IMAGENET, Classifier
from visionport.errors import UnsupportedError
from visionport.models.classification import preprocessing


def test_pixels_decoded_pictures_and_served_examples_differ_as_the_references():
    """Decoded pictures are cut to whole numbers after the resize; served examples cropped and resized once more."""
    import tensorflow as tf

    from visionport.ops import image

    model = Classifier(num_classes=1, backbone=None, resizer=CropAndResize(height=32, width=48))
    picture = np.random.default_rng(0).integers(0, 256, (2, 101, 80, 3), np.uint8)
    crop = picture[:, 15:85, 5:75]  # 0.875 x 80 = 70; (101 - 70) / 2 is cut to 15
    once = tf.image.resize(crop, (32, 48))
    cut = tf.floor(once)
    twice = tf.image.resize(cut[:, 2:30, 10:38], (32, 48))
    for source, values in (
        ("image_tensor", once),
        ("image_bytes", cut),
        ("tf_example", cut),
        ("serve_examples", twice),
    ):
        found, sizes = preprocessing.preprocess(model, picture, source)
        np.testing.assert_allclose(found, image.normalize(values, IMAGENET), atol=1e-5)
        np.testing.assert_array_equal(sizes, [[32, 48, 3]] * 2)


def test_without_a_crop_the_whole_picture_is_resized():
    import tensorflow as tf

    from visionport.ops import image

    resizer = CropAndResize(height=20, width=30, crop=None)
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 45, 3), np.uint8)
    found, _ = image.preprocess(picture, resizer, IMAGENET)
    wanted = image.normalize(tf.image.resize(picture, (20, 30)), IMAGENET)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert image.fixed_size(resizer) == (20, 30)


def test_an_input_type_that_is_none_is_named():
    model = Classifier(num_classes=1, backbone=None, resizer=CropAndResize(height=8, width=8))
    with pytest.raises(UnsupportedError, match="'image_byte'; nearest: image_bytes"):
        preprocessing.preprocess(model, np.zeros((1, 9, 9, 3), np.uint8), "image_byte")


@pytest.mark.parametrize(
    ("multilabel", "expected"), [(False, [[0.5, 0.5], [0.25, 0.75]]), (True, [[0.5, 0.5], [0.25, 0.5]])]
)
def test_probabilities_of_one_class_or_of_many(multilabel, expected):
    import tensorflow as tf

    from visionport.models.classification import architecture

    model = Classifier(num_classes=2, backbone=None, resizer=CropAndResize(height=8, width=8), multilabel=multilabel)
    logits = tf.constant([[0.0, 0.0], [-np.log(3), 0.0]], tf.float32)
    np.testing.assert_allclose(architecture.postprocess(model, None, {"logits": logits})["probs"], expected, rtol=1e-6)
