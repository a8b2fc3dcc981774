"""Edits of a converted TFLite file: the flatbuffer that the TensorFlow converter leaves.

The converter makes a float32 file with one image and two raw outputs. `append_detection_postprocess` puts the custom
op behind them here, in the flatbuffer, since the converter's own route (`experimental_implements`) loses
`detections_per_class` and the order of the outputs. Each function takes the file's bytes and returns new ones; the
same input gives the same bytes. Metadata comes last: a file with label files packed behind the flatbuffer is refused.

The schema is the runtime's own (`ai_edge_litert.schema_py_generated`), imported when needed; TensorFlow is not.
"""

import copy
from collections.abc import Mapping, Sequence

import numpy as np

from visionport.errors import ArtifactError, OptionError, UnsupportedError, nearest
from visionport.tflite.contents import Tensor, describe_tensor
from visionport.tflite.flatbuffer import make, parse, serialize, text
from visionport.tflite.flexbuffer import write_map

POSTPROCESS = "TFLite_Detection_PostProcess"
SIGNATURE = "serving_default"
# Boxes, classes, scores, count: the op's order, which clients that read by position rely on.
SIGNATURE_OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
# The same four as the TF2 reference exporter and TFLite Model Maker name them: output_0 is the count.
REFERENCE_SIGNATURE_OUTPUTS = ("output_3", "output_2", "output_1", "output_0")

VARIABLE_OPS = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")


def rename_tensors(model: bytes, names: Mapping[str, str]) -> bytes:
    """Other names for tensors of the main graph, as {old: new}. Signatures keep the names they give."""
    parsed = parse(model, edit=True)
    tensors = parsed.subgraphs[0].tensors
    before = [text(tensor.name) for tensor in tensors]
    after = [names.get(name, name) for name in before]
    for old, new in names.items():
        if before.count(old) != 1:
            raise ArtifactError(f"cannot rename: {before.count(old)} tensors are called {old!r}{nearest(old, before)}")
        if after.count(new) != 1:
            raise ArtifactError(f"cannot rename {old!r}: another tensor would be called {new!r} too")
    for tensor, name in zip(tensors, after, strict=True):
        tensor.name = name
    return serialize(parsed)


def name_ends(
    model: bytes, inputs: Sequence[str], outputs: Sequence[str], input_names: Sequence[str], output_names: Sequence[str]
) -> bytes:
    """The file with inputs and outputs in that order, by other names, in one signature.

    inputs, outputs: their tensors; input_names, output_names: what they are to be called. An output that is an input or
    another output becomes a copy.
    """
    parsed = parse(model, edit=True)
    main = parsed.subgraphs[0]
    at = {text(t.name): i for i, t in enumerate(main.tensors)}
    main.inputs = np.array([at[n] for n in inputs], np.int32)
    main.outputs = np.array(_find_outputs(main.outputs, outputs, at), np.int32)
    for k, i in enumerate(main.outputs):
        if i in main.inputs or i in main.outputs[:k]:
            main.outputs[k] = copied(parsed, int(i), f"output_{k}_copy")
    taken = {*input_names, *output_names}
    for t in main.tensors:
        if text(t.name) in taken:
            t.name = f"{text(t.name)}_inside"
    for side, names in ((main.inputs, input_names), (main.outputs, output_names)):
        for i, name in zip(side, names, strict=True):
            main.tensors[i].name = name
    parsed.signatureDefs = []
    set_signature(parsed, {k: int(i) for k, i in zip(output_names, main.outputs, strict=True)})
    return serialize(parsed)


def _find_outputs(found: Sequence[int], names: Sequence[str], at: Mapping[str, int]) -> list[int]:
    """The tensors of the outputs by their names; by their places where the converter made one of equal ones."""
    lost = [n for n in names if n not in at]
    if lost and (len(found) != len(names) or any(at.get(n, i) != i for n, i in zip(names, found, strict=True))):
        raise ArtifactError(f"the converter lost {', '.join(lost)}: does an output repeat another? Name it once.")
    return [int(at.get(n, i)) for n, i in zip(names, found, strict=True)] if lost else [at[n] for n in names]


def reorder_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The outputs in the order of `names`: each output once, by its tensor's or its signature's name."""
    parsed = parse(model, edit=True)
    main = parsed.subgraphs[0]
    outputs = [_output(parsed, name) for name in names]
    if sorted(outputs) != sorted(main.outputs):
        have = ", ".join(repr(text(main.tensors[i].name)) for i in main.outputs)
        raise ArtifactError(f"cannot reorder: {list(names)} does not name each output once; the outputs are {have}")
    main.outputs = np.array(outputs, np.int32)
    return serialize(parsed)


def sign(model: bytes, outputs: Mapping[str, str]) -> bytes:
    """The model with one signature, of its inputs and of `outputs`: {name there: tensor's name}."""
    parsed = parse(model, edit=True)
    set_signature(parsed, {key: _output(parsed, name) for key, name in outputs.items()})
    return serialize(parsed)


def append_detection_postprocess(
    model: bytes,
    *,
    box_encodings: int | str,
    class_scores: int | str,
    anchors: np.ndarray,
    num_classes: int,
    max_detections: int,
    detections_per_class: int,
    nms_score_threshold: float,
    nms_iou_threshold: float,
    use_regular_nms: bool,
    y_scale: float,
    x_scale: float,
    h_scale: float,
    w_scale: float,
    max_classes_per_detection: int = 1,
    signature_outputs: Sequence[str] = SIGNATURE_OUTPUTS,
) -> bytes:
    """The model with `TFLite_Detection_PostProcess` (decoding and non-maximum suppression) behind its raw outputs.

    model: a TFLite file. box_encodings, class_scores: which of its outputs, by position, tensor name or signature
    name (the names are safer: the converter does not keep positions); float32 [1, n, 4] as (y, x, h, w) codes, and
    float32 [1, n, num_classes], or one more with the background first, after the sigmoid or softmax. Either may be
    uint8, which the op knows too: it reads such scores itself; codes get a DEQUANTIZE, since it would want anchors of 8
    bits with them, which moves boxes by up to half a percent of the image.
    anchors: float32 [n, 4] as (ycenter, xcenter, h, w), normalised. num_classes: without background.
    detections_per_class: read in regular mode only. max_classes_per_detection: more than 1 in fast mode only.

    The outputs are, in this order, float32 boxes [1, m, 4] as (ymin, xmin, ymax, xmax), normalised and not clipped;
    classes [1, m], 0-based; scores [1, m]; count [1], with m = max_detections * max_classes_per_detection. Their
    tensors are called `TFLite_Detection_PostProcess`, `...:1`, `...:2`, `...:3`. Rows beyond the count are zeros in
    regular mode, and hold anything in fast mode.

    The signature `serving_default` keeps its inputs and gives `detection_boxes`, `detection_classes`,
    `detection_scores` and `num_detections`, the names of the TF Object Detection API's SavedModels. The TF2 reference
    exporter's files, and clients written for TFLite Model Maker, say `output_0` (count), `output_1` (scores),
    `output_2` (classes) and `output_3` (boxes) instead: pass `REFERENCE_SIGNATURE_OUTPUTS` for those, or
    both, eight names, for all.
    """
    from ai_edge_litert import schema_py_generated as schema

    parsed = parse(model, edit=True)
    main = parsed.subgraphs[0]
    if any(text(code.customCode) == POSTPROCESS for code in parsed.operatorCodes):
        raise ArtifactError(f"the model has {POSTPROCESS} already; append it to the raw heads")
    boxes, scores = _output(parsed, box_encodings), _output(parsed, class_scores)
    _check_inputs(
        describe_tensor(parsed, main.tensors[boxes]),
        describe_tensor(parsed, main.tensors[scores]),
        anchors,
        num_classes,
    )
    if main.tensors[boxes].type == schema.TensorType.UINT8:
        boxes = _dequantize(parsed, boxes)
    options = {
        "max_detections": int(max_detections),
        "max_classes_per_detection": int(max_classes_per_detection),
        "detections_per_class": int(detections_per_class),
        "nms_score_threshold": float(nms_score_threshold),
        "nms_iou_threshold": float(nms_iou_threshold),
        "num_classes": int(num_classes),
        "y_scale": float(y_scale),
        "x_scale": float(x_scale),
        "h_scale": float(h_scale),
        "w_scale": float(w_scale),
        "use_regular_nms": bool(use_regular_nms),
    }
    _check_options(options)
    if len(set(signature_outputs)) != len(signature_outputs) or len(signature_outputs) not in (4, 8):
        raise OptionError(f"signature_outputs must be four or eight different names, got {list(signature_outputs)}")

    parsed.buffers.append(make(schema.BufferT, data=np.frombuffer(anchors.tobytes(), np.uint8)))
    anchors_index = _add_tensor(main, "anchors", anchors.shape, buffer=len(parsed.buffers) - 1)
    rows = options["max_detections"] * options["max_classes_per_detection"]
    shapes = ((1, rows, 4), (1, rows), (1, rows), (1,))
    names = (POSTPROCESS, *(f"{POSTPROCESS}:{i}" for i in (1, 2, 3)))
    outputs = [_add_tensor(main, name, shape) for name, shape in zip(names, shapes, strict=True)]

    _add_op(
        parsed,
        schema.BuiltinOperator.CUSTOM,
        [boxes, scores, anchors_index],
        outputs,
        custom=POSTPROCESS,
        customOptions=np.frombuffer(write_map(options), np.uint8),
        customOptionsFormat=schema.CustomOptionsFormat.FLEXBUFFERS,
    )
    main.outputs = np.array(outputs, np.int32)
    set_signature(parsed, {name: outputs[i % 4] for i, name in enumerate(signature_outputs)})
    return serialize(parsed)


def _check_inputs(boxes: Tensor, scores: Tensor, anchors: np.ndarray, num_classes: int) -> None:
    if anchors.dtype != np.float32 or anchors.ndim != 2 or anchors.shape[1] != 4:
        raise ArtifactError(f"anchors must be float32 [n, 4], got {anchors.dtype} {list(anchors.shape)}")
    # The op refuses every image when one decoded box has ymin > ymax.
    if not np.isfinite(anchors).all() or (anchors[:, 2:] < 0).any():
        raise ArtifactError("anchors must be finite, with no negative height or width: (ycenter, xcenter, h, w)")
    n = len(anchors)
    for what, tensor, widths in (
        ("box encodings", boxes, [4]),
        ("class scores", scores, [num_classes, num_classes + 1]),
    ):
        known = tensor.dtype == "float32" or (tensor.dtype == "uint8" and tensor.quantization)
        if not known or tensor.shape not in [(1, n, width) for width in widths]:
            raise ArtifactError(
                f"{what} must be float32 or uint8 [1, {n}, {' or '.join(map(str, widths))}] for {n} anchors and "
                f"{num_classes} classes, but {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}"
            )


def _check_options(options: Mapping[str, int | float | bool]) -> None:
    """What the op would meet at inference with an error, or with rows that it does not write."""
    for name in ("max_detections", "max_classes_per_detection", "detections_per_class", "num_classes"):
        if options[name] < 1:
            raise OptionError(f"{name} must be at least 1, got {options[name]}")
    for name in ("y_scale", "x_scale", "h_scale", "w_scale"):
        if not 0 < options[name] < float("inf"):
            raise OptionError(f"{name} must be a positive number, got {options[name]}")
    if not 0 < options["nms_iou_threshold"] <= 1:
        raise OptionError(f"nms_iou_threshold must be above 0 and at most 1, got {options['nms_iou_threshold']}")
    if not np.isfinite(options["nms_score_threshold"]):
        raise OptionError(f"nms_score_threshold must be a number, got {options['nms_score_threshold']}")
    per_box = options["max_classes_per_detection"]
    if per_box > 1 and (options["use_regular_nms"] or per_box > options["num_classes"]):
        raise UnsupportedError(
            f"max_classes_per_detection={per_box} needs the fast mode and as many classes: {POSTPROCESS} leaves the "
            "other rows unwritten. Use 1; the regular mode gives a box once a class anyway."
        )


def set_signature(parsed, outputs: Mapping[str, int]) -> None:
    """One signature: the inputs it had (or the tensors' names), and these outputs."""
    from ai_edge_litert import schema_py_generated as schema

    main = parsed.subgraphs[0]
    signature = parsed.signatureDefs[0] if parsed.signatureDefs else schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.inputs = signature.inputs or [
        make(schema.TensorMapT, name=main.tensors[i].name, tensorIndex=int(i)) for i in main.inputs
    ]
    signature.outputs = [make(schema.TensorMapT, name=name, tensorIndex=i) for name, i in outputs.items()]
    parsed.signatureDefs = [signature]


def copied(parsed, index: int, name: str) -> int:
    """The index of a new tensor of the same values: a RESHAPE to the shape that it has."""
    from ai_edge_litert import schema_py_generated as schema

    main = parsed.subgraphs[0]
    tensor = copy.copy(main.tensors[index])
    shape = np.array(describe_tensor(parsed, tensor).shape, np.int32)
    if np.count_nonzero(shape < 0) > 1:
        raise UnsupportedError("an output that is an input or another one has more than one open size. Leave it out.")
    tensor.name, tensor.buffer = name, 0
    main.tensors.append(tensor)
    out = len(main.tensors) - 1
    parsed.buffers.append(make(schema.BufferT, data=np.frombuffer(shape.tobytes(), np.uint8)))
    to = make(
        schema.TensorT,
        name=f"{name}_shape",
        shape=np.array([len(shape)], np.int32),
        type=schema.TensorType.INT32,
        buffer=len(parsed.buffers) - 1,
        hasRank=True,
    )
    main.tensors.append(to)
    _add_op(parsed, schema.BuiltinOperator.RESHAPE, [index, len(main.tensors) - 1], [out])
    return out


def _dequantize(parsed, index: int) -> int:
    """The index of a float32 tensor of the same values."""
    from ai_edge_litert import schema_py_generated as schema

    main = parsed.subgraphs[0]
    tensor = main.tensors[index]
    name = text(tensor.name)  # stays with the last, whose place in memory nothing takes
    tensor.name = f"{name}_uint8"
    out = _add_tensor(main, name, tensor.shape)
    _add_op(parsed, schema.BuiltinOperator.DEQUANTIZE, [index], [out])
    return out


def _add_op(parsed, code: int, inputs: Sequence[int], outputs: Sequence[int], custom: str | None = None, **fields):
    """An operation behind all others of the main graph, of tensors by their indices. custom: its name, if it is one."""
    from ai_edge_litert import schema_py_generated as schema

    codes = {"builtinCode": code, "deprecatedBuiltinCode": code, "customCode": custom}
    parsed.operatorCodes.append(make(schema.OperatorCodeT, version=1, **codes))
    ends = {"inputs": np.array(inputs, np.int32), "outputs": np.array(outputs, np.int32)}
    index = len(parsed.operatorCodes) - 1
    parsed.subgraphs[0].operators.append(make(schema.OperatorT, opcodeIndex=index, **ends, **fields))


def _add_tensor(graph, name: str, shape: Sequence[int], buffer: int = 0) -> int:
    """A new float32 tensor's index. Buffer 0 is the empty one, by the schema: no constant."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = make(
        schema.TensorT,
        name=name,
        shape=np.array(shape, np.int32),
        type=schema.TensorType.FLOAT32,
        buffer=buffer,
        quantization=schema.QuantizationParametersT(),
        hasRank=True,
    )
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _output(parsed, which: int | str) -> int:
    """The tensor index of an output, given by position, by its tensor's name or by its name in the signature."""
    main = parsed.subgraphs[0]
    if isinstance(which, int):
        if not 0 <= which < len(main.outputs):
            raise ArtifactError(f"no output {which}: the model has {len(main.outputs)}")
        return int(main.outputs[which])
    names = [(text(main.tensors[i].name), int(i)) for i in main.outputs]
    for signature in parsed.signatureDefs or ():
        names += [(text(entry.name), entry.tensorIndex) for entry in signature.outputs or ()]
    found = {index for name, index in names if name == which}
    if len(found) != 1:
        problem = "several outputs are" if found else "no output is"
        known = ", ".join(repr(name) for name, _ in names)
        raise ArtifactError(f"{problem} called {which!r}; the names are {known}")
    return found.pop()
