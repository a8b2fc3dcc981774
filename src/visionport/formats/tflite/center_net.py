"""CenterNet in TFLite: the network quantised as asked, and behind it the search for peaks, always float32.

Two files of the converter become one: a box of 8 bits would be off by several pixels, whatever the network is. Input
and answers are those of the reference's CenterNetModule (export_tflite_graph_lib_tf2.py), which takes pixels and
normalises them inside; boxes come first here, as in SSD's files.
"""

import copy
import dataclasses

import numpy as np

from visionport.config import FixedShape, KeepAspectRatio, Normalization
from visionport.config.center_net import CenterNet
from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.formats.base import Reading
from visionport.formats.tflite.heads import check_quantization, convert_network, takes_bytes
from visionport.inputs import calibration
from visionport.tflite import convert as tflite_convert
from visionport.tflite import edit
from visionport.tflite.flatbuffer import parse, serialize, text

INPUT = "input"  # float32 or uint8 [1, H, W, 3], RGB from 0 to 255
BOXES = edit.SIGNATURE_OUTPUTS
KEYPOINTS = ("detection_keypoints", "detection_keypoint_scores")
OWN_OPTIONS = {"tflite_nms": "--tflite-nms", "detections_per_class": "--detections-per-class"}


def check(config, options) -> None:
    """Raises UnsupportedError and OptionError where the file cannot give the model's answers."""
    check_quantization(config, options)
    c: CenterNet = config.model
    if options.tflite_head == "decoded":
        raise OptionError(
            f"--tflite-head decoded: {config.architecture} is a CenterNet, without anchors to decode. Take detections, "
            "or raw for the maps of its heads."
        )
    given = [name for field, name in OWN_OPTIONS.items() if getattr(options, field)]
    if given:
        raise OptionError(
            f"{' and '.join(given)}: of SSD's NMS; a CenterNet ({config.architecture}) takes peaks instead."
        )
    resizer = c.resizer
    fixed = isinstance(resizer, FixedShape) or (isinstance(resizer, KeepAspectRatio) and resizer.pad_to_max)
    reasons = {
        "has an input size that the config does not fix: set fixed_shape_resizer": not fixed,
        "finds its boxes from keypoints: leave out --no-tflite-keypoints": not (
            c.detection or options.tflite_keypoints
        ),
        "suppresses boxes (post_processing), which no op of TFLite does for it: take --tflite-head raw": (
            c.nms is not None and options.tflite_head == "detections"
        ),
        f"is for a batch of {options.batch}: leave out --batch": options.batch not in (None, 1),
    }
    for reason, applies in reasons.items():
        if applies:
            raise UnsupportedError(f"{config.path}: TFLite cannot hold {config.architecture}, which {reason}.")
    if options.calibration:
        calibration.sources(options.calibration)


def reading(config, options) -> Reading:
    """It takes pixels; classes are from 0, boxes and keypoints of the frame."""
    c = reduce_config(config.model, options)
    if options.tflite_head == "raw":
        from visionport.models.center_net.architecture import heads

        return Reading(input=INPUT, type="pixels", outputs=tuple(sorted(heads(c))))
    answers = {"classes_from": 0, "boxes": "frame"}
    return Reading(input=INPUT, type="pixels", answers=answers, outputs=output_names(c))


def left_out(config, options) -> str:
    """Why other outputs of the model than `reading` names are not in the file."""
    if options.tflite_head == "raw":
        return "--tflite-head raw gives the maps of the heads alone"
    return "the file holds what the reference's CenterNetModule gives"


def probe(model, options, prediction, images) -> dict:
    """The maps that a file of raw heads gives, called after the heads."""
    if options.tflite_head != "raw":
        return {}
    return {name.rpartition("/")[0]: x for name, x in prediction.items() if name != "feature_maps"}


def refused_by(config, options) -> str:
    """Which reader will not load the file as it is: none is known that would."""
    return ""


def outside(config) -> Normalization:
    """The normalisation that is left to whoever feeds the file: none."""
    return Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def reduce_config(c: CenterNet, options) -> CenterNet:
    """What of the model the file holds: boxes, and keypoints where they are wanted."""
    most = options.max_detections or c.center.max_detections
    nothing = {"masks": None, "densepose": None, "deepmac": None, "embedding_size": None}
    nothing |= {"temporal_offset": False, "outputs_maps": False}
    return dataclasses.replace(
        c,
        center=dataclasses.replace(c.center, max_detections=most),
        keypoints=c.keypoints if options.tflite_keypoints else (),
        **nothing,
    )


def output_names(c: CenterNet) -> tuple[str, ...]:
    return BOXES + (KEYPOINTS if c.keypoints else ())


def differs(config, options) -> str:
    """Why the file's detections differ from the checkpoint's by design; "" where they do not."""
    c: CenterNet = config.model
    reasons = []
    if options.max_detections and options.max_detections < c.center.max_detections:
        reasons.append(f"at most {options.max_detections} detections instead of {c.center.max_detections}")
    if not options.tflite_keypoints and any(task.rescore for task in c.keypoints):
        reasons.append("scores without those of the keypoints")
    return "; ".join(reasons)


def convert(model, options, progress) -> bytes:
    """The file without metadata, with its signature."""
    c = reduce_config(model.config.model, options)
    maps = trace_maps(model, c, dtype="uint8" if takes_bytes(options) else "float32")
    whole = options.tflite_head != "detections"
    data = convert_network(maps, model, options, progress, input_name=INPUT, pixels=True, integer_outputs=whole)
    if options.tflite_head == "raw":
        return edit.reorder_outputs(data, sorted(maps.structured_outputs))
    names = output_names(c)
    after = trace_search(model, c, maps)
    inputs = [t.op.name for t in after.inputs[: len(maps.structured_outputs)]]
    request = tflite_convert.FileRequest(inputs=inputs, outputs=sorted(after.structured_outputs))
    data = merge_files(data, tflite_convert.convert_function(after, request), inputs)
    data = edit.reorder_outputs(data, names)
    numbered = {f"output_{i}": name for i, name in enumerate(reversed(names))}
    signed = {"named": dict(zip(names, names, strict=True)), "numbered": numbered}
    signed["both"] = signed["named"] | numbered
    return edit.sign(data, signed[options.tflite_outputs])


def trace_maps(model, c: CenterNet, *, dtype: str = "float32"):
    """A concrete function: pixels [1, H, W, 3] -> {head: its map}."""
    import tensorflow as tf

    from visionport.ops import image, nn

    def function(pixels):
        x = image.normalize(tf.cast(pixels, tf.float32), model.meta.normalization(c))
        with nn.for_tflite():
            found = model.meta.predict(c, model.params.scope(), x)
        return {name.rpartition("/")[0]: tf.identity(x) for name, x in found.items() if name != "feature_maps"}

    spec = tf.TensorSpec((1, *model.input_size), tf.dtypes.as_dtype(dtype), name=INPUT)
    return tf.function(function, autograph=False).get_concrete_function(spec)


def trace_search(model, c: CenterNet, maps):
    """A concrete function of those maps, in the order of their names -> detections; classes from 0."""
    import tensorflow as tf

    found = {name: maps.structured_outputs[name] for name in sorted(maps.structured_outputs)}
    wanted = output_names(c)

    def function(*values):
        prediction = {f"{name}/0": value for name, value in zip(found, values, strict=True)}
        shapes = tf.constant([model.input_size], tf.int32)
        out = model.meta.postprocess(c, model.params.scope(), prediction, None, shapes)
        return {name: tf.identity(tf.cast(out[name], tf.float32)) for name in wanted}

    specs = [tf.TensorSpec(x.shape, tf.float32, f"map_{i}") for i, x in enumerate(found.values())]
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def trace_detections(model, options):
    """A concrete function: pixels float32 [1, H, W, 3] -> {output: value}, as a file gives them."""
    import tensorflow as tf

    c = reduce_config(model.config.model, options)
    maps = trace_maps(model, c)
    after = trace_search(model, c, maps)

    def function(pixels):
        found = maps(pixels)
        return after(*(found[name] for name in sorted(found)))

    spec = tf.TensorSpec((1, *model.input_size), tf.float32, name=INPUT)
    return tf.function(function, autograph=False).get_concrete_function(spec)


def merge_files(first: bytes, second: bytes, inputs: list[str]) -> bytes:
    """One file of two: `second` takes the outputs of `first`, in the order of their names, by its own `inputs`."""
    a, b = parse(first, edit=True), parse(second, edit=True)
    if len(b.subgraphs) > 1:
        raise ArtifactError("the converter made a loop of the search for peaks. Please report it.")
    graph, more = a.subgraphs[0], b.subgraphs[0]
    given = sorted((text(graph.tensors[i].name), int(i)) for i in graph.outputs)
    by_name = {text(more.tensors[i].name): int(i) for i in more.inputs}
    place = {by_name[name]: index for name, (_, index) in zip(inputs, given, strict=True)}
    buffers, codes = len(a.buffers) - 1, len(a.operatorCodes)
    a.buffers += b.buffers[1:]  # the first of a file is always the empty one
    a.operatorCodes += b.operatorCodes
    outputs = {int(i) for i in more.outputs}
    for i, tensor in enumerate(more.tensors):
        if i in place:
            continue
        place[i] = len(graph.tensors)
        own = copy.copy(tensor)
        own.buffer = tensor.buffer + buffers if tensor.buffer else 0
        own.name = text(tensor.name) if i in outputs else f"search/{text(tensor.name)}"
        graph.tensors.append(own)

    def moved(indices):
        return np.array([place[int(i)] if i >= 0 else -1 for i in indices], np.int32)

    for op in more.operators:
        op.opcodeIndex += codes
        op.inputs, op.outputs = moved(op.inputs), moved(op.outputs)
        graph.operators.append(op)
    graph.outputs, a.signatureDefs = moved(more.outputs), []
    return serialize(a)
