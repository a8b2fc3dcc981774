"""SSD in TFLite: the network converted, then `TFLite_Detection_PostProcess` appended in the flatbuffer.

What that needs of a model are box encodings, scores and anchors: `write_file` and `trace_network` take any detector
with these (see retinanet.py). See format.py for what such a module holds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from visionport.config import FixedShape, KeepAspectRatio, Ssd
from visionport.errors import OptionError, UnsupportedError
from visionport.formats.base import Reading
from visionport.formats.tflite.heads import (
    INPUT,
    check_quantization,
    convert_network,
    input_type,
    normalization,
    normalizes,
    takes_bytes,
    trained,
)
from visionport.graph.function import freeze_function
from visionport.inputs import calibration
from visionport.tflite import convert as tflite_convert
from visionport.tflite import edit
from visionport.tflite import trained as tflite_trained
from visionport.tflite.edit import POSTPROCESS

# raw: codes, for the op or to be decoded with the anchors. decoded: boxes of all anchors.
HEADS = {
    "raw": ("box_encodings", "class_scores"),
    "decoded": ("raw_detection_boxes", "raw_detection_scores"),
}
RAW = HEADS["raw"]
NAMES = edit.SIGNATURE_OUTPUTS
FLOATS: dict[str, str] = dict.fromkeys(NAMES, "float32")  # the op gives no other


def check(config, options) -> None:
    """Raises UnsupportedError where the file cannot give the model's answers, InputError where pictures are missing.

    OptionError, where the options contradict the config.
    """
    model: Ssd = config.model
    nms = model.post_processing.nms
    op, kind = options.tflite_head == "detections", model.box_coder.kind
    fixed = isinstance(model.resizer, FixedShape) or (
        isinstance(model.resizer, KeepAspectRatio) and model.resizer.pad_to_max
    )
    reasons = {
        "an input size that the config does not fix: set fixed_shape_resizer, or pad_to_max_dimension in "
        "keep_aspect_ratio_resizer": not fixed,
        f"the box coder {kind!r}; it decodes faster_rcnn_box_coder only": op and kind != "faster_rcnn",
        "soft NMS; set soft_nms_sigma: 0": op and nms.soft_sigma > 0,
        "the keypoints of 'keypoint_box_coder'; take raw": options.tflite_head == "decoded" and kind == "keypoint",
    }
    check_reasons(config, options, reasons)


def check_reasons(config, options, reasons: dict[str, bool]) -> None:
    """Raises as `check` does. reasons: {what a file cannot do: whether it would have to}."""
    check_quantization(config, options)
    if not options.tflite_keypoints:
        raise OptionError(f"--no-tflite-keypoints: {config.architecture} is no CenterNet. Leave it out.")
    op = options.tflite_head == "detections"
    reasons = reasons | {f"a batch of {options.batch}; leave out --batch": options.batch not in (None, 1)}
    for reason, applies in reasons.items():
        if applies:
            what = POSTPROCESS if op else f"--tflite-head {options.tflite_head}"
            raise UnsupportedError(f"{config.path}: {what} cannot do {reason} (see --config-override).")
    if options.calibration:
        calibration.sources(options.calibration)


def convert(model, options, progress) -> bytes:
    """The file without metadata. Input: [1, H, W, c], see heads.py; outputs: the op's, or the heads."""
    return write_file(model, options, progress, anchored, op_attributes(model.config.model, options))


def write_file(model, options, progress, network: Callable, attributes: dict[str, Any]) -> bytes:
    """See `convert`. network: see `trace_network`; attributes: what the op is told."""
    data, anchors = _convert_heads(model, options, progress, network)
    if options.tflite_head != "detections":
        return edit.reorder_outputs(data, HEADS[options.tflite_head])
    return edit.append_detection_postprocess(
        data,
        box_encodings=RAW[0],
        class_scores=RAW[1],
        anchors=anchors,
        signature_outputs=SIGNATURE_OUTPUTS[options.tflite_outputs],
        **attributes,
    )


def reading(config, options) -> Reading:
    """The op gives classes from 0 and boxes of the frame, and leaves to the reader what lies outside the picture."""
    if options.tflite_head != "detections":
        return Reading(input=INPUT, type="preprocessed", outputs=HEADS[options.tflite_head])
    answers = {"classes_from": 0, "boxes": "frame", "drops_empty": True}
    return Reading(input=INPUT, type="preprocessed", answers=answers, outputs=NAMES, probes=RAW, dtypes=FLOATS)


def left_out(config, options) -> str:
    """Why other outputs of the model than `reading` names are not in the file."""
    if options.tflite_head != "detections":
        return f"--tflite-head {options.tflite_head} gives the heads alone"
    return f"{POSTPROCESS} gives four outputs"


def differs(config, options) -> str:
    """Why the file's detections differ from the config's by design; "" where they do not."""
    nms = config.model.post_processing.nms
    reasons = []
    if nms_mode(config.model, options) == "fast" and not nms.class_agnostic:
        reasons.append("fast NMS keeps one class a place")
    if options.max_detections and options.max_detections < nms.max_total:
        reasons.append(f"at most {options.max_detections} detections instead of {nms.max_total}")
    if options.detections_per_class and options.detections_per_class < nms.max_per_class:
        reasons.append(f"at most {options.detections_per_class} detections a class instead of {nms.max_per_class}")
    return "; ".join(reasons)


def probe(model, options, prediction, images) -> dict:
    """What goes into the op, of the model's own answers."""
    from visionport.ops import boxes

    scores = boxes.scores(model.config.model.post_processing, prediction["logits"])
    return dict(zip(RAW, (prediction["box_encodings"], scores), strict=True))


def refused_by(config, options) -> str:
    """Which reader will not load the file as it is, and what to do; "" for none."""
    if options.tflite_head != "detections":
        return ""
    n, source = normalization(config), input_type(options)
    if source == "float32" and len({*n.mean}) + len({*n.std}) > 2:
        return (
            f"MediaPipe does not load model.tflite: it normalises all channels alike, which {config.architecture} "
            "does not. With --tflite-input uint8 the file normalises by itself."
        )
    if source == "int8":
        return "MediaPipe does not load model.tflite: it knows no int8 input. Take uint8 or float."
    return ""


def outside(config):
    """The normalisation that is left to whoever feeds the file."""
    return normalization(config)


def trace_heads(model):
    """A concrete function of one preprocessed image to its raw heads, and the anchors."""
    return trace_network(model, anchored)


def trace_network(model, network: Callable, *, head: str = "raw", pixels: bool = False, dtype: str = "float32"):
    """A concrete function of one image [1, H, W, c], and the anchors float32 [n, 4] as (y, x, h, w).

    network: (model, preprocessed images, head) -> (box encodings or boxes [1, n, 4], scores [1, n, classes], the
    anchors as normalised corners). head: a key of HEADS. pixels: the image is RGB, or gray, from 0 to 255, else
    preprocessed. dtype: the image's.
    """
    import tensorflow as tf

    from visionport.ops import boxes as box_ops
    from visionport.ops import image, nn

    kept = {}

    def raw(images):
        x = image.normalize(tf.cast(images, tf.float32), normalization(model.config)) if pixels else images
        with nn.for_tflite():
            boxes, scores, kept["anchors"] = network(model, x, head)
        return dict(zip(HEADS[head], (boxes, scores), strict=True))

    spec = tf.TensorSpec((1, *model.input_size), tf.dtypes.as_dtype(dtype), name=INPUT)
    return tf.function(raw, autograph=False).get_concrete_function(spec), box_ops.centers(kept["anchors"])


def anchored(model, images, head: str):
    """See `trace_network`."""
    import tensorflow as tf

    from visionport.models.ssd import architecture as ssd
    from visionport.ops import boxes as box_ops

    config = model.config.model
    found = model.predict(images, None)
    anchors = ssd.anchors(config, found, images, constant=True)
    boxes = tf.identity(found["box_encodings"])
    if head == "decoded":
        boxes, _ = box_ops.decode(config.box_coder, boxes, anchors)
    return boxes, box_ops.scores(config.post_processing, found["logits"]), anchors


def _convert_heads(model, options, progress, network: Callable) -> tuple[bytes, np.ndarray]:
    """The file without the op, and the anchors."""
    if trained(model.config, options):
        return _convert_trained(model)
    pixels = normalizes(model.config, options)
    head = "decoded" if options.tflite_head == "decoded" else "raw"
    dtype = "uint8" if pixels and takes_bytes(options) else "float32"
    function, anchors = trace_network(model, network, head=head, pixels=pixels, dtype=dtype)
    whole = options.tflite_head != "detections"
    data = convert_network(function, model, options, progress, input_name=INPUT, pixels=pixels, integer_outputs=whole)
    return data, anchors


def _convert_trained(model) -> tuple[bytes, np.ndarray]:
    """The same with the 8 bits that the network was trained for."""
    config, n = model.config, normalization(model.config)
    if len({*n.mean}) > 1 or len({*n.std}) > 1 or n.bgr:
        raise UnsupportedError(
            f"{config.path}: {config.architecture} normalises each channel otherwise, which pixels of 8 bits do not "
            "hold. Take --quantize none."
        )
    function, anchors = trace_heads(model)
    graph = freeze_function(function, {INPUT: INPUT})
    how = {"input_name": INPUT, "output_names": RAW, "mean": n.mean[0], "std": n.std[0]}
    data, keys = tflite_trained.convert_trained(graph, **how), sorted(function.structured_outputs)
    request = tflite_convert.FileRequest(inputs=(INPUT,), outputs=keys, quantize="uint8")
    tflite_convert.check_file(data, tflite_convert.freeze_variables(function), request)
    return data, anchors


SIGNATURE_OUTPUTS = {
    # Newer pycoral looks for the numbers wherever there is a signature; people read names.
    "both": edit.SIGNATURE_OUTPUTS + edit.REFERENCE_SIGNATURE_OUTPUTS,
    "named": edit.SIGNATURE_OUTPUTS,
    "numbered": edit.REFERENCE_SIGNATURE_OUTPUTS,
}


def op_attributes(config: Ssd, options) -> dict:
    """What `TFLite_Detection_PostProcess` is told."""
    nms = config.post_processing.nms
    return {
        "num_classes": config.num_classes if config.has_background else config.class_slots,
        "max_detections": options.max_detections or nms.max_total,
        "detections_per_class": options.detections_per_class or nms.max_per_class,
        "max_classes_per_detection": options.classes_per_detection,
        "nms_score_threshold": above(nms.score_threshold),
        "nms_iou_threshold": nms.iou_threshold,
        "use_regular_nms": nms_mode(config, options) == "regular",
        **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), config.box_coder.scales, strict=True)),
    }


def nms_mode(config: Ssd, options) -> str:
    """As asked; otherwise the mode that is the config's own NMS."""
    return options.tflite_nms or ("fast" if config.post_processing.nms.class_agnostic else "regular")


def above(threshold: float) -> float:
    # The op keeps scores at the threshold, the reference only those above it.
    return max(float(np.nextafter(np.float32(threshold), np.float32(np.inf))), float(np.finfo(np.float32).tiny))
