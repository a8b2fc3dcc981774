"""RetinaNet: a backbone, a pyramid, dense heads, and from all anchors detections (Lin et al. 2017).

Reference: official/vision/modeling/retinanet_model.py, official/vision/serving/detection.py.
"""

import numpy as np
import tensorflow as tf

from visionport import config
from visionport.config.retinanet import DetectionGenerator, RetinaNet
from visionport.errors import UnsupportedError
from visionport.models import backbones
from visionport.models.heads import dense
from visionport.models.necks import decoders
from visionport.models.retinanet.preprocessing import preprocess  # noqa: F401 (of this meta-architecture)
from visionport.ops import anchors as anchor_ops
from visionport.ops import boxes as box_ops
from visionport.ops import image
from visionport.ops import multiclass_nms as nms


def normalization(model: RetinaNet) -> config.Normalization:
    return model.normalization


def predict(model: RetinaNet, s, images, true_shapes=None) -> dict:
    """The network's raw answers.

    images: float32 [b, H, W, 3], preprocessed. Returns feature_maps and decoded, both by level; logits float32
    [b, n, classes], the background first; box_encodings float32 [b, n, 4]; attributes {name: float32 [b, n, size]}.
    """
    maps = backbones.backbone(s / "backbone", images, model.backbone)
    decoded = decoders.decode(s / "decoder", maps, model.decoder, backbones.levels(model.backbone))
    check_levels(model, decoded)
    return {"feature_maps": maps, "decoded": decoded} | dense.dense_heads(s / "head", decoded, model)


def check_levels(model: RetinaNet, decoded) -> None:
    wanted = dense.levels(model)
    if not isinstance(decoded, dict) or not set(wanted) <= set(decoded):
        found = sorted(decoded) if isinstance(decoded, dict) else ["one map"]
        raise UnsupportedError(
            f"task.model: min_level {wanted[0]} to max_level {wanted[-1]} are not all there: backbone and decoder give "
            f"{', '.join(found)}. Change min_level and max_level, or take decoder type fpn."
        )


def pyramid(model: RetinaNet, *, constant: bool) -> dict:
    """The anchors by level, float32 [n, 4] corners in pixels of the padded input (see ops/anchors.py)."""
    size = image.fixed_size(model.resizer)
    assert size
    return anchor_ops.pyramid(model.anchors, *size, constant=constant)


def anchors(model: RetinaNet, prediction: dict, images, *, constant: bool):
    """Those of all levels, float32 [n, 4]; the input's size is the config's, whatever the images are."""
    levels = [*pyramid(model, constant=constant).values()]
    return np.concatenate(levels) if constant else tf.concat(levels, 0)


def postprocess(model: RetinaNet, s, prediction: dict, images, sizes=None) -> dict:
    """Detections by the reference's output names, classes from 1; or all boxes, where `apply_nms` is false.

    Boxes are in pixels of the scaled picture, or normalised. sizes: int32 [b, 3] of the pictures as `preprocess` gives
    them; None for images that came preprocessed.
    """
    if sizes is None:
        size = tf.constant([[model.resizer.height, model.resizer.width, 3]])
        sizes = tf.repeat(size, tf.shape(images)[0], axis=0)
    info = image.image_info(sizes, model.resizer)
    generator = model.detection_generator
    if not generator.apply_nms and not generator.decode_boxes:
        out = {"raw_boxes": prediction["box_encodings"], "raw_scores": tf.sigmoid(prediction["logits"])}
    else:
        out = VERSIONS[generator.nms_version](model, prediction, info[:, 1])
    for name in BOXES:
        if name in out and model.output_normalized_coordinates:
            out[name] = to_pictures(out[name], info)
    if model.cast_num_detections_to_float and "num_detections" in out:
        out["num_detections"] = tf.cast(out["num_detections"], tf.float32)
    if model.cast_detection_classes_to_float and "detection_classes" in out:
        out["detection_classes"] = tf.cast(out["detection_classes"], tf.float32)
    if model.output_intermediate_features:
        out |= {f"backbone_{n}": x for n, x in prediction["feature_maps"].items()}
        out |= {f"decoder_{n}": x for n, x in prediction["decoded"].items()}
    return out | {"image_info": info}


BOXES = ("detection_boxes", "decoded_boxes")


def to_pictures(boxes, info):
    """boxes [b, ..., 4] in pixels of the scaled pictures, normalised to these. info: see ops/image.py."""

    def column(pair):
        return tf.reshape(tf.tile(pair, [1, 2]), [-1, *[1] * (boxes.shape.rank - 2), 4])

    return tf.clip_by_value(boxes / column(info[:, 2]) / column(info[:, 0]), 0.0, 1.0)


# The versions of non-maximum suppression


def decoded(model: RetinaNet, prediction: dict, sizes):
    """Boxes float32 [b, n, 1, 4], cut to the pictures of those sizes [b, 2], and scores [b, n, classes - 1]."""
    codes, weights = prediction["box_encodings"], model.detection_generator.box_coder_weights
    boxes = box_ops.decode_bounded(codes, anchors(model, prediction, None, constant=False), weights)
    return box_ops.clip_to_sizes(boxes, sizes)[:, :, None], tf.sigmoid(prediction["logits"][:, :, 1:])


def suppressed(model: RetinaNet, prediction: dict, sizes) -> dict:
    """`v1`, `v2`, `batched`; and `tflite`, by the thresholds of TFLite's operation, whose place in a SavedModel the
    reference marks with four zeros."""
    boxes, scores = decoded(model, prediction, sizes)
    generator = model.detection_generator
    if not generator.apply_nms:
        return {"decoded_boxes": boxes, "decoded_box_scores": scores}
    return named(SUPPRESSIONS[generator.nms_version](generator, boxes, scores))


def relational(model: RetinaNet, prediction: dict, sizes) -> dict:
    """`v3`: the best logits of each class first; the coarsest level comes first."""
    generator = model.detection_generator
    counts = [len(level) for level in pyramid(model, constant=True).values()]
    boxes = box_ops.decode_bounded(prediction["box_encodings"], anchors(model, prediction, None, constant=False))
    boxes = box_ops.clip_to_sizes(boxes, sizes)
    logits = prediction["logits"][:, :, 1:]
    boxes, logits = (tf.concat([*reversed(tf.split(x, counts, 1))], 1) for x in (boxes, logits))
    logits, classes = tf.transpose(logits, [0, 2, 1]), logits.shape[2]
    if sum(counts) > generator.pre_nms_top_k:
        logits, at = tf.math.top_k(logits, generator.pre_nms_top_k)
        boxes = tf.gather(boxes, at, batch_dims=1)
    else:
        boxes = tf.repeat(boxes[:, None], classes, axis=1)
    if not generator.apply_nms:
        return {"decoded_boxes": boxes, "decoded_box_scores": tf.sigmoid(logits)}
    return named(nms.relational(boxes, tf.sigmoid(logits), limits(generator)))


def named(found: nms.Detections) -> dict:
    return {
        "detection_boxes": found.boxes,
        "detection_scores": found.scores,
        "detection_classes": found.classes + 1,
        "num_detections": found.count,
    }


def limits(generator: DetectionGenerator) -> nms.Limits:
    """Of what a detection is; TFLite's operation has its own."""
    op = generator.tflite
    own = generator.nms_version == "tflite"
    return nms.Limits(
        score=op.nms_score_threshold if own else generator.pre_nms_score_threshold,
        overlap=op.nms_iou_threshold if own else generator.nms_iou_threshold,
        size=op.max_detections if own else generator.max_num_detections,
        top_k=generator.pre_nms_top_k,
    )


def per_class(generator: DetectionGenerator, boxes, scores):
    return nms.per_class(boxes, scores, limits(generator), generator.soft_nms_sigma)


def tiled(generator: DetectionGenerator, boxes, scores):
    by = nms.class_agnostic if generator.use_class_agnostic_nms else nms.tiled
    return by(boxes, scores, limits(generator))


def combined(generator: DetectionGenerator, boxes, scores):
    return nms.combined(boxes, scores, limits(generator))


SUPPRESSIONS = {"v1": per_class, "v2": tiled, "batched": combined, "tflite": combined}
VERSIONS = dict.fromkeys(SUPPRESSIONS, suppressed) | {"v3": relational}


def exported(whole: config.Config, outputs: dict) -> dict:
    """The outputs of an export, in the reference's own dtypes."""
    return outputs


def reading(whole: config.Config) -> dict:
    """See models/build.py."""
    normalized = whole.model.output_normalized_coordinates
    return {"classes_from": 1, "boxes": "picture" if normalized else "scaled"}


def names(model: RetinaNet) -> dict[str, str]:
    """Canonical scope -> object path."""
    parts = {
        "backbone": backbones.names(model.backbone),
        "decoder": decoders.names(model.decoder, backbones.levels(model.backbone)),
        "head": dense.names(model),
    }
    return {
        f"{part}/{scope}": f"model/_{part}/{path}" for part, table in parts.items() for scope, path in table.items()
    }


def known_unread(model: RetinaNet):
    """Is this checkpoint key one that inference does not need?"""
    return lambda key: False
