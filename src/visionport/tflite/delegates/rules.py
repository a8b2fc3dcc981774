"""Why a delegate leaves an operation: its types, shapes and limits, as far as a TFLite file shows them.

Each rule takes an operation and the ids of tensors that are constants once unpacked (weights behind a DEQUANTIZE), and
gives the reason, or "" where the delegate takes it. Sources are those of `tflite_delegate_ops`. XNNPACK's are held
against the installed runtime by the tests; Edge TPU's against what its compiler made of published files.
"""

from collections.abc import Collection
from typing import Any

from visionport.inputs.quantization import EIGHT_BITS
from visionport.tflite.delegates import ops as lists

# Inputs that have to be constants. Of TRANSPOSE_CONV: the output's shape, weights, bias.
STATIC = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "EXPAND_DIMS": (1,),
    "FULLY_CONNECTED": (1, 2),
    "MEAN": (1,),
    "PAD": (1,),
    "PRELU": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1, 3),
}
WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU", "TRANSPOSE_CONV")  # may be computed on a GPU
POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")
REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")


def moving(op) -> list[Any]:
    """The tensors that are computed, not constants."""
    return [t for t in (*op.inputs, *op.outputs) if t and not t.constant]


def types_of(op, unpacked: Collection[int]) -> set[str]:
    return {t.dtype for t in moving(op) if id(t) not in unpacked}


def of(types: Collection[str]) -> str:
    return f"of {', '.join(sorted(types))}"


def given(op, i: int):
    """The input, or None where it is left out."""
    return op.inputs[i] if i < len(op.inputs) else None


def option(op, name: str):
    """A number of its options; 0 where it has none."""
    return getattr(op.options, name, None) or 0


def integers(tensor) -> list[int]:
    """The values of a constant of integers; none where it is computed."""
    import numpy as np

    if tensor is None or tensor.values is None:
        return []
    return np.frombuffer(bytes(tensor.values), np.int64 if tensor.dtype == "int64" else np.int32).tolist()


def dynamic(op) -> str:
    shapes = [t.shape for t in (*op.inputs, *op.outputs) if t]
    return "a shape that is not fixed" if any(d < 0 for s in shapes for d in s) else ""


def listed(op, known: Collection[str], custom: Collection[str] = ()) -> str:
    if op.name in (custom if op.custom else known):
        return ""
    return "a custom op" if op.custom else "not an op of its list"


def computed(op, unpacked: Collection[int]) -> str:
    """Where weights, shapes or axes are no constants."""
    tensors = (given(op, i) for i in STATIC.get(op.name, ()))
    return "weights or shapes that are computed" if any(t and computes(t, unpacked) for t in tensors) else ""


def computes(tensor, unpacked: Collection[int]) -> bool:
    return not tensor.constant and id(tensor) not in unpacked


def deep(op, most: int) -> str:
    known = {4: "four", 6: "six"}
    shapes = [t.shape for t in (*op.inputs, *op.outputs) if t]
    return f"more than {known[most]} dimensions" if any(len(s) > most for s in shapes) else ""


def folded(op) -> bool:
    """A constant that is unpacked when the file is loaded."""
    source = given(op, 0) if op.name == "DEQUANTIZE" else None
    return source is not None and source.constant and source.dtype in ("float16", "int8")


def masked(op) -> bool:
    return any(option(op, name) for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"))


def xnnpack(op, unpacked: Collection[int] = ()) -> str:
    if folded(op):
        return ""
    return (
        listed(op, lists.XNNPACK, lists.XNNPACK_CUSTOM)
        or computed(op, unpacked)
        or xnnpack_types(op, unpacked)
        or deep(op, 6)
        or xnnpack_limits(op)
        or xnnpack_scales(op)
    )


def xnnpack_types(op, unpacked: Collection[int]) -> str:
    types = types_of(op, unpacked)
    others = types - {"float32", *EIGHT_BITS}
    if others or op.custom:
        return of(others) if others else ""
    eights = types & set(EIGHT_BITS)
    if op.name == "QUANTIZE" and len(eights) > 1:
        return "between int8 and uint8"
    if eights and (op.name not in lists.XNNPACK_8_BITS or (op.name == "ELU" and "uint8" in eights)):
        return "in 8 bits"
    if len(types) > 1 and op.name not in ("QUANTIZE", "DEQUANTIZE"):
        return "of mixed types"
    if any(t.dtype in EIGHT_BITS and len(t.scales) != 1 for t in moving(op) if id(t) not in unpacked):
        return "8 bits without one scale"
    weights = given(op, 1)
    if op.name in (*lists.XNNPACK_DYNAMIC, "DEPTHWISE_CONV_2D") and weights and weights.constant:
        unlike = weights.dtype not in types and weights.dtype != "float16"
        if unlike and not (types == {"float32"} and weights.dtype == "int8" and op.name in lists.XNNPACK_DYNAMIC):
            return f"{weights.dtype} weights for {', '.join(sorted(types))}"
    return ""


def xnnpack_limits(op) -> str:
    if option(op, "fusedActivationFunction") > 3 and op.name != "CONCATENATION":  # RELU, RELU_N1_TO_1, RELU6
        return "with a fused TANH or SIGN_BIT"
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and given(op, 2) is None:
        return "no bias"
    if op.name in POOLS:
        strides = option(op, "strideH"), option(op, "strideW")
        if strides[0] > option(op, "filterHeight") or strides[1] > option(op, "filterWidth"):
            return "a stride above the pool's size"
    if op.name == "CONCATENATION" and not 2 <= len(op.inputs) <= 5:
        return "one input" if len(op.inputs) < 2 else "more than five inputs"
    if op.name == "SPLIT" and not 2 <= len(op.outputs) <= 4:
        return "one output" if len(op.outputs) < 2 else "more than four outputs"
    if op.name == "SOFTMAX" and option(op, "beta") != 1:
        return "a beta that is not 1"
    if op.name == "STRIDED_SLICE" and (masked(op) or any(s != 1 for s in integers(given(op, 3)))):
        return "with a mask, or strides that are not 1"
    if op.name == "SLICE" and any(n <= 0 for n in integers(given(op, 2))):
        return "up to the end, without a size"
    if op.name == "PAD" and any(n < 0 for n in integers(given(op, 1))):
        return "a negative padding"
    if op.name in ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH") and option(op, "blockSize") < 2:
        return "blocks of one"
    return ""


def xnnpack_scales(op) -> str:
    """Ratios of scales that its integer kernels bear."""
    source, out = [t for t in op.inputs if t], op.outputs[0]
    if any(t.dtype not in EIGHT_BITS or not t.scales for t in (*source[:1], out)):
        return ""
    to = out.scales[0] or float("inf")  # 0: of a damaged file
    ratios, least, most = [], 0.0, float("inf")
    if op.name in ("ADD", "SUB"):
        ratios, least, most = [t.scales[0] / to for t in source if t.scales], 2.0**-10, 2.0**8
    elif op.name == "MUL" and source[-1].scales:
        ratios, least, most = [source[0].scales[0] * source[-1].scales[0] / to], 2.0**-16, 2.0**8
    elif op.name in ("QUANTIZE", "LEAKY_RELU"):
        ratios, least, most = [source[0].scales[0] / to], 2.0**-8, 2.0**7
    if any(not least <= r <= most for r in ratios):
        return "scales too far apart"
    same = source if op.name == "CONCATENATION" and out.dtype == "uint8" else source[:1] * (op.name == "RESHAPE")
    if any((t.scales, t.zero_points) != (out.scales, out.zero_points) for t in same):
        return "scales that differ"
    return ""


def gpu(op, unpacked: Collection[int] = ()) -> str:
    if folded(op):
        return ""
    reason = listed(op, lists.GPU, lists.GPU_CUSTOM) or dynamic(op) or deep(op, 4)
    return reason or gpu_limits(op) or gpu_types(op, unpacked)


def gpu_types(op, unpacked: Collection[int]) -> str:
    """8 bits are taken by default, and computed in float."""
    known = {"float32", "float16", *EIGHT_BITS}
    if op.name in ("CAST", "GATHER", "ONE_HOT"):
        known |= {"int32"}
    if op.name in (*lists.COMPARISONS, *lists.SELECTS, "CAST", "LOGICAL_AND"):
        known |= {"bool"}
    others = types_of(op, unpacked) - known
    return of(others) if others else ""


def gpu_limits(op) -> str:
    fixed = () if op.name in WEIGHTS else STATIC.get(op.name, ())
    if any(t and not t.constant for t in (given(op, i) for i in fixed)):
        return "shapes or axes that are computed"
    source = given(op, 0)
    ranks = {len(t.shape) for t in op.inputs if t and len(t.shape) > 1}
    if op.name in ("SLICE", "STRIDED_SLICE") and source and len(source.shape) not in (3, 4):
        return "not of three or four dimensions"
    if op.name == "STRIDED_SLICE" and masked(op):
        return "with a mask"
    if op.name in ("PAD", "PADV2", "MIRROR_PAD") and (pads := given(op, 1)) and pads.shape not in ((3, 2), (4, 2)):
        return "not of three or four dimensions"
    if op.name in ("ADD", "MUL") and len(ranks) > 1 and not spreads(*op.inputs[:2]):
        return "inputs of two ranks"
    if op.name == "ADD_N" and len(op.inputs) != 2:
        return "more than two inputs"
    if op.name == "SOFTMAX" and option(op, "beta") != 1:
        return "a beta that is not 1"
    if op.name == "DEPTHWISE_CONV_2D" and source and op.outputs[0].shape[:1] != source.shape[:1]:
        return "a batch that changes"
    return ""


def spreads(a, b) -> bool:
    """Whether the GPU can stretch one over the other."""
    short, long = sorted((a.shape, b.shape), key=len)
    if len(long) != 4:
        return False
    return (len(short) == 3 and long[0] == 1) or (
        len(short) == 2 and ((long[0] == 1 and short == (1, 1)) or short == (long[0], long[3]))
    )


def nnapi(op, unpacked: Collection[int] = ()) -> str:
    reason = "" if folded(op) else listed(op, lists.NNAPI) or dynamic(op) or deep(op, 4)
    types = types_of(op, unpacked)
    others = types - {"float32", "float16", *EIGHT_BITS, "int32", "bool"}
    if reason or others:
        return reason or of(others)
    if op.name in lists.NNAPI_FLOAT and types & set(EIGHT_BITS):
        return "in 8 bits"
    free = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "PRELU")
    if op.name not in free and computed(op, unpacked):
        return "weights or shapes that are computed"
    if op.name == "CONV_2D" and given(op, 2) is None:
        return "no bias"
    if op.name in ("CONCATENATION", "L2_NORMALIZATION") and option(op, "fusedActivationFunction"):
        return "with a fused activation"
    if op.name in ("PACK", "UNPACK") and types & set(EIGHT_BITS) and option(op, "axis") == -1:
        return "over the last dimension"
    return ""


def edge_tpu(op, unpacked: Collection[int] = ()) -> str:
    if op.name == lists.COMPILED:
        return ""
    reason = listed(op, lists.EDGE_TPU) or dynamic(op) or computed(op, unpacked)
    if reason:
        return reason
    state = ("int16",) if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM" else ()
    wide = [t.dtype for t in moving(op) if t.dtype not in (*EIGHT_BITS, *state)]
    if wide:
        return f"of {wide[0]}, not 8 bits"
    if any(d > 1 for t in moving(op) for d in t.shape[:-3]):
        return "more than three dimensions above 1"
    return edge_tpu_layers(op) or edge_tpu_axes(op)


def edge_tpu_layers(op) -> str:
    """The table's "known limitations", of layers."""
    if op.name in (*POOLS, "CONCATENATION") and option(op, "fusedActivationFunction"):
        return "with a fused activation"
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        across, down = option(op, "dilationWFactor") or 1, option(op, "dilationHFactor") or 1
        return "with two dilations" if across != down else ""
    if op.name == "CONCATENATION" and any(t and t.constant for t in op.inputs):
        zeros = all(is_zero(t) for t in op.inputs if t and t.constant)
        return "" if zeros and len(op.inputs) == 2 else "with a constant that is no padding by zeros"
    if op.name == "FULLY_CONNECTED":
        if sum(d > 1 for d in op.outputs[0].shape) > 1:
            return "more than one row"
        if op.inputs[1] and len(op.inputs[1].scales) > 1:
            return "a scale for each output, which its compiler does not know"
        return "weights in another format" if option(op, "weightsFormat") else ""
    if op.name == "PRELU" and (slope := given(op, 1)) and any(d > 1 for d in slope.shape[:-1]):
        return "more than one slope in a channel"
    if op.name == "SOFTMAX" and (last := op.inputs[0].shape) and (sum(d > 1 for d in last) > 1 or max(last) > 16_000):
        return "over more than one dimension, or 16,000 values"
    return ""


def edge_tpu_axes(op) -> str:
    """The table's "known limitations", of what is moved or reduced along axes."""
    if op.name == "STRIDED_SLICE":
        if any(s != 1 for s in integers(given(op, 3))):
            return "with strides above 1"
        if option(op, "ellipsisMask") or option(op, "newAxisMask"):
            return "with a mask"
    if op.name in REDUCTIONS:
        axes = [a % max(len(op.inputs[0].shape), 1) for a in integers(given(op, 1))]
        if 0 in axes:
            return "over the batch"
        depth = op.inputs[0].shape[-1:]
        if op.name == "MEAN" and len(op.inputs[0].shape) - 1 in axes and depth and depth[0] % 4:
            return "over a depth that four does not divide"
    if op.name == "PAD" and any(integers(given(op, 1))[:2]):
        return "over the batch"
    if op.name == "SPLIT" and 0 in integers(given(op, 0)):
        return "over the batch"
    if op.name == "PACK" and not option(op, "axis"):
        return "over the batch"
    if op.name == "SQUEEZE" and inner(op.inputs[0]) != inner(op.outputs[0]):
        return "of more than leading dimensions"
    return ""


def inner(tensor) -> tuple[int, ...]:
    """The shape without leading ones."""
    first = next((i for i, n in enumerate(tensor.shape) if n != 1), len(tensor.shape))
    return tensor.shape[first:]


def is_zero(tensor) -> bool:
    """Whether a constant of 8 bits holds nothing but zero."""
    zero = (tensor.zero_points[0] if tensor.zero_points else 0) % 256
    return tensor.values is not None and set(bytes(tensor.values)) <= {zero}
