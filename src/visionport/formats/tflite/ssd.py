"""TFLite: the network converted, then `TFLite_Detection_PostProcess` appended in the flatbuffer."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from visionport.config import FixedShape, KeepAspectRatio, Ssd
from visionport.config.center_net import CenterNet
from visionport.config.labels import write_labels
from visionport.errors import OptionError, UnsupportedError
from visionport.formats import frozen_graph
from visionport.formats.tflite import center_net, heads
from visionport.inputs import calibration
from visionport.inputs.preprocessing import describe, prepare
from visionport.inputs.quantization import dequantized
from visionport.progress import Progress
from visionport.tasks.detection.answers import clipped
from visionport.tflite import checks as tflite_checks
from visionport.tflite import convert as tflite_convert
from visionport.tflite import edit, metadata, trained
from visionport.tflite import layers as tflite_layers
from visionport.tflite import preprocessing as tflite_preprocessing
from visionport.tflite.flatbuffer import op_names, parse

NAME = "model.tflite"
INPUT = heads.INPUT
HEADS = heads.HEADS["raw"]


def check(config, options) -> None:
    """Raises UnsupportedError where the file cannot give the model's answers, InputError where pictures are missing.

    OptionError, where the options contradict the config.
    """
    heads.check(config, options)
    if isinstance(config.model, CenterNet):
        center_net.check(config, options)
        return
    if not isinstance(config.model, Ssd):
        raise UnsupportedError(
            f"{config.path}: --format tflite takes SSD and CenterNet models; {config.architecture} is neither."
        )
    if not options.tflite_keypoints:
        raise OptionError(f"--no-tflite-keypoints: {config.architecture} is no CenterNet. Leave it out.")
    model: Ssd = config.model
    nms = model.post_processing.nms
    op, kind = options.tflite_head == "detections", model.box_coder.kind
    reasons = {
        "an input size that the config does not fix: set fixed_shape_resizer, or pad_to_max_dimension in "
        "keep_aspect_ratio_resizer": not (
            isinstance(model.resizer, FixedShape)
            or (isinstance(model.resizer, KeepAspectRatio) and model.resizer.pad_to_max)
        ),
        f"the box coder {kind!r}; it decodes faster_rcnn_box_coder only": op and kind != "faster_rcnn",
        "soft NMS; set soft_nms_sigma: 0": op and nms.soft_sigma > 0,
        "the keypoints of 'keypoint_box_coder'; take raw": options.tflite_head == "decoded" and kind == "keypoint",
        f"a batch of {options.batch}; leave out --batch": options.batch not in (None, 1),
    }
    for reason, applies in reasons.items():
        if applies:
            what = edit.POSTPROCESS if op else f"--tflite-head {options.tflite_head}"
            raise UnsupportedError(f"{config.path}: {what} cannot do {reason} (see --config-override).")
    if options.calibration:
        calibration.sources(options.calibration)


def write(model, signatures, options, folder: Path, progress: Progress | None = None) -> Path:
    """Writes folder/model.tflite. Input: [1, H, W, c], see heads.input_type; outputs: the op's, or the heads."""
    target = folder / NAME
    options = options.settled(model.config.quantized)
    if is_center_net(model):
        data = center_net.converted(model, options, progress or Progress())
        outside, source = center_net.PIXELS, center_net.INPUT
    else:
        data = _ssd(model, options, progress or Progress())
        outside, source = heads.normalization(model.config.model), INPUT
    how = describe(model.config.model.resizer, model.meta.normalization(model.config.model))
    data = _described(tflite_preprocessing.write(data, fed(source, how)), model.config, outside)
    tflite_checks.ops(data, target.name)
    target.write_bytes(data)
    return target


def is_center_net(model) -> bool:
    return isinstance(model.config.model, CenterNet)


def _ssd(model, options, progress: Progress) -> bytes:
    data, anchors = _converted(model, options, progress)
    if options.tflite_head == "detections":
        data = edit.append_detection_postprocess(
            data,
            box_encodings=HEADS[0],
            class_scores=HEADS[1],
            anchors=anchors,
            signature_outputs=SIGNATURE_OUTPUTS[options.tflite_outputs],
            **op_attributes(model.config.model, options),
        )
    else:
        data = edit.reorder_outputs(data, heads.HEADS[options.tflite_head])
    return data


def _described(data: bytes, config, normalization) -> bytes:
    """The file with metadata. normalization: what is left to do outside."""
    gray = config.model.resizer.grayscale
    channels = slice(1) if gray else slice(3)
    return metadata.add(
        data,
        name=config.architecture,
        description=f"{config.architecture} with {config.model.num_classes} classes",
        image=metadata.Image(mean=normalization.mean[channels], std=normalization.std[channels], grayscale=gray),
        labels=write_labels(dict(config.labels), config.model.num_classes) if config.labels else "",
    )


def _converted(model, options, progress: Progress) -> tuple[bytes, np.ndarray]:
    """The file without the op, and the anchors."""
    if heads.trained(model.config, options):
        return _trained(model)
    pixels = heads.normalizes(model.config, options)
    head = "decoded" if options.tflite_head == "decoded" else "raw"
    dtype = "uint8" if pixels and heads.takes_bytes(options) else "float32"
    function, anchors = heads.heads(model, head=head, pixels=pixels, dtype=dtype)
    return heads.convert(function, model, options, progress, input_name=INPUT, pixels=pixels), anchors


def _trained(model) -> tuple[bytes, np.ndarray]:
    """The same with the 8 bits that the network was trained for."""
    config, n = model.config, heads.normalization(model.config.model)
    if len({*n.mean}) > 1 or len({*n.std}) > 1 or n.bgr:
        raise UnsupportedError(
            f"{config.path}: {config.architecture} normalises each channel otherwise, which pixels of 8 bits do not "
            "hold. Take --quantize none."
        )
    function, anchors = heads.heads(model)
    graph = frozen_graph.freeze(function, {INPUT: INPUT})
    how = {"input_name": INPUT, "output_names": HEADS, "mean": n.mean[0], "std": n.std[0]}
    data, keys = trained.convert(graph, **how), sorted(function.structured_outputs)
    tflite_checks.converted(data, tflite_convert.frozen(function), keys, quantize="uint8")
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
        "nms_score_threshold": _above(nms.score_threshold),
        "nms_iou_threshold": nms.iou_threshold,
        "use_regular_nms": nms_mode(config, options) == "regular",
        **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), config.box_coder.scales, strict=True)),
    }


def nms_mode(config: Ssd, options) -> str:
    """As asked; else the mode that is the config's own NMS."""
    return options.tflite_nms or ("fast" if config.post_processing.nms.class_agnostic else "regular")


def differences(config: Ssd | CenterNet, options) -> str:
    """Why the file's detections differ from the config's by design; "" where they do not."""
    if isinstance(config, CenterNet):
        return center_net.differences(config, options)
    nms = config.post_processing.nms
    reasons = []
    if nms_mode(config, options) == "fast" and not nms.class_agnostic:
        reasons.append("fast NMS keeps one class a place")
    if options.max_detections and options.max_detections < nms.max_total:
        reasons.append(f"at most {options.max_detections} detections instead of {nms.max_total}")
    if options.detections_per_class and options.detections_per_class < nms.max_per_class:
        reasons.append(f"at most {options.detections_per_class} detections a class instead of {nms.max_per_class}")
    return "; ".join(reasons)


def refused_by(config, options) -> str:
    """Which reader will not load the file as it is, and what to do; "" for none."""
    if not isinstance(config.model, Ssd) or options.tflite_head != "detections":
        return ""
    n, source = heads.normalization(config.model), heads.input_type(options)
    if source == "float32" and len({*n.mean}) + len({*n.std}) > 2:
        return (
            f"MediaPipe does not load {NAME}: it normalises all channels alike, which {config.architecture} does not. "
            "With --tflite-input uint8 the file normalises by itself."
        )
    return f"MediaPipe does not load {NAME}: it knows no int8 input. Take uint8 or float." if source == "int8" else ""


def loss(config, options) -> str:
    """What rounds the file's answers, as a key of verify.QUANTIZED; "" for a float32 one."""
    if heads.trained(config, options):
        return "trained"
    if options.quantize != "none":
        return options.quantize
    return "pixels" if heads.input_type(options) == "uint8" else ""


def _above(threshold: float) -> float:
    # The op keeps scores at the threshold, the reference only those above it.
    return max(float(np.nextafter(np.float32(threshold), np.float32(np.inf))), float(np.finfo(np.float32).tiny))


def load(path: Path, manifest):
    """run(image): resized and normalised as the manifest says, then LiteRT. Shows the raw heads too."""
    interpreter = tflite_checks.runs(path, str(path))
    (source,) = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    pixels = source["name"] == center_net.INPUT
    names = {name for pair in heads.HEADS.values() for name in pair}
    shown = outputs if pixels else [d for d in interpreter.get_tensor_details() if d["name"] in names]
    op = [d["index"] for d in outputs] if len(outputs) == 4 and not pixels else []
    return runner(interpreter, fed(source["name"], manifest["preprocessing"]), shown, op)


def load_alone(path: Path):
    """The same of any TFLite detector, without a manifest: (run, labels). Raises InputError where it does not tell."""
    preprocessing, labels = tflite_preprocessing.read(path)
    interpreter = tflite_checks.runs(path, str(path))
    outputs = interpreter.get_output_details()
    wanted = (*center_net.BOXES, *center_net.KEYPOINTS)
    named = [d for d in outputs if d["name"] in wanted]
    shown = named if {*center_net.BOXES} <= {d["name"] for d in named} else []
    parsed = parse(path.read_bytes())
    codes, made = op_names(parsed), {d["index"] for d in outputs}
    ops = [op for op in parsed.subgraphs[0].operators or () if codes[op.opcodeIndex][0] == edit.POSTPROCESS]
    # Whatever the order of the file's outputs is, the op's own is fixed.
    found = [int(i) for i in ops[0].outputs] if ops else []
    return runner(interpreter, preprocessing, shown, found if made.issuperset(found) else []), labels


def runner(interpreter, preprocessing, shown, op):
    """run(image) of an interpreter.

    shown: details of tensors to show. op: indices of what `TFLite_Detection_PostProcess` gives; none without it.
    """
    (source,) = interpreter.get_input_details()

    def run(image):
        prepared, extent = prepare(image, preprocessing, source["dtype"], source["quantization"])
        interpreter.set_tensor(source["index"], prepared)
        interpreter.invoke()
        # The op comes last, so nothing has taken its inputs' place yet.
        found = {d["name"]: dequantized(interpreter.get_tensor(d["index"])[0], *d["quantization"]) for d in shown}
        if "detection_boxes" in found:
            return center_net.described(found, extent)
        if op:
            boxes, classes, scores, count = (interpreter.get_tensor(i)[0] for i in op)
            boxes = (boxes / np.tile(extent, 2)).astype(np.float32)  # the op's are of the padded image
            rows = {"detection_boxes": boxes, "detection_scores": scores, "detection_classes": classes + 1}
            found |= clipped({k: v[: int(count)] for k, v in rows.items()})
        return found

    return run


def fed(source: str, preprocessing):
    """What the input of that name takes, as a manifest's preprocessing."""
    if source != center_net.INPUT:
        return preprocessing
    pixels = center_net.PIXELS
    return {**preprocessing, "mean": pixels.mean, "std": pixels.std, "bgr": False}


def layers(model, options, path: Path, manifest, pictures) -> list[tflite_layers.Layer]:
    """What integer quantisation costs each layer, on `pictures` (uint8 [h, w, 3]); the worst loss first."""
    plain = {"quantize": "none", "calibration": None, "tflite_input": None, "quantize_exclude": ()}
    with tempfile.TemporaryDirectory() as folder:
        exact = write(model, (), replace(options, **plain), Path(folder)).read_bytes()

    def feed(source):
        how = fed(source["name"], manifest["preprocessing"]), source["dtype"], source["quantization"]
        return [prepare(picture, *how)[0] for picture in pictures]

    return tflite_layers.layers(exact, path.read_bytes(), feed)


def signatures(path: Path):
    graph = edit.read_graph(path.read_bytes())
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
image = Image.open("{image}").convert("{mode}")
{fit}
value = np.asarray(image).reshape(source["shape"])
if source["dtype"] != np.uint8:  # a uint8 input takes the pixels
    value = (value - {mean}) / {std}
if source["dtype"] == np.int8:
    value = np.rint(value / source["quantization"][0]) + source["quantization"][1]
detector.set_tensor(source["index"], value.astype(source["dtype"]))
detector.invoke()
boxes, classes, scores, count, *keypoints = (detector.get_tensor(o["index"]) for o in detector.get_output_details())
print(boxes[0, 0], classes[0, 0], scores[0, 0])  # classes from 0: lines of labels.txt
"""
# Its pictures fitted to the input: by the resizer's name.
FITS = {
    "FixedShape": "image = image.resize((width, height))",
    "KeepAspectRatio": """\
scale = min({short} / min(image.size), {long} / max(image.size))
shown = image.resize([round(side * scale) for side in image.size])
image = Image.new("{mode}", (width, height), {color})
image.paste(shown)  # top left; boxes are of the padded image""",
}
# With --tflite-head raw or decoded, in place of its last two lines.
HEADS_SNIPPET = """\
for output in detector.get_output_details():
    print(output["name"], output["shape"], detector.get_tensor(output["index"])[0, 0])
"""
