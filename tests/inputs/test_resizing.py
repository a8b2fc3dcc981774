"""Pictures preprocessed in NumPy are what TensorFlow makes of them."""

import dataclasses

import numpy as np
import pytest

from visionport import config
from visionport.inputs import preprocessing, resizing

IMAGENET = config.Normalization(mean=(123.7, 116.8, 103.9), std=(58.4, 57.1, 57.4))
PLAIN = config.Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
NORMALIZATIONS = [
    PLAIN,
    IMAGENET,
    dataclasses.replace(IMAGENET, bgr=True),
    dataclasses.replace(IMAGENET, pads_first=True),
]
METHODS = ("bilinear", "nearest")
RESIZERS = [
    *(config.FixedShape(height=96, width=64, method=m) for m in METHODS),
    config.FixedShape(height=96, width=64, method="bilinear", grayscale=True),
    *(config.KeepAspectRatio(min_dimension=60, max_dimension=100, method=m) for m in METHODS),
    config.KeepAspectRatio(min_dimension=60, max_dimension=100, pad_to_max=True, pad_value=(12.0, 50.0, 200.0)),
    *(config.ConditionalShape(condition=c, threshold=70, method=m) for c in ("greater", "smaller") for m in METHODS),
    config.PadToMultiple(multiple=32),
    config.PadToMultiple(multiple=32, grayscale=True),
    config.Identity(),
    config.CropAndResize(height=56, width=48),
    config.CropAndResize(height=56, width=48, crop=None),
    config.FitAndPad(height=80, width=120),
    config.FitAndPad(height=80, width=120, multiple=64),
    config.FitAndPad(height=80, width=120, keep_aspect_ratio=False),
]


@pytest.mark.parametrize("resizer", RESIZERS, ids=str)
def test_numpy_is_tensorflow(resizer):
    """On pictures of random sizes, larger and smaller than the input, of bytes and of floats."""
    random = np.random.default_rng(7)
    for number in range(12):
        height, width = (int(n) for n in random.integers(2, 180, 2))
        picture = random.integers(0, 256, (height, width, 3), np.uint8)
        picture = picture if number % 3 else picture.astype(np.float32) + np.float32(0.25)
        n = NORMALIZATIONS[number % len(NORMALIZATIONS)]
        found, size = resizing.preprocess(picture, resizer, n)
        expected, extent = preprocessing.prepare_by_tensorflow(picture, resizer, n)
        assert found[None].shape == expected.shape
        np.testing.assert_allclose(found[None], expected, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(np.array(size) / found.shape[:2], extent)


@pytest.mark.parametrize("resizer", [r for r in RESIZERS if not r.grayscale], ids=str)
def test_the_same_bits(resizer):
    """So that integer files that were calibrated on such pictures stay the same bytes."""
    picture = np.random.default_rng(3).integers(0, 256, (131, 173, 3), np.uint8)
    found, _ = resizing.preprocess(picture, resizer, PLAIN)
    expected, _ = preprocessing.prepare_by_tensorflow(picture, resizer, PLAIN)
    np.testing.assert_array_equal(found[None], expected)


@pytest.mark.parametrize("method", ["area", "bicubic"])
def test_rare_methods_are_left_to_tensorflow(method):
    assert not resizing.knows(config.FixedShape(height=9, width=9, method=method))
