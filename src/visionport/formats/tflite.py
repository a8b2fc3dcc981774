"""TFLite: the network converted to float32, then `TFLite_Detection_PostProcess` appended in the flatbuffer."""

from pathlib import Path

import numpy as np

from visionport.config import FixedShape, KeepAspectRatio, Ssd
from visionport.errors import ArtifactError, UnsupportedError
from visionport.formats import tflite_graph
from visionport.formats.answers import clipped

FILE = "model.tflite"
INPUT = "normalized_input_image_tensor"
HEADS = ("box_encodings", "class_scores")

# What a converted file holds besides its weights: 200 bytes a tensor would be much.
SLACK = 4_000_000


def check(config, options) -> None:
    """Raises UnsupportedError where the op cannot give the model's answers."""
    model: Ssd = config.model
    nms = model.post_processing.nms
    reasons = {
        "an input size that the config does not fix: set fixed_shape_resizer, or pad_to_max_dimension in "
        "keep_aspect_ratio_resizer": not (
            isinstance(model.resizer, FixedShape)
            or (isinstance(model.resizer, KeepAspectRatio) and model.resizer.pad_to_max)
        ),
        f"the box coder {model.box_coder.kind!r}; it decodes faster_rcnn_box_coder only": model.box_coder.kind
        != "faster_rcnn",
        "soft NMS; set soft_nms_sigma: 0": nms.soft_sigma > 0,
        f"a batch of {options.batch}; leave out --batch": options.batch not in (None, 1),
    }
    for reason, applies in reasons.items():
        if applies:
            raise UnsupportedError(
                f"{config.path}: TFLite_Detection_PostProcess cannot do {reason} (see --config-override)."
            )


def write(model, signatures, options, folder: Path) -> Path:
    """Writes folder/model.tflite. Input: float32 [1, H, W, c], resized and normalised."""
    from visionport.models import ssd

    config: Ssd = model.config.model
    nms = config.post_processing.nms
    heads, anchors = _heads(model)
    target = folder / FILE
    data = tflite_graph.append_detection_postprocess(
        _convert(heads),
        box_encodings=HEADS[0],
        class_scores=HEADS[1],
        anchors=ssd.box_ops.centers(anchors),
        num_classes=config.num_classes if config.has_background else config.class_slots,
        max_detections=options.max_detections or nms.max_total,
        detections_per_class=nms.max_per_class,
        nms_score_threshold=_above(nms.score_threshold),
        nms_iou_threshold=nms.iou_threshold,
        use_regular_nms=nms_mode(config, options) == "regular",
        **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), config.box_coder.scales, strict=True)),
    )
    graph = tflite_graph.read_graph(data)
    if graph.foreign_ops:
        left = ", ".join(graph.foreign_ops)
        raise ArtifactError(f"{target.name}: the converter left ops that LiteRT cannot run: {left}.")
    weights = 4 * sum(int(np.prod(v.shape)) for v in model.params.variables.values())
    if not weights / 2 < graph.constant_bytes < weights + anchors.nbytes + SLACK:
        raise ArtifactError(
            f"{target.name}: {graph.constant_bytes} bytes of constants for {weights} of weights. Please report it."
        )
    target.write_bytes(data)
    return target


def nms_mode(config: Ssd, options) -> str:
    """As asked; else the mode that is the config's own NMS."""
    return options.tflite_nms or ("fast" if config.post_processing.nms.class_agnostic else "regular")


def differences(config: Ssd, options) -> str:
    """Why the op's detections differ from the config's by design; "" where they do not."""
    nms = config.post_processing.nms
    reasons = []
    if nms_mode(config, options) == "fast" and not nms.class_agnostic:
        reasons.append("fast NMS keeps one class a place")
    if options.max_detections and options.max_detections < nms.max_total:
        reasons.append(f"at most {options.max_detections} detections instead of {nms.max_total}")
    return "; ".join(reasons)


def _heads(model):
    """A concrete function of one preprocessed image, and the anchors float32 [n, 4] corners."""
    import tensorflow as tf

    from visionport.models import ssd

    config = model.config.model
    kept = {}

    def raw(images):
        found = model.predict(images, None)
        kept["anchors"] = ssd.anchors(config, found, images, constant=True)
        scores = ssd.box_ops.scores(config.post_processing, found["logits"])
        return {HEADS[0]: tf.identity(found["box_encodings"]), HEADS[1]: scores}

    spec = tf.TensorSpec((1, *model.input_size), tf.float32, name=INPUT)
    return tf.function(raw, autograph=False).get_concrete_function(spec), kept["anchors"]


def _convert(function) -> bytes:
    """Float32 TFLite of a concrete function. Frozen first: the converter may keep variables without a word."""
    import tensorflow as tf
    from absl import logging
    from tensorflow.python.framework import convert_to_constants

    frozen = convert_to_constants.convert_variables_to_constants_v2(function)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # it warns that the function has no object to hold its variables
    try:
        data = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    finally:
        logging.set_verbosity(verbosity)
    # The converter may change the order of outputs, but keeps their names; they are flattened in the order of the keys.
    names = {t.op.name: key for t, key in zip(frozen.outputs, sorted(HEADS), strict=True)}
    (source,) = (t.name for t in tflite_graph.read_graph(data).inputs)
    return tflite_graph.rename_tensors(data, names | {source: INPUT})


def _above(threshold: float) -> float:
    # The op keeps scores at the threshold, the reference only those above it.
    return max(float(np.nextafter(np.float32(threshold), np.float32(np.inf))), float(np.finfo(np.float32).tiny))


def load(path: Path, manifest):
    """run(image): resized and normalised as the manifest says, then LiteRT. Shows the raw heads too."""
    from ai_edge_litert.interpreter import Interpreter

    from visionport.preprocessing import prepare

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    heads = {d["name"]: d["index"] for d in interpreter.get_tensor_details() if d["name"] in HEADS}

    def run(image):
        interpreter.set_tensor(source["index"], prepare(image, manifest["preprocessing"], source["dtype"]))
        interpreter.invoke()
        boxes, classes, scores, count = (interpreter.get_tensor(o["index"])[0] for o in outputs)
        rows = {"detection_boxes": boxes, "detection_scores": scores, "detection_classes": classes + 1}
        found = clipped({k: v[: int(count)] for k, v in rows.items()})
        # The op comes last, so nothing has taken its inputs' place yet.
        return found | {k: interpreter.get_tensor(i)[0] for k, i in heads.items()}

    return run


def signatures(path: Path):
    graph = tflite_graph.read_graph(path.read_bytes())
    rows = ([(t.name, t.dtype, list(t.shape)) for t in side] for side in (graph.inputs, graph.outputs))
    return [("serving_default", *rows)]


SNIPPET = """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

detector = Interpreter("{path}")
detector.allocate_tensors()
(source,) = detector.get_input_details()
height, width = source["shape"][1:3]
image = Image.open("{image}").convert("RGB").resize((width, height))
detector.set_tensor(source["index"], ((np.asarray(image)[None] - {mean}) / {std}).astype(np.float32))
detector.invoke()
boxes, classes, scores, count = (detector.get_tensor(o["index"]) for o in detector.get_output_details())
print(boxes[0, 0], classes[0, 0], scores[0, 0])  # classes from 0: lines of labels.txt
"""
