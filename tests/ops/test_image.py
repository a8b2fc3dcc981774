"""Resizers, padding and normalisation against loops, in the reference's order: normalise, resize, pad."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from visionport.config import ConditionalShape, FixedShape, Identity, KeepAspectRatio, Normalization, PadToMultiple
from visionport.ops import image

F = np.float32
SIZES = [(7, 5), (1, 1), (1, 9), (9, 1), (3, 40), (40, 3), (16, 16), (13, 24)]
CLOSE: Any = {"bilinear": 1e-3, "nearest": 1e-4, "bicubic": 1e-3, "area": 1e-3}  # of values up to 255
PLAIN = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
MEAN = Normalization(mean=(123.7, 116.8, 103.9), std=(58.0, 57.0, 57.5))
GRAY = np.array([0.2989, 0.587, 0.114])


def step(source, target, align_corners):
    """Pixels of the source from one of the target's to the next, as TensorFlow rounds it."""
    if align_corners and target > 1:
        return F(source - 1) / F(target - 1)
    return F(source) / F(target)


def cubic(t):
    """Keys 1981, eq. 4, with -0.75."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def weights(source, target, method, align_corners):
    """[target, source]: how much of each pixel of a line is in each of the resized line; no half-pixel centres."""
    out = np.zeros((target, source))
    scale = step(source, target, align_corners)
    for i in range(target):
        place = F(i) * scale
        low = math.floor(place)
        if method == "nearest":
            nearest = math.floor(place + F(0.5)) if align_corners else low
            out[i, min(nearest, source - 1)] = 1
        elif method == "bilinear":
            low = min(low, source - 1)
            out[i, low] += 1 - (place - low)
            out[i, min(low + 1, source - 1)] += place - low
        elif method == "bicubic":
            part = np.rint((place - low) * 1024) / 1024  # TensorFlow looks it up in a table
            for k in range(-1, 3):
                out[i, min(max(low + k, 0), source - 1)] += cubic(k - part)
        else:
            for j in range(source):
                out[i, j] = max(0.0, min(j + 1, (i + 1) * scale) - max(j, place)) / scale
    return out


def resized(images, size, method, align_corners=False):
    rows, columns = (weights(s, t, method, align_corners) for s, t in zip(images.shape[1:3], size, strict=True))
    return np.einsum("ri,cj,bijk->brck", rows, columns, images)


def size_of(resizer, height, width):
    """Of an image after it, without padding."""
    short, long = min(height, width), max(height, width)
    if isinstance(resizer, FixedShape):
        return resizer.height, resizer.width
    if isinstance(resizer, KeepAspectRatio):
        scale = min(F(resizer.min_dimension) / F(short), F(resizer.max_dimension) / F(long))
        return tuple(int(np.rint(scale * F(d))) for d in (height, width))
    if isinstance(resizer, ConditionalShape):
        if resizer.condition == "greater":
            scale = F(min(long, resizer.threshold)) / F(long)
        else:
            scale = F(max(short, resizer.threshold)) / F(short)
        return tuple(int(F(d) * scale) for d in (height, width))
    return height, width


def expected(images, resizer, n):
    """(prepared, (height, width) without padding)."""

    def normalized(x):
        x, channels = x[..., ::-1] if n.bgr else x, x.shape[-1]
        return (x - n.mean[:channels]) / n.std[:channels]

    x = images.astype(np.float64)
    x = x if n.pads_first else normalized(x)
    height, width = size = size_of(resizer, *images.shape[1:3])
    if not isinstance(resizer, (Identity, PadToMultiple)):
        x = resized(x, size, resizer.method, align_corners=isinstance(resizer, ConditionalShape))
    full, value = size, (0.0, 0.0, 0.0)
    if isinstance(resizer, KeepAspectRatio) and resizer.pad_to_max:
        full, value = (resizer.max_dimension,) * 2, resizer.pad_value
    if isinstance(resizer, PadToMultiple):
        full = tuple(-(-d // resizer.multiple) * resizer.multiple for d in size)
    out = np.broadcast_to(np.array(value), (len(x), *full, 3)).copy()
    out[:, :height, :width] = x
    if resizer.grayscale:
        out = (out @ GRAY)[..., None]
    return normalized(out) if n.pads_first else out, size


METHODS = ("bilinear", "nearest", "bicubic", "area")
RESIZERS = [
    *(FixedShape(height=11, width=6, method=m) for m in METHODS),
    FixedShape(height=1, width=17),
    FixedShape(height=8, width=8, grayscale=True),
    *(KeepAspectRatio(min_dimension=10, max_dimension=30, method=m) for m in METHODS),
    KeepAspectRatio(min_dimension=12, max_dimension=20, pad_to_max=True),
    KeepAspectRatio(min_dimension=20, max_dimension=20, pad_to_max=True, pad_value=(1.5, -2.0, 30.0)),
    KeepAspectRatio(min_dimension=20, max_dimension=20, pad_to_max=True, grayscale=True),
    *(ConditionalShape(condition="greater", threshold=20, method=m) for m in ("bilinear", "nearest", "bicubic")),
    ConditionalShape(condition="smaller", threshold=6),
    ConditionalShape(condition="smaller", threshold=6, method="nearest", grayscale=True),
    PadToMultiple(multiple=1),
    PadToMultiple(multiple=8),
    PadToMultiple(multiple=5, grayscale=True),
    Identity(),
    Identity(grayscale=True),
]


@pytest.mark.parametrize("resizer", RESIZERS, ids=str)
def test_against_loops(resizer):
    """One trace takes every size; of an image that would have no pixels left there is no answer to compare."""
    method = getattr(resizer, "method", "bilinear")
    for normalization in (PLAIN, MEAN):
        run = tf.function(
            lambda x: image.preprocess(x, resizer, normalization),  # noqa: B023
            [tf.TensorSpec((None, None, None, 3), tf.uint8)],
        )
        compared = 0
        for seed, (height, width) in enumerate(SIZES):
            if min(size_of(resizer, height, width)) < 1:
                continue
            pixels = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
            prepared, size = expected(pixels, resizer, normalization)
            found, shapes = run(pixels)
            assert found.shape == prepared.shape
            np.testing.assert_array_equal(shapes, [[*size, prepared.shape[-1]]] * 2)
            np.testing.assert_allclose(found, prepared, atol=CLOSE[method])
            compared += 1
        assert compared >= 6


@pytest.mark.parametrize("pads_first", [False, True], ids=["", "padding is normalised"])
@pytest.mark.parametrize("bgr", [False, True], ids=["rgb", "bgr"])
def test_order_of_channels_and_of_padding(bgr, pads_first):
    n = Normalization(mean=MEAN.mean, std=MEAN.std, bgr=bgr, pads_first=pads_first)
    resizers = [r for r in RESIZERS if isinstance(r, (FixedShape, PadToMultiple)) or getattr(r, "pad_to_max", False)]
    for seed, resizer in enumerate(resizers):
        pixels = np.random.default_rng(seed).integers(0, 256, (1, 9, 14, 3)).astype(np.float32)
        found, _ = image.preprocess(tf.constant(pixels), resizer, n)
        np.testing.assert_allclose(found, expected(pixels, resizer, n)[0], atol=1e-3)


@pytest.mark.parametrize(
    ("method", "align_corners"), [*((m, False) for m in METHODS), *((m, True) for m in METHODS if m != "area")]
)
def test_resize(method, align_corners):
    for seed, (source, target) in enumerate(itertools.product(SIZES, [(1, 1), (5, 8), (32, 3)])):
        x = np.random.default_rng(seed).uniform(0, 255, (1, *source, 2)).astype(np.float32)
        found = image.resize(tf.constant(x), target, method, align_corners)
        np.testing.assert_allclose(found, resized(x, target, method, align_corners), atol=CLOSE[method])


def test_known_size_is_the_size():
    for seed, resizer in enumerate(RESIZERS):
        known = image.fixed_size(resizer)
        pixels = np.random.default_rng(seed).integers(0, 256, (1, 9, 14, 3), np.uint8)
        found, _ = image.preprocess(tf.constant(pixels), resizer, MEAN)
        assert known is None or tuple(found.shape[1:3]) == known
        assert found.shape[-1] == image.channels(resizer)
    assert sum(image.fixed_size(r) is not None for r in RESIZERS) == 9
