"""Anchors against loops over maps, rows, columns and the anchors of a place."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from visionport.config import FlexibleGridAnchors, GridAnchors, MultiscaleAnchors, SsdAnchors
from visionport.ops import anchors

SEEDS = range(12)


def box(y, x, height, width):
    return y - height / 2, x - width / 2, y + height / 2, x + width / 2


def normalized(rows, height, width):
    return np.array(rows) / (height, width, height, width)


def places(grid, stride, offset):
    for row, column in itertools.product(range(grid[0]), range(grid[1])):
        yield offset[0] + row * stride[0], offset[1] + column * stride[1]


def ssd(a: SsdAnchors, maps, height, width):
    """Liu et al. 2016, section 2.2, and the reference's exceptions: the last scale's successor is 1, the first map."""
    step = (a.max_scale - a.min_scale) / max(a.num_layers - 1, 1)
    scales = list(a.scales) or [a.min_scale + step * i for i in range(a.num_layers)]
    rows = []
    for i, grid in enumerate(maps):
        following = scales[i + 1] if i + 1 < len(scales) else 1.0
        if i == 0 and a.reduce_boxes_in_lowest_layer:
            kinds = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            kinds = [(scales[i], r) for r in a.aspect_ratios]
            if a.interpolated_scale_aspect_ratio > 0:
                kinds.append((math.sqrt(scales[i] * following), a.interpolated_scale_aspect_ratio))
        least = min(height, width)
        base = [least / size * b for size, b in zip((height, width), a.base_anchor_size, strict=True)]
        size = (height, width)
        stride = [1 / n for n in grid]
        if a.strides:
            stride = [p / s for p, s in zip(a.strides[i], size, strict=True)]
        offset = [s / 2 for s in stride]
        if a.offsets:
            offset = [p / s for p, s in zip(a.offsets[i], size, strict=True)]
        for (y, x), (scale, ratio) in itertools.product(places(grid, stride, offset), kinds):
            rows.append(box(y, x, scale / math.sqrt(ratio) * base[0], scale * math.sqrt(ratio) * base[1]))
    return np.array(rows)


def multiscale(a: MultiscaleAnchors, maps, height, width):
    """Lin et al. 2017 (RetinaNet), section 4: three sizes an octave, every size with every shape."""
    out = []
    for level, grid in zip(range(a.min_level, a.max_level + 1), maps, strict=True):
        stride = 2**level
        offset = [stride / 2 if size % stride == 0 else 0 for size in (height, width)]
        sizes = [stride * a.anchor_scale * 2 ** (k / a.scales_per_octave) for k in range(a.scales_per_octave)]
        rows = []
        for (y, x), ratio, size in itertools.product(places(grid, (stride, stride), offset), a.aspect_ratios, sizes):
            rows.append(box(y, x, size / math.sqrt(ratio), size * math.sqrt(ratio)))
        out.append(normalized(rows, height, width) if a.normalize else np.array(rows))
    return np.concatenate(out)


def grid_(a: GridAnchors, maps, height, width):
    rows = []
    for (y, x), ratio, scale in itertools.product(places(maps[0], a.stride, a.offset), a.aspect_ratios, a.scales):
        sizes = scale / math.sqrt(ratio) * a.base_anchor_size[0], scale * math.sqrt(ratio) * a.base_anchor_size[1]
        rows.append(box(y, x, *sizes))
    return np.array(rows)


def flexible(a: FlexibleGridAnchors, maps, height, width):
    rows = []
    for i, grid in enumerate(maps):
        for (y, x), k in itertools.product(places(grid, a.strides[i], a.offsets[i]), range(len(a.base_sizes[i]))):
            size, root = a.base_sizes[i][k], math.sqrt(a.aspect_ratios[i][k])
            rows.append(box(y, x, size / root, size * root))
    return normalized(rows, height, width) if a.normalize else np.array(rows)


def some(random, values, least=1, most=4):
    return tuple(float(v) for v in random.choice(values, random.integers(least, most + 1), replace=False))


RATIOS = np.array([0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0])


def random_ssd(random, count):
    chosen = {}
    if random.integers(2):
        chosen["scales"] = tuple(sorted(random.uniform(0.1, 1, count + int(random.integers(2)))))
    if random.integers(2):
        chosen["strides"] = tuple((int(a), int(b)) for a, b in random.integers(8, 65, (count, 2)))
    if random.integers(2):
        chosen["offsets"] = tuple((int(a), int(b)) for a, b in random.integers(0, 33, (count, 2)))
    return SsdAnchors(
        num_layers=count,
        min_scale=0.2,
        max_scale=0.95,
        aspect_ratios=some(random, RATIOS),
        interpolated_scale_aspect_ratio=float(random.choice([0.0, 1.0, 2.0])),
        base_anchor_size=tuple(random.uniform(0.5, 2, 2)),
        reduce_boxes_in_lowest_layer=bool(random.integers(2)),
        **chosen,
    )


def random_multiscale(random, count):
    least = int(random.integers(2, 5))
    return MultiscaleAnchors(
        min_level=least,
        max_level=least + count - 1,
        anchor_scale=float(random.uniform(1, 5)),
        aspect_ratios=some(random, RATIOS),
        scales_per_octave=int(random.integers(1, 4)),
        normalize=bool(random.integers(2)),
    )


def random_grid(random, count):
    pairs = {k: tuple(random.uniform(4, 64, 2)) for k in ("base_anchor_size", "stride", "offset")}
    return GridAnchors(scales=some(random, np.array([0.25, 0.5, 1, 2])), aspect_ratios=some(random, RATIOS), **pairs)


def random_flexible(random, count):
    kinds = random.integers(1, 4, count)
    return FlexibleGridAnchors(
        base_sizes=tuple(tuple(random.uniform(10, 200, k)) for k in kinds),
        aspect_ratios=tuple(tuple(random.choice(RATIOS, k)) for k in kinds),
        strides=tuple(tuple(p) for p in random.uniform(8, 64, (count, 2))),
        offsets=tuple(tuple(p) for p in random.uniform(0, 32, (count, 2))),
        normalize=bool(random.integers(2)),
    )


KINDS = {
    "ssd": (random_ssd, ssd),
    "multiscale": (random_multiscale, multiscale),
    "grid": (random_grid, grid_),
    "flexible": (random_flexible, flexible),
}


@pytest.mark.parametrize("name", KINDS)
def test_against_loops(name):
    """As a constant and made in the graph, the maps' sizes known and unknown there."""
    choose, loops = KINDS[name]
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        count = 1 if name == "grid" else int(random.integers(1, 5))
        config = choose(random, count)
        maps = [(int(h), int(w)) for h, w in random.integers(1, 8, (count, 2))]
        height, width = (int(v) for v in random.choice([64, 96, 101, 256, 320], 2))
        expected = loops(config, maps, height, width)
        close: Any = {"atol": 1e-6 * max(1.0, np.abs(expected).max()), "rtol": 1e-5}
        found = anchors.generate(config, maps, height, width)
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, **close)
        np.testing.assert_allclose(anchors.generate(config, maps, height, width, constant=False), expected, **close)
        per_map = anchors.per_location(config)
        assert sum(h * w * n for (h, w), n in zip(maps, per_map, strict=True)) == len(expected)


@pytest.mark.parametrize("name", [n for n in KINDS if n != "multiscale"])
def test_maps_of_sizes_unknown_beforehand(name):
    choose, loops = KINDS[name]
    config = choose(np.random.default_rng(5), 1 if name == "grid" else 2)
    count = 1 if name == "grid" else 2
    run = tf.function(
        lambda maps, size: anchors.generate(config, [tuple(tf.unstack(m)) for m in tf.unstack(maps)], size[0], size[1]),
        [tf.TensorSpec((count, 2), tf.int32), tf.TensorSpec((2,), tf.int32)],
    )
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        maps, size = random.integers(1, 8, (count, 2)), random.integers(50, 300, 2)
        expected = loops(config, [(int(h), int(w)) for h, w in maps], *(int(v) for v in size))
        found = run(maps.astype(np.int32), size.astype(np.int32))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(expected).max()))


def test_multiscale_of_an_unknown_image_lies_in_the_middle_of_its_strides():
    config = MultiscaleAnchors(
        min_level=3, max_level=4, anchor_scale=4.0, aspect_ratios=(1.0, 2.0), scales_per_octave=2
    )
    run = tf.function(lambda size: anchors.generate(config, [(3, 5), (2, 3)], size[0], size[1]))
    for height, width in ((16, 32), (64, 48)):  # multiples of every stride, where that is so anyhow
        expected = multiscale(config, [(3, 5), (2, 3)], height, width)
        np.testing.assert_allclose(run(tf.constant([height, width])), expected, rtol=1e-5, atol=1e-6)
