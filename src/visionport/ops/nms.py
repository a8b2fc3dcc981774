"""Non-maximum suppression with everything the reference returns: boxes, classes, scores, and their anchors."""

import numpy as np
import tensorflow as tf

from visionport.config import Nms
from visionport.ops import boxes as box_ops
from visionport.ops import portable

# Before all candidates are suppressed against each other, the best PRESELECT anchors are: nearly always enough for the
# detections wanted, and ten times cheaper with a score threshold near 0. Where they are not enough, all are taken.
PRESELECT = 1000


def batch(nms: Nms, boxes, scores, window, fields):
    """Detections of each image of a batch.

    boxes: float32 [b, n, q, 4] corners, q = 1 or the number of classes; scores: float32 [b, n, classes] without
    background; window: float32 [b, 4], detections are clipped to it; fields: {name: [b, n, ...]} to gather along.
    Returns a dict: boxes [b, m, 4], scores [b, m], classes [b, m] from 0, float32; anchors [b, m] and count [b], int32;
    and each field [b, m, ...]. m is nms.max_total; rows past `count` are 0.
    Reference: core/post_processing.py, batch_multiclass_non_max_suppression.
    """
    if portable.PORTABLE.get():
        return _portable(nms, boxes, scores, window, fields)
    if nms.combined:
        return _combined(nms, boxes, scores, window)
    elements = (boxes, scores, window, fields)
    if boxes.shape[0] == 1:
        one = _image(nms, *tf.nest.map_structure(lambda x: x[0], elements))
        return {k: v[None] for k, v in one.items()}
    specs = {k: tf.TensorSpec((nms.max_total, *v.shape[2:]), v.dtype) for k, v in fields.items()} | {
        "boxes": tf.TensorSpec((nms.max_total, 4)),
        "scores": tf.TensorSpec((nms.max_total,)),
        "classes": tf.TensorSpec((nms.max_total,)),
        "anchors": tf.TensorSpec((nms.max_total,), tf.int32),
        "count": tf.TensorSpec((), tf.int32),
    }
    found = tf.map_fn(lambda e: _image(nms, *e), elements, fn_output_signature=specs)
    # A frozen graph's loop forgets its shapes.
    return {k: tf.ensure_shape(v, (boxes.shape[0], *specs[k].shape)) for k, v in found.items()}


def _image(nms, boxes, scores, window, fields):
    """One image: boxes [n, q, 4], scores [n, classes], window [4], fields {name: [n, ...]}."""
    suppress = _class_agnostic if nms.class_agnostic else _per_class
    best, anchors, classes, score = _select(nms, suppress, boxes, scores, window)
    valid = best >= 0
    count = tf.reduce_sum(tf.cast(valid, tf.int32))
    chosen = _take(boxes, anchors, classes)
    chosen = box_ops.clip(chosen, window)
    if nms.change_coordinate_frame:
        low, size = window[:2], window[2:] - window[:2]
        chosen = (chosen - tf.tile(low, [2])) / tf.tile(size, [2])
    anchors = tf.where(valid, anchors, 0)
    out = {"boxes": chosen, "scores": score, "classes": tf.cast(classes, tf.float32)}
    out |= {k: tf.gather(v, anchors) for k, v in fields.items()}
    out = {k: tf.where(tf.reshape(valid, [-1] + [1] * (len(v.shape) - 1)), v, tf.zeros_like(v)) for k, v in out.items()}
    out |= {"anchors": anchors, "count": count}
    return {k: _pad(v, nms.max_total) if k != "count" else v for k, v in out.items()}


def _select(nms, suppress, boxes, scores, window):
    """The best max_total survivors: (rank key, -1 where empty; anchors; classes; scores), each [m]."""
    threshold = tf.constant(nms.score_threshold, tf.float32)

    @tf.function(autograph=False)  # traced once, called twice
    def survivors(threshold):
        anchors, classes, score, kept = suppress(nms, boxes, scores, threshold)
        clipped = box_ops.clip(_take(boxes, anchors, classes), window)
        key = tf.where(kept & (box_ops.area(clipped) > 0), score, -1.0)
        best, order = tf.math.top_k(key, min(nms.max_total, int(key.shape[0] or 0)))  # stable: lower classes first
        return best, tf.gather(anchors, order), tf.gather(classes, order), tf.gather(score, order)

    if scores.shape[0] is not None and scores.shape[0] <= PRESELECT:
        return survivors(threshold)
    highest = tf.reduce_max(scores, 1)
    k = tf.minimum(PRESELECT, tf.size(highest))
    raised = tf.math.top_k(highest, k)[0][-1]
    first = survivors(tf.maximum(raised, threshold))
    # What is above a raised threshold is suppressed by what is above it alone, so a full list is final.
    final = (first[0][-1] >= 0) | (raised <= threshold)
    second = survivors(tf.where(final, np.float32(np.inf), threshold))
    return tuple(tf.where(final, a, b) for a, b in zip(first, second, strict=True))


def _per_class(nms, boxes, scores, threshold):
    """Each class apart: (anchors, classes, scores, kept), each [classes * max_per_class]."""
    by_class = tf.unstack(tf.transpose(scores))
    boxes_of = tf.unstack(boxes, axis=1)
    boxes_of = boxes_of if len(boxes_of) > 1 else boxes_of * len(by_class)
    limits = _limits(nms, nms.max_per_class)
    found = [_nms_op(b, s, threshold, *limits) for b, s in zip(boxes_of, by_class, strict=True)]
    indices, score, counts = (tf.stack(v) for v in zip(*found, strict=True))
    indices, score = (tf.ensure_shape(t, (len(by_class), nms.max_per_class)) for t in (indices, score))
    kept = tf.range(nms.max_per_class)[None] < counts[:, None]
    classes = tf.constant(np.repeat(np.arange(len(by_class), dtype=np.int32), nms.max_per_class))
    return tf.reshape(indices, [-1]), classes, tf.reshape(score, [-1]), tf.reshape(kept, [-1])


def _class_agnostic(nms, boxes, scores, threshold):
    """All classes together by their best score: (anchors, classes, scores, kept), each [max_total]."""
    best = tf.argmax(scores, 1, tf.int32)
    chosen = _take(boxes, tf.range(tf.size(best)), best)
    found = _nms_op(chosen, tf.reduce_max(scores, 1), threshold, *_limits(nms, nms.max_total))
    indices, score = (tf.ensure_shape(f, (nms.max_total,)) for f in found[:2])
    count = found[2]
    return indices, tf.gather(best, indices), score, tf.range(nms.max_total) < count


def _limits(nms, size):
    """Tensors that many NMS ops of a graph share."""
    return tf.constant(size), tf.constant(nms.iou_threshold), tf.constant(nms.soft_sigma)


def _nms_op(boxes, scores, threshold, size, iou_threshold, sigma):
    found = tf.raw_ops.NonMaxSuppressionV5(
        boxes=boxes,
        scores=scores,
        max_output_size=size,
        iou_threshold=iou_threshold,
        score_threshold=threshold,
        soft_nms_sigma=sigma,
        pad_to_max_output_size=True,
    )
    return found.selected_indices, found.selected_scores, found.valid_outputs


def _combined(nms, boxes, scores, window):
    found = tf.image.combined_non_max_suppression(
        boxes, scores, nms.max_per_class, nms.max_total, nms.iou_threshold, nms.score_threshold, clip_boxes=False
    )
    clipped = box_ops.clip(found.nmsed_boxes, window[:, None])
    return {
        "boxes": clipped,
        "scores": found.nmsed_scores,
        "classes": found.nmsed_classes,
        "count": found.valid_detections,
    }


def _portable(nms, boxes, scores, window, fields):
    """See ops/portable.py."""
    if nms.soft_sigma:
        portable.refuse("soft NMS", "set soft_nms_sigma: 0.")

    def has_area(found, images):
        return box_ops.area(box_ops.clip(found, tf.gather(window, images))) > 0

    keep = None if nms.combined else has_area
    if nms.class_agnostic:
        best = tf.argmax(scores, 2, tf.int32)
        anchors = tf.broadcast_to(tf.range(tf.shape(best)[1]), tf.shape(best))
        candidates = portable.take(boxes, anchors, best)[:, :, None], tf.reduce_max(scores, 2, keepdims=True)
        limits = portable.Limits(nms.max_total, nms.max_total, nms.iou_threshold, nms.score_threshold)
        found = portable.select(*candidates, limits, keep)
        found = found._replace(classes=tf.gather(best, found.anchors, batch_dims=1))
    else:
        limits = portable.Limits(nms.max_per_class, nms.max_total, nms.iou_threshold, nms.score_threshold)
        found = portable.select(boxes, scores, limits, keep)
    valid = found.scores > -1
    chosen = box_ops.clip(portable.take(boxes, found.anchors, found.classes), window[:, None])
    if nms.change_coordinate_frame:
        low, size = window[:, None, :2], window[:, None, 2:] - window[:, None, :2]
        chosen = (chosen - tf.tile(low, [1, 1, 2])) / tf.tile(size, [1, 1, 2])
    out = {"boxes": chosen, "scores": found.scores, "classes": tf.cast(found.classes, tf.float32)}
    if not nms.combined:
        out |= {k: tf.gather(v, found.anchors, batch_dims=1) for k, v in fields.items()} | {"anchors": found.anchors}
    for name, value in out.items():
        rows = tf.reshape(valid, [-1, nms.max_total, *[1] * (len(value.shape) - 2)])
        out[name] = tf.where(rows, value, tf.zeros_like(value))
    return out | {"count": tf.reduce_sum(tf.cast(valid, tf.int32), 1)}


def _take(boxes, anchors, classes):
    """boxes [n, q, 4] at anchors [m], of the class's own box where q > 1."""
    if boxes.shape[1] == 1:
        return tf.gather(boxes[:, 0], anchors)
    return tf.gather_nd(boxes, tf.stack([anchors, classes], -1))


def _pad(x, size):
    missing = size - x.shape[0]
    return tf.pad(x, [[0, missing]] + [[0, 0]] * (len(x.shape) - 1)) if missing else x
