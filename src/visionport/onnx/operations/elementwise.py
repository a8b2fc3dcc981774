"""What is calculated of each element alone, whatever the layout."""

from collections.abc import Callable
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.graph.fake_quantization import steps
from visionport.onnx.operations.types import array_type, element_type


def same(b, op) -> None:
    """What changes nothing."""
    for source, target in zip(op.inputs, op.outputs, strict=False):
        known = b.tensors[source.name]
        b.tensors[target.name].array = known.array
        b.set(target, known.name)
        b.set_first(target, known.first)
        if known.array is None and not known.name and not known.first:
            raise UnsupportedError(f"{op.name}: its input is not there.")


def elementwise(kind: str, **attributes: Any) -> Callable:
    """An ONNX operation of the same inputs, which broadcast."""

    def write(b, op):
        each(b, op, lambda names: b.emit(kind, names, label=op.name, **attributes))

    return write


def each(b, op, write: Callable) -> None:
    """write: (names of the inputs) -> name of the output, whatever the layout."""
    rank = len(b.shape(op.outputs[0]))
    if rank > 3 and any(b.is_first(t) for t in op.inputs) and all(fits_first(b, t, rank) for t in op.inputs):
        b.set_first(op.outputs[0], write([broadcast_first(b, t, rank) for t in op.inputs]))
    else:
        b.set(op.outputs[0], write([b.name(t) for t in op.inputs]))


def fits_first(b, tensor, rank: int) -> bool:
    shape = b.shape(tensor)
    return len(shape) in (0, rank) or b.array(tensor) is not None


def broadcast_first(b, tensor, rank: int) -> str:
    """A tensor that is to meet others of that rank with channels first."""
    shape, array = b.shape(tensor), b.array(tensor)
    if len(shape) == rank and array is None:
        return b.first(tensor)
    if array is None or array.size == 1:
        return b.name(tensor) if array is None or not array.ndim else b.constant(array.reshape(()))
    whole = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return b.constant(whole.transpose([0, rank - 1, *range(1, rank - 1)]), name=tensor.op.name)


def composed(function: Callable) -> Callable:
    """function: (builder, op, names of the inputs) -> name of the output."""

    def write(b, op):
        each(b, op, lambda names: function(b, op, names))

    return write


def clip(low: float, high: float) -> Callable:
    return composed(
        lambda b, op, x: b.emit("Clip", [*x, b.constant(low, np.float32), b.constant(high, np.float32)], label=op.name)
    )


def leaky_relu(b, op, x):
    return b.emit("LeakyRelu", x, label=op.name, alpha=float(op.get_attr("alpha")))


def rsqrt(b, op, x):
    return b.emit("Reciprocal", [b.emit("Sqrt", x)], label=op.name)


def square(b, op, x):
    return b.emit("Mul", [x[0], x[0]], label=op.name)


def squared_difference(b, op, x):
    found = b.emit("Sub", x)
    return b.emit("Mul", [found, found], label=op.name)


def log1p(b, op, x):
    return b.emit("Log", [b.emit("Add", [*x, b.constant(1, np.float32)])], label=op.name)


def erfc(b, op, x):
    return b.emit("Sub", [b.constant(1, np.float32), b.emit("Erf", x)], label=op.name)


def not_equal(b, op, x):
    return b.emit("Not", [b.emit("Equal", x)], label=op.name)


def is_integer(op) -> bool:
    return op.inputs[0].dtype.is_integer


def floor_mod(b, op, x):
    if is_integer(op):
        return b.emit("Mod", x, label=op.name)
    whole = b.emit("Floor", [b.emit("Div", x)])
    return b.emit("Sub", [x[0], b.emit("Mul", [whole, x[1]])], label=op.name)


def floor_div(b, op, x):
    if is_integer(op):  # ONNX rounds towards 0
        return b.emit("Div", [b.emit("Sub", [x[0], b.emit("Mod", x)]), x[1]], label=op.name)
    return b.emit("Floor", [b.emit("Div", x)], label=op.name)


def cast(b, op, x):
    return b.emit("Cast", x, label=op.name, to=element_type(op.outputs[0]))


def select(b, op, x):
    return b.emit("Where", x, label=op.name)


def zeros_like(b, op):
    value = 0 if op.type == "ZerosLike" else 1
    shape = b.emit("Shape", [b.name(op.inputs[0])])
    fill_with(b, op, shape, np.array(value, array_type(op.outputs[0])))


def fill(b, op):
    value = b.array(op.inputs[1])
    if value is None:
        b.set(op.outputs[0], b.emit("Expand", [b.name(op.inputs[1]), b.name(op.inputs[0])], label=op.name))
    else:
        fill_with(b, op, b.name(op.inputs[0]), value.astype(array_type(op.outputs[0])))


def fill_with(b, op, shape: str, value: np.ndarray) -> None:
    b.set(op.outputs[0], b.emit("Expand", [b.constant(value), shape], label=op.name))


def fake_quant(b, op):
    """As TensorFlow rounds: to what 8 bits hold between limits that are moved until 0 is one of these."""
    low, high = (float(b.value(t, "the range")) for t in op.inputs[1:])
    low, high, scale = steps(low, high, bits=op.get_attr("num_bits"), narrow_range=op.get_attr("narrow_range"))

    def write(x: str) -> str:
        if not scale:  # an empty range
            return b.emit("Mul", [x, b.constant(0, np.float32)], label=op.name)
        x = b.emit("Clip", [x, b.constant(low), b.constant(high)])
        x = b.emit("Mul", [b.emit("Sub", [x, b.constant(low)]), b.constant(np.float32(1) / scale)])
        x = b.emit("Floor", [b.emit("Add", [x, b.constant(0.5, np.float32)])])
        return b.emit("Add", [b.emit("Mul", [x, b.constant(scale)]), b.constant(low)], label=op.name)

    x = op.inputs[0]
    (b.set_first if b.is_first(x) else b.set)(op.outputs[0], write(b.first(x) if b.is_first(x) else b.name(x)))


OPS: dict[str, Callable] = {
    **dict.fromkeys(("Identity", "IdentityN", "EnsureShape", "StopGradient", "PreventGradient", "Snapshot"), same),
    **{
        name: elementwise(name)
        for name in ("Relu", "Sigmoid", "Tanh", "Exp", "Log", "Neg", "Abs", "Sqrt", "Floor", "Ceil")
    },
    **{name: elementwise(name) for name in ("Round", "Sign", "Erf", "Softplus", "Sin", "Cos", "Reciprocal")},
    **{name: elementwise(name) for name in ("Sub", "Mul", "Pow", "Equal", "Less", "Greater", "Add", "Div")},
    "AddV2": elementwise("Add"),
    "AddN": elementwise("Sum"),
    "RealDiv": elementwise("Div"),
    "Maximum": elementwise("Max"),
    "Minimum": elementwise("Min"),
    "LessEqual": elementwise("LessOrEqual"),
    "GreaterEqual": elementwise("GreaterOrEqual"),
    "LogicalAnd": elementwise("And"),
    "LogicalOr": elementwise("Or"),
    "LogicalNot": elementwise("Not"),
    "Elu": elementwise("Elu"),
    "Selu": elementwise("Selu"),
    "LeakyRelu": composed(leaky_relu),
    "Relu6": clip(0, 6),
    "Rsqrt": composed(rsqrt),
    "Square": composed(square),
    "SquaredDifference": composed(squared_difference),
    "Log1p": composed(log1p),
    "Erfc": composed(erfc),
    "NotEqual": composed(not_equal),
    "FloorMod": composed(floor_mod),
    "FloorDiv": composed(floor_div),
    "Cast": composed(cast),
    "Select": composed(select),
    "SelectV2": composed(select),
    "ZerosLike": zeros_like,
    "OnesLike": zeros_like,
    "Fill": fill,
    "FakeQuantWithMinMaxVars": fake_quant,
}
