"""What goes along axes: reductions, softmax; joining, dividing and padding."""

from collections.abc import Callable, Sequence

import numpy as np

from visionport.errors import UnsupportedError
from visionport.onnx.operations.elementwise import same
from visionport.onnx.operations.types import BOOL, INT64


def axis_of(b, op, value: int, rank: int) -> tuple[int, bool]:
    """An axis as the layout of the first input has it, and whether that is channels first."""
    axis = value % rank
    if rank > 3 and b.is_first(op.inputs[0]):
        return (1 if axis == rank - 1 else axis + 1 if axis else 0), True
    return axis, False


def reduction(kind: str) -> Callable:
    def write(b, op):
        x, rank = op.inputs[0], len(b.shape(op.inputs[0]))
        axes = np.atleast_1d(b.value(op.inputs[1], "the axes")).tolist()
        axes = sorted(a % rank for a in axes)
        kept = bool(op.get_attr("keep_dims"))
        is_first = rank > 3 and b.is_first(x) and (kept or axes == list(range(1, rank - 1)))
        source = b.first(x) if is_first else b.name(x)
        if not axes:
            b.set(op.outputs[0], b.name(x))
            return
        if op.inputs[0].dtype.name == "bool":
            source = b.emit("Cast", [source], to=INT64)
        at = sorted(axis_of(b, op, a, rank)[0] for a in axes) if is_first else axes
        if b.opset >= 18 or kind == "ReduceSum":
            name = b.emit(kind, [source, b.integers(at)], label=op.name, keepdims=int(kept))
        else:
            name = b.emit(kind, [source], label=op.name, axes=at, keepdims=int(kept))
        if op.inputs[0].dtype.name == "bool":
            name = b.emit("Cast", [name], to=BOOL)
        (b.set_first if is_first and kept else b.set)(op.outputs[0], name)

    return write


def softmax(kind: str) -> Callable:
    def write(b, op):
        rank = len(b.shape(op.inputs[0]))
        axis, is_first = axis_of(b, op, -1, rank)
        x = op.inputs[0]
        name = b.emit(kind, [b.first(x) if is_first else b.name(x)], label=op.name, axis=axis)
        (b.set_first if is_first else b.set)(op.outputs[0], name)

    return write


def arg(kind: str) -> Callable:
    def write(b, op):
        axis = int(b.value(op.inputs[1], "the axis"))
        b.set(op.outputs[0], b.emit(kind, [b.name(op.inputs[0])], label=op.name, axis=axis, keepdims=0))

    return write


def concat(b, op):
    *values, at = op.inputs
    if op.type == "Concat":
        at, *values = op.inputs
    rank = len(b.shape(op.outputs[0]))
    axis = int(b.value(at, "the axis")) % rank
    if rank > 3 and any(b.is_first(v) for v in values):
        place = 1 if axis == rank - 1 else axis + 1 if axis else 0
        b.set_first(op.outputs[0], b.emit("Concat", [b.first(v) for v in values], label=op.name, axis=place))
    else:
        b.set(op.outputs[0], b.emit("Concat", [b.name(v) for v in values], label=op.name, axis=axis))


def split(b, op):
    if op.type == "SplitV":
        x, sizes, at = op.inputs
        lengths = b.value(sizes, "the sizes").tolist()
    else:
        at, x = op.inputs
        lengths = None
    rank, count = len(b.shape(x)), len(op.outputs)
    value = int(b.value(at, "the axis")) % rank
    if lengths is None:
        whole = b.shape(x)[value]
        if whole is None:
            raise UnsupportedError(f"ONNX needs the size that {op.name} divides to be known beforehand.")
        lengths = [whole // count] * count
    is_first = rank > 3 and b.is_first(x)
    axis = (1 if value == rank - 1 else value + 1 if value else 0) if is_first else value
    if count == 1:
        same(b, type("One", (), {"inputs": [x], "outputs": op.outputs, "name": op.name}))
        return
    names = b.emit(
        "Split", [b.first(x) if is_first else b.name(x), b.integers(lengths)], count, label=op.name, axis=axis
    )
    for target, name in zip(op.outputs, names, strict=True):
        (b.set_first if is_first else b.set)(target, name)


def pack(b, op):
    axis = op.get_attr("axis") % (len(b.shape(op.inputs[0])) + 1)
    parts = [unsqueeze(b, b.name(t), [axis]) for t in op.inputs]
    b.set(op.outputs[0], b.emit("Concat", parts, label=op.name, axis=axis))


def unsqueeze(b, name: str, axes: Sequence[int]) -> str:
    if name in b.shared.constants:
        array = b.shared.constants[name]
        for axis in axes:
            array = np.expand_dims(array, axis)
        return b.constant(array)
    return b.emit("Unsqueeze", [name, b.integers(axes)])


def unpack(b, op):
    axis = op.get_attr("axis")
    for i, target in enumerate(op.outputs):
        index = b.constant(i, np.int64)
        b.set(target, b.emit("Gather", [b.name(op.inputs[0]), index], label=op.name, axis=axis))


def pad(b, op):
    x, amounts = op.inputs[0], b.array(op.inputs[1])
    rank = len(b.shape(x))
    mode = {"PadV2": "constant", "Pad": "constant"}.get(op.type) or op.get_attr("mode").decode().lower()
    if mode == "symmetric":
        if amounts is None or amounts.max() > 1:
            raise UnsupportedError(f"{op.name}: ONNX does not repeat more than one row at a border.")
        mode = "edge"
    is_first = rank > 3 and b.is_first(x)
    order = [0, rank - 1, *range(1, rank - 1)] if is_first else [*range(rank)]
    if amounts is None:
        table = b.name(op.inputs[1])
        table = b.emit("Gather", [table, b.integers(order)], axis=0) if is_first else table
        pads = b.emit("Reshape", [b.emit("Transpose", [table], perm=[1, 0]), b.integers([-1])])
    else:
        pads = b.integers(amounts[order].T.reshape(-1).tolist())
    inputs = [b.first(x) if is_first else b.name(x), pads]
    if op.type == "PadV2":
        inputs.append(b.name(op.inputs[2]))
    (b.set_first if is_first else b.set)(op.outputs[0], b.emit("Pad", inputs, label=op.name, mode=mode))


OPS: dict[str, Callable] = {
    "Max": reduction("ReduceMax"),
    "Min": reduction("ReduceMin"),
    "Sum": reduction("ReduceSum"),
    "Mean": reduction("ReduceMean"),
    "Prod": reduction("ReduceProd"),
    "All": reduction("ReduceMin"),
    "Any": reduction("ReduceMax"),
    "Softmax": softmax("Softmax"),
    "LogSoftmax": softmax("LogSoftmax"),
    "ArgMax": arg("ArgMax"),
    "ArgMin": arg("ArgMin"),
    "ConcatV2": concat,
    "Concat": concat,
    "Split": split,
    "SplitV": split,
    "Pack": pack,
    "Unpack": unpack,
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), pad),
}
