"""Faster, Mask and Cascade R-CNN of TF Official Vision: proposals from a pyramid, looked at one to three times, masks.

Ren et al. 2015, He et al. 2017, Cai and Vasconcelos 2018. Boxes are in pixels of the scaled picture throughout.
Reference: official/vision/modeling/maskrcnn_model.py, official/vision/serving/detection.py.
"""

import numpy as np
import tensorflow as tf

from visionport import config
from visionport.config.mask_rcnn import DetectionGenerator, MaskRcnn
from visionport.errors import UnsupportedError
from visionport.models import backbones
from visionport.models.heads import rcnn
from visionport.models.mask_rcnn import proposals
from visionport.models.necks import decoders
from visionport.models.retinanet.preprocessing import preprocess
from visionport.ops import boxes as box_ops
from visionport.ops import image, nn, roi
from visionport.ops import multiclass_nms as nms

# What box codes were multiplied by, y, x, height, width, in each stage of a cascade: boxes come ever nearer.
CODE_SCALES = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


def normalization(model: MaskRcnn) -> config.Normalization:
    return model.normalization


def predict(model: MaskRcnn, s, images, true_shapes=None) -> dict:
    """Both stages' raw answers.

    images: float32 [b, H, W, 3], preprocessed. With p proposals: feature_maps and decoded (by level), rpn_scores
    [b, h, w, a] and rpn_boxes [b, h, w, 4 a] (by level); class_outputs [b, p, classes] and box_outputs [b, p, 4 or
    4 classes], a list each, of the stages; proposals [b, p, 4], the last stage's.
    """
    hyper = nn.norm_activation(model)
    maps = backbones.backbone(s / "backbone", images, model.backbone)
    decoded = decoders.decode(s / "decoder", maps, model.decoder, backbones.levels(model.backbone))
    pyramid = {level: level_of(decoded, level) for level in levels(model)}
    scores, codes = rcnn.rpn_head(s / "rpn_head", pyramid, model.rpn_head, hyper, model.anchors.per_location)
    boxes = proposals.propose(model, scores, codes, nn.spatial(images), window(model))
    logits, moves = [], []
    for stage in range(stages(model)):
        if stage:
            boxes = refined(model, boxes, moves[-1], stage - 1)
        crops = roi.align(decoded, boxes, model.roi_aligner.crop_size, offset=model.roi_aligner.sample_offset)
        found = rcnn.detection_head(
            s / f"detection_head_{stage}", crops, model.detection_head, hyper, model.num_classes
        )
        for values, value in zip((logits, moves), found, strict=True):
            values.append(tf.reshape(value, (-1, boxes.shape[1], value.shape[-1])))
    return {
        "feature_maps": maps,
        "decoded": decoded,
        "rpn_scores": scores,
        "rpn_boxes": codes,
        "class_outputs": logits,
        "box_outputs": moves,
        "proposals": boxes,
    }


def levels(model: MaskRcnn) -> list[str]:
    return [str(level) for level in range(model.anchors.min_level, model.anchors.max_level + 1)]


def level_of(maps, level: str):
    found = sorted(maps) if isinstance(maps, dict) else ["one map"]
    if level not in found:
        raise UnsupportedError(
            f"min_level and max_level: regions are sought at level {level}, but the decoder's outputs are "
            f"{', '.join(found)}. Change them, or choose another decoder."
        )
    return maps[level]


def stages(model: MaskRcnn) -> int:
    return model.cascade.stages if model.cascade else 1


def window(model: MaskRcnn):
    """What boxes are clipped to: all of the input but its padding to a multiple."""
    return np.array([0, 0, model.resizer.height, model.resizer.width], np.float32)


def refined(model: MaskRcnn, boxes, codes, stage: int):
    """Boxes float32 [b, p, 4] moved by a stage's codes [..., 4], in the image."""
    return box_ops.clip(box_ops.decode_bounded(codes, boxes, CODE_SCALES[stage]), window(model))


def postprocess(model: MaskRcnn, s, prediction: dict, images, sizes=None) -> dict:
    """The reference's outputs by its names and dtypes; classes are from 1, in empty rows too.

    detection_boxes float32 [b, m, 4], detection_scores float32, detection_classes int32 [b, m], num_detections int32
    [b]; detection_masks float32 [b, m, h, w], of the boxes, or of the detection_outer_boxes where there are; without
    NMS decoded_boxes [b, p, 1 or classes - 1, 4] and decoded_box_scores [b, p, classes - 1].
    And image_info (see ops/image.py). sizes: int32 [b, 3] of the pictures as `preprocess` gives them; None for images
    that came preprocessed.
    """
    if sizes is None:
        _, sizes = preprocess(model, images, "tflite")
    generator = model.detection_generator
    boxes, scores = candidates(model, prediction)
    if generator.apply_nms:
        out = detect(generator, boxes, scores)
        if model.outer_boxes_scale > 1:
            out["detection_outer_boxes"] = outer_boxes(model, out["detection_boxes"])
        if model.mask_head:
            out["detection_masks"] = masks(model, s, prediction["decoded"], out)
    else:
        out = {"decoded_boxes": boxes, "decoded_box_scores": scores}
    return out | {"image_info": image.image_info(sizes, model.resizer)}


def candidates(model: MaskRcnn, prediction: dict):
    """Of the last stage boxes [b, p, 1 or classes - 1, 4] and scores [b, p, classes - 1], without background."""
    logits = prediction["class_outputs"]
    last = tf.add_n(logits) / len(logits) if model.cascade and model.cascade.class_ensemble else logits[-1]
    scores = tf.sigmoid(last) if model.detection_generator.use_sigmoid_probability else tf.nn.softmax(last)
    boxes, codes = prediction["proposals"], prediction["box_outputs"][-1]
    if not model.detection_head.class_agnostic_bbox_pred:
        codes = codes[..., 4:]
    codes = tf.reshape(codes, (-1, boxes.shape[1], codes.shape[-1] // 4, 4))
    return refined(model, boxes[:, :, None], codes, len(logits) - 1), scores[:, :, 1:]


def detect(generator: DetectionGenerator, boxes, scores) -> dict:
    """Detections of boxes [b, p, 1 or classes - 1, 4] and scores [b, p, classes - 1]."""
    limits = nms.Limits(
        score=generator.pre_nms_score_threshold,
        overlap=generator.nms_iou_threshold,
        size=generator.max_num_detections,
        top_k=generator.pre_nms_top_k,
    )
    if generator.nms_version == "v1":
        found = nms.per_class(boxes, scores, limits, generator.soft_nms_sigma)
    else:
        found = {"v2": nms.tiled, "batched": nms.combined}[generator.nms_version](boxes, scores, limits)
    return {
        "detection_boxes": found.boxes,
        "detection_scores": found.scores,
        "detection_classes": found.classes + 1,
        "num_detections": found.count,
    }


def outer_boxes(model: MaskRcnn, boxes):
    """Boxes enlarged around their middle, in the image."""
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]) * model.outer_boxes_scale / 2
    return box_ops.clip(tf.concat([middle - half, middle + half], -1), window(model))


def masks(model: MaskRcnn, s, maps: dict, found: dict):
    """How likely each pixel of each detection's box is of its class: float32 [b, m, h, w]."""
    head = model.mask_head
    assert head
    boxes = found.get("detection_outer_boxes", found["detection_boxes"])
    crops = roi.align(maps, boxes, head.aligner.crop_size, offset=head.aligner.sample_offset)
    logits = rcnn.mask_head(s / "mask_head", crops, head, nn.norm_activation(model), model.num_classes)
    if not head.class_agnostic:
        logits = tf.gather(logits, tf.reshape(found["detection_classes"], [-1]), axis=3, batch_dims=1)
    side = head.aligner.crop_size * head.upsample_factor
    return tf.sigmoid(tf.reshape(logits, (-1, boxes.shape[1], side, side)))


def exported(whole: config.Config, outputs: dict) -> dict:
    """The outputs of an export, in the reference's own dtypes."""
    return outputs


def reading(whole: config.Config) -> dict:
    """See models/build.py. Boxes are in pixels of the scaled picture, of which image_info tells."""
    return {"classes_from": 1, "boxes": "scaled"}


def names(model: MaskRcnn) -> dict[str, str]:
    """Canonical scope -> object path."""
    parts = {
        "backbone": ("backbone", backbones.names(model.backbone)),
        "decoder": ("decoder", decoders.names(model.decoder, backbones.levels(model.backbone))),
        "rpn_head": ("rpn_head", rcnn.rpn_names(model.rpn_head, levels(model))),
    }
    for stage in range(stages(model)):
        # Of a list the attribute is the shortest way; of one head the model's record of its arguments.
        path = f"detection_head/{stage}" if model.cascade else "_config_dict/detection_head"
        parts[f"detection_head_{stage}"] = (path, rcnn.detection_names(model.detection_head))
    if model.mask_head:
        parts["mask_head"] = ("mask_head", rcnn.mask_names(model.mask_head))
    return {
        f"{part}/{scope}": f"model/{below}/{path}"
        for part, (below, table) in parts.items()
        for scope, path in table.items()
    }


def known_unread(model: MaskRcnn):
    """Is this checkpoint key one that inference does not need?"""
    return lambda key: False
