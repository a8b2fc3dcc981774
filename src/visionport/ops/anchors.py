"""Anchor boxes from the sizes of the feature maps: numpy where those are known, so that they become constants."""

import math

import numpy as np

from visionport import config
from visionport.config.retinanet import PyramidAnchors


def generate(anchors: config.Anchors, maps, height, width, *, constant=True):
    """Anchors of all feature maps, in their order: float32 [n, 4] as (ymin, xmin, ymax, xmax), normalised.

    maps: (height, width) of each feature map; height, width: of the network's input image. All integers and `constant`
    gives a numpy array; else a tensor, made in the graph from a few numbers (51,150 anchors are 818 kB of constants).
    Reference: anchor_generators/{multiple_grid,multiscale_grid,grid,flexible_grid}_anchor_generator.py.
    """
    known = all(isinstance(d, int) for d in (height, width, *(d for m in maps for d in m)))
    xp = np if known and constant else _tensor_module()
    return GENERATORS[type(anchors)](xp, anchors, maps, height, width)


def pyramid(anchors: PyramidAnchors, height: int, width: int, *, constant=True) -> dict:
    """The anchors of each level, by the level as text: float32 [n, 4] corners, in pixels, row by row.

    height, width: of the network's input. constant: as numpy arrays; else as tensors, made of a few numbers.
    Reference: official/vision/ops/anchor.py.
    """
    xp = np if constant else _tensor_module()
    roots = np.sqrt(np.tile(anchors.aspect_ratios, anchors.num_scales))
    octave = np.repeat(2 ** (np.arange(anchors.num_scales) / anchors.num_scales), len(anchors.aspect_ratios))
    out = {}
    for level in range(anchors.min_level, anchors.max_level + 1):
        sides = anchors.anchor_size * 2**level * octave
        high, wide = (np.float32(sides / 2 * r) for r in (1 / roots, roots))
        grid = [math.ceil(size / 2**level) for size in (height, width)]
        strides = [np.float32(size / n) for size, n in zip((height, width), grid, strict=True)]
        y, x = (_range(xp, n) * stride + stride / 2 for n, stride in zip(grid, strides, strict=True))
        y, x = y[:, None, None], x[None, :, None]
        corners = [xp.broadcast_to(c, (*grid, len(sides))) for c in (y - high, x - wide, y + high, x + wide)]
        out[str(level)] = xp.reshape(xp.stack(corners, -1), (-1, 4))
    return out


def per_location(anchors: config.Anchors) -> list[int]:
    """Anchors at each place of each feature map."""
    if isinstance(anchors, config.SsdAnchors):
        return [len(s) for s in ssd_specs(anchors)]
    if isinstance(anchors, config.MultiscaleAnchors):
        levels = anchors.max_level - anchors.min_level + 1
        return levels * [len(anchors.aspect_ratios) * anchors.scales_per_octave]
    if isinstance(anchors, config.FlexibleGridAnchors):
        return [len(s) for s in anchors.base_sizes]
    return [len(anchors.scales) * len(anchors.aspect_ratios)]


def ssd_specs(a: config.SsdAnchors) -> list[list[tuple[float, float]]]:
    """(scale, aspect ratio) of every anchor of a place, for each feature map (Liu et al. 2016, section 2.2)."""
    span = a.max_scale - a.min_scale
    scales = a.scales or [a.min_scale + span * i / max(a.num_layers - 1, 1) for i in range(a.num_layers)]
    specs = []
    for i, scale, following in zip(range(a.num_layers), scales, [*scales[1:], 1.0], strict=False):
        if i == 0 and a.reduce_boxes_in_lowest_layer:
            specs.append([(0.1, 1.0), (scale, 2.0), (scale, 0.5)])
            continue
        spec = [(scale, ratio) for ratio in a.aspect_ratios]
        if a.interpolated_scale_aspect_ratio > 0:
            spec.append((math.sqrt(scale * following), a.interpolated_scale_aspect_ratio))
        specs.append(spec)
    return specs


def _ssd(xp, a, maps, height, width):
    least = xp.minimum(_float(xp, height), _float(xp, width))
    base = [
        least / _float(xp, size) * np.float32(b) for size, b in zip((height, width), a.base_anchor_size, strict=True)
    ]
    grids = []
    for i, (spec, grid) in enumerate(zip(ssd_specs(a), maps, strict=True)):
        if a.strides:
            stride = [np.float32(a.strides[i][k]) / _float(xp, size) for k, size in enumerate((height, width))]
        else:
            stride = [np.float32(1) / _float(xp, size) for size in grid]
        if a.offsets:
            offset = [np.float32(a.offsets[i][k]) / _float(xp, size) for k, size in enumerate((height, width))]
        else:
            offset = [np.float32(0.5) * s for s in stride]
        scales, ratios = (np.array(v, np.float32) for v in zip(*spec, strict=True))
        grids.append(_tile(xp, grid, scales, ratios, base, stride, offset))
    return xp.concatenate(grids, 0)


def _multiscale(xp, a, maps, height, width):
    octave = np.array([2 ** (i / a.scales_per_octave) for i in range(a.scales_per_octave)], np.float32)
    scales = np.tile(octave, len(a.aspect_ratios))
    ratios = np.repeat(np.array(a.aspect_ratios, np.float32), len(octave))
    grids = []
    for level, grid in zip(range(a.min_level, a.max_level + 1), maps, strict=True):
        stride = np.float32(2**level)
        # Half a stride only where the stride divides the image; where its size is not known beforehand, always.
        offset = [stride / 2 if not isinstance(d, int) or d % 2**level == 0 else np.float32(0) for d in (height, width)]
        size = np.float32(stride * a.anchor_scale)
        boxes = _tile(xp, grid, scales, ratios, (size, size), (stride, stride), offset)
        grids.append(_normalize(xp, boxes, height, width) if a.normalize else boxes)
    return xp.concatenate(grids, 0)


def _grid(xp, a, maps, height, width):
    scales = np.tile(np.array(a.scales, np.float32), len(a.aspect_ratios))
    ratios = np.repeat(np.array(a.aspect_ratios, np.float32), len(a.scales))
    (grid,) = maps
    return _tile(xp, grid, scales, ratios, *(np.array(v, np.float32) for v in (a.base_anchor_size, a.stride, a.offset)))


def _flexible(xp, a, maps, height, width):
    grids = []
    for i, grid in enumerate(maps):
        sizes, ratios = np.array(a.base_sizes[i], np.float32), np.array(a.aspect_ratios[i], np.float32)
        stride, offset = np.array(a.strides[i], np.float32), np.array(a.offsets[i], np.float32)
        boxes = _tile(xp, grid, sizes, ratios, (np.float32(1), np.float32(1)), stride, offset)
        grids.append(_normalize(xp, boxes, height, width) if a.normalize else boxes)
    return xp.concatenate(grids, 0)


def _tile(xp, grid, scales, ratios, base, stride, offset):
    """Every anchor of a place at every place of a grid, row by row: float32 [h * w * len(scales), 4] corners."""
    root = np.sqrt(ratios)
    heights, widths = scales / root * base[0], scales * root * base[1]
    y = _range(xp, grid[0]) * stride[0] + offset[0]
    x = _range(xp, grid[1]) * stride[1] + offset[1]
    y, x = y[:, None, None], x[None, :, None]
    shape = (grid[0], grid[1], len(scales))
    corners = [y - heights / 2, x - widths / 2, y + heights / 2, x + widths / 2]
    corners = [xp.broadcast_to(c, shape) for c in corners]
    return xp.reshape(xp.stack(corners, -1), (-1, 4))


def _normalize(xp, boxes, height, width):
    # Multiplied by the reciprocal, as the reference scales its boxes.
    y, x = np.float32(1) / _float(xp, height), np.float32(1) / _float(xp, width)
    return boxes * xp.stack([y, x, y, x], 0)


def _float(xp, value):
    return np.float32(value) if isinstance(value, int) else xp.float32(value)


def _range(xp, size):
    return np.arange(size, dtype=np.float32) if isinstance(size, int) else xp.range(size)


def _tensor_module():
    """The few numpy names used here, over tensors."""
    import types

    import tensorflow as tf

    return types.SimpleNamespace(
        minimum=tf.minimum,
        concatenate=tf.concat,
        reshape=tf.reshape,
        broadcast_to=tf.broadcast_to,
        stack=tf.stack,
        float32=lambda v: tf.cast(v, tf.float32),
        range=lambda n: tf.cast(tf.range(n), tf.float32),
    )


GENERATORS = {
    config.SsdAnchors: _ssd,
    config.MultiscaleAnchors: _multiscale,
    config.GridAnchors: _grid,
    config.FlexibleGridAnchors: _flexible,
}
