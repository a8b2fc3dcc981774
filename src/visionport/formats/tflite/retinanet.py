"""RetinaNet of TF Official Vision in TFLite, with `TFLite_Detection_PostProcess` as SSD's files have it.

Regular NMS by the config's own thresholds and number of detections; where nms_version is tflite, by those of
tflite_post_processing. The model suppresses boxes that are cut to the picture, and the op those that it decodes: so it
gets boxes already decoded and cut, encoded once more by an anchor as large as the input. Where the network is of 8
bits, which would not hold them, it gets the raw codes.
"""

import functools
from typing import Any

from visionport.config.retinanet import RetinaNet
from visionport.formats.base import Reading
from visionport.formats.tflite import ssd
from visionport.formats.tflite.ssd import left_out, outside, refused_by  # noqa: F401 (the same)
from visionport.tflite.kinds import CALIBRATED

LEAST_SIDE = 1e-9  # of what has none, whose logarithm there is not


def check(config, options) -> None:
    """Raises UnsupportedError where the file cannot give the model's answers; see ssd.py: check_reasons."""
    generator, op = config.model.detection_generator, options.tflite_head == "detections"
    reasons = {
        "what apply_nms: false asks for, which are boxes of all anchors; take --tflite-head decoded or raw": op
        and not generator.apply_nms,
        "soft NMS; set soft_nms_sigma: null": op and generator.nms_version == "v1" and bool(generator.soft_nms_sigma),
    }
    ssd.check_reasons(config, options, reasons)


def convert(model, options, progress) -> bytes:
    """The file without metadata. Input: [1, H, W, 3], see heads.py; outputs: the op's, or the heads."""
    network = functools.partial(anchored, cut=cuts(options))
    return ssd.write_file(model, options, progress, network, op_attributes(model.config.model, options))


def cuts(options) -> bool:
    """Does the op get boxes that are cut to the picture?"""
    return options.tflite_head == "detections" and options.quantize not in CALIBRATED


def anchored(model, images, head: str, *, cut: bool = False):
    """See ssd.py: trace_network."""
    import numpy as np
    import tensorflow as tf

    found, anchors = model.predict(images, None), normalized_anchors(model)
    boxes = tf.identity(found["box_encodings"])
    if cut:
        boxes, anchors = cut_encodings(model, boxes, anchors), np.array(len(anchors) * [WHOLE], np.float32)
    elif head == "decoded":
        boxes = decode(model, boxes, anchors)
    return boxes, tf.sigmoid(found["logits"]), anchors


WHOLE = (0, 0, 1, 1)  # the anchor of what is cut


def normalized_anchors(model):
    import numpy as np

    from visionport.models.retinanet.architecture import anchors

    return anchors(model.config.model, {}, None, constant=True) / np.tile(np.float32(model.input_size[:2]), 2)


def decode(model, codes, anchors):
    from visionport.ops import boxes as box_ops

    return box_ops.decode_bounded(codes, anchors[None], model.config.model.detection_generator.box_coder_weights)


def cut_encodings(model, codes, anchors):
    """Encodings by the anchor WHOLE of the boxes as the model cuts them."""
    import tensorflow as tf

    from visionport.ops import boxes as box_ops

    resizer = model.config.model.resizer
    shown = resizer.height / model.input_size[0], resizer.width / model.input_size[1]
    boxes = box_ops.clip_to_sizes(decode(model, codes, anchors), tf.constant([shown]))
    low, high = boxes[..., :2], boxes[..., 2:]
    return tf.concat([(low + high) / 2 - 0.5, tf.math.log(tf.maximum(high - low, LEAST_SIDE))], -1)


def op_attributes(config: RetinaNet, options) -> dict[str, Any]:
    """What `TFLite_Detection_PostProcess` is told."""
    from visionport.models.retinanet.architecture import limits

    generator = config.detection_generator
    own = limits(generator)
    weights = None if cuts(options) else generator.box_coder_weights
    return {
        "num_classes": config.num_classes - 1,
        "max_detections": options.max_detections or own.size,
        "detections_per_class": options.detections_per_class or own.size,
        "max_classes_per_detection": options.classes_per_detection,
        "nms_score_threshold": ssd.above(own.score),
        "nms_iou_threshold": own.overlap,
        "use_regular_nms": nms_mode(config, options) == "regular",
        **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), weights or (1.0,) * 4, strict=True)),
    }


def nms_mode(config: RetinaNet, options) -> str:
    """As asked; otherwise the mode that is the config's own NMS."""
    return options.tflite_nms or ("fast" if config.detection_generator.use_class_agnostic_nms else "regular")


def reading(config, options) -> Reading:
    """The op gives classes from 0 and boxes of the frame, and leaves to the reader what lies outside the picture."""
    return ssd.reading(config, options)


def differs(config, options) -> str:
    """Why the file's detections differ from the model's by design; "" where they do not."""
    from visionport.models.retinanet.architecture import limits

    generator = config.model.detection_generator
    most, reasons = limits(generator).size, []
    if nms_mode(config.model, options) == "fast" and not generator.use_class_agnostic_nms:
        reasons.append("fast NMS keeps one class a place")
    if options.max_detections and options.max_detections < most:
        reasons.append(f"at most {options.max_detections} detections instead of {most}")
    if options.detections_per_class and options.detections_per_class < most:
        reasons.append(f"at most {options.detections_per_class} detections a class instead of {most}")
    return "; ".join(reasons)


def probe(model, options, prediction, images) -> dict:
    """What goes into the op, of the model's own answers."""
    import tensorflow as tf

    codes = prediction["box_encodings"]
    if cuts(options):
        codes = cut_encodings(model, codes, normalized_anchors(model))
    return dict(zip(ssd.RAW, (codes, tf.sigmoid(prediction["logits"])), strict=True))
