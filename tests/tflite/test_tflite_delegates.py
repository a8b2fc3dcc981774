"""What each delegate takes, one operation at a time: XNNPACK against the runtime, the others by their documents."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from visionport import Options, export
from visionport.inputs import pictures
from visionport.tflite import contents, flatbuffer
from visionport.tflite.delegates import judge
from visionport.tflite.delegates.rules import edge_tpu, gpu, nnapi, xnnpack


def tensor(shape=(1, 8, 8, 4), dtype="float32", values=None, scale=0.5, zero=0, scales=None):
    """Of int8 and uint8, quantised with one scale; a constant where values are given."""
    data = None
    if values is not None:
        data = np.broadcast_to(np.array(values, dtype), shape).astype(dtype).tobytes()
    found = scales or ((scale,) if dtype in ("int8", "uint8") else ())
    return contents.Tensor(
        name=f"t{next(COUNT)}",
        shape=tuple(shape),
        dtype=dtype,
        scales=found,
        zero_points=(zero,) * len(found),
        size=None if data is None else len(data),
        values=data,
    )


COUNT = iter(range(10**6))


def op(name, *inputs, out=None, custom=False, kind=None, **options):
    """`kind`: the schema's table of options."""
    outputs = out if isinstance(out, tuple) else (out or tensor(dtype=inputs[0].dtype),)
    table = None
    if kind:
        table = getattr(schema, f"{kind}T")()
        for key, value in options.items():
            assert hasattr(table, key)
            setattr(table, key, value)
    return contents.Op(name=name, custom=custom, inputs=inputs, outputs=outputs, options=table)


def ints(*values, shape=None):
    return tensor(shape or (len(values),), "int32", np.reshape(values, shape or (len(values),)))


def quantised(shape=(1, 8, 8, 4), dtype="int8", **kind):
    return tensor(shape, dtype, **kind)


def weights(shape=(4, 1, 1, 4), dtype="float32", **kind):
    return tensor(shape, dtype, 1, **kind)


BIAS, BIAS32 = weights((4,)), tensor((4,), "int32", 0, scales=(0.25,))
CONV = {"kind": "Conv2DOptions", "strideW": 1, "strideH": 1}
DEPTHWISE = {"kind": "DepthwiseConv2DOptions", "strideW": 1, "strideH": 1, "depthMultiplier": 1}
POOL = {"kind": "Pool2DOptions", "filterWidth": 2, "filterHeight": 2, "strideW": 1, "strideH": 1}
A = tensor()
AXES = ints(1, 2)
PER_CHANNEL = {"dtype": "int8", "scales": (0.5, 0.4, 0.3, 0.2)}


def pool(name="MAX_POOL_2D", given=A, out=None, **options):
    return op(name, given, out=out or tensor(dtype=given.dtype), **POOL | options)


def slices(*sizes):
    return op("SLICE", A, ints(0, 0, 0, 0), ints(*sizes), out=tensor((1, 4, 8, 4)))


def strided(masks=None, strides=(1, 1, 1, 1), out=(1, 4, 8, 4)):
    limits = ints(0, 0, 0, 0), ints(1, 4, 8, 4), ints(*strides)
    return op("STRIDED_SLICE", A, *limits, out=tensor(out), kind="StridedSliceOptions", **masks or {})


def split(parts):
    outputs = tuple(tensor((1, 8, 8, 8 // parts)) for _ in range(parts))
    return op("SPLIT", ints(3), tensor((1, 8, 8, 8)), out=outputs, kind="SplitOptions", numSplits=parts)


def concat(*inputs, out=None):
    depth = sum(t.shape[-1] for t in inputs)
    wide = tensor((1, 8, 8, depth), inputs[0].dtype)
    return op("CONCATENATION", *inputs, out=out or wide, kind="ConcatenationOptions", axis=3)


def softmax(beta):
    return op("SOFTMAX", A, kind="SoftmaxOptions", beta=beta)


def add(a, b, out, **options):
    return op("ADD", a, b, out=out, kind="AddOptions", **options)


Q = quantised()
TAKEN = ""
XNNPACK = [
    (TAKEN, add(A, A, tensor())),
    ("with a fused TANH or SIGN_BIT", add(A, A, tensor(), fusedActivationFunction=4)),
    (TAKEN, add(Q, quantised(), quantised())),
    (TAKEN, add(quantised(dtype="uint8"), quantised(dtype="uint8"), quantised(dtype="uint8"))),
    ("scales too far apart", add(quantised(scale=1000.0), Q, quantised(scale=1.0))),
    ("not an op of its list", op("RESIZE_NEAREST_NEIGHBOR", A, ints(8, 8), kind="ResizeNearestNeighborOptions")),
    (TAKEN, op("RESIZE_BILINEAR", A, ints(8, 8), kind="ResizeBilinearOptions")),
    ("of int32", add(*[tensor(dtype="int32") for _ in range(3)])),
    (
        "of int16",
        op("LOGISTIC", tensor(dtype="int16", scales=(2.0**-12,)), out=tensor(dtype="int16", scales=(2**-15,))),
    ),
    (TAKEN, op("LOGISTIC", Q, out=quantised(scale=1 / 256, zero=-128))),
    ("in 8 bits", pool("AVERAGE_POOL_2D", Q)),
    (TAKEN, pool("AVERAGE_POOL_2D")),
    (TAKEN, pool()),
    (TAKEN, pool(given=Q)),
    ("a stride above the pool's size", pool(strideW=3, strideH=3, out=tensor((1, 3, 3, 4)))),
    ("a stride above the pool's size", pool(filterWidth=1, filterHeight=1, strideW=2, strideH=2)),
    ("in 8 bits", op("SOFTMAX", Q, out=quantised(scale=1 / 256, zero=-128), kind="SoftmaxOptions", beta=1.0)),
    (TAKEN, softmax(1.0)),
    ("a beta that is not 1", softmax(0.5)),
    (TAKEN, op("CONV_2D", A, weights(), BIAS, **CONV)),
    ("no bias", op("DEPTHWISE_CONV_2D", A, weights((1, 1, 1, 4)), **DEPTHWISE)),
    (
        TAKEN,
        op(
            "TRANSPOSE_CONV",
            ints(1, 8, 8, 4),
            weights(),
            A,
            out=tensor(),
            kind="TransposeConvOptions",
            strideW=1,
            strideH=1,
        ),
    ),
    ("weights or shapes that are computed", op("CONV_2D", A, tensor((4, 1, 1, 4)), BIAS, **CONV)),
    (TAKEN, op("CONV_2D", A, weights(**PER_CHANNEL), BIAS, **CONV)),
    ("int8 weights for float32", op("DEPTHWISE_CONV_2D", A, weights((1, 1, 1, 4), "int8"), BIAS, **DEPTHWISE)),
    (TAKEN, op("DEPTHWISE_CONV_2D", A, weights((1, 1, 1, 4)), BIAS, **DEPTHWISE)),
    (TAKEN, op("CONV_2D", Q, weights(dtype="int8"), BIAS32, out=quantised(), **CONV)),
    (TAKEN, concat(*[A] * 5)),
    ("more than five inputs", concat(*[A] * 6)),
    (TAKEN, concat(Q, quantised())),
    (TAKEN, concat(*[quantised(dtype="uint8")] * 2)),
    (TAKEN, split(4)),
    ("more than four outputs", split(8)),
    (TAKEN, slices(1, 4, 8, 4)),
    ("up to the end, without a size", slices(1, 4, -1, 4)),
    (TAKEN, strided()),
    ("with a mask, or strides that are not 1", strided(strides=(1, 2, 1, 1), out=(1, 2, 8, 4))),
    ("with a mask, or strides that are not 1", strided({"shrinkAxisMask": 1}, out=(4, 8, 4))),
    (TAKEN, op("PAD", A, ints(0, 0, 1, 1, 1, 1, 0, 0, shape=(4, 2)), out=tensor((1, 10, 10, 4)))),
    ("weights or shapes that are computed", op("TRANSPOSE", A, tensor((4,), "int32"), out=tensor((1, 8, 8, 4)))),
    (TAKEN, op("TRANSPOSE", A, ints(0, 2, 1, 3))),
    (TAKEN, op("RESHAPE", A, ints(1, 256), out=tensor((1, 256)), kind="ReshapeOptions")),
    ("scales that differ", op("RESHAPE", Q, ints(1, 256), out=quantised((1, 256), scale=0.25), kind="ReshapeOptions")),
    (TAKEN, op("MEAN", Q, AXES, out=quantised((1, 4)), kind="ReducerOptions")),
    (TAKEN, op("REDUCE_MAX", A, AXES, out=tensor((1, 4)), kind="ReducerOptions")),
    (TAKEN, op("SUM", A, AXES, out=tensor((1, 4)), kind="ReducerOptions")),
    ("in 8 bits", op("HARD_SWISH", Q, out=quantised())),
    ("in 8 bits", op("RELU", Q, out=quantised())),
    (TAKEN, op("MAXIMUM", A, A, kind="MaximumMinimumOptions")),
    ("in 8 bits", op("MAXIMUM", Q, quantised(), out=quantised(), kind="MaximumMinimumOptions")),
    (TAKEN, op("QUANTIZE", A, out=quantised())),
    (TAKEN, op("DEQUANTIZE", Q, out=tensor())),
    ("between int8 and uint8", op("QUANTIZE", quantised(dtype="uint8", zero=128), out=quantised())),
    (
        TAKEN,
        op("FULLY_CONNECTED", tensor((1, 4)), weights((4, 4)), BIAS, out=tensor((1, 4)), kind="FullyConnectedOptions"),
    ),
    (TAKEN, op("SPACE_TO_DEPTH", A, out=tensor((1, 4, 4, 16)), kind="SpaceToDepthOptions", blockSize=2)),
    (TAKEN, add(tensor((-1, 8, 8, 4)), A, tensor((-1, 8, 8, 4)))),
    ("scales that differ", concat(*[quantised(dtype="uint8")] * 2, out=quantised((1, 8, 8, 8), "uint8", scale=1.0))),
    ("scales too far apart", op("QUANTIZE", quantised(scale=1000.0), out=quantised(scale=1.0))),
    ("a negative padding", op("PAD", A, ints(0, 0, -1, 1, 1, -1, 0, 0, shape=(4, 2)))),
]


def file_of(*ops) -> bytes:
    """A TFLite file of these operations; what none of them makes is its input, what none reads its output."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    tensors = list({id(t): t for it in ops for t in (*it.inputs, *it.outputs)}.values())
    place = {id(t): i for i, t in enumerate(tensors)}
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []
    graph.tensors, graph.operators = [], []
    for t in tensors:
        made = schema.TensorT()
        made.name, made.type = t.name.encode(), getattr(schema.TensorType, t.dtype.upper())
        made.shape, made.shapeSignature = [abs(n) for n in t.shape], list(t.shape) if -1 in t.shape else None
        if t.scales:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = list(t.scales), list(t.zero_points)
        if t.constant:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(t.values, np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
    for it in ops:
        code, node = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, it.name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        node.opcodeIndex = len(model.operatorCodes)
        node.inputs, node.outputs = [place[id(t)] for t in it.inputs], [place[id(t)] for t in it.outputs]
        if it.options is not None:
            node.builtinOptions = it.options
            node.builtinOptionsType = getattr(schema.BuiltinOptions, type(it.options).__name__[:-1])
        model.operatorCodes.append(code)
        graph.operators.append(node)
    computed = {place[id(t)] for it in ops for t in it.outputs}
    graph.inputs = [i for i, t in enumerate(tensors) if not t.constant and i not in computed]
    read = {place[id(t)] for it in ops for t in it.inputs}
    graph.outputs = sorted(computed - read)
    model.subgraphs = [graph]
    return flatbuffer.serialize(model)


def taken_by_the_runtime(data: bytes) -> tuple[list[bool], int]:
    """Which operations XNNPACK got, and in how many pieces: all that lies between a piece's inputs and outputs."""
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    nodes = flatbuffer.parse(data).subgraphs[0].operators
    maker = {int(o): i for i, node in enumerate(nodes) for o in node.outputs}
    taken, pieces = set(), 0
    for piece in interpreter._get_ops_details():
        if piece["op_name"] == "DELEGATE":
            pieces += 1
            ends, todo = {*map(int, piece["inputs"])}, [*map(int, piece["outputs"])]
            while todo:
                t = todo.pop()
                if t not in ends and t in maker and maker[t] not in taken:
                    taken.add(maker[t])
                    todo += [int(i) for i in nodes[maker[t]].inputs]
    return [i in taken for i in range(len(nodes))], pieces


def what(case) -> str:
    reason, it = case
    return f"{it.name}-{it.inputs[0].dtype}-{reason or 'taken'}"


@pytest.mark.parametrize("case", XNNPACK, ids=what)
def test_xnnpack_takes_what_the_runtime_gives_it(case):
    reason, it = case
    assert xnnpack(it) == reason
    try:
        taken, _ = taken_by_the_runtime(file_of(it))
    except RuntimeError:  # the runtime itself cannot run it
        assert reason
    else:
        assert taken == [not reason]


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_unpacked_weights_stay_where_one_reader_stays(dtype):
    packed = tensor((4, 1, 1, 4), dtype, 1)
    unpacked, mixed = tensor((4, 1, 1, 4)), tensor((4, 1, 1, 4))
    dequantise, layer = op("DEQUANTIZE", packed, out=unpacked), op("CONV_2D", A, unpacked, BIAS, **CONV)
    other = op("SIGN", unpacked, out=mixed)
    for ops, taken in ([[dequantise, layer], [True, True]], [[dequantise, layer, other], [False, True, False]]):
        reasons = judge.reasons_of("XNNPACK", ops)
        assert [not r for r in reasons] == taken
        assert taken_by_the_runtime(file_of(*ops)) == (taken, 1)
    assert reasons[0] == "read by an op that it cannot take"


KINDS = {
    "float32": {},
    "float16": {"quantize": "float16", "tflite_head": "decoded"},
    "dynamic": {"quantize": "dynamic"},
    "uint8": {"quantize": "uint8", "tflite_head": "raw", "calibration": pictures.example("digits/images")},
}


@pytest.fixture(scope="module", params=KINDS)
def file(request, tmp_path_factory, digits, exported):
    """The digits detector, quantised and with other heads."""
    if request.param == "float32":
        return exported / "model.tflite"
    out = tmp_path_factory.mktemp(request.param) / "out"
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt", "out": out}
    options = Options(**places, formats=("tflite",), verify=False, **KINDS[request.param])
    return export(options).out / "model.tflite"


def test_xnnpack_of_a_whole_file_is_the_runtimes(file):
    """Every operation, and the number of pieces."""
    data = file.read_bytes()
    parsed = flatbuffer.parse(data)
    graph = parsed.subgraphs[0]
    ops = list(contents.ops_of(parsed, graph, contents.tensors_of(parsed, graph)))
    taken, pieces = taken_by_the_runtime(data)
    reasons = zip(ops, judge.reasons_of("XNNPACK", ops), taken, strict=True)
    assert not [(o.name, reason) for o, reason, really in reasons if really == bool(reason)]
    assert judge.judge("XNNPACK", ops)["parts"] == pieces


LIMITS = [
    (edge_tpu, "", pool(given=Q)),
    (edge_tpu, "with a fused activation", pool(given=Q, fusedActivationFunction=3)),
    (
        edge_tpu,
        "",
        op("DEPTHWISE_CONV_2D", Q, weights(dtype="int8"), dilationWFactor=2, dilationHFactor=2, **DEPTHWISE),
    ),
    (edge_tpu, "with two dilations", op("CONV_2D", Q, weights(dtype="int8"), dilationWFactor=2, **CONV)),
    (edge_tpu, "a shape that is not fixed", add(Q, quantised((-1, 8, 8, 4)), quantised())),
    (edge_tpu, "of float32, not 8 bits", add(Q, A, quantised())),
    (edge_tpu, "not an op of its list", op("HARD_SWISH", Q)),
    (edge_tpu, "over the batch", op("MEAN", Q, ints(0, 1))),
    (edge_tpu, "over the batch", op("MEAN", Q, ints(-4))),
    (edge_tpu, "", op("MEAN", Q, AXES)),
    (edge_tpu, "over a depth that four does not divide", op("MEAN", quantised((1, 8, 8, 6)), ints(3), out=Q)),
    (edge_tpu, "of more than leading dimensions", op("SQUEEZE", quantised((5, 1, 10)), out=quantised((5, 10)))),
    (edge_tpu, "", op("SQUEEZE", quantised((1, 5, 10)), out=quantised((5, 10)))),
    (edge_tpu, "over the batch", op("PAD", Q, ints(0, 1, 0, 0, 0, 0, 0, 0, shape=(4, 2)))),
    (edge_tpu, "", op("PAD", Q, ints(0, 0, 1, 1, 1, 1, 0, 0, shape=(4, 2)))),
    (edge_tpu, "over the batch", op("SPLIT", ints(0), Q, out=Q)),
    (edge_tpu, "over the batch", op("PACK", Q, Q, kind="PackOptions", axis=0)),
    (edge_tpu, "more than three dimensions above 1", add(quantised((2, 8, 8, 4)), Q, quantised((2, 8, 8, 4)))),
    (edge_tpu, "a custom op", op("MyOp", Q, custom=True)),
    (edge_tpu, "", op("edgetpu-custom-op", Q, custom=True)),
    (edge_tpu, "", concat(Q, tensor(dtype="int8", values=7, zero=7))),
    (edge_tpu, "with a constant that is no padding by zeros", concat(Q, tensor(dtype="int8", values=3))),
    (edge_tpu, "with a constant that is no padding by zeros", concat(Q, Q, tensor(dtype="int8", values=0))),
    (edge_tpu, "with strides above 1", op("STRIDED_SLICE", Q, AXES, AXES, ints(1, 2, 1, 1))),
    (edge_tpu, "over more than one dimension, or 16,000 values", op("SOFTMAX", Q)),
    (edge_tpu, "", op("SOFTMAX", quantised((1, 91)))),
    (edge_tpu, "more than one slope in a channel", op("PRELU", Q, tensor((8, 8, 4), "int8", 1))),
    (edge_tpu, "", op("PRELU", Q, tensor((1, 1, 4), "int8", 1))),
    (
        edge_tpu,
        "more than one row",
        op("FULLY_CONNECTED", quantised((3, 4)), weights((4, 4), "int8"), out=quantised((3, 4))),
    ),
    (edge_tpu, "weights or shapes that are computed", op("CONV_2D", Q, quantised((4, 1, 1, 4)), **CONV)),
    (gpu, "", add(A, tensor((1, 8, 4)), A)),
    (gpu, "inputs of two ranks", add(A, tensor((8, 4)), A)),
    (gpu, "", add(Q, Q, quantised())),
    (gpu, "of int32", add(*[tensor(dtype="int32")] * 3)),
    (gpu, "", op("CAST", tensor(dtype="int32"), out=A)),
    (gpu, "more than four dimensions", op("EXP", tensor((1, 1, 8, 8, 4)))),
    (gpu, "not an op of its list", op("TOPK_V2", A)),
    (gpu, "a custom op", op("TFLite_Detection_PostProcess", A, custom=True)),
    (gpu, "", op("MaxUnpooling2D", A, custom=True)),
    (gpu, "", op("ADD_N", A, A)),
    (gpu, "more than two inputs", op("ADD_N", A, A, A)),
    (gpu, "with a mask", strided({"shrinkAxisMask": 1})),
    (gpu, "", strided()),
    (gpu, "not of three or four dimensions", op("SLICE", tensor((8, 4)), ints(0, 0), ints(1, 1))),
    (gpu, "shapes or axes that are computed", op("RESHAPE", A, tensor((2,), "int32"))),
    (gpu, "a beta that is not 1", softmax(2.0)),
    (nnapi, "", add(Q, Q, quantised())),
    (nnapi, "in 8 bits", op("EXP", Q)),
    (nnapi, "of int16", op("LOGISTIC", tensor(dtype="int16"))),
    (nnapi, "with a fused activation", op("CONCATENATION", A, kind="ConcatenationOptions", fusedActivationFunction=1)),
    (nnapi, "not an op of its list", op("GELU", A)),
    (nnapi, "no bias", op("CONV_2D", A, weights(), **CONV)),
    (nnapi, "weights or shapes that are computed", op("RESHAPE", A, tensor((2,), "int32"))),
]


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: f"{case[0].__name__}-{what(case[1:])}")
def test_limits_of_the_documents(case):
    rule, reason, it = case
    assert rule(it) == reason


def test_pieces_begin_with_what_comes_first():
    a, b = tensor(), tensor()
    ops = [op("SIGN", A, out=a), add(A, A, b), add(a, b, tensor())]
    assert judge.pieces(ops, [False, True, True]) == [[1, 2]]
    assert taken_by_the_runtime(file_of(*ops)) == ([False, True, True], 1)
    ops = [ops[1], ops[0], ops[2]]
    assert len(judge.pieces(ops, [True, False, True])) == taken_by_the_runtime(file_of(*ops))[1] == 2


B, C, D, E = (quantised() for _ in range(4))
FIRST, ODD, LAST, MORE = add(Q, Q, B), op("CUMSUM", B, out=C), add(C, C, D), add(D, D, E)


def test_the_edge_tpu_takes_one_piece():
    judged = judge.judge("Edge TPU", [FIRST, ODD, LAST])
    assert judged["ops"] == 1
    assert judged["falls_back"][1]["reason"] == "behind an op that it cannot take"
    assert judge.judge("XNNPACK", [FIRST, ODD, LAST])["parts"] == 2


def test_the_gpu_takes_its_largest_piece():
    odd = op("TOPK_V2", B, out=C)
    judged = judge.judge("GPU", [FIRST, odd, LAST, MORE])
    assert (judged["ops"], judged["parts"]) == (2, 1)
    assert judged["falls_back"][0] == {
        "op": "ADD",
        "count": 1,
        "reason": "outside the largest part, all it takes by default",
    }
    assert judge.judge("NNAPI", [FIRST, ODD, LAST, MORE])["parts"] == 2
