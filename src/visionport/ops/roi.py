"""A look at regions of feature maps: crop and resize, from one map or from the level of a pyramid that suits."""

import numpy as np
import tensorflow as tf

CANONICAL = 224.0  # pixels a side: a region of this size belongs to the level before the last (Lin et al. 2017, eq. 1)


def crop(maps, boxes, size: int, *, image_size):
    """Regions as squares of size x size samples, corners on the box's corners, bilinear.

    maps: a list of float32 [b, h, w, c], finest first; boxes: float32 [b, n, 4] corners, normalised; image_size:
    (height, width) of the image. Samples past the border fade to 0, as in the reference's matmul_crop_and_resize. Its
    other way, tf.image.crop_and_resize, makes them 0 at once, and whole edges of a box on the border with them wherever
    rounding takes those a millionth too far; here they never are.
    Returns float32 [b * n, size, size, c]. Reference: utils/spatial_transform_ops.py.
    """
    count = boxes.shape[1] if boxes.shape[1] is not None else tf.shape(boxes)[1]
    owners = tf.repeat(tf.range(tf.shape(boxes)[0]), count)
    flat = tf.reshape(boxes, (-1, 4))
    if len(maps) == 1:
        return _crop(maps[0], flat, owners, (size, size))
    level = levels(flat, len(maps), image_size)

    def sample(one, boxes, owners):
        return _crop(one, boxes, owners, (size, size))

    return _each_from_its_own(maps, level, flat, owners, sample)


def align(maps, boxes, size: int, *, offset: float):
    """Regions as squares of size x size samples, each at `offset` of its cell, bilinear (He et al. 2017, section 3).

    maps: {level: float32 [b, h, w, c]}, each half as large as the one before; boxes: float32 [b, n, 4] corners in
    pixels of the image. Past the border a map goes on as it ends. Returns float32 [b * n, size, size, c].
    Reference: official/vision/ops/spatial_transform_ops.py, multilevel_crop_and_resize.
    """
    levels = sorted(int(level) for level in maps)
    owners = tf.repeat(tf.range(tf.shape(boxes)[0]), tf.shape(boxes)[1])
    flat = tf.reshape(boxes, (-1, 4))
    level = pyramid_level(flat, levels[0], levels[-1])
    # From corners to the places of the first and of the last sample.
    cell = (flat[:, 2:] - flat[:, :2]) / size
    first = flat[:, :2] + offset * cell
    ends = tf.concat([first, first + (size - 1) * cell], 1) / tf.pow(2.0, tf.cast(level, tf.float32))[:, None]

    def sample(one, ends, owners):
        for _ in range(2):  # a row and a column more than samples reach, so that rounding takes none beyond
            one = tf.pad(one, [[0, 0], [0, 1], [0, 1], [0, 0]], "SYMMETRIC")
        last = tf.tile(tf.cast(tf.shape(one)[1:3] - 1, tf.float32), [2])
        return tf.image.crop_and_resize(one, ends / last, owners, (size, size))

    return _each_from_its_own([maps[str(n)] for n in levels], level - levels[0], ends, owners, sample)


def pyramid_level(boxes, lowest: int, highest: int):
    """The level for each box [n, 4] in pixels: one of CANONICAL pixels a side belongs to level 4. int32 [n]."""
    side = tf.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    found = tf.math.floordiv(tf.math.log(side / CANONICAL), tf.math.log(2.0)) + 4
    return tf.cast(tf.clip_by_value(found, float(lowest), float(highest)), tf.int32)


def _each_from_its_own(maps, level, boxes, owners, crop):
    """crop(map, boxes, owners) for the boxes of each level, int32 [n]; its results in the order of the boxes."""
    places, crops = [], []
    for i, one in enumerate(maps):
        mine = tf.where(level == i)[:, 0]
        places.append(mine)
        crops.append(crop(one, tf.gather(boxes, mine), tf.gather(owners, mine)))
    ordered = tf.gather(tf.concat(crops, 0), tf.argsort(tf.concat(places, 0)))
    ordered.set_shape([boxes.shape[0], *ordered.shape[1:]])
    return ordered


def levels(boxes, count, image_size):
    """The level of a pyramid of `count` for each box: int32 [n], of float32 [n, 4] normalised."""
    height, width = (tf.cast(d, tf.float32) for d in image_size)
    side = tf.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
    ratio = tf.sqrt(height * width) / CANONICAL
    found = tf.math.floordiv(tf.math.log(side * ratio), tf.math.log(2.0)) + (count - 2)
    return tf.cast(tf.clip_by_value(found, 0, count - 1), tf.int32)


def _crop(one, boxes, owners, size):
    # With a row and a column of zeros more, and the same places in the larger map.
    known = [one.shape[i] if one.shape[i] is not None else tf.shape(one)[i] for i in (1, 2)]
    height, width = (np.float32(d) if isinstance(d, int) else tf.cast(d, tf.float32) for d in known)
    one = tf.pad(one, [[0, 0], [0, 1], [0, 1], [0, 0]])
    return tf.image.crop_and_resize(one, boxes * tf.stack([1 - 1 / height, 1 - 1 / width] * 2), owners, size)


def vote(x, boxes, bins, size):
    """Position-sensitive pooling: the mean, over a grid of parts, of each part's own channels (Dai et al. 2016).

    x: float32 [b, h, w, bins * c]; boxes: float32 [b, n, 4] corners, normalised; bins: the grid (rows, columns);
    size: samples of a whole box. Returns float32 [b * n, c]. Reference: utils/ops.py, position_sensitive_crop_regions.
    """
    count = boxes.shape[1]
    owners = tf.repeat(tf.range(tf.shape(boxes)[0]), count)
    low, step = boxes[..., :2], (boxes[..., 2:] - boxes[..., :2]) / np.array(bins, np.float32)
    places = [(i, k) for i in range(bins[0]) for k in range(bins[1])]
    samples = tuple(n // k for n, k in zip(size, bins, strict=True))
    means = []
    for part, (i, k) in zip(tf.split(x, len(places), axis=3), places, strict=True):
        corners = [low + step * np.array(at, np.float32) for at in ((i, k), (i + 1, k + 1))]
        box = tf.reshape(tf.concat(corners, -1), (-1, 4))
        means.append(tf.reduce_mean(_crop(part, box, owners, samples), [1, 2]))
    return tf.add_n(means) / len(means)
