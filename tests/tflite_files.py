"""Small TFLite files to mutate, made in code, and mutations that know where their parts are."""

import contextlib
import io
import random
import struct
import zipfile

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from visionport.tflite import metadata
from visionport.tflite.edit import append_detection_postprocess
from visionport.tflite.flatbuffer import make, serialize

ODD = (0, 1, 2, 3, 7, 127, 128, 255, 1 << 15, (1 << 16) - 1, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
KINDS = ("CONV_2D", "ADD", "RESHAPE", "SOFTMAX", "CONCATENATION", "GATHER", "TRANSPOSE", "WHILE", "SPLIT", "PAD", "SUM")


def array(values, dtype=np.int32) -> np.ndarray:
    return np.array(values, dtype)


def tensor(name: str, shape, kind: int, buffer: int = 0, **quantization):
    q = make(schema.QuantizationParametersT, **quantization)
    return make(schema.TensorT, name=name, shape=array(shape), type=kind, buffer=buffer, quantization=q, hasRank=True)


def operation(code: int, inputs, outputs, kind: int = 0, options=None, **more):
    ends = {"inputs": array(inputs), "outputs": array(outputs)}
    return make(schema.OperatorT, opcodeIndex=code, builtinOptionsType=kind, builtinOptions=options, **ends, **more)


def code(name: str):
    number = getattr(schema.BuiltinOperator, name)
    return make(schema.OperatorCodeT, version=1, builtinCode=number, deprecatedBuiltinCode=min(number, 127))


def model(tensors, operators, codes, inputs, outputs, buffers=(), more=()):
    """The schema's `ModelT`; buffer 0 is empty. more: further graphs."""
    graph = make(
        schema.SubGraphT,
        name="main",
        tensors=tensors,
        operators=operators,
        inputs=array(inputs),
        outputs=array(outputs),
    )
    held = [schema.BufferT(), *(make(schema.BufferT, data=np.frombuffer(b.tobytes(), np.uint8)) for b in buffers)]
    return make(
        schema.ModelT, version=3, operatorCodes=codes, subgraphs=[graph, *more], buffers=held, description="made"
    )


def network() -> bytes:
    """Pixels uint8 [1, 8, 8, 3], a convolution of integers with a scale a channel, a mean, a reshaping, a softmax."""
    rng = np.random.default_rng(0)
    t, ops = schema.TensorType, schema.BuiltinOptions
    tensors = [
        tensor("image", (1, 8, 8, 3), t.INT8, scale=[0.5], zeroPoint=[0]),
        tensor("weights", (4, 3, 3, 3), t.INT8, 1, scale=[0.01, 0.02, 0.03, 0.04], zeroPoint=[0] * 4),
        tensor("bias", (4,), t.INT32, 2, scale=[0.005, 0.01, 0.015, 0.02], zeroPoint=[0] * 4),
        tensor("map", (1, 8, 8, 4), t.INT8, scale=[0.25], zeroPoint=[3]),
        tensor("axes", (2,), t.INT32, 3),
        tensor("mean", (1, 4), t.INT8, scale=[0.25], zeroPoint=[3]),
        tensor("probabilities", (1, 4), t.INT8, scale=[1 / 256], zeroPoint=[-128]),
    ]
    convolution = make(schema.Conv2DOptionsT, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    operators = [
        operation(0, (0, 1, 2), (3,), ops.Conv2DOptions, convolution),
        operation(1, (3, 4), (5,), ops.ReducerOptions, schema.ReducerOptionsT()),
        operation(2, (5,), (6,), ops.SoftmaxOptions, make(schema.SoftmaxOptionsT, beta=1.0)),
    ]
    buffers = [rng.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8), array([1, 2, 3, 4]), array([1, 2])]
    codes = [code(name) for name in ("CONV_2D", "MEAN", "SOFTMAX")]
    made = serialize(model(tensors, operators, codes, (0,), (6,), buffers))
    image = metadata.Image(mean=(127.5,) * 3, std=(127.5,) * 3)
    outputs = metadata.outputs_for({"probabilities": (1, 4)}, 4)
    return metadata.add(made, name="net", description="a net", image=image, labels="a\nb\nc\nd\n", outputs=outputs)


def loop() -> bytes:
    """Counts to 5 in a WHILE, whose condition and body are graphs of their own."""
    t, ops = schema.TensorType, schema.BuiltinOptions
    less = make(
        schema.SubGraphT,
        name="condition",
        tensors=[tensor("i", (1,), t.INT32), tensor("most", (1,), t.INT32, 1), tensor("less", (1,), t.BOOL)],
        operators=[operation(1, (0, 1), (2,), ops.LessOptions, schema.LessOptionsT())],
        inputs=array([0]),
        outputs=array([2]),
    )
    add = make(
        schema.SubGraphT,
        name="body",
        tensors=[tensor("i", (1,), t.INT32), tensor("one", (1,), t.INT32, 2), tensor("sum", (1,), t.INT32)],
        operators=[operation(2, (0, 1), (2,), ops.AddOptions, schema.AddOptionsT())],
        inputs=array([0]),
        outputs=array([2]),
    )
    options = make(schema.WhileOptionsT, condSubgraphIndex=1, bodySubgraphIndex=2)
    return serialize(
        model(
            [tensor("from", (1,), t.INT32), tensor("to", (1,), t.INT32)],
            [operation(0, (0,), (1,), ops.WhileOptions, options)],
            [code("WHILE"), code("LESS"), code("ADD")],
            (0,),
            (1,),
            [array([5]), array([1])],
            [less, add],
        )
    )


def detector() -> bytes:
    """Reshaped floats of an image [1, 4, 4, 3] as boxes and scores of four anchors, with the detection op behind."""
    t, ops = schema.TensorType, schema.BuiltinOptions
    tensors = [
        tensor("image", (1, 4, 4, 3), t.FLOAT32),
        tensor("begin_boxes", (4,), t.INT32, 1),
        tensor("size_boxes", (4,), t.INT32, 2),
        tensor("part_boxes", (1, 4, 4, 1), t.FLOAT32),
        tensor("boxes", (1, 4, 4), t.FLOAT32),
        tensor("to_boxes", (3,), t.INT32, 3),
        tensor("begin_scores", (4,), t.INT32, 4),
        tensor("size_scores", (4,), t.INT32, 5),
        tensor("part_scores", (1, 4, 2, 1), t.FLOAT32),
        tensor("scores", (1, 4, 2), t.FLOAT32),
        tensor("to_scores", (3,), t.INT32, 6),
    ]
    slices, reshapes = (ops.SliceOptions, schema.SliceOptionsT()), (ops.ReshapeOptions, schema.ReshapeOptionsT())
    operators = [
        operation(0, (0, 1, 2), (3,), *slices),
        operation(1, (3, 5), (4,), *reshapes),
        operation(0, (0, 6, 7), (8,), *slices),
        operation(1, (8, 10), (9,), *reshapes),
    ]
    sizes = ([0] * 4, [1, 4, 4, 1], [1, 4, 4], [0] * 4, [1, 4, 2, 1], [1, 4, 2])
    made = model(tensors, operators, [code("SLICE"), code("RESHAPE")], (0,), (4, 9), [array(s) for s in sizes])
    anchors = np.array([[0.25, 0.25, 0.5, 0.5], [0.25, 0.75, 0.5, 0.5]] * 2, np.float32)
    data = append_detection_postprocess(
        serialize(made),
        box_encodings="boxes",
        class_scores="scores",
        anchors=anchors,
        num_classes=1,
        max_detections=3,
        detections_per_class=3,
        nms_score_threshold=0.0,
        nms_iou_threshold=0.5,
        use_regular_nms=True,
        y_scale=10.0,
        x_scale=10.0,
        h_scale=5.0,
        w_scale=5.0,
    )
    image = metadata.Image(mean=(0.0,) * 3, std=(255.0,) * 3)
    return metadata.add(data, name="detector", description="two boxes", image=image, labels="thing\n")


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Numbers of the flatbuffer, whole words mostly; the archive behind it; fields of the object, then packed."""
    if rng.random() < 0.4:
        return mutate_object(data, rng)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        kind, at = rng.randrange(8), rng.randrange(len(out))
        if kind < 3:
            at -= at % 4
            number = rng.choice(ODD) if rng.random() < 0.5 else rng.randrange(len(out))
            out[at : at + 4] = number.to_bytes(4, "little")
        elif kind == 3:
            out[at] = rng.randrange(256)
        elif kind == 4:
            at -= at % 2
            out[at : at + 2] = (rng.choice(ODD) % (1 << 16)).to_bytes(2, "little")
        elif kind == 5:
            at -= at % 4
            number = int.from_bytes(out[at : at + 4], "little") + rng.choice((-8, -4, -2, -1, 1, 2, 4, 8))
            out[at : at + 4] = (number % (1 << 32)).to_bytes(4, "little")
        elif kind == 6 and rng.random() < 0.3:
            del out[at:]
            out += data[:16] if not out else b""
        else:
            return repacked(bytes(out), rng)
    return bytes(out)


def repacked(data: bytes, rng: random.Random) -> bytes:
    """With other files packed behind it."""
    stream = io.BytesIO(data)
    how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    # What is not quite an archive any more gets none.
    with contextlib.suppress(NotImplementedError, struct.error), zipfile.ZipFile(stream, "a", how) as archive:
        for _ in range(rng.randrange(3)):
            name = rng.choice(("labels.txt", "../x.txt", "/etc/x", "\x1b[31m.txt", "a\\b.txt", "é.txt", "C:x.txt"))
            archive.writestr(zipfile.ZipInfo(name), rng.choice((b"", b"a\nb\n", b"\xff\xfe", b"x" * 1000)))
    out = bytearray(stream.getvalue())
    if rng.random() < 0.7:
        out[rng.randrange(len(data), len(out)) if len(out) > len(data) else -1] = rng.randrange(256)
    return bytes(out)


def mutate_object(data: bytes, rng: random.Random) -> bytes:
    """A sound flatbuffer of odd numbers: what a structure alone does not tell."""
    parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for _ in range(rng.choice((1, 1, 2, 4))):
        change_part(parsed, rng)
    try:
        return serialize(parsed)
    except Exception:  # what cannot be packed is no file
        return data


def change_part(parsed, rng: random.Random) -> None:
    graph = rng.choice(parsed.subgraphs)
    part = rng.choice(
        [
            graph,
            *graph.tensors * 2,
            *(t.quantization for t in graph.tensors if t.quantization),
            *graph.operators * 4,
            *(op.builtinOptions for op in graph.operators if op.builtinOptions),
            *parsed.operatorCodes * 2,
            *parsed.buffers,
            *(parsed.signatureDefs or ()),
            *(parsed.metadata or ()),
        ]
    )
    if not vars(part):
        return
    name = rng.choice(list(vars(part)))
    value = getattr(part, name)
    if isinstance(value, np.ndarray) and value.size:
        value = value.copy()
        with np.errstate(all="ignore"):
            value.flat[rng.randrange(value.size)] = np.array(rng.choice((*ODD[:9], -1, -2)), np.int64).astype(
                value.dtype
            )
        setattr(part, name, value if rng.random() < 0.8 else value[: rng.randrange(value.size)])
    elif isinstance(part, schema.OperatorCodeT) and rng.random() < 0.7:
        part.builtinCode = getattr(schema.BuiltinOperator, rng.choice(KINDS))
        part.deprecatedBuiltinCode = min(part.builtinCode, 127)
    elif isinstance(value, bool):
        setattr(part, name, not value)
    elif isinstance(value, int):
        setattr(part, name, rng.choice((0, 1, 2, 3, 5, 9, 17, value + 1, value - 1 if value else 1)))
    elif isinstance(value, float):
        setattr(part, name, rng.choice((0.0, -1.0, 1e38, float("nan"), float("inf"))))
    elif isinstance(value, bytes):
        setattr(part, name, rng.choice((b"", b"\x1b[31m", b"[/x]", "é".encode(), value + value)))
    elif isinstance(value, list) and value:
        value = value.copy()
        if isinstance(value[0], float):
            value[0] = rng.choice((0.0, float("nan"), 1e38))
        elif rng.random() < 0.5:
            value.append(value[rng.randrange(len(value))])
        else:
            del value[rng.randrange(len(value))]
        setattr(part, name, value)
