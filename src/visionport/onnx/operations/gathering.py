"""What reads or writes at places that are calculated."""

from collections.abc import Callable

import numpy as np

from visionport.errors import UnsupportedError
from visionport.onnx.operations.axes import unsqueeze
from visionport.onnx.operations.types import array_type


def gather(b, op):
    x, at, axis = op.inputs
    rank, batch = len(b.shape(x)), op.get_attr("batch_dims")
    axis = int(b.value(axis, "the axis")) % rank
    if not batch:
        b.set(op.outputs[0], b.emit("Gather", [b.name(x), b.name(at)], label=op.name, axis=axis))
        return
    source, indices, places = b.name(x), b.name(at), len(b.shape(at))
    if axis != batch:  # the axis comes behind the batch, and what it became goes back
        source = b.emit(
            "Transpose", [source], perm=[*range(batch), axis, *(i for i in range(batch, rank) if i != axis)]
        )
    found = b.emit("GatherND", [source, unsqueeze(b, indices, [places])], label=op.name, batch_dims=batch)
    if axis != batch:
        new = places - batch
        middle = [*range(batch + new, batch + new + axis - batch)]
        after = [*range(batch + new + axis - batch, rank - 1 + new)]
        found = b.emit("Transpose", [found], perm=[*range(batch), *middle, *range(batch, batch + new), *after])
    b.set(op.outputs[0], found)


def gather_nd(b, op):
    b.set(op.outputs[0], b.emit("GatherND", [b.name(t) for t in op.inputs], label=op.name))


def where(b, op):
    x = b.name(op.inputs[0])
    b.set(op.outputs[0], b.emit("Transpose", [b.emit("NonZero", [x])], label=op.name, perm=[1, 0]))


def top_k(b, op):
    count = (
        b.emit("Reshape", [b.name(op.inputs[1]), b.integers([1])])
        if b.array(op.inputs[1]) is None
        else b.integers([int(b.array(op.inputs[1]))])
    )
    names = b.emit("TopK", [b.name(op.inputs[0]), count], 2, label=op.name, axis=-1)
    for target, name in zip(op.outputs, names, strict=True):
        b.set(target, name)


def cumsum(b, op):
    axis = b.constant(int(b.value(op.inputs[1], "the axis")), np.int64)
    how = {name: int(op.get_attr(name)) for name in ("exclusive", "reverse")}
    b.set(op.outputs[0], b.emit("CumSum", [b.name(op.inputs[0]), axis], label=op.name, **how))


def one_hot(b, op):
    at, depth, on, off = op.inputs
    rank = len(b.shape(at)) + 1
    axis = op.get_attr("axis") % rank
    numbers = np.arange(int(b.value(depth, "the number of classes"))).reshape(
        [-1 if i == axis else 1 for i in range(rank)]
    )
    hit = b.emit("Equal", [b.emit("Unsqueeze", [b.name(at), b.integers([axis])]), b.constant(numbers, np.int64)])
    if b.array(on) is not None and b.array(on).dtype == np.bool_ and b.array(on) and not b.array(off):
        b.set(op.outputs[0], hit)
        return
    b.set(op.outputs[0], b.emit("Where", [hit, b.name(on), b.name(off)], label=op.name))


def scatter(b, op):
    if op.type == "TensorScatterUpdate":
        b.set(op.outputs[0], b.emit("ScatterND", [b.name(t) for t in op.inputs], label=op.name))
        return
    if b.opset < 16:
        raise UnsupportedError(f"opset {b.opset} has no operation for {op.type}: take --opset 16 or more.")
    at, values, shape_ = op.inputs
    nothing = b.emit("Expand", [b.constant(np.zeros((), array_type(values))), b.name(shape_)])
    b.set(op.outputs[0], b.emit("ScatterND", [nothing, b.name(at), b.name(values)], label=op.name, reduction="add"))


OPS: dict[str, Callable] = {
    "GatherV2": gather,
    "GatherNd": gather_nd,
    "Where": where,
    "TopKV2": top_k,
    "Cumsum": cumsum,
    "OneHot": one_hot,
    "TensorScatterUpdate": scatter,
    "ScatterNd": scatter,
}
