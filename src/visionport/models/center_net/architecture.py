"""The CenterNet meta-architecture: objects are peaks of a heatmap, all else is read at them (Zhou et al. 2019).

Reference: meta_architectures/center_net_meta_arch.py. The heads' names are the reference's.
"""

import numpy as np
import tensorflow as tf

from visionport import config
from visionport.config.center_net import CenterNet, Head
from visionport.errors import UnsupportedError
from visionport.models.center_net import deepmac, keypoints, masks
from visionport.models.center_net.extractors import EXTRACTORS, SCOPE, STRIDE, extractor
from visionport.models.heads.detections import exported, reading  # noqa: F401 (of every meta-architecture)
from visionport.ops import nms, nn, peaks

__all__ = ["extractor_types", "known_unread", "names", "normalization", "postprocess", "predict"]

# Classifies identities, and draws random numbers, in training only.
UNREAD = ("model/track_reid_classification_net/", "model/_self_supervised_rng/")


def extractor_types() -> list[str]:
    """Every supported feature extractor as configs name it."""
    return list(EXTRACTORS)


def normalization(c: CenterNet) -> config.Normalization:
    """The config's, then the extractor's, in one."""
    first, then = c.normalization, extractor(c).normalization
    order = slice(None, None, -1 if then.bgr else 1)
    mean, std = np.array(first.mean)[order], np.array(first.std)[order]
    m0, m1, m2 = (mean + std * then.mean).tolist()
    s0, s1, s2 = (std * then.std).tolist()
    return config.Normalization(mean=(m0, m1, m2), std=(s0, s1, s2), bgr=first.bgr != then.bgr, pads_first=True)


def heads(c: CenterNet) -> dict[str, tuple[Head, int]]:
    """name -> (head, channels) of every head."""
    out = {"object_center": (c.center.head, c.num_classes)}
    if c.detection:
        out |= {"box/scale": (c.detection.scale_head, 2), "box/offset": (c.detection.offset_head, 2)}
    for task in c.keypoints:
        out |= {f"{task.name}/{name}": head for name, head in keypoints.heads(task).items()}
    if c.masks:
        out["segmentation/heatmap"] = c.masks.head, c.num_classes
    if c.densepose:
        parts = c.densepose.num_parts
        out |= {"densepose/heatmap": (Head(), parts), "densepose/regression": (Head(), 2 * parts)}
    if c.embedding_size:
        out["track/reid"] = Head(), c.embedding_size
    if c.temporal_offset:
        out["track/offset"] = Head(), 2
    return out | (deepmac.heads(c.deepmac) if c.deepmac else {})


def predict(c: CenterNet, s, images, true_shapes=None) -> dict:
    """The network's raw answers.

    images: float32 [b, H, W, 3], preprocessed. Returns, for the last of the stacked networks (number i), each head's
    map as "HEAD/i", float32 [b, H / 4, W / 4, channels], and "feature_maps", a list. The other stacks' heads train,
    and are there where the config wants them.
    """
    backbone = extractor(c)
    if any(d is not None and d % backbone.multiple for d in images.shape[1:3]):
        size = tuple(images.shape[1:3])
        raise UnsupportedError(
            f"image size {size} in the config: {c.extractor} needs multiples of {backbone.multiple}."
        )
    maps = backbone.features(s / SCOPE, images, c)
    out: dict = {"feature_maps": maps}
    for name, (head, channels) in heads(c).items():
        for i, x in list(enumerate(maps))[0 if c.outputs_maps else -1 :]:
            out[f"{name}/{i}"] = prediction_net(head_scope(s, c, name, i), x, head, channels, c.use_depthwise)
    return out


def head_scope(s, c: CenterNet, name: str, stack: int):
    """The last stack's heads have no number."""
    return s / name if stack == stacks(c) - 1 else s / f"stack_{stack}" / name


def prediction_net(s, x, head: Head, channels: int, depthwise: bool):
    for i, kernel in enumerate(head.kernel_sizes):
        layer = s / f"conv_{i}"
        x = tf.nn.relu(nn.bias(layer, (nn.separable if depthwise else nn.conv)(layer, x, kernel=kernel)))
    last = s / f"conv_{len(head.kernel_sizes)}"
    return nn.bias(last, nn.conv(last, x, kernel=1, out=channels))


def postprocess(c: CenterNet, s, prediction: dict, images, true_shapes, boxes=None) -> dict:
    """Detections by the reference's output names; classes from 0.

    true_shapes: int32 [b, 3], without padding. boxes: float32 [b, n, 4], what DeepMAC's masks are to be of, normalised
    to the image without padding; None: the boxes found. m below is the number of detections.
    """
    # The last stack's come last.
    found = {name.rpartition("/")[0]: x for name, x in prediction.items() if name != "feature_maps"}
    centers = tf.sigmoid(found["object_center"]) * inside(found["object_center"], true_shapes)
    scores, y, x, classes = peaks.best(centers, c.center.peak_kernel, c.center.max_detections)
    out = {
        "detection_scores": scores,
        "detection_classes": classes,
        "detection_multiclass_scores": peaks.at(centers, y, x),
        "num_detections": tf.reduce_sum(tf.cast(scores > 0, tf.int32), 1),
    }
    strided = None
    if c.detection:
        strided = boxes_at(found["box/scale"], found["box/offset"], y, x)
        out["detection_boxes_strided"] = strided
        out["detection_boxes"] = tf.clip_by_value(strided * tf.tile(scale(true_shapes), [1, 1, 2]), 0, 1)
    if c.keypoints:
        valid = tf.range(tf.shape(scores)[1]) < out["num_detections"][:, None]
        instances = keypoints.Instances(classes=classes, valid=valid, y=y, x=x, boxes=strided)
        out |= keypoints.detect(c, found, instances, scale(true_shapes))
        if not c.detection:
            points = out["detection_keypoints"]
            out["detection_boxes"] = tf.concat([tf.reduce_min(points, 2), tf.reduce_max(points, 2)], -1)
    if c.masks:
        out |= masks.detect(c, found, out["detection_boxes"], classes, true_shapes)
    draws_masks = c.deepmac and deepmac.is_there(c.deepmac, s.params)
    if boxes is not None and not draws_masks:
        raise UnsupportedError("the checkpoint has no network that draws masks.")
    if c.deepmac and draws_masks:
        embeddings = found[deepmac.INSTANCE], found[deepmac.PIXEL]
        places = strided if boxes is None else given_boxes(boxes, images, true_shapes, embeddings[0])
        out["detection_masks"] = deepmac.masks(c.deepmac, s / deepmac.SCOPE, *embeddings, places)
    if c.embedding_size:
        # The reference does not guard against a length of 0 either.
        embedding = peaks.at(found["track/reid"], y, x)
        out["detection_embeddings"] = embedding / tf.norm(embedding, axis=-1, keepdims=True)
    if c.temporal_offset:
        out["detection_temporal_offsets"] = peaks.at(found["track/offset"], y, x)
    if c.nms:
        out = suppressed(c, out)
    if c.keypoints:
        out["detection_scores"] = keypoints.rescored(c, out)
    return out | (all_maps(c, prediction, images, true_shapes) if c.outputs_maps else {})


def all_maps(c: CenterNet, prediction: dict, images, true_shapes) -> dict:
    """What `output_prediction_dict` adds: heads' maps, float32 [stacks, b, h, w, channels], and what they are of."""
    maps = {name: tf.stack([prediction[f"{name}/{i}"] for i in range(stacks(c))]) for name in heads(c)}
    features = tf.stack(prediction["feature_maps"])
    return maps | {"extracted_features": features, "preprocessed_inputs": images, "true_image_shapes": true_shapes}


def inside(x, true_shapes):
    """1 inside the image without padding, else 0: float32 [b, h, w, 1].

    The reference compares places of the map, which has a stride of 4, with pixels; so most padding counts as inside.
    """
    rows = tf.range(tf.shape(x)[1]) < true_shapes[:, :1]
    columns = tf.range(tf.shape(x)[2]) < true_shapes[:, 1:2]
    return tf.cast(rows[:, :, None, None] & columns[:, None, :, None], tf.float32)


def scale(true_shapes):
    """float32 [b, 1, 2]: from places of the map to the image without padding, (y, x)."""
    return STRIDE / tf.cast(true_shapes[:, None, :2], tf.float32)


def boxes_at(sizes, offsets, y, x):
    """Boxes of the centers (y, x), int32 [b, m]: float32 [b, m, 4] corners, in places of the map."""
    height_width = tf.maximum(peaks.at(sizes, y, x), 0)
    middle = tf.cast(tf.stack([y, x], -1), tf.float32) + peaks.at(offsets, y, x)
    extent = tf.cast(tf.shape(sizes)[1:3], tf.float32)
    corners = tf.concat([middle - height_width / 2, middle + height_width / 2], -1)
    return tf.clip_by_value(corners, 0, tf.tile(extent, [2]))


def given_boxes(boxes, images, true_shapes, heatmap):
    """Normalised boxes of the image without padding, in places of the map."""
    padded = tf.cast(true_shapes[:, None, :2] / tf.shape(images)[1:3], tf.float32)
    return boxes * tf.tile(padded, [1, 1, 2]) * tf.tile(tf.cast(tf.shape(heatmap)[1:3], tf.float32), [2])


def suppressed(c: CenterNet, out: dict) -> dict:
    """What the config's NMS leaves, each detection of its own class alone."""
    assert c.nms
    boxes = out["detection_boxes"]
    mine = tf.one_hot(out["detection_classes"], c.num_classes, True, False)
    scores = tf.where(mine, out["detection_multiclass_scores"], 0.0)
    whole = tf.zeros_like(boxes[:, 0]) + tf.constant([-1e6, -1e6, 1e6, 1e6])  # nothing is clipped
    fields = {k: v for k, v in out.items() if k not in NMS_OUTPUTS}
    found = nms.batch(c.nms, boxes[:, :, None], scores, whole, fields)
    return {k: found[v] for k, v in NMS_OUTPUTS.items()} | {k: found[k] for k in fields}


NMS_OUTPUTS = {
    "detection_boxes": "boxes",
    "detection_scores": "scores",
    "detection_classes": "classes",
    "num_detections": "count",
}


def names(c: CenterNet) -> dict[str, str]:
    """Canonical scope -> object path in a TF2 checkpoint."""
    out = extractor(c).names() | (deepmac.names(c.deepmac) if c.deepmac else {})
    for name, (head, _) in heads(c).items():
        for i in range(len(head.kernel_sizes) + 1):
            for stack in range(stacks(c)):
                scope = name if stack == stacks(c) - 1 else f"stack_{stack}/{name}"
                out[f"{scope}/conv_{i}"] = f"{head_path(name)}/{stack}/layer_with_weights-{i}"
    return out


def head_path(name: str) -> str:
    """Where a head is, for all stacks. Keys escape "/" and "."."""
    return f"model/_prediction_head_dict/{name.replace('.', '..').replace('/', '.S')}"


def stacks(c: CenterNet) -> int:
    return extractor(c).stacks


def known_unread(c: CenterNet):
    """Is this checkpoint key one that inference does not need? Heads of all stacks but the last only train."""
    paths = extractor(c).names()
    unread = [*UNREAD, *(f"{paths[scope]}/" for scope in extractor(c).unread)]
    for name in () if c.outputs_maps else heads(c):
        unread += [f"{head_path(name)}/{i}/" for i in range(stacks(c) - 1)]
    return lambda key: key.startswith(tuple(unread))
