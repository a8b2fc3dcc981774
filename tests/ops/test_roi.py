"""Crops of feature maps against bilinear sampling, pixel by pixel."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from visionport.ops import roi

SEEDS = range(8)


def sample(one, y, x):
    """A map [h, w, c] between its pixels; those beyond its lower right edges are 0."""
    found = np.zeros(one.shape[2])
    for row, column in itertools.product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
        if 0 <= row < one.shape[0] and 0 <= column < one.shape[1]:
            found += one[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return found


def cropped(one, box, rows, columns):
    """rows x columns samples of one map [h, w, c], the corner ones on the corners of the box; a single one amid it."""
    spans = [(low * (n - 1), high * (n - 1)) for low, high, n in zip(box[:2], box[2:], one.shape, strict=False)]
    places = [
        [low + (high - low) * k / (count - 1) for k in range(count)] if count > 1 else [(low + high) / 2]
        for (low, high), count in zip(spans, (rows, columns), strict=True)
    ]
    return np.array([[sample(one, y, x) for x in places[1]] for y in places[0]])


def scene(seed, levels=1, channels=2):
    """Maps [2, h, w, c], finest first, and boxes [2, 5, 4] up to the borders and a bit past the lower right ones."""
    random = np.random.default_rng(seed)
    height, width = (int(v) for v in random.integers(5, 12, 2))
    sizes = [(-(-height * 2 ** (levels - 1) // 2**i), -(-width * 2 ** (levels - 1) // 2**i)) for i in range(levels)]
    maps = [random.normal(size=(2, *size, channels)).astype(np.float32) for size in sizes]
    low = random.uniform(0, 0.7, (2, 5, 2))
    size = random.uniform(0.05, 0.3, (2, 5, 2))
    boxes = np.concatenate([low, low + size], -1)
    boxes[:, 0] = 0, 0, 1, 1
    boxes[:, 1, 2:] = 1.1
    return maps, boxes.astype(np.float32)


def each_box(boxes):
    """(image, box) of a batch [b, n, 4]."""
    return [(b, box) for b, of_image in enumerate(boxes.astype(np.float64)) for box in of_image]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_one_map(size):
    run = tf.function(lambda x, b: roi.crop([x], b, size, image_size=(64, 64)), reduce_retracing=True)
    for seed in SEEDS:
        (one,), boxes = scene(seed)
        found = run(one, boxes)
        expected = [cropped(one[b], box, size, size) for b, box in each_box(boxes)]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def level_of(box, count, height, width):
    """Lin et al. 2017 (FPN), eq. 1: a region of 224 pixels belongs to the level before the last."""
    side = math.sqrt((box[2] - box[0]) * height * (box[3] - box[1]) * width)
    return min(max(math.floor(math.log2(side / 224)) + count - 2, 0), count - 1)


def test_a_pyramid():
    run = tf.function(lambda maps, b: roi.crop(maps, b, 3, image_size=(512, 640)), reduce_retracing=True)
    seen = set()
    for seed in SEEDS:
        maps, boxes = scene(seed, levels=3)
        boxes[:, 2, 2:] = boxes[:, 2, :2] + 0.1
        found = run(maps, boxes)
        expected = []
        for b, box in each_box(boxes):
            level = level_of(box, 3, 512, 640)
            seen.add(level)
            expected.append(cropped(maps[level][b], box, 3, 3))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize("count", [1, 2, 4])
def test_levels(count):
    boxes = np.random.default_rng(count).uniform(0, 1, (200, 2, 2))
    boxes = np.concatenate([boxes.min(1), boxes.max(1) + 1e-3], 1).astype(np.float32)
    for height, width in ((300, 300), (800, 1333)):
        expected = [level_of(box, count, height, width) for box in boxes.astype(np.float64)]
        np.testing.assert_array_equal(roi.levels(tf.constant(boxes), count, (height, width)), expected)


@pytest.mark.parametrize(("bins", "size"), [((1, 1), (4, 4)), ((3, 3), (6, 6)), ((2, 3), (4, 3))])
def test_votes(bins, size):
    """Each part of a box looks at its own channels; their means count alike (Dai et al. 2016, eq. 1)."""
    rows, columns = (n // k for n, k in zip(size, bins, strict=True))
    for seed in SEEDS:
        (x,), boxes = scene(seed, channels=bins[0] * bins[1] * 2)
        expected = []
        for b, box in each_box(boxes):
            step, parts = (box[2:] - box[:2]) / bins, []
            for part, (i, k) in enumerate(itertools.product(range(bins[0]), range(bins[1]))):
                low = box[:2] + step * (i, k)
                mine = x[b][..., 2 * part : 2 * part + 2]
                parts.append(cropped(mine, np.concatenate([low, low + step]), rows, columns).mean((0, 1)))
            expected.append(np.mean(parts, 0))
        np.testing.assert_allclose(roi.vote(tf.constant(x), tf.constant(boxes), bins, size), expected, atol=1e-5)
