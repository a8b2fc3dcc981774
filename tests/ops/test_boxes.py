"""Box coding against encoders written from the papers, and scores against their definitions."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from visionport.config import BoxCoder, Calibration, PostProcessing
from visionport.ops import boxes

CODERS = {
    "faster_rcnn": BoxCoder(),
    "faster_rcnn, other scales": BoxCoder(scales=(3.0, 7.0, 2.0, 4.0)),
    "square": BoxCoder(kind="square", scales=(10.0, 8.0, 5.0)),
    "keypoint": BoxCoder(kind="keypoint", scales=(10.0, 9.0, 5.0, 4.0), num_keypoints=3),
    "mean_stddev": BoxCoder(kind="mean_stddev", stddev=0.1),
}
SEEDS = range(10)
CLOSE: Any = {"atol": 2e-5, "rtol": 2e-5}


def corners(random, *shape):
    low, size = random.uniform(-0.2, 0.9, (*shape, 2)), random.uniform(0.01, 0.6, (*shape, 2))
    return np.concatenate([low, low + size], -1).astype(np.float32)


def encode(coder, box, points, anchor):
    """The code of one box (ymin, xmin, ymax, xmax) and its points (y, x), by one anchor (Ren et al. 2015, eq. 2)."""
    box, anchor = box.astype(np.float64), anchor.astype(np.float64)
    if coder.kind == "mean_stddev":
        return (box - anchor) / coder.stddev
    (y, x), (h, w) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    (ya, xa), (ha, wa) = (anchor[:2] + anchor[2:]) / 2, anchor[2:] - anchor[:2]
    s = coder.scales
    if coder.kind == "square":
        side, side_a = np.sqrt(h * w), np.sqrt(ha * wa)
        return np.array([(y - ya) / side_a * s[0], (x - xa) / side_a * s[1], np.log(side / side_a) * s[2]])
    code = [(y - ya) / ha * s[0], (x - xa) / wa * s[1], np.log(h / ha) * s[2], np.log(w / wa) * s[3]]
    if coder.kind == "keypoint":
        code += [v for py, px in points for v in ((py - ya) / ha * s[0], (px - xa) / wa * s[1])]
    return np.array(code)


def encode_all(coder, targets, points, anchors):
    images = zip(targets, points, anchors, strict=True)
    return np.array([[encode(coder, *each) for each in zip(*image, strict=True)] for image in images], np.float32)


def squares(box):
    """Boxes of the same centre and area with equal sides: what the square coder keeps."""
    center, size = (box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]
    half = np.sqrt(size.prod(-1, keepdims=True)) / 2
    return np.concatenate([center - half, center + half], -1)


@pytest.mark.parametrize("ranks", [2, 3], ids=["anchors of all images", "anchors of each image"])
@pytest.mark.parametrize("name", CODERS)
def test_decode_is_the_inverse_of_encode(name, ranks):
    coder = CODERS[name]
    decode = tf.function(lambda c, a: boxes.decode(coder, c, a))
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        targets, points = corners(random, 2, 9), random.uniform(size=(2, 9, 3, 2)).astype(np.float32)
        anchors = corners(random, 2, 9)
        if ranks == 2:
            anchors[1] = anchors[0]
        codes = encode_all(coder, targets, points, anchors)
        assert codes.shape[-1] == coder.code_size
        given = anchors if ranks == 3 else anchors[0]
        found, found_points = decode(codes, given)
        np.testing.assert_allclose(found, squares(targets) if coder.kind == "square" else targets, **CLOSE)
        assert (found_points is not None) == (coder.kind == "keypoint")
        if coder.kind == "keypoint":
            np.testing.assert_allclose(found_points, points, **CLOSE)


@pytest.mark.parametrize("name", CODERS)
def test_encode_is_the_inverse_of_decode(name):
    """With anchors as a constant of the graph, as they are where the image's size is known."""
    coder = CODERS[name]
    for seed in SEEDS:
        random = np.random.default_rng(100 + seed)
        anchors = corners(random, 7)
        codes = random.normal(size=(2, 7, coder.code_size)).astype(np.float32)
        found, points = (None if v is None else v.numpy() for v in boxes.decode(coder, tf.constant(codes), anchors))
        points = np.zeros((2, 7, 0, 2)) if points is None else points
        again = encode_all(coder, found, points, np.stack([anchors, anchors]))
        np.testing.assert_allclose(again, codes, atol=2e-4)


def test_centers_areas_and_windows():
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        given, windows = corners(random, 2, 8), corners(random, 2, 1)
        for kind in (np.asarray, tf.constant):
            y, x, h, w = np.moveaxis(np.asarray(boxes.centers(kind(given))), -1, 0)
            np.testing.assert_allclose(np.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1), given, atol=1e-6)
            np.testing.assert_allclose(h * w, boxes.area(given), rtol=1e-6)
        for window in (windows, windows[0, 0]):
            found = boxes.clip(given, window).numpy()
            for i in np.ndindex(2, 8):
                y1, x1, y2, x2 = window[i[0], 0] if window.ndim == 3 else window
                inside = [min(max(v, a), b) for v, a, b in zip(given[i], (y1, x1) * 2, (y2, x2) * 2, strict=True)]
                np.testing.assert_array_equal(found[i], np.array(inside, np.float32))


CONVERTERS = {
    "identity": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}


@pytest.mark.parametrize(("scale", "temperature"), [(1.0, None), (4.0, None), (0.5, 3.0)])
@pytest.mark.parametrize("name", CONVERTERS)
def test_scores(name, scale, temperature):
    calibration = Calibration(temperature=temperature) if temperature else None
    post = PostProcessing(score_converter=name, logit_scale=scale, calibration=calibration)
    for seed in SEEDS:
        logits = np.random.default_rng(seed).normal(scale=3, size=(2, 5, 4)).astype(np.float32)
        expected = CONVERTERS[name](logits.astype(np.float64) / scale / (temperature or 1))
        np.testing.assert_allclose(boxes.scores(post, tf.constant(logits)), expected, rtol=1e-5, atol=1e-6)


def value_at(x, curve):
    """Piecewise linear, constant outside; of two points at one place the later one counts from there on."""
    before = [p for p in curve if p[0] <= x]
    after = [p for p in curve if p[0] > x]
    if not before or not after:
        return curve[0][1] if not before else curve[-1][1]
    (x0, y0), (x1, y1) = before[-1], after[0]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


def test_calibration_curves():
    post = PostProcessing()
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        curves = []
        for count in (2, 3, 5):
            places = (np.sort(random.integers(1, 9, count)) / 10).astype(np.float32)  # some of them steps
            values = random.uniform(size=count)
            curves.append(tuple((float(p), float(v)) for p, v in zip(places, values, strict=True)))
        x = random.uniform(size=(2, 6, 4)).astype(np.float32)
        x[0, 0] = [curve[0][0] for curve in (*curves, curves[0])]  # on a point
        one = dataclasses.replace(post, calibration=Calibration(curve=curves[2]))
        expected = np.vectorize(lambda v: value_at(v, curves[2]))(x)  # noqa: B023
        np.testing.assert_allclose(boxes.scores(one, tf.constant(x)), expected, atol=1e-5)
        some = dataclasses.replace(post, calibration=Calibration(class_curves={0: curves[0], 2: curves[1]}))
        found = boxes.scores(some, tf.constant(x)).numpy()
        for k, curve in enumerate((curves[0], None, curves[1], None)):
            of_class = [[value_at(v, curve) if curve else v for v in row] for row in x[..., k]]
            np.testing.assert_allclose(found[..., k], of_class, atol=1e-5)
