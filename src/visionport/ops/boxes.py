"""Boxes as (ymin, xmin, ymax, xmax): decoding, clipping, areas, and the step from logits to scores."""

import math

import numpy as np
import tensorflow as tf

from visionport.config import BoxCoder, Calibration, PostProcessing

# The logarithm of the largest box by the smallest one's side, which Detectron bounds what it decodes by.
LARGEST_GROWTH = math.log(1000 / 16)


def centers(boxes):
    """float32 [..., 4] corners -> (ycenter, xcenter, height, width), stacked last. numpy in, numpy out."""
    xp = np if isinstance(boxes, np.ndarray) else tf
    ymin, xmin, ymax, xmax = (boxes[..., i] for i in range(4))
    h, w = ymax - ymin, xmax - xmin
    return xp.stack([ymin + h / 2, xmin + w / 2, h, w], -1)


def decode(coder: BoxCoder, codes, anchors):
    """Boxes (and keypoints, where the coder has them) from their encodings (Ren et al. 2015, eq. 2).

    codes: float32 [b, n, code_size]; anchors: float32 [n, 4] corners, normalised, or of the rank of the codes.
    Returns float32 [b, n, 4] corners, not clipped, and float32 [b, n, k, 2] (y, x) or None.
    """
    if coder.kind == "mean_stddev":
        return codes * coder.stddev + anchors, None
    anchors = tf.convert_to_tensor(centers(anchors))
    # Columns of the codes' own rank: TFLite's delegates take neither the step from one rank to another nor back.
    ya, xa, ha, wa = tf.split(anchors[None] if anchors.shape.rank == 2 else anchors, 4, -1)
    c = codes[..., : len(coder.scales)] / np.array(coder.scales, np.float32)
    y, x, *sizes = tf.split(c, len(coder.scales), -1)
    if coder.kind == "square":
        ha = wa = tf.sqrt(ha * wa)
    y, x = y * ha + ya, x * wa + xa
    h, w = tf.exp(sizes[0]) * ha, tf.exp(sizes[-1]) * wa
    boxes = tf.concat([y - h / 2, x - w / 2, y + h / 2, x + w / 2], -1)
    if coder.kind != "keypoint":
        return boxes, None
    shape = (tf.shape(codes)[0], codes.shape[1], coder.num_keypoints, 2)
    points = tf.reshape(codes[..., 4:], shape) / np.array(coder.scales[:2], np.float32)
    center, size = (tf.expand_dims(tf.concat(pair, -1), -2) for pair in ((ya, xa), (ha, wa)))
    return boxes, points * size + center


def decode_bounded(codes, anchors, weights=None):
    """Boxes from their encodings, whose sizes grow 62.5-fold at most: float32 [..., n, 4] corners, not clipped.

    codes: float32 [..., n, 4] as (dy, dx, dh, dw); anchors: float32 corners that broadcast to them, in pixels; weights:
    four numbers that the codes were multiplied by, None for 1 each.
    Reference: official/vision/ops/box_ops.py, decode_boxes.
    """
    if weights:
        codes /= np.array(weights, np.float32)
    low, high = anchors[..., :2], anchors[..., 2:]
    sizes = high - low
    middle = codes[..., :2] * sizes + (low + 0.5 * sizes)
    sizes = tf.exp(tf.minimum(codes[..., 2:], LARGEST_GROWTH)) * sizes
    low = middle - 0.5 * sizes
    return tf.concat([low, low + sizes], -1)


def clip_to_sizes(boxes, sizes):
    """boxes float32 [b, ..., 4] in pixels cut to their images; sizes: float32 [b, 2], of height and width."""
    largest = tf.tile(sizes, [1, 2])
    largest = tf.reshape(largest, [-1, *[1] * (boxes.shape.rank - 2), 4])
    return tf.maximum(tf.minimum(boxes, largest), 0.0)


def overlaps(one, many):
    """Intersection over union of boxes [..., 4] that broadcast, 0 where both are empty.

    Reference: official/vision/ops/box_ops.py, bbox_overlap.
    """
    low, high = tf.maximum(one[..., :2], many[..., :2]), tf.minimum(one[..., 2:], many[..., 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), -1)
    return shared / (area(one) + area(many) - shared + 1e-8)


def clip(boxes, window):
    """boxes [..., 4] cut to a window [4] or [..., 4] of (ymin, xmin, ymax, xmax)."""
    low, high = window[..., :2], window[..., 2:]
    return tf.concat([tf.clip_by_value(boxes[..., i : i + 2], low, high) for i in (0, 2)], -1)


def area(boxes):
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def scores(post: PostProcessing, logits):
    """Scores from logits: scale, convert, calibrate. float32 [b, n, c] -> the same shape."""
    if post.logit_scale != 1:
        logits = logits * np.float32(1 / post.logit_scale)
    calibration = post.calibration
    if calibration and calibration.temperature:
        logits = logits / calibration.temperature
    out = SCORE_CONVERTERS[post.score_converter](logits)
    return calibrate(calibration, out) if calibration else out


def calibrate(calibration: Calibration, x):
    """Piecewise linear functions of the scores, one for all classes or one a class."""
    if calibration.curve:
        return _interpolate(x, calibration.curve)
    if calibration.class_curves:
        columns = tf.unstack(x, axis=-1)
        curves = calibration.class_curves
        return tf.stack([_interpolate(c, curves[i]) if i in curves else c for i, c in enumerate(columns)], -1)
    return x


def _interpolate(x, curve):
    """Linear between the points of a curve, constant outside; two points of the same x are a step.

    Rounded as the reference rounds it, since scores that are equal there must be here, for NMS to take the same ones.
    From 1 beyond the last point on, which scores do not reach, it is the first's: its search then finds no interval.
    """
    xs, ys = (np.array(v, np.float32) for v in zip(*curve, strict=True))
    xs, ys = np.concatenate([xs[:1] - 1, xs, xs[-1:] + 1]), np.concatenate([ys[:1], ys, ys[-1:]])
    at = tf.add_n([tf.cast(x >= p, tf.int32) for p in xs]) - 1
    at = tf.where(at < len(xs) - 1, tf.maximum(at, 0), 0)
    left, right = tf.gather(xs, at), tf.gather(xs, at + 1)
    share = (x - left) / (right - left)
    return (1 - share) * tf.gather(ys, at) + share * tf.gather(ys, at + 1)


SCORE_CONVERTERS = {"identity": tf.identity, "sigmoid": tf.sigmoid, "softmax": tf.nn.softmax}
