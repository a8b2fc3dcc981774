"""Which delegate can take a TFLite graph: what its documentation says of operations, types and shapes.

A delegate is the part of a runtime that hands operations to an accelerator; what it does not take falls back to the
CPU. No device is asked: these are the documented lists, and a device may take less.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D")
EIGHT_BITS = ("int8", "uint8")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# tensorflow/lite/delegates/xnnpack/README.md
XNNPACK = _names("""
    ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CEIL CONCATENATION CONV_2D COS DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
    DIV ELU EXP EXPAND_DIMS FLOOR FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN
    MINIMUM MUL NEG PAD PRELU QUANTIZE RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR ROUND RSQRT SIN SLICE SOFTMAX
    SPACE_TO_DEPTH SPLIT SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
""")
XNNPACK_8_BITS = _names("""
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE ELU EXPAND_DIMS
    FULLY_CONNECTED LEAKY_RELU LOGISTIC MAX_POOL_2D MEAN MUL PAD QUANTIZE RESHAPE RESIZE_BILINEAR SLICE SPLIT
    STRIDED_SLICE SUB TANH TRANSPOSE TRANSPOSE_CONV
""")
# tensorflow/lite/g3doc/performance/gpu_advanced.md, and what its model builder has besides
GPU = _names("""
    ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE
    DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH
    LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE
    RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT_V2 SIGN SIN SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT
    SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TRANSPOSE TRANSPOSE_CONV UNPACK DEQUANTIZE QUANTIZE
""")
# developer.android.com, NNAPI 1.0 to 1.3, as tensorflow/lite/delegates/nnapi maps them
NNAPI = _names("""
    ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_TO_SPACE_ND CAST CONCATENATION CONV_2D DEPTHWISE_CONV_2D
    DEPTH_TO_SPACE DEQUANTIZE DIV ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FULLY_CONNECTED GATHER GREATER
    GREATER_EQUAL HARD_SWISH HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL
    LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX LSTM MAXIMUM MAX_POOL_2D
    MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_ANY REDUCE_MAX REDUCE_MIN
    REDUCE_PROD RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RNN RSQRT SELECT SIN SLICE
    SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SQRT SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH
    TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV
""")
# coral.ai/docs/edgetpu/models-intro, "Supported operations"
EDGE_TPU = _names("""
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED L2_NORMALIZATION LOGISTIC
    LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1
    RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE
    SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
""")
COMPILED = "edgetpu-custom-op"


def judge(name: str, ops: Sequence[Any]) -> dict[str, Any]:
    """What a delegate takes of the main graph's ops: a share, what falls back and why.

    {"name", "ops", "of", "parts", "falls_back": [{"op", "count", "reason"}], "notes"}. `parts`: how many pieces of the
    graph it gets; each means data handed over and back.
    """
    rule, notes = DELEGATES[name]
    reasons = [rule(op) for op in ops]
    if name == "Edge TPU":
        reasons = in_one_piece(ops, reasons)
    taken = [not r for r in reasons]
    left = Counter((op.name, reason) for op, reason in zip(ops, reasons, strict=True) if reason)
    return {
        "name": name,
        "ops": sum(taken),
        "of": len(ops),
        "parts": parts(ops, taken),
        "falls_back": [{"op": op, "count": n, "reason": reason} for (op, reason), n in left.items()],
        "notes": list(notes(ops)),
    }


def parts(ops: Sequence[Any], taken: Sequence[bool]) -> int:
    """Into how many pieces a runtime cuts what is taken: as much as can run at once goes into one."""
    waiting = {id(t) for op in ops for t in op.outputs}
    left, count, mine, idle = list(range(len(ops))), 0, True, 0
    while left and idle < 2:  # twice: a loop, which only a damaged file has
        before, now = len(left), [-1]
        while now:
            now = [i for i in left if taken[i] == mine and not any(id(t) in waiting for t in ops[i].inputs if t)]
            waiting -= {id(t) for i in now for t in ops[i].outputs}
            left = [i for i in left if i not in now]
        idle = idle + 1 if len(left) == before else 0
        count += mine and not idle
        mine = not mine
    return count


def dynamic(op) -> str:
    shapes = [t.shape for t in (*op.inputs, *op.outputs) if t]
    return "a shape that is not fixed" if any(d < 0 for s in shapes for d in s) else ""


def listed(op, known) -> str:
    if op.custom:
        return "a custom op"
    return "" if op.name in known else "not an op of its list"


def moving(op) -> list[Any]:
    """The tensors that are computed, not constants."""
    return [t for t in (*op.inputs, *op.outputs) if t and not t.constant]


def xnnpack(op) -> str:
    reason = listed(op, XNNPACK) or dynamic(op)
    if reason:
        return reason
    if op.name == "DEQUANTIZE" and op.inputs[0].constant:  # folded into who reads it
        return ""
    types = {t.dtype for t in moving(op)}
    floats, eights = "float32" in types, types & set(EIGHT_BITS)
    if types - {"float32", *EIGHT_BITS}:
        return f"of {', '.join(sorted(types))}"
    if eights and op.name not in XNNPACK_8_BITS:
        return "in 8 bits"
    if floats and not eights and op.name == "DEPTHWISE_CONV_2D" and op.inputs[1].dtype == "int8":
        return "8-bit weights for float32"
    if op.name == "CONCATENATION" and len(op.inputs) > 5:
        return "more than five inputs"
    return ""


def gpu(op) -> str:
    reason = listed(op, GPU) or dynamic(op)
    types = {t.dtype for t in moving(op)}
    known = {"float32", "float16", "int8", "uint8"}
    if op.name in ("CAST", "GATHER", "ONE_HOT", "EQUAL", "LESS", "GREATER", "SELECT_V2"):
        known |= {"int32", "bool"}
    if not reason and types - known:
        reason = f"of {', '.join(sorted(types - known))}"
    return reason or ("more than four dimensions" if deep(op) else "")


def nnapi(op) -> str:
    reason = listed(op, NNAPI) or dynamic(op)
    types = {t.dtype for t in moving(op)} - {"float32", "float16", "int8", "uint8", "int32", "bool"}
    return reason or (f"of {', '.join(sorted(types))}" if types else "more than four dimensions" if deep(op) else "")


def deep(op) -> bool:
    return any(len(t.shape) > 4 for t in (*op.inputs, *op.outputs) if t)


def edge_tpu(op) -> str:
    if op.name == COMPILED:
        return ""
    reason = listed(op, EDGE_TPU) or dynamic(op)
    if reason:
        return reason
    wide = [t.dtype for t in moving(op) if t.dtype not in EIGHT_BITS]
    if wide:
        return f"of {wide[0]}, not 8 bits"
    if any(d > 1 for t in moving(op) for d in t.shape[:-3]):
        return "more than three dimensions above 1"
    return limited(op)


def limited(op) -> str:
    """The documentation's "known limitations" that the file shows."""
    get = lambda name: getattr(op.options, name, None) or 0  # noqa: E731
    if op.name in ("AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D") and get("fusedActivationFunction"):
        return "with a fused activation"
    across, down = get("dilationWFactor") or 1, get("dilationHFactor") or 1
    if op.name == "DEPTHWISE_CONV_2D" and max(across, down) > 1:
        return "with a dilated kernel"
    if op.name == "CONV_2D" and across != down:
        return "with two dilations"
    if op.name == "SOFTMAX" and (last := op.inputs[0].shape) and (sum(d > 1 for d in last) > 1 or max(last) > 16_000):
        return "over more than one dimension, or 16,000 values"
    if op.name == "STRIDED_SLICE" and any(s != 1 for s in integers(op.inputs[3])):
        return "with strides above 1"
    if op.name in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN") and 0 in integers(op.inputs[1]):
        return "over the batch"
    if op.name == "PACK" and not get("axis"):
        return "over the batch"
    return ""


def integers(tensor) -> list[int]:
    """The values of an int32 constant; none where it is computed."""
    import numpy as np

    return [] if tensor is None or tensor.values is None else np.frombuffer(bytes(tensor.values), np.int32).tolist()


def in_one_piece(ops, reasons: Sequence[str]) -> list[str]:
    """Its compiler takes one piece: what comes behind an op that falls back, after some that it took, stays too."""
    taken: set[int] = set()  # tensors behind an op that it takes
    left: set[int] = set()  # and behind one that it then does not
    out = []
    for op, reason in zip(ops, reasons, strict=True):
        inputs = {id(t) for t in op.inputs if t}
        if not reason and inputs & left:
            reason = "behind an op that it cannot take"
        out.append(reason)
        outputs = {id(t) for t in op.outputs}
        if not reason or inputs & taken:
            taken |= outputs
        if reason and inputs & taken:
            left |= outputs
    return out


def _edge_notes(ops):
    if any(op.name == COMPILED for op in ops):
        yield "compiled for it already"
    elif all(edge_tpu(op) for op in ops if op.name in WEIGHTED):
        yield "needs a fully quantised file: --quantize int8 or uint8"
    else:
        yield "compile it: edgetpu_compiler FILE"


def _gpu_notes(ops):
    if any(t.dtype in EIGHT_BITS for op in ops for t in moving(op)):
        yield "8-bit graphs need quantised models allowed, and are computed in float"
    if any(op.custom and op.name == "TFLite_Detection_PostProcess" for op in ops):
        yield "--tflite-head decoded or raw leaves the NMS op out"


def _nnapi_notes(ops):
    yield "deprecated since Android 15"


def _no_notes(ops):
    return ()


DELEGATES: dict[str, tuple[Callable[[Any], str], Callable[[Sequence[Any]], Any]]] = {
    "XNNPACK": (xnnpack, _no_notes),
    "GPU": (gpu, _gpu_notes),
    "NNAPI": (nnapi, _nnapi_notes),
    "Edge TPU": (edge_tpu, _edge_notes),
}
