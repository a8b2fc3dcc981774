"""CenterNet's keypoints: regressed from an object's center, then moved to a peak of the keypoint's own heatmap.

Reference: meta_architectures/center_net_meta_arch.py. In shapes m is the number of detections, k of the keypoints of a
task, n of the candidates a keypoint.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from visionport.config.center_net import CenterNet, Head, KeypointTask
from visionport.ops import boxes as box_ops
from visionport.ops import peaks, portable

FAR = 1e5  # the distance of what is no candidate
MIN_OVERLAP = 0.7  # from which the Gaussian's size follows, as in training


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Detections: classes from 0, y and x of their centers, int32 [b, m]; valid bool [b, m]; boxes [b, m, 4] or None.

    Places and boxes are those of the map.
    """

    classes: Any
    valid: Any
    y: Any
    x: Any
    boxes: Any


def heads(task: KeypointTask) -> dict[str, tuple[Head, int]]:
    """name -> (head, channels)."""
    count = len(task.indices)
    out = {
        "keypoint/heatmap": (task.heatmap_head, count),
        "keypoint/regression": (task.regression_head, 2 * count),
        "keypoint/offset": (task.offset_head, 2 * count if task.per_keypoint_offset else 2),
    }
    if task.predict_depth:
        out["keypoint/depth"] = Head(), count if task.per_keypoint_depth else 1
    return out


def detect(c: CenterNet, found: dict, instances: Instances, scale) -> dict:
    """detection_keypoints [b, m, all k, 2] (y, x), detection_keypoint_scores, and detection_keypoint_depths if any.

    found: the heads' maps; scale: float32 [b, 1, 2], from places of the map to normalised ones.
    """
    if c.single_class:
        points, scores, depths = of_task(c.keypoints[0], found, instances)
    else:
        points, scores, depths = *of_all_tasks(c.keypoints, found, instances), None
    points *= scale[:, None]
    if all(task.clip_out_of_frame for task in c.keypoints):
        in_frame = tf.reduce_all((points >= 0) & (points <= 1), -1)
        points, scores = tf.clip_by_value(points, 0, 1), tf.where(in_frame, scores, 0.0)
    out = {"detection_keypoints": points, "detection_keypoint_scores": scores}
    return out | ({} if depths is None else {"detection_keypoint_depths": depths})


def of_all_tasks(tasks, found, instances):
    """Keypoints and scores at their tasks' indices; 0 where a detection is of another class than the task."""
    points, scores = [], []
    for task in tasks:
        mine = (instances.valid & (instances.classes == task.class_id))[:, :, None]
        p, s, _ = of_task(task, found, instances)
        points.append(tf.where(mine[..., None], p, 0.0))
        scores.append(tf.where(mine, s, 0.0))
    order = np.argsort([i for task in tasks for i in task.indices])
    return tf.gather(tf.concat(points, 2), order, axis=2), tf.gather(tf.concat(scores, 2), order, axis=2)


def of_task(task: KeypointTask, found: dict, instances: Instances):
    """Keypoints [b, m, k, 2] in places of the map, scores [b, m, k], and depths [b, m, k] or None."""
    maps = {name: found[f"{task.name}/{name}"] for name in heads(task)}
    heatmap = tf.sigmoid(maps["keypoint/heatmap"])
    centers = tf.cast(tf.stack([instances.y, instances.x], -1), tf.float32)
    relative = peaks.at(maps["keypoint/regression"], instances.y, instances.x)
    regressed = centers[:, :, None] + tf.reshape(relative, [tf.shape(relative)[0], -1, len(task.indices), 2])
    if task.argmax:
        return *argmax(task, heatmap, maps["keypoint/offset"], regressed, instances.boxes), None
    scores, y, x = peaks.best_of_channels(heatmap, task.peak_kernel, task.num_candidates)
    places = tf.cast(tf.stack([y, x], -1), tf.float32) + of_keypoint(maps["keypoint/offset"], y, x, 2)
    depths = of_keypoint(maps["keypoint/depth"], y, x, 1)[..., 0] if task.predict_depth else None
    return refine(task, regressed, places, scores, depths, instances.boxes)


def of_keypoint(values, y, x, width: int):
    """float32 [b, h, w, k * width], or [b, h, w, width] for all alike, at int32 [b, k, n] places: [b, k, n, width]."""
    b, h, w, channels = peaks.size(values)
    count = channels // width
    flat = tf.reshape(values, [b, h * w * count, width])
    keypoint = tf.range(y.shape[1])[:, None] if count > 1 else 0
    return tf.gather(flat, (y * w + x) * count + keypoint, batch_dims=1)


def refine(task: KeypointTask, regressed, places, scores, depths, boxes):
    """The best candidate of each keypoint where it is good enough, else the regressed place.

    regressed: [b, m, k, 2]; places: [b, k, n, 2]; scores, depths: [b, k, n]; boxes: [b, m, 4] or None.
    """
    difference = tf.transpose(regressed, [0, 2, 1, 3])[:, :, :, None] - places[:, :, None]
    distances = tf.sqrt(tf.reduce_sum(tf.square(difference), -1))  # [b, k, m, n]
    distances = tf.where((scores >= task.candidate_threshold)[:, :, None], distances, FAR)
    ranking = RANKING[task.ranking_mode](task, scores[:, :, None], distances, boxes)
    chosen = tf.argmax(ranking, -1, tf.int32)
    place, score = tf.gather(places, chosen, batch_dims=2), tf.gather(scores, chosen, batch_dims=2)
    if task.ranking_mode == "gaussian_weighted":
        score = tf.reduce_max(ranking, -1)
    bad = score < task.candidate_threshold
    if boxes is not None:
        ycenter, xcenter, height, width = (t[:, None] for t in tf.unstack(box_ops.centers(boxes), axis=-1))
        height, width = height * task.box_scale, width * task.box_scale
        bad |= tf.abs(place[..., 0] - ycenter) > height / 2
        bad |= tf.abs(place[..., 1] - xcenter) > width / 2
        bad |= tf.reduce_min(distances, -1) > tf.maximum(height, width) * task.search_scale
    bad, score = (tf.transpose(t, [0, 2, 1]) for t in (bad, score))
    points = tf.where(bad[:, :, :, None], regressed, tf.transpose(place, [0, 2, 1, 3]))
    score = tf.where(bad, task.unmatched_score, score)
    if depths is not None:
        depths = tf.where(bad, 0.0, tf.transpose(tf.gather(depths, chosen, batch_dims=2), [0, 2, 1]))
    return points, score, depths


# How candidates are ranked: scores [b, k, 1, n], distances [b, k, m, n], boxes [b, m, 4] -> [b, k, m, n]


def nearest(task, scores, distances, boxes):
    return -distances


def score_over_distance(task, scores, distances, boxes):
    return scores / (distances + task.score_distance_offset)


def score_over_scaled_distance(task, scores, distances, boxes):
    height, width = sides(boxes)
    offset = tf.maximum(height, width) * task.score_distance_multiplier
    return scores / (distances + offset[:, None, :, None])


def gaussian(task, scores, distances, boxes):
    spread = deviation(*sides(boxes))[:, None] * np.array(task.std_dev, np.float32)[:, None]
    return scores * tf.exp(-tf.square(distances) / (2 * tf.square(spread))[..., None])


def sides(boxes):
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def deviation(height, width):
    """Of the Gaussian within which a box still overlaps (Law and Deng 2018); core/target_assigner.py."""
    total, area = height + width, height * width
    radii = (
        root(1, -total, area * ((1 - MIN_OVERLAP) / (1 + MIN_OVERLAP))),
        root(4, -2 * total, (1 - MIN_OVERLAP) * area),
        root(4 * MIN_OVERLAP, 2 * MIN_OVERLAP * total, (MIN_OVERLAP - 1) * area),
    )
    radius = tf.reduce_min(tf.stack(radii), 0)
    return (2 * tf.maximum(tf.floor(radius), 0) + 1) / 6


def root(a, b, c):
    # Of a x^2 + b x + c, but for a division by `a`: CornerNet's slip, with which models were trained.
    return (-b + tf.sqrt(b**2 - 4 * a * c)) / 2


RANKING = {
    "min_distance": nearest,
    "score_distance_ratio": score_over_distance,
    "score_scaled_distance_ratio": score_over_scaled_distance,
    "gaussian_weighted": gaussian,
}


def argmax(task: KeypointTask, heatmap, offsets, regressed, boxes):
    """For each detection the best place of the heatmap, weighted by a Gaussian around the regressed one, in its box.

    heatmap: [b, h, w, k]; offsets: [b, h, w, 2k]; regressed: [b, m, k, 2]; boxes: [b, m, 4].
    Returns keypoints [b, m, k, 2] and scores [b, m, k]: the best that any detection has at that place.
    """
    h, w, k = peaks.size(heatmap)[1:]
    lowest = tf.cast(tf.minimum(h, w), tf.float32) * task.gaussian_denom_ratio
    y, x = (tf.range(tf.cast(n, tf.float32)) for n in (h, w))

    def all_together(heatmap, offsets, regressed, boxes):
        far_y = tf.square(y[:, None, None] - regressed[:, None, ..., 0])  # [b, h, m, k]
        far_x = tf.square(x[:, None, None] - regressed[:, None, ..., 1])  # [b, w, m, k]
        in_y = (y[:, None] >= boxes[:, None, :, 0]) & (y[:, None] < boxes[:, None, :, 2])  # [b, h, m]
        in_x = (x[:, None] >= boxes[:, None, :, 1]) & (x[:, None] < boxes[:, None, :, 3])
        weights = tf.exp(-(far_y[:, :, None] + far_x[:, None]) / lowest)
        is_in = (in_y[:, :, None] & in_x[:, None])[..., None]
        weighted = tf.where(is_in, heatmap[:, :, :, None] * weights, 0.0)
        best = tf.argmax(tf.reshape(weighted, [-1, h * w, tf.shape(boxes)[1], k]), 1, tf.int32)  # [b, m, k]
        at = tf.stack([best, tf.broadcast_to(tf.range(k), tf.shape(best))], -1)
        scores = tf.gather_nd(tf.reshape(tf.reduce_max(weighted, 3), [-1, h * w, k]), at, batch_dims=1)
        place = tf.cast(tf.stack([best // w, tf.math.floormod(best, w)], -1), tf.float32)
        return place + tf.gather_nd(tf.reshape(offsets, [-1, h * w, k, 2]), at, batch_dims=1), scores

    given = heatmap, offsets, regressed, boxes
    if heatmap.shape[0] == 1 or portable.PORTABLE.get():  # no loop
        return all_together(*given)
    shapes = tf.TensorSpec((regressed.shape[1], k, 2)), tf.TensorSpec((regressed.shape[1], k))

    def alone(image):
        return tuple(t[0] for t in all_together(*(t[None] for t in image)))

    return tf.map_fn(alone, given, fn_output_signature=shapes)


def rescored(c: CenterNet, out: dict):
    """Scores [b, m] of detections times the mean of their visible keypoints' scores, for the tasks that want it."""
    scores, points = out["detection_scores"], out["detection_keypoint_scores"]
    for task in c.keypoints:
        if task.rescore:
            mine = tf.gather(points, task.indices, axis=2)
            visible = mine > task.rescoring_threshold
            count = tf.maximum(tf.reduce_sum(tf.cast(visible, tf.float32), -1), 1)
            total = tf.reduce_sum(tf.where(visible, mine, 0.0), -1)
            is_class = tf.cast(out["detection_classes"], tf.int32) == task.class_id
            scores = tf.where(is_class, scores * total / count, scores)
    return scores
