"""Non-maximum suppression as TF Official Vision has it: of each class apart, in several versions with their own ties.

The reference unrolls the classes. Here the graph does not grow with them: what can be a detection at all is a few
hundred pairs of an anchor and a class, which are suppressed together. Reference: official/vision/modeling/layers/
detection_generator.py, official/vision/ops/nms.py, official/vision/modeling/layers/edgetpu.py.
"""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from visionport.ops import boxes as box_ops
from visionport.ops import portable

# Detections are looked for among the best so many pairs of anchor and class, or anchors, first: nearly always enough.
PAIRS = 5000
PRESELECT = 1000
TILE = 512  # boxes of a class that the reference suppresses at once
HALF = 0.5  # what it calls suppressed within a tile, whatever the threshold


class Detections(NamedTuple):
    """The best of each image: boxes [b, m, 4], scores [b, m], classes [b, m] from 0, count [b]."""

    boxes: Any
    scores: Any
    classes: Any
    count: Any


class Limits(NamedTuple):
    """top_k: candidates of a class; size: detections of an image; overlap: from where boxes suppress each other."""

    score: float
    overlap: float
    size: int
    top_k: int


class Candidates(NamedTuple):
    """Of each image, pairs of an anchor and a class, the best first; of equal scores the lower class, then anchor.

    boxes [b, p, 4], scores [b, p], classes [b, p], ranks [b, p] within the class, real [b, p]: may be a detection.
    """

    boxes: Any
    scores: Any
    classes: Any
    ranks: Any
    real: Any


# Version 2: each class apart, in tiles


def tiled(boxes, scores, limits: Limits) -> Detections:
    """`v2`: a box is suppressed from an overlap at the threshold on; scores are above theirs; empty rows are 0.

    boxes: float32 [b, n, 1 or classes, 4], 0 or more; scores: float32 [b, n, classes]. n and classes are known. A box
    of four zeros is none. Reference: _generate_detections_v2_class_aware.
    """
    if portable.PORTABLE.get():
        if limits.overlap < HALF:
            portable.refuse(
                f"what nms_version v2 does at nms_iou_threshold {limits.overlap:g}",
                "set one of 0.5 or more, or take v1.",
            )
        return fill(portably(boxes, scores, limits, from_threshold=True)[0], scores.shape[2])
    near, complete = preselect(boxes, scores, limits)
    first = greedy(near, limits)
    final = tf.reduce_all(complete | (first.count >= limits.size))
    found = tf.cond(final, lambda: first, lambda: greedy(select_all(boxes, scores, limits), limits))
    return fill(found, scores.shape[2])


def preselect(boxes, scores, limits: Limits):
    """The best candidates alone, which are suppressed by one another only; and whether these are all, [b]."""
    _, n, classes = scores.shape
    pairs = tf.reshape(tf.transpose(scores, [0, 2, 1]), [-1, classes * n])
    found, at = tf.math.top_k(pairs, min(PAIRS, classes * n))
    kind, anchor = at // n, at % n
    chosen = take(boxes, anchor, kind)
    one_hot = tf.one_hot(kind, classes, dtype=tf.int32)
    ranks = tf.gather(tf.cumsum(one_hot, 1, exclusive=True), kind, batch_dims=2)
    real = (found > limits.score) & (ranks < limits.top_k) & tf.reduce_any(chosen > 0, -1)
    complete = (found[:, -1] <= limits.score) | (classes * n <= PAIRS)
    return Candidates(chosen, found, kind, ranks, real), complete


def select_all(boxes, scores, limits: Limits) -> Candidates:
    """All candidates: the best `top_k` of each class."""
    _, n, classes = scores.shape
    size = min(n, limits.top_k)
    found, anchors = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), size)
    found, at = tf.math.top_k(tf.reshape(found, [-1, classes * size]), classes * size)
    anchors = tf.gather(tf.reshape(anchors, [-1, classes * size]), at, batch_dims=1)
    chosen = take(boxes, anchors, at // size)
    real = (found > limits.score) & tf.reduce_any(chosen > 0, -1)
    return Candidates(chosen, found, at // size, at % size, real)


def greedy(candidates: Candidates, limits: Limits) -> Detections:
    """One candidate after the other, the best first, suppresses those of its class behind it.

    At thresholds of a half or less the reference's tiles show: in its own tile of the class a box that overlaps by no
    more than a half is no detection either, but suppresses others as if it were one.
    """
    boxes, scores, classes, ranks, real = candidates
    size = boxes.shape[1]
    order, tiles = tf.range(size)[None], ranks // TILE

    def more(gone, weak, chosen):
        wanted = tf.reduce_sum(tf.cast(chosen, tf.int32), 1) < limits.size
        return tf.reduce_any(wanted[:, None] & ~gone)

    def step(gone, weak, chosen):
        at = tf.reduce_min(tf.where(gone, size, order), 1, keepdims=True)
        inside = tf.minimum(at, size - 1)
        box, kind, tile = (tf.gather(x, inside, batch_dims=1) for x in (boxes, classes, tiles))
        selected = (order == at) & ~weak
        overlap = box_ops.overlaps(box, boxes)
        hit = (overlap >= limits.overlap) & (classes == kind) & (order > at)
        near = tiles == tile
        suppressed = tf.where(near, overlap > HALF, tf.reduce_any(selected, 1, keepdims=True))
        return gone | (order == at) | (hit & suppressed), weak | (hit & near), chosen | selected

    nothing = tf.zeros_like(real)
    _, _, chosen = tf.while_loop(more, step, (~real, nothing, nothing))
    at, kept = places(chosen, limits.size)
    return Detections(
        boxes=tf.where(kept[..., None], tf.gather(boxes, at, batch_dims=1), 0.0),
        scores=tf.where(kept, tf.gather(scores, at, batch_dims=1), 0.0),
        classes=tf.where(kept, tf.gather(classes, at, batch_dims=1), 0),
        count=tf.reduce_sum(tf.cast(kept, tf.int32), 1),
    )


def places(chosen, size: int):
    """Where the first `size` true ones of each row [b, n] are, int32 [b, size]; and whether there are so many."""
    n = chosen.shape[1]
    numbered = tf.where(chosen, n - tf.range(n)[None], 0)
    if n < size:
        numbered = tf.pad(numbered, [[0, 0], [0, size - n]])
    found, _ = tf.math.top_k(numbered, size)
    return tf.minimum(n - found, n - 1), found > 0


def fill(found: Detections, classes: int) -> Detections:
    """Empty rows with the classes that the reference gives them: of each class the rows that are left of `size`."""
    size = found.boxes.shape[1]
    row, kept = tf.range(size)[None], tf.range(size)[None] < found.count[:, None]
    of_class = tf.reduce_sum(tf.one_hot(tf.where(kept, found.classes, -1), classes, dtype=tf.int32), 1)
    empty = tf.cumsum(size - of_class, 1)
    number = row - found.count[:, None]
    filler = tf.reduce_sum(tf.cast(empty[:, None] <= number[:, :, None], tf.int32), 2)
    return found._replace(classes=tf.where(kept, found.classes, filler))


def take(boxes, anchors, classes):
    """boxes [b, n, q, 4] at anchors [b, m], of the class's own box where q > 1: [b, m, 4]."""
    if boxes.shape[2] == 1:
        return tf.gather(boxes[:, :, 0], anchors, batch_dims=1)
    return tf.gather_nd(boxes, tf.stack([anchors, classes], -1), batch_dims=1)


def suppress_sorted(boxes, scores, size: int, overlap: float):
    """The first `size` boxes of rows that no better one overlaps: scores [b, size], boxes [b, size, 4], then zeros.

    boxes: float32 [b, n, 4], those of four zeros are none; scores: float32 [b, n], the best first; n is known.
    Reference: official/vision/ops/nms.py, sorted_non_max_suppression_padded.
    """
    if portable.PORTABLE.get():
        return suppress_sorted_portably(boxes, scores, size, overlap)
    real = tf.reduce_any(boxes > 0, -1)
    if overlap > HALF:  # nothing of tiles shows
        return suppress_plain(boxes, scores, real, size, overlap)
    ranks = tf.zeros_like(real, tf.int32) + tf.range(boxes.shape[1])
    limits = Limits(score=0.0, overlap=overlap, size=size, top_k=boxes.shape[1])
    found = greedy(Candidates(boxes, scores, tf.zeros_like(ranks), ranks, real), limits)
    return found.scores, found.boxes


def suppress_sorted_portably(boxes, scores, size: int, overlap: float):
    """The same by ops/portable.py, with the places in place of the scores."""
    if overlap < HALF:
        portable.refuse(f"what an nms_iou_threshold of {overlap:g} among proposals does", "set one of 0.5 or more.")
    n = boxes.shape[1]
    places = tf.zeros_like(scores) + np.arange(n, 0, -1, dtype=np.float32)
    limits = Limits(score=0.0, overlap=overlap, size=size, top_k=n)
    found, at = portably(boxes[:, :, None], places[..., None], limits, from_threshold=True)
    return tf.where(found.scores > 0, tf.gather(scores, at, batch_dims=1), 0.0), found.boxes


def suppress_plain(boxes, scores, real, size: int, overlap: float):
    """The same by TensorFlow's own operation, which suppresses above its threshold: here from it on."""
    n = boxes.shape[1]
    order = np.arange(n, 0, -1, dtype=np.float32)
    threshold = np.nextafter(np.float32(overlap), np.float32(0))

    def one(row):
        kept = tf.raw_ops.NonMaxSuppressionV4(
            boxes=row[0],
            scores=tf.where(row[1], order, 0.0),
            max_output_size=size,
            iou_threshold=threshold,
            score_threshold=0.0,
            pad_to_max_output_size=True,
        )
        return kept.selected_indices, kept.valid_outputs

    spec = (tf.TensorSpec((size,), tf.int32), tf.TensorSpec((), tf.int32))
    if boxes.shape[0] == 1:
        at, count = (x[None] for x in one((boxes[0], real[0])))
    else:
        at, count = tf.map_fn(one, (boxes, real), fn_output_signature=spec)
    at = tf.ensure_shape(at, (boxes.shape[0], size))
    kept = tf.range(size)[None] < count[:, None]
    return (
        tf.where(kept, tf.gather(scores, at, batch_dims=1), 0.0),
        tf.where(kept[..., None], tf.gather(boxes, at, batch_dims=1), 0.0),
    )


# Version 2 without classes


def class_agnostic(boxes, scores, limits: Limits) -> Detections:
    """`v2` with use_class_agnostic_nms: of each anchor its best class alone, all together.

    Reference: _generate_detections_v2_class_agnostic.
    """
    if portable.PORTABLE.get():
        kinds = tf.argmax(scores, 2, tf.int32)
        anchors = tf.broadcast_to(tf.range(tf.shape(kinds)[1]), tf.shape(kinds))
        chosen = portable.take(boxes, anchors, kinds)[:, :, None]
        best = tf.reduce_max(scores, 2, keepdims=True)
        found, at = portably(chosen, best, limits, from_threshold=True)
        kept = tf.range(limits.size)[None] < found.count[:, None]
        return found._replace(classes=tf.where(kept, tf.gather(kinds, at, batch_dims=1), 0))
    best, kinds = tf.math.top_k(scores, 1)
    found, anchors = tf.math.top_k(best[..., 0], min(limits.top_k, scores.shape[1]))
    kinds = tf.gather(kinds[..., 0], anchors, batch_dims=1)
    chosen = take(boxes, anchors, kinds)
    at, count = tf.image.non_max_suppression_padded(
        chosen,
        found,
        limits.size,
        iou_threshold=limits.overlap,
        score_threshold=limits.score,
        pad_to_max_output_size=True,
        sorted_input=True,
    )
    kept = tf.range(limits.size)[None] < count[:, None]
    return Detections(
        boxes=tf.where(kept[..., None], tf.gather(chosen, at, batch_dims=1), 0.0),
        scores=tf.where(kept, tf.gather(found, at, batch_dims=1), 0.0),
        classes=tf.where(kept, tf.gather(kinds, at, batch_dims=1), 0),
        count=count,
    )


# Version 1: each class apart, by TensorFlow's own operation


def per_class(boxes, scores, limits: Limits, sigma: float | None = None) -> Detections:
    """`v1`: a box is suppressed above the threshold; scores of empty rows are -1, their boxes 0.

    boxes: float32 [b, n, 1 or classes, 4]; scores: float32 [b, n, classes]; sigma: of soft NMS, None or 0 for none.
    Reference: _generate_detections_v1, whose empty rows have the class's best box.
    """
    if portable.PORTABLE.get():
        if sigma:
            portable.refuse("soft NMS", "set soft_nms_sigma: null.")
        found, _ = portably(boxes, scores, limits)
        kept = tf.range(limits.size)[None] < found.count[:, None]
        return fill(found, scores.shape[2])._replace(scores=tf.where(kept, found.scores, -1.0))
    near_boxes, near, level = best_anchors(boxes, scores, limits)
    first = operate(near_boxes, tf.transpose(near, [0, 2, 1]), level, limits, sigma)
    complete = level <= np.float32(limits.score)

    def whole():
        size = min(scores.shape[1], limits.top_k)
        found, anchors = tf.math.top_k(tf.transpose(scores, [0, 2, 1]), size)
        least = tf.fill([tf.shape(scores)[0]], tf.constant(limits.score, tf.float32))
        return operate(boxes, found, least, limits, sigma, anchors)

    final = tf.reduce_all(complete | (first.count >= limits.size))
    found = first if scores.shape[1] <= min(PRESELECT, limits.top_k) else tf.cond(final, lambda: first, whole)
    kept = tf.range(limits.size)[None] < found.count[:, None]
    return fill(found, scores.shape[2])._replace(scores=tf.where(kept, found.scores, -1.0))


def portably(boxes, scores, limits: Limits, *, from_threshold: bool = False):
    """Of ops/portable.py: the detections, empty rows all 0, and their anchors [b, m].

    from_threshold: boxes are suppressed from an overlap at the threshold on, and those of four zeros are none.
    """
    overlap = limits.overlap
    if from_threshold:
        overlap = float(np.nextafter(np.float32(overlap), np.float32(0)))
        scores = tf.where(tf.reduce_any(boxes > 0, -1), scores, portable.NEVER)
    found = portable.select(
        boxes, scores, portable.Limits(limits.size, limits.size, overlap, limits.score, limits.top_k)
    )
    kept = found.scores > -1
    detections = Detections(
        boxes=tf.where(kept[..., None], portable.take(boxes, found.anchors, found.classes), 0.0),
        scores=tf.where(kept, found.scores, 0.0),
        classes=found.classes,
        count=tf.reduce_sum(tf.cast(kept, tf.int32), 1),
    )
    return detections, found.anchors


def best_anchors(boxes, scores, limits: Limits):
    """The anchors with the best scores, in their order, and the level [b] above which all scores are theirs."""
    n = scores.shape[1]
    size = min(PRESELECT, limits.top_k)
    least = tf.fill([tf.shape(scores)[0]], tf.constant(limits.score, tf.float32))
    if n <= size:
        return boxes, scores, least
    highest, anchors = tf.math.top_k(tf.reduce_max(scores, 2), size)
    anchors = tf.sort(anchors)
    boxes, scores = (tf.gather(x, anchors, batch_dims=1) for x in (boxes, scores))
    return boxes, scores, tf.maximum(highest[:, -1], least)


def operate(boxes, scores, level, limits: Limits, sigma, anchors=None) -> Detections:
    """scores [b, classes, k] of those anchors [b, classes, k], or of all; level [b]: they must be above it."""
    classes, k = scores.shape[1:]
    if anchors is None:
        anchors = tf.broadcast_to(tf.range(k), tf.shape(scores))
    kinds = tf.zeros_like(anchors) + tf.range(classes)[:, None]
    flat = [tf.reshape(x, [-1, classes * k]) for x in (anchors, kinds)]
    chosen = tf.reshape(take(boxes, *flat), [-1, k, 4])
    levels = tf.repeat(level, classes)

    def one(row):
        found = tf.raw_ops.NonMaxSuppressionV5(
            boxes=row[0],
            scores=row[1],
            max_output_size=limits.size,
            iou_threshold=limits.overlap,
            score_threshold=row[2],
            soft_nms_sigma=sigma or 0.0,
            pad_to_max_output_size=True,
        )
        return found.selected_indices, found.selected_scores, found.valid_outputs

    size = limits.size
    spec = (tf.TensorSpec((size,), tf.int32), tf.TensorSpec((size,)), tf.TensorSpec((), tf.int32))
    at, score, count = tf.map_fn(one, (chosen, tf.reshape(scores, [-1, k]), levels), fn_output_signature=spec)
    at, score = (tf.ensure_shape(x, (None, size)) for x in (at, score))
    score = tf.where(tf.range(size)[None] < count[:, None], score, -1.0)
    best, places_ = tf.math.top_k(tf.reshape(score, [-1, classes * size]), size)
    chosen = tf.reshape(tf.gather(chosen, at, batch_dims=1), [-1, classes * size, 4])
    kept = best > -1
    return Detections(
        boxes=tf.where(kept[..., None], tf.gather(chosen, places_, batch_dims=1), 0.0),
        scores=best,
        classes=places_ // size,
        count=tf.reduce_sum(tf.cast(kept, tf.int32), 1),
    )


# By TensorFlow's operation for all classes


def combined(boxes, scores, limits: Limits) -> Detections:
    """`batched`: no limit of candidates. Reference: _generate_detections_batched."""
    if portable.PORTABLE.get():
        return portably(boxes, scores, limits._replace(top_k=None))[0]
    found = tf.image.combined_non_max_suppression(
        boxes, scores, limits.size, limits.size, limits.overlap, limits.score, clip_boxes=False
    )
    classes = tf.cast(found.nmsed_classes, tf.int32)
    return Detections(found.nmsed_boxes, found.nmsed_scores, classes, found.valid_detections)


# Version 3: for Edge TPUs


def relational(boxes, scores, limits: Limits, refinements: int = 2) -> Detections:
    """`v3`: who is better than whom, refined so often as to be nearly what suppression one by one gives.

    boxes: float32 [b, classes, n, 4]; scores: float32 [b, classes, n]. Classes and count come as float32; of empty rows
    the class is -1. Of equal scores the last one is kept. Reference: _generate_detections_v3.
    """
    portable.refuse("what nms_version v3 does", "take v2 or v1.")
    real = scores > limits.score
    boxes, scores = tf.where(real[..., None], boxes, 0.0), tf.where(real, scores, -1.0)
    classes, n = scores.shape[1:]

    def one(row):
        """One class of one image: float32 [n], 1 where a box remains."""
        box, score = row
        better = (score[None] > score[:, None]) | ((score[None] == score[:, None]) & later(n))
        better &= relational_overlaps(box) > limits.overlap
        for _ in range(refinements):
            good = ~tf.reduce_any(better, 1)
            fair = ~tf.reduce_any(better & good[None], 1)
            better &= fair[None]
        return tf.cast(~tf.reduce_any(better, 1), tf.float32)

    rows = (tf.reshape(boxes, [-1, n, 4]), tf.reshape(scores, [-1, n]))
    remaining = tf.map_fn(one, rows, fn_output_signature=tf.TensorSpec((n,)))
    remaining = tf.reshape(remaining, [-1, classes, n])
    found, at = tf.math.top_k(scores * remaining, limits.size)
    valid = found > 0
    at = tf.where(valid, at, 0)
    chosen = tf.where(valid[..., None], tf.gather(boxes, at, batch_dims=2), 0.0)
    kinds = tf.where(valid, tf.range(classes, dtype=tf.float32)[:, None], -1.0)
    found = tf.where(valid, found, 0.0)
    images = tf.shape(found)[0]
    found, at = tf.math.top_k(tf.reshape(found, [images, -1]), limits.size)
    kinds = tf.gather(tf.reshape(kinds, [images, -1]), at, batch_dims=1)
    chosen = tf.gather(tf.reshape(chosen, [images, -1, 4]), at, batch_dims=1)
    return Detections(chosen, found, kinds, tf.reduce_sum(tf.cast(kinds >= 0, tf.float32), 1))


def later(n):
    """bool [n, n]: is the second one, by column, behind the first?"""
    return tf.range(n)[None] > tf.range(n)[:, None]


def relational_overlaps(boxes):
    """Intersection over union of boxes [n, 4] with each other, [n, n], rounded as the reference rounds it."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    height, width = ymax - ymin, xmax - xmin

    def beyond(x):
        return tf.nn.relu(x[None] - x[:, None])

    shared = tf.nn.relu(height[None] - (beyond(-ymin) + beyond(ymax)))
    shared *= tf.nn.relu(width[None] - (beyond(-xmin) + beyond(xmax)))
    areas = height * width
    union = areas[None] + areas[:, None] - shared
    return shared / tf.where(union == 0, 1.0, union)
