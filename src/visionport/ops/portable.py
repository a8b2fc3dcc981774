"""Models traced for other runtimes: without loops, and with suppression as the one operation that these have.

TensorFlow suppresses the boxes of a class of an image at a time, so its graphs unroll the classes and loop over the
images. ONNX and OpenVINO suppress those of all classes and images at once. What is traced within `portable` does the
same by `suppress`, a node of a kind that converters know by OP and that TensorFlow itself can run, slowly; what chooses
the candidates and what orders the survivors are TensorFlow's own operations.
"""

import contextlib
import contextvars
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from visionport.errors import UnsupportedError

OP, NAME = "PyFuncStateless", "suppress"  # of the node; its inputs are the arguments of `suppress`
PRESELECT = 1000  # anchors that are suppressed first, see ops/nms.py
NEVER = float(np.finfo(np.float32).min)  # a score that is above no threshold

PORTABLE = contextvars.ContextVar("portable", default=False)


@contextlib.contextmanager
def portable():
    """What is traced herein has the form that other runtimes take."""
    token = PORTABLE.set(True)
    try:
        yield
    finally:
        PORTABLE.reset(token)


class Limits(NamedTuple):
    """size: detections of a class; total: of an image; overlap: above which the better box suppresses the other;
    score: above which a box is a candidate; top_k: candidates of a class, None for any number."""

    size: int
    total: int
    overlap: float
    score: float
    top_k: int | None = None


class Selected(NamedTuple):
    """The best of each image: scores [b, m], -1 in empty rows; anchors and classes, int32 [b, m]; m is the total."""

    scores: Any
    anchors: Any
    classes: Any


def suppress(boxes, scores, size, overlap, score):
    """Non-maximum suppression of each class of each image, the best first; of equal scores the first anchor.

    boxes: float32 [b, n, q, 4] corners, q = 1 or the number of classes; scores: float32 [b, n, classes]; the other
    three: see Limits. Returns int32 [s, 3] of (image, class, anchor), by image, class, and score.
    """
    given = [boxes, scores, np.int32(size), np.float32(overlap), np.float32(score)]
    found = tf.numpy_function(_suppress, given, tf.int32, stateful=False, name=NAME)
    return tf.ensure_shape(found, (None, 3))


def _suppress(boxes, scores, size, overlap, score):
    found = []
    for image, kind in np.ndindex(scores.shape[0], scores.shape[2]):
        mine = boxes[image, :, min(kind, boxes.shape[2] - 1)]
        (candidates,) = np.nonzero(scores[image, :, kind] > score)
        candidates = candidates[np.argsort(-scores[image, candidates, kind], kind="stable")]
        kept = 0
        while len(candidates) and kept < size:
            found.append((image, kind, candidates[0]))
            kept += 1
            candidates = candidates[1:][~(_overlaps(mine[candidates[0]], mine[candidates[1:]]) > overlap)]
    return np.array(found, np.int32).reshape(-1, 3)


def _overlaps(one, many):
    """Intersection over union of a box [4] with others [n, 4]; corners may be given in either order."""
    low, lows = (np.minimum(b[..., :2], b[..., 2:]) for b in (one, many))
    high, highs = (np.maximum(b[..., :2], b[..., 2:]) for b in (one, many))
    shared = np.prod(np.maximum(np.minimum(high, highs) - np.maximum(low, lows), 0), -1)
    areas = np.prod(high - low), np.prod(highs - lows, -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((areas[0] > 0) & (areas[1] > 0), shared / (areas[0] + areas[1] - shared), 0)


def select(boxes, scores, limits: Limits, keep=None) -> Selected:
    """The best survivors of all classes.

    boxes, scores: see `suppress`. keep: (boxes [s, 4], images [s]) -> bool [s], what of the survivors may be a
    detection. Of equal scores the lower class comes first.
    """
    n = scores.shape[1]
    if n is not None and n <= PRESELECT:
        return _best(boxes, scores, limits, keep)
    highest = tf.reduce_max(scores, 2)
    found, near = tf.math.top_k(highest, PRESELECT if n else tf.minimum(PRESELECT, tf.shape(scores)[1]))
    near = tf.sort(near)
    raised = found[:, -1]
    near_scores = tf.gather(scores, near, batch_dims=1)
    # What is above a raised threshold is suppressed by what is above it alone, so a full list is final.
    near_scores = tf.where(near_scores > raised[:, None, None], near_scores, NEVER)
    near_scores = tf.where((raised <= limits.score)[:, None, None], tf.gather(scores, near, batch_dims=1), near_scores)
    first = _best(tf.gather(boxes, near, batch_dims=1), near_scores, limits, keep)
    first = first._replace(anchors=tf.gather(near, first.anchors, batch_dims=1))
    final = tf.reduce_all((first.scores[:, -1] > -1) | (raised <= limits.score))
    return tf.cond(final, lambda: first, lambda: _best(boxes, _top(scores, limits.top_k), limits, keep))


def _top(scores, count: int | None):
    """Scores [b, n, classes] of which only the best `count` of each class may be above a threshold."""
    n = scores.shape[1]
    if count is None or (n is not None and n <= count):
        return scores
    least = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), count)[0][:, None, :, -1]
    return tf.where(scores >= least, scores, NEVER)


def _best(boxes, scores, limits: Limits, keep) -> Selected:
    selected = suppress(boxes, scores, limits.size, limits.overlap, limits.score)
    # As many empty rows behind them as an image may have detections.
    empty = np.array([[-1, 0, 0]] * limits.total, np.int32)
    image, kind, anchor = tf.unstack(tf.concat([selected, empty], 0), axis=1)
    owner = tf.maximum(image, 0)
    score = tf.gather_nd(scores, tf.stack([owner, anchor, kind], 1))
    if keep is not None:
        column = kind if boxes.shape[2] > 1 else tf.zeros_like(kind)
        kept = keep(tf.gather_nd(boxes, tf.stack([owner, anchor, column], 1)), owner)
        score = tf.where(kept, score, -1.0)
    images = tf.range(tf.shape(scores)[0])
    best, order = tf.math.top_k(tf.where(image[None] == images[:, None], score[None], -1.0), limits.total)
    best = tf.ensure_shape(best, (scores.shape[0], limits.total))
    anchor, kind = tf.gather(anchor, order), tf.gather(kind, order)
    valid = best > -1
    return Selected(best, tf.where(valid, anchor, 0), tf.where(valid, kind, 0))


def take(boxes, anchors, classes):
    """boxes [b, n, q, 4] at anchors [b, m], of the class's own box where q > 1: [b, m, 4]."""
    columns = boxes.shape[2]
    flat = tf.reshape(boxes, [tf.shape(boxes)[0], -1, 4])
    return tf.gather(flat, anchors if columns == 1 else anchors * columns + classes, batch_dims=1)


def refuse(what: str, instead: str) -> None:
    """Raises UnsupportedError for what no other runtime has, where something is traced for one."""
    if PORTABLE.get():
        raise UnsupportedError(f"no operation of other runtimes does {what}: {instead}")
