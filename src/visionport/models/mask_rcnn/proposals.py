"""Which regions a second stage looks at. Reference: official/vision/modeling/layers/roi_generator.py."""

import tensorflow as tf

from visionport.config.mask_rcnn import MaskRcnn, RoiGenerator
from visionport.ops import anchors as anchor_ops
from visionport.ops import boxes as box_ops
from visionport.ops import multiclass_nms as nms


def propose(model: MaskRcnn, scores: dict, codes: dict, image_size, window):
    """The best regions of all levels, float32 [b, p, 4], zeros where there are less.

    scores, codes: logits [b, h, w, a] and box codes [b, h, w, 4 a] by level; image_size: (height, width) of the
    network's input; window: float32 [4], what boxes are clipped to.
    """
    generator = model.roi_generator
    found = []
    for level, anchors in anchor_ops.pyramid(model.anchors, *image_size, constant=False).items():
        count = anchors.shape[0]
        boxes = box_ops.decode_bounded(tf.reshape(codes[level], (-1, count, 4)), anchors)
        likely = tf.sigmoid(tf.reshape(scores[level], (-1, count)))
        found.append(best(generator, box_ops.clip(boxes, window), likely, window))
    boxes, likely = (tf.concat(parts, 1) for parts in zip(*found, strict=True))
    return top(boxes, likely, generator.num_proposals)[0]


def best(generator: RoiGenerator, boxes, scores, window):
    """The regions of one level that stay, and their scores: [b, k, 4] and [b, k]."""
    if generator.pre_nms_min_size_threshold > 0:
        boxes, scores = large(boxes, scores, window, generator.pre_nms_min_size_threshold)
    count, threshold = min(boxes.shape[1], generator.num_proposals), generator.nms_iou_threshold
    if not threshold > 0:
        return top(boxes, scores, count)
    if generator.use_batched_nms:
        least = generator.pre_nms_score_threshold
        candidates = min(boxes.shape[1], generator.pre_nms_top_k)
        found = tf.image.combined_non_max_suppression(
            boxes[:, :, None], scores[:, :, None], candidates, count, threshold, least, clip_boxes=False
        )
        return found.nmsed_boxes, found.nmsed_scores
    if generator.pre_nms_score_threshold > 0:
        boxes, scores = above(boxes, scores, generator.pre_nms_score_threshold)
    scores, boxes = nms.suppress_sorted(*top(boxes, scores, generator.pre_nms_top_k), count, threshold)
    return boxes, scores


def large(boxes, scores, window, least: float):
    """Boxes with both sides longer than `least` and a centre inside; the others, and their scores, are 0."""
    low, size = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    centre = low + 0.5 * size
    kept = tf.reduce_all((size > least) & (centre > 0) & (centre < window[2:]), -1)
    return boxes * tf.cast(kept, tf.float32)[..., None], tf.where(kept, scores, 0.0)


def above(boxes, scores, threshold: float):
    """Boxes whose scores are above a threshold; the others are 0, and their scores -1."""
    kept = scores > threshold
    return boxes * tf.cast(kept, tf.float32)[..., None], tf.where(kept, scores, -1.0)


def top(boxes, scores, count: int):
    """The `count` boxes [b, n, 4] of the highest scores [b, n], or all of them, sorted."""
    scores, places = tf.math.top_k(scores, min(count, scores.shape[1]))
    return tf.gather(boxes, places, batch_dims=1), scores
