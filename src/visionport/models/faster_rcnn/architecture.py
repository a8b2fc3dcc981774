"""Faster R-CNN and Mask R-CNN: proposals, a look at each of them, masks (Ren et al. 2015; He et al. 2017).

Reference: meta_architectures/faster_rcnn_meta_arch.py. A feature extractor is a module of this package with
`normalization`, `proposal_features`, `box_features`, `names` and `unread`.
"""

import dataclasses
import importlib
from types import ModuleType

import tensorflow as tf

from visionport import config
from visionport.config.faster_rcnn import BoxHeads, FasterRcnn, MaskHead, RfcnHeads
from visionport.errors import UnsupportedError, nearest
from visionport.models.faster_rcnn import context, rfcn
from visionport.models.heads.detections import exported, reading  # noqa: F401 (of every meta-architecture)
from visionport.ops import anchors as anchor_ops
from visionport.ops import boxes as box_ops
from visionport.ops import image, nms, nn, roi

# Types of feature extractors as configs name them, and their modules.
EXTRACTORS = {f"faster_rcnn_resnet{d}{k}": "faster_rcnn_resnet_v1" for k in ("", "_keras") for d in (50, 101, 152)}
EXTRACTORS |= {f"faster_rcnn_resnet{d}_fpn_keras": "faster_rcnn_resnet_v1_fpn" for d in (50, 101, 152)}
EXTRACTORS |= {f"faster_rcnn_inception_resnet_v2{k}": "faster_rcnn_inception_resnet_v2" for k in ("", "_keras")}
EXTRACTORS |= {f"faster_rcnn_{n}": f"faster_rcnn_{n}" for n in ("inception_v2", "nas", "pnas")}

FIRST, SECOND = "FirstStageFeatureExtractor", "SecondStageFeatureExtractor"
RPN, HEADS = "FirstStageBoxPredictor", "SecondStageBoxPredictor"
BOX, CLASS = "BoxEncodingPredictor", "ClassPredictor"
PATHS = {
    FIRST: "model/_feature_extractor_for_proposal_features",
    SECOND: "model/_feature_extractor_for_box_classifier_features",
    RPN: "model/_first_stage_box_predictor/_prediction_heads",
    HEADS: "model/_mask_rcnn_box_predictor",
}
# What the TF2 exporter of mask models shows beside detections.
SHOWN = (
    "image_shape",
    "rpn_box_encodings",
    "rpn_objectness_predictions_with_background",
    "anchors",
    "refined_box_encodings",
    "class_predictions_with_background",
    "proposal_boxes",
    "box_classifier_features",
    "proposal_boxes_normalized",
    "final_anchors",
    "num_proposals",
)


def extractor(model: FasterRcnn) -> ModuleType:
    kind = model.feature_extractor.type
    if kind not in EXTRACTORS:
        raise UnsupportedError(
            f"feature extractor {kind!r} is not supported{nearest(kind, EXTRACTORS)}. Supported: "
            f"{', '.join(EXTRACTORS)}; see docs/support.md."
        )
    return importlib.import_module(f"visionport.models.faster_rcnn.{EXTRACTORS[kind]}")


def extractor_types() -> list[str]:
    """Every supported feature extractor as configs name it."""
    return list(EXTRACTORS)


def normalization(model: FasterRcnn) -> config.Normalization:
    return dataclasses.replace(extractor(model).normalization(model.resizer), pads_first=True)


def predict(model: FasterRcnn, s, images, true_shapes, *side) -> dict:
    """Both stages' raw answers, by the reference's names; boxes in pixels unless the name says normalized.

    images: float32 [b, H, W, c], preprocessed; true_shapes: int32 [b, 3], without padding; side: tensors, as the
    model's side_inputs say. With p proposals and n anchors: anchors [n, 4], rpn_box_encodings [b, n, 4], proposal_boxes
    [b, p, 4], num_proposals [b], refined_box_encodings [b * p, 1 or classes, 4], logits [b * p, classes + 1].
    """
    found = first_stage(model, s, images)
    if model.proposals_only:
        return found
    proposals, count = propose(model, found, true_shapes)
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    normalized = proposals / tf.tile(size, [2])
    if isinstance(model.heads, RfcnHeads):
        features = extractor(model).box_features(s, found["feature_maps"][0], model.feature_extractor)
        codes, logits = rfcn.heads(model.heads, s / HEADS, features, normalized, model.num_classes)
    else:
        attended = attention(model, s, count, *side)
        features = box_features(model, s, found["feature_maps"], normalized, images, attended)
        codes, logits = box_heads(model, model.heads, s / HEADS, features)
    return found | {
        "image_shape": tf.shape(images),
        "proposal_boxes": proposals,
        "proposal_boxes_normalized": normalized,
        "final_anchors": normalized,
        "num_proposals": count,
        "box_classifier_features": features,
        "refined_box_encodings": codes,
        "class_predictions_with_background": logits,
    }


def first_stage(model: FasterRcnn, s, images) -> dict:
    """Feature maps, and the region proposal network's answers at every anchor."""
    maps = extractor(model).proposal_features(s, images, model.feature_extractor)
    stage, codes, logits = model.first_stage, [], []
    per_location = anchor_ops.per_location(model.anchors)
    if len(per_location) != len(maps):
        raise UnsupportedError(
            f"first_stage_anchor_generator is for {len(per_location)} feature maps, not {len(maps)}."
        )
    for scope, one, count in zip(rpn_scopes(len(maps)), maps, per_location, strict=True):
        x = nn.conv(s / "Conv", one, kernel=stage.kernel_size, rate=stage.atrous_rate)
        x = nn.complete(s / "Conv", x, stage.hyperparams)
        for out, head, width in ((codes, BOX, 4), (logits, CLASS, 2)):
            place = s / scope / head
            y = nn.bias(place, nn.conv(place, x, kernel=1, out=count * width))
            out.append(tf.reshape(y, (tf.shape(y)[0], -1, width)))
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    # No sizes: whatever the image's, multiscale anchors are offset by half a stride here; SSD's are of one pixel.
    side = int(isinstance(model.anchors, config.SsdAnchors))
    boxes = anchor_ops.generate(model.anchors, [nn.spatial(m) for m in maps], side, side, constant=False)
    return {
        "feature_maps": maps,
        "rpn_box_encodings": tf.concat(codes, 1),
        "rpn_objectness_predictions_with_background": tf.concat(logits, 1),
        "anchors": box_ops.clip(boxes, tf.concat([tf.zeros(2), size], 0)),
    }


def rpn_scopes(maps: int) -> list[str]:
    return [RPN] if maps == 1 else [f"{RPN}/BoxPredictor_{i}" for i in range(maps)]


def propose(model: FasterRcnn, found: dict, true_shapes):
    """The best boxes of the first stage: float32 [b, p, 4] in pixels, 0 past the count, int32 [b]."""
    best, _, _ = best_proposals(model, found, true_shapes)
    return tf.stop_gradient(best["boxes"]), best["count"]  # so that what follows can be trained


def best_proposals(model: FasterRcnn, found: dict, true_shapes):
    """What ops.nms.batch gives, and all boxes [b, n, 4] in pixels and their scores [b, n, 2], background first."""
    boxes, _ = box_ops.decode(model.box_coder, found["rpn_box_encodings"], found["anchors"])
    scores = tf.nn.softmax(found["rpn_objectness_predictions_with_background"])
    fields = {"multiclass_scores": scores}
    best = nms.batch(model.first_stage.nms, boxes[:, :, None], scores[:, :, 1:], window(true_shapes), fields)
    return best, boxes, scores


def window(true_shapes):
    """Of each image without its padding, in pixels: float32 [b, 4]."""
    size = tf.cast(true_shapes[:, :2], tf.float32)
    return tf.concat([tf.zeros_like(size), size], 1)


def crops(model: FasterRcnn, maps, boxes, images):
    """What the second stage looks at: float32 [b * n, h, w, c] of normalised boxes [b, n, 4]."""
    maps = maps[:1] if model.context else maps  # of a pyramid the reference then takes the finest alone
    x = roi.crop(maps, boxes, model.crop_size, image_size=nn.spatial(images))
    if (model.pool_kernel, model.pool_stride) == (1, 1):
        return x
    return tf.nn.max_pool2d(x, model.pool_kernel, model.pool_stride, "VALID")


def box_features(model: FasterRcnn, s, maps, boxes, images, attended=lambda x, position: x):
    """Each box's features, float32 [b * n, h, w, c]. attended: see `attention`."""
    x = attended(crops(model, maps, boxes, images), "post_rpn")
    return attended(extractor(model).box_features(s, x, model.feature_extractor), "post_box_classifier")


def attention(model: FasterRcnn, s, count, *side):
    """A function of features [b * n, h, w, c] and their position, which adds what the side inputs tell of them."""
    c = model.context

    def attended(x, position):
        if not c or c.position != position:
            return x
        return x + context.attend(c, s, x, model.first_stage.nms.max_total, count, *side)

    return attended


def box_heads(model: FasterRcnn, heads: BoxHeads, s, features):
    """float32 [n, 1 or classes, 4] box encodings and [n, classes + 1] logits. Reference: predictors/mask_rcnn_*.py."""
    x = tf.reduce_mean(features, [1, 2])
    boxes = 1 if heads.share_box else model.num_classes
    codes, logits = (
        fully_connected(heads, s / name, x, out) for name, out in ((BOX, 4 * boxes), (CLASS, model.num_classes + 1))
    )
    return tf.reshape(codes, (-1, boxes, 4)), logits


def fully_connected(heads: BoxHeads, s, x, out: int):
    x = nn.dense(s, x, out=out) if heads.use_bias else tf.matmul(x, s("weights", (x.shape[-1], out)))
    if bn := heads.batch_norm:
        x = nn.batch_norm(s / "BatchNorm", x[:, None, None], bn.epsilon, center=bn.center, scale=bn.scale)[:, 0, 0]
    return x


def mask_head(head: MaskHead, s, x, num_masks):
    """float32 [n, masks, h, w] logits from features. Reference: predictors/heads/mask_head.py."""
    if not head.upsample_last:
        x = image.resize(x, head.size, align_corners=True)
    *inner, last = mask_scopes(head)
    for i, scope in enumerate(inner):
        if i == head.num_layers - 1:
            for axis, size in enumerate(head.size, 1):
                if size < x.shape[axis]:
                    raise UnsupportedError(
                        f"mask_rcnn_box_predictor: masks of {head.size} are smaller than the features of a box, "
                        "which convolve_then_upsample_masks cannot shrink."
                    )
                x = tf.repeat(x, size // x.shape[axis], axis=axis)
        x = nn.complete(s / scope, nn.conv(s / scope, x, kernel=3), head.hyperparams)
    x = nn.bias(s / last, nn.conv(s / last, x, kernel=3, out=num_masks))
    return tf.transpose(x, (0, 3, 1, 2))


def mask_scopes(head: MaskHead) -> list[str]:
    return ["Conv" if i == 0 else f"Conv_{i}" for i in range(head.num_layers + head.upsample_last)]


def postprocess(model: FasterRcnn, s, prediction: dict, images, true_shapes) -> dict:
    """Detections by the reference's output names; classes from 0; masks are of the detection's box."""
    if model.proposals_only:
        return proposals(model, prediction, images, true_shapes)
    out = detections(model, prediction, true_shapes)
    if model.masks:
        out |= masks(model, s, prediction, out, images)
    boxes, maps = out["detection_boxes"], prediction["feature_maps"]
    extra = {}
    if model.output_box_features:
        extra["detection_features"] = box_features(model, s, maps, boxes, images)
    if model.output_rpn_features:
        extra["cropped_rpn_box_features"] = crops(model, maps, boxes, images)
    out |= {k: tf.reshape(v, (-1, boxes.shape[1], *v.shape[1:])) for k, v in extra.items()}
    if model.output_predictions:
        if model.output_map_indices:
            shape = (-1, prediction["proposal_boxes"].shape[1], prediction["refined_box_encodings"].shape[1])
            indices = tf.zeros_like(prediction["refined_box_encodings"][:, :, 0], tf.int32)
            out["raw_detection_feature_map_indices"] = tf.reshape(indices, shape)
        return {k: prediction[k] for k in SHOWN} | out
    out.pop("mask_predictions", None)
    return out


def proposals(model: FasterRcnn, prediction: dict, images, true_shapes) -> dict:
    """Detections of the first stage: all of one class, that of objects; boxes in the frame of the padded image."""
    best, boxes, scores = best_proposals(model, prediction, true_shapes)
    size = tf.tile(tf.cast(tf.shape(images)[1:3], tf.float32), [2])
    out = {
        "detection_boxes": best["boxes"] / size,
        "detection_scores": best["scores"],
        "detection_classes": best["classes"],
        "num_detections": best["count"],
        "raw_detection_boxes": boxes / size,
        "raw_detection_scores": scores,
    }
    shown = "multiclass_scores"  # which the combined NMS does not give
    return out | ({f"detection_{shown}": best[shown]} if shown in best else {})


def detections(model: FasterRcnn, prediction: dict, true_shapes) -> dict:
    proposals = prediction["proposal_boxes"]
    count = proposals.shape[1]
    codes, logits = prediction["refined_box_encodings"], prediction["class_predictions_with_background"]
    columns = codes.shape[1]  # a box for each class, or one for all
    codes = tf.reshape(codes, (-1, count, columns, 4))
    logits = tf.reshape(logits, (-1, count, logits.shape[1]))
    boxes, _ = box_ops.decode(model.box_coder, codes, proposals[:, :, None])
    scores = box_ops.scores(model.post_processing, logits)
    real = tf.range(count)[None] < prediction["num_proposals"][:, None]
    foreground = tf.where(real[:, :, None], scores[:, :, 1:], -1.0)
    whole = window(true_shapes)
    found = nms.batch(model.post_processing.nms, boxes, foreground, whole, {"multiclass_scores": scores})
    best = tf.argmax(logits[:, :, 1:], 2, tf.int32) if columns > 1 else tf.zeros_like(logits[:, :, 0], tf.int32)
    raw = tf.gather(boxes, best, axis=2, batch_dims=2) / tf.tile(whole[:, None, 2:], [1, 1, 2])
    return {
        "detection_boxes": found["boxes"],
        "detection_scores": found["scores"],
        "detection_classes": found["classes"],
        "detection_multiclass_scores": found["multiclass_scores"],
        "detection_anchor_indices": found["anchors"],
        "num_detections": found["count"],
        "raw_detection_boxes": tf.clip_by_value(raw, 0, 1),
        "raw_detection_scores": scores,
    }


def masks(model: FasterRcnn, s, prediction: dict, found: dict, images) -> dict:
    """A third look, at the detections: mask_predictions [b * m, masks, h, w], detection_masks [b, m, h, w]."""
    head = model.masks
    assert head
    features = box_features(model, s, prediction["feature_maps"], found["detection_boxes"], images)
    logits = mask_head(head, s / HEADS, features, 1 if head.class_agnostic else model.num_classes)
    classes = tf.cast(tf.reshape(found["detection_classes"], [-1]), tf.int32)
    chosen = logits[:, 0] if logits.shape[1] == 1 else tf.gather(logits, classes, axis=1, batch_dims=1)
    shape = (-1, found["detection_boxes"].shape[1], *logits.shape[2:])
    return {"mask_predictions": logits, "detection_masks": tf.reshape(tf.sigmoid(chosen), shape)}


def names(model: FasterRcnn) -> dict[str, str]:
    """Canonical scope -> object path in a TF2 checkpoint."""
    out = extractor(model).names(model.feature_extractor)
    dropout = isinstance(model.heads, BoxHeads) and model.heads.use_dropout
    first = "model/_first_stage_box_predictor_first_conv/layer_with_weights"
    out |= {"Conv": f"{first}-0", "Conv/BatchNorm": f"{first}-1"}
    groups = {
        BOX: ("box_encodings", "_box_encoder_layers", "_box_prediction_head"),
        CLASS: ("class_predictions_with_background", "_class_predictor_layers", "_class_prediction_head"),
    }
    for head, (group, layers, second) in groups.items():
        for i, scope in enumerate(rpn_scopes(len(anchor_ops.per_location(model.anchors)))):
            out[f"{scope}/{head}"] = f"{PATHS[RPN]}/{group}/{i}/{layers}/0"
        out[f"{HEADS}/{head}"] = f"{PATHS[HEADS]}/{second}/{layers}/{1 + dropout}"
        out[f"{HEADS}/{head}/BatchNorm"] = f"{PATHS[HEADS]}/{second}/{layers}/{2 + dropout}"
    out |= rfcn.names(HEADS)
    if model.context:
        out |= context.names()
    if model.masks:
        path = f"{PATHS[HEADS]}/_third_stage_heads/mask_predictions/_mask_predictor_layers"
        for i, scope in enumerate(mask_scopes(model.masks)):
            # Convolution, batch norm, activation; before the added one, the upsampling.
            k = 3 * i + (model.masks.upsample_last and i >= model.masks.num_layers - 1)
            out |= {f"{HEADS}/{scope}": f"{path}/{k}", f"{HEADS}/{scope}/BatchNorm": f"{path}/{k + 1}"}
    return out


def known_unread(model: FasterRcnn):
    """Is this checkpoint key one that inference does not need?"""
    unread = extractor(model).unread(model.feature_extractor)
    if model.proposals_only:
        unread += (SECOND, HEADS, PATHS[SECOND], PATHS[HEADS], rfcn.PATH)
    elif not model.masks:  # trained with masks, exported without
        unread += (f"{HEADS}/Conv", f"{PATHS[HEADS]}/_third_stage_heads/")
    return lambda key: key.startswith(unread)
