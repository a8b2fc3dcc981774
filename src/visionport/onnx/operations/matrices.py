"""Products of matrices."""

from collections.abc import Callable


def matmul(b, op):
    names = []
    for tensor, attribute in zip(op.inputs, MATMULS[op.type], strict=True):
        rank = len(b.shape(tensor))
        order = [*range(rank - 2), rank - 1, rank - 2]
        if not op.get_attr(attribute):
            names.append(b.name(tensor))
        elif b.array(tensor) is not None:
            names.append(b.constant(b.array(tensor).transpose(order), name=tensor.op.name))
        else:
            names.append(b.emit("Transpose", [b.name(tensor)], perm=order))
    b.set(op.outputs[0], b.emit("MatMul", names, label=op.name))


MATMULS = {"MatMul": ("transpose_a", "transpose_b")} | dict.fromkeys(
    ("BatchMatMul", "BatchMatMulV2"), ("adj_x", "adj_y")
)


def einsum(b, op):
    equation = op.get_attr("equation").decode()
    b.set(op.outputs[0], b.emit("Einsum", [b.name(t) for t in op.inputs], label=op.name, equation=equation))


def bias_add(b, op):
    """Behind what is no convolution."""
    x, bias = op.inputs
    rank, value = len(b.shape(x)), b.value(bias, "the bias")
    if rank > 3 and b.is_first(x):
        name = b.constant(value.reshape(1, -1, *[1] * (rank - 2)), name=bias.op.name)
        b.set_first(op.outputs[0], b.emit("Add", [b.first(x), name], label=op.name))
    else:
        b.set(op.outputs[0], b.emit("Add", [b.name(x), b.name(bias)], label=op.name))


OPS: dict[str, Callable] = {
    "BiasAdd": bias_add,
    **dict.fromkeys(MATMULS, matmul),
    "Einsum": einsum,
}
