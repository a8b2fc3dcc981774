"""Float operations of a network, from the shapes of a traced graph.

Counted as the reference's exporter does, by the rules of TensorFlow's profiler: two for a multiply-add, one an element
of elementwise ops; none for activations, for batch norms that are one op, for resizing and for what has no fixed shape.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What the ops of one layer need, the elementwise ops behind it included. name: its op's."""

    name: str
    flops: int


def count_layers(graph, outputs: Iterable[Any], *, norms: bool = False) -> list[Layer]:
    """What `outputs` (tensors of a tf.Graph that was traced) need, in the graph's order.

    An elementwise op belongs to the layer that its first input comes from, any other is a layer of its own name.
    norms: a batch norm is a multiplication and an addition, as the reference has those that are synchronised.
    """
    rules = RULES | ({"FusedBatchNormV3": of_outputs(2)} if norms else {})
    needed = needed_ops(outputs)
    owner: dict[str, str] = {}  # op -> layer
    found: dict[str, int] = {}
    for op in graph.get_operations():
        if op.name not in needed:
            continue
        above = next((owner[t.op.name] for t in op.inputs if owner.get(t.op.name)), "")
        weighted = op.type in RULES and op.type not in ELEMENTWISE
        layer = owner[op.name] = op.name if weighted else above
        if flops := rules[op.type](op) if op.type in rules else 0:
            found[layer or op.name] = found.get(layer or op.name, 0) + flops
    return [Layer(name=name, flops=flops) for name, flops in found.items()]


def needed_ops(outputs: Iterable[Any]) -> set[str]:
    """The names of the ops that tensors come from."""
    queue = [t.op for t in outputs]
    found = {op.name for op in queue}
    while queue:
        op = queue.pop()
        for before in (*(t.op for t in op.inputs), *op.control_inputs):
            if before.name not in found:
                found.add(before.name)
                queue.append(before)
    return found


# --- what an op needs; 0 where a shape is open ---


def elements(tensor) -> int:
    return int(tensor.shape.num_elements() or 0) if tensor.shape.is_fully_defined() else 0


def of_outputs(each: int = 1) -> Callable:
    return lambda op: each * elements(op.outputs[0])


def of_inputs(each: int = 1) -> Callable:
    return lambda op: each * elements(op.inputs[0])


def convolution(op) -> int:
    """Of 2 or 3 dimensions: each output is a dot product over the window of all input channels of its group.

    The reference's dilated ones run in blocks: their sides count up to the next multiple of the rate. So do those of
    the pointwise half of a dilated separable convolution.
    """
    *window, depth, width = (d or 0 for d in op.inputs[1].shape)
    if not op.outputs[0].shape.is_fully_defined():
        return 0
    sides = zip(op.outputs[0].shape[:-1], op.get_attr("dilations"), strict=False)
    places = math.prod(-(-side // rate) * rate for side, rate in sides)
    before = op.inputs[0].op
    if before.type == "BatchToSpaceND" and before.inputs[0].shape.is_fully_defined():
        places = math.prod(before.inputs[0].shape[:-1])
    return 2 * places * width * math.prod(window) * depth


def depthwise(op) -> int:
    height, width, *_ = (d or 0 for d in op.inputs[1].shape)
    return 2 * elements(op.outputs[0]) * height * width


def transposed(op) -> int:
    """Each input is spread over a window of all output channels."""
    *window, depth, _ = (d or 0 for d in op.inputs[1].shape)
    return 2 * elements(op.inputs[2]) * math.prod(window) * depth


def product(op) -> int:
    """Of matrices, or of batches of them."""
    flag = "transpose_a" if op.type == "MatMul" else "adj_x"
    rows = op.inputs[0].shape
    inner = rows[-2] if op.get_attr(flag) else rows[-1]
    return 2 * elements(op.outputs[0]) * (inner or 0)


def einsum(op) -> int:
    """Each output is a sum over the letters that are not in it."""
    terms, _, result = op.get_attr("equation").decode().replace(" ", "").partition("->")
    letters: dict[str, int] = {}
    for term, tensor in zip(terms.split(","), op.inputs, strict=True):
        before, dots, after = term.partition("...")
        sizes = [d or 0 for d in tensor.shape]
        letters |= dict(zip(before, sizes, strict=False))
        letters |= dict(zip(reversed(after), reversed(sizes), strict=False)) if dots else {}
    summed = math.prod(size for letter, size in letters.items() if letter not in result)
    return 2 * elements(op.outputs[0]) * summed


def pooling(op) -> int:
    return math.prod(op.get_attr("ksize")) * elements(op.outputs[0])


def reduction(finish: int) -> Callable:
    """An addition or comparison an element, and `finish` for each result."""
    return lambda op: elements(op.inputs[0]) + (finish - 1) * elements(op.outputs[0]) if elements(op.inputs[0]) else 0


def addition(op) -> int:
    return elements(op.inputs[0]) * (len(op.inputs) - 1)


ELEMENTWISE = {
    **dict.fromkeys(("Reciprocal", "Square", "Log", "Neg", "BiasAdd"), of_inputs()),
    **dict.fromkeys(("Add", "AddV2", "Sub", "Mul", "RealDiv", "Maximum", "Minimum", "Pow"), of_outputs()),
    **dict.fromkeys(("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"), of_outputs()),
    "Rsqrt": of_inputs(2),
    "Softmax": of_inputs(5),
    "SquaredDifference": of_outputs(2),
    "AddN": addition,
}
RULES = {
    **ELEMENTWISE,
    **dict.fromkeys(("Conv2D", "Conv3D"), convolution),
    "DepthwiseConv2dNative": depthwise,
    "Conv2DBackpropInput": transposed,
    "MatMul": product,
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), product),
    "Einsum": einsum,
    **dict.fromkeys(("AvgPool", "MaxPool"), pooling),
    "Mean": reduction(1),
    **dict.fromkeys(("Sum", "ArgMax", "ArgMin"), reduction(0)),
}


# --- the reference's two files ---


def flops_text(layers: Sequence[Layer]) -> str:
    """model_flops.txt: a tree of scopes, each with its own and all operations below it, the largest first."""
    tree: dict[str, Any] = {}
    own: dict[str, int] = {}
    for layer in layers:
        own[layer.name] = own.get(layer.name, 0) + layer.flops
        branch = tree
        for i, _ in enumerate(parts := layer.name.split("/")):
            branch = branch.setdefault("/".join(parts[: i + 1]), {})

    def total(name, branch) -> int:
        return own.get(name, 0) + sum(total(n, b) for n, b in branch.items())

    def lines(branch, depth):
        for name, below in sorted(branch.items(), key=lambda item: -total(*item)):
            yield f"{'  ' * depth}{name} ({short(own.get(name, 0))}/{short(total(name, below))} flops)"
            yield from lines(below, depth + 1)

    head = ["Profile:", "node name | # float_ops", f"_TFProfRoot (--/{short(total('', tree))} flops)"]
    return "\n".join([*head, *lines(tree, 1), ""])


def params_text(variables: Mapping[str, Sequence[int]]) -> str:
    """model_params.txt. variables: canonical name -> shape."""
    rows = [f"{name}:0 {[*map(int, shape)]}" for name, shape in variables.items()]
    total = sum(math.prod(shape) for shape in variables.values())
    return "\n".join([*rows, "", f"Total params: {total}", ""])


def short(count: int) -> str:
    """1234567890 -> 1.23b, as TensorFlow's profiler writes it."""
    for size, letter in ((1e9, "b"), (1e6, "m"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.2f}{letter}"
    return str(count)
