"""A frozen GraphDef becomes an ONNX model.

Each operation is written by its function of operations.py. What this module knows is what these share: which tensors
are constant, and the layout of pictures. TensorFlow has channels last and ONNX first; a tensor is held in the layout in
which it was made, and transposed once where another operation wants the other. What depends on constants and known
shapes alone is calculated here, by TensorFlow. int32 becomes int64 within, which is what ONNX calculates shapes in.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.graph import edit
from visionport.onnx import operations
from visionport.onnx.opsets import OPSET

LARGEST_FOLDED = 1 << 24  # elements of a constant that is calculated here; larger ones are left to the runtime


@dataclasses.dataclass
class Node:
    """An ONNX operation. An attribute may be a Graph."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclasses.dataclass
class Tensor:
    """A tensor of the TensorFlow graph. Names of it in ONNX: as TensorFlow has it, and with channels first."""

    dtype: str
    shape: tuple[int | None, ...]
    array: np.ndarray | None = None
    name: str = ""
    first: str = ""


def convert(graph, inputs: Sequence[str], outputs: Sequence[str], *, opset: int = OPSET):
    """The onnx.ModelProto of a frozen GraphDef, its branches functions of the library.

    inputs, outputs: nodes, which give the model's inputs and outputs their names.
    """
    import tensorflow as tf
    from onnx import helper

    with tf.Graph().as_default() as imported:
        tf.compat.v1.import_graph_def(graph, name="")
    shared = Shared(opset, set(inputs) | set(outputs))
    builder = Builder(imported, shared, library(graph))
    for name in inputs:
        builder.declare_input(name)
    builder.build([f"{name}:0" for name in outputs])
    for name in outputs:
        builder.declare_output(name)
    nodes = needed(builder.nodes, outputs)
    used = set(names_read(nodes))
    body = helper.make_graph(
        [proto(node) for node in nodes],
        "visionport",
        [value_info(name, builder.tensors[f"{name}:0"]) for name in inputs],
        [value_info(name, builder.tensors[f"{name}:0"]) for name in outputs],
        [tensor_proto(name, array) for name, array in shared.constants.items() if name in used],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(body, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))


class Shared:
    """What a graph and its branches have in common: the constants, and which names are taken."""

    def __init__(self, opset: int, taken: set[str]):
        self.opset = opset
        self.constants: dict[str, np.ndarray] = {}
        self._names = dict.fromkeys(taken, 0)
        self._known: dict[Any, str] = {}
        self.aliases: dict[str, str] = {}  # what operations have made constants of, by a name of theirs

    def fresh(self, wanted: str) -> str:
        """That name, or where it is taken one that begins with it."""
        if wanted not in self._names:
            self._names[wanted] = 0
            return wanted
        self._names[wanted] += 1
        return self.fresh(f"{wanted}_{self._names[wanted]}")

    def constant(self, array: np.ndarray, name: str = "constant") -> str:
        """An initializer; small ones of the same value are one."""
        array = np.asarray(array)
        array = array.astype(np.int64) if array.dtype == np.int32 else array
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 else None
        if key is None or key not in self._known:
            name = self.fresh(name)
            self.constants[name] = np.ascontiguousarray(array).reshape(array.shape)
            if key is None:
                return name
            self._known[key] = name
        return self._known[key]


class Builder:
    """The ONNX nodes of a graph, or of a branch of one."""

    def __init__(self, graph, shared: Shared, functions: Mapping[str, Any], prefix: str = ""):
        self.graph, self.shared, self.functions, self.prefix = graph, shared, functions, prefix
        self.opset = shared.opset
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.done: set[str] = set()  # operations that another one has written with its own

    # ------------------------------------------------------------ the graph

    def build(self, wanted: Sequence[str]) -> None:
        """Writes what those tensors need."""
        operations_ = self._needed(wanted)
        for op in operations_:
            for tensor in op.outputs:
                shape = () if tensor.shape.rank is None else tuple(tensor.shape)
                self.tensors.setdefault(tensor.name, Tensor(tensor.dtype.name, shape))
        self._fold(operations_, wanted)
        self.readers = readers_of(operations_, wanted)
        for op in operations_:
            if op.name in self.done or op.type == "Placeholder":
                continue
            write = operations.OPS.get(op.type)
            if write is None:
                raise UnsupportedError(f"ONNX has no operation for {op.type} (node {op.name}).")
            write(self, op)

    def _needed(self, wanted: Iterable[str]) -> list[Any]:
        """The operations behind those tensors, each after what it reads."""
        queue = [self.graph.get_tensor_by_name(name).op for name in wanted]
        found = {op.name for op in queue}
        for op in queue:  # grows while it is walked
            for tensor in op.inputs:
                if tensor.op.name not in found:
                    found.add(tensor.op.name)
                    queue.append(tensor.op)
        return [op for op in self.graph.get_operations() if op.name in found]

    def _fold(self, operations_: Sequence[Any], wanted: Sequence[str]) -> None:
        """Calculates what depends on constants and on known shapes alone."""
        import tensorflow as tf

        known: dict[str, np.ndarray] = {}  # told to TensorFlow: shapes
        folded: dict[str, Any] = {}
        for op in operations_:
            outputs = [t.name for t in op.outputs]
            if op.type in ("Shape", "ShapeN", "Size", "Rank") or (op.type == "StridedSlice" and of_shape(op)):
                for tensor, value in zip(op.outputs, known_shapes(op), strict=True):
                    if value is not None:
                        known[tensor.name] = value
            elif op.type in UNFOLDED or (op.type == "Placeholder" and self.tensors[outputs[0]].array is None):
                continue
            elif op.type == "Placeholder":
                known[outputs[0]] = self.tensors[outputs[0]].array  # type: ignore[assignment]
            elif all(t.name in folded or t.name in known for t in op.inputs) and not is_large(op):
                folded |= {t.name: t for t in op.outputs}
        read = {t.name for op in operations_ for t in op.inputs if any(o.name not in folded for o in op.outputs)}
        fetched = {name: tensor for name, tensor in folded.items() if name in read or name in wanted}
        with tf.compat.v1.Session(graph=self.graph) as session:
            values = session.run(fetched, known)
        for name, value in (values | known).items():
            self.tensors[name].array = np.asarray(value)
        self.done |= {op.name for op in operations_ if all(t.name in folded or t.name in known for t in op.outputs)}

    def declare_input(self, name: str) -> None:
        """An input of the model. Of int32 it is cast, see above."""
        tensor = self.graph.get_tensor_by_name(f"{name}:0")
        known = self.tensors[tensor.name] = Tensor(tensor.dtype.name, tuple(tensor.shape), name=name)
        if known.dtype == "int32":
            known.name = self.emit("Cast", [name], to=ELEMENT_TYPES["int64"])

    def declare_output(self, name: str) -> None:
        """Gives an output its name."""
        tensor = self.tensors[f"{name}:0"]
        source = self.name(f"{name}:0")
        op, how = ("Cast", {"to": ELEMENT_TYPES["int32"]}) if tensor.dtype == "int32" else ("Identity", {})
        made = next((n for n in reversed(self.nodes) if source in n.outputs), None)
        if op == "Cast" or made is None or any(source in names_read([n]) for n in self.nodes):
            self.nodes.append(Node(op, [source], [name], how))
        else:
            made.outputs = [name if o == source else o for o in made.outputs]

    def branch(self, name: str, values: Sequence[str], label: str) -> "Graph":
        """A function of the library as a graph of its own, that reads the values of this one."""
        import tensorflow as tf
        from tensorflow.python.framework import function_def_to_graph

        function = self.functions[name]
        definition, names = function_def_to_graph.function_def_to_graph_def(function)
        for node, value in zip(definition.node, values, strict=False):  # its arguments come first
            node.attr["shape"].shape.CopyFrom(self.graph.get_tensor_by_name(value).shape.as_proto())
        definition.library.function.extend(self.functions.values())
        with tf.Graph().as_default() as body:
            tf.compat.v1.import_graph_def(definition, name="")
        inner = Builder(body, self.shared, self.functions, f"{self.prefix}{label}/")
        for argument, value in zip(function.signature.input_arg, values, strict=True):
            known = self.tensors[value]
            if known.array is None:
                self.name(value)  # so that what is read in a branch is made outside of it
            inner.tensors[f"{argument.name}:0"] = dataclasses.replace(known)
        wanted = [names[function.ret[argument.name]] for argument in function.signature.output_arg]
        inner.build(wanted)
        outputs = []
        for tensor in wanted:
            outputs.append(self.shared.fresh(f"{inner.prefix}result"))
            inner.nodes.append(Node("Identity", [inner.name(tensor)], [outputs[-1]], {}))
        return Graph(inner.nodes, outputs, [inner.tensors[t] for t in wanted])

    # ------------------------------------------------------------ what operations use

    def emit(self, op: str, inputs: Sequence[str], count: int = 1, label: str = "", **attributes: Any) -> Any:
        """Adds a node; returns the name of its output, or a list of `count` names."""
        names = [self.shared.fresh(f"{self.prefix}{label or op}") for _ in range(count)]
        self.nodes.append(Node(op, list(inputs), names, attributes))
        return names[0] if count == 1 else names

    def constant(self, value: Any, dtype: Any = None, name: str = "constant") -> str:
        return self.shared.constant(np.asarray(value, dtype), name)

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(list(values), np.int64)

    def array(self, tensor) -> np.ndarray | None:
        """The value of a constant."""
        return self.tensors[tensor.name].array

    def value(self, tensor, what: str) -> np.ndarray:
        """The value of what must be constant."""
        found = self.array(tensor)
        if found is None:
            raise UnsupportedError(f"ONNX needs {what} of {tensor.op.name} to be known beforehand.")
        return found

    def shape(self, tensor) -> tuple[int | None, ...]:
        return self.tensors[tensor.name].shape

    def name(self, tensor) -> str:
        """What ONNX calls a tensor, or one of that name, as TensorFlow has it."""
        known = self.tensors[tensor if isinstance(tensor, str) else tensor.name]
        if not known.name:
            if known.array is not None:
                known.name = self.shared.constant(known.array, base(tensor))
            else:
                known.name = self.emit("Transpose", [known.first], perm=last(len(known.shape)))
        return known.name

    def first(self, tensor) -> str:
        """The same with channels first."""
        known = self.tensors[tensor.name]
        if not known.first:
            order = first(len(known.shape))
            if known.array is not None:
                known.first = self.shared.constant(known.array.transpose(order), base(tensor))
            else:
                known.first = self.emit("Transpose", [known.name], perm=order)
        return known.first

    def is_first(self, tensor) -> bool:
        """Whether a tensor is there with channels first alone."""
        known = self.tensors[tensor.name]
        return bool(known.first) and not known.name

    def set(self, tensor, name: str) -> None:
        self.tensors[tensor.name].name = name

    def set_first(self, tensor, name: str) -> None:
        self.tensors[tensor.name].first = name

    def only_reader(self, tensor):
        """The operation that alone reads a tensor; None where there are others, or it is an output."""
        found = self.readers.get(tensor.name, [])
        return found[0] if len(found) == 1 else None


@dataclasses.dataclass
class Graph:
    """A branch."""

    nodes: list[Node]
    outputs: list[str]
    tensors: list[Tensor]


# ---------------------------------------------------------------- layouts


def first(rank: int) -> list[int]:
    """The order of axes that brings channels forward."""
    return [0, rank - 1, *range(1, rank - 1)]


def last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]


def base(tensor) -> str:
    return edit.base(tensor if isinstance(tensor, str) else tensor.name)


# ---------------------------------------------------------------- TensorFlow's graph

UNFOLDED = ("PyFuncStateless", "StatelessIf", "If")


def library(graph) -> dict[str, Any]:
    return {f.signature.name: f for f in graph.library.function}


def readers_of(operations_: Iterable[Any], wanted: Iterable[str]) -> dict[str, list[Any]]:
    """Tensor -> the operations that read it, None for whoever reads an output."""
    found: dict[str, list[Any]] = {name: [None] for name in wanted}
    for op in operations_:
        for tensor in op.inputs:
            found.setdefault(tensor.name, []).append(op)
    return found


def of_shape(op) -> bool:
    source = op.inputs[0].op
    return source.type == "Shape" and all(t.op.type == "Const" for t in op.inputs[1:])


def known_shapes(op) -> list[np.ndarray | None]:
    """What Shape, Size and Rank give, and slices of shapes; None where that is not known."""
    import tensorflow as tf

    if op.type in ("Shape", "ShapeN"):
        return [
            np.array(tensor.shape.as_list(), np.int32) if tensor.shape.is_fully_defined() else None
            for tensor in op.inputs
        ]
    source = op.inputs[0]
    if op.type == "Rank":
        return [None if source.shape.rank is None else np.int32(source.shape.rank)]  # type: ignore[list-item]
    if op.type == "Size":
        size = source.shape.num_elements()
        return [None if size is None else np.int32(size)]  # type: ignore[list-item]
    shape = source.op.inputs[0]
    if shape.shape.rank is None:
        return [None]
    begin, end, step = (int(v[0]) if len(v := tf.get_static_value(t)) == 1 else None for t in op.inputs[1:])
    if begin is None or end is None or step is None or op.get_attr("new_axis_mask") or op.get_attr("ellipsis_mask"):
        return [None]
    found = shape.shape.as_list()
    if op.get_attr("shrink_axis_mask"):
        one = found[begin]
        return [None if one is None else np.int32(one)]  # type: ignore[list-item]
    part = found[None if op.get_attr("begin_mask") else begin : None if op.get_attr("end_mask") else end : step]
    return [None if None in part else np.array(part, np.int32)]


def is_large(op) -> bool:
    """Whether it gives more than it takes, and much."""
    if op.type == "Const":
        return False
    sizes = [t.shape.num_elements() for t in op.outputs]
    return any(size is None or size > LARGEST_FOLDED for size in sizes)


# ---------------------------------------------------------------- protos

# TensorProto.DataType
ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "string": 8, "bool": 9, "float64": 11}


def value_info(name: str, tensor: Tensor):
    from onnx import helper

    if tensor.dtype not in ELEMENT_TYPES:
        raise UnsupportedError(f"{name} is of {tensor.dtype}, which has no place in an ONNX file.")
    called = ("batch", "height", "width") if len(tensor.shape) == 4 else ("batch",)
    open_ = [*called, *(f"{name}_{i}" for i in range(len(called), len(tensor.shape)))]
    shape = [open_[i] if d is None else d for i, d in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[tensor.dtype], shape)


def tensor_proto(name: str, array: np.ndarray):
    from onnx import numpy_helper

    return numpy_helper.from_array(array, name)


def proto(node: Node):
    from onnx import helper

    attributes = {k: graph_proto(k, v) if isinstance(v, Graph) else v for k, v in sorted(node.attributes.items())}
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.outputs[0], **attributes)


def graph_proto(name: str, graph: Graph):
    from onnx import helper

    nodes = needed(graph.nodes, graph.outputs)
    infos = [
        helper.make_tensor_value_info(o, ELEMENT_TYPES["int64" if t.dtype == "int32" else t.dtype], None)
        for o, t in zip(graph.outputs, graph.tensors, strict=True)
    ]
    return helper.make_graph([proto(n) for n in nodes], name, [], infos)


def names_read(nodes: Iterable[Node]) -> Iterable[str]:
    """Every name that nodes read, those in branches too."""
    for node in nodes:
        yield from node.inputs
        for value in node.attributes.values():
            if isinstance(value, Graph):
                yield from names_read(needed(value.nodes, value.outputs))
                yield from value.outputs


def needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """Those that outputs need, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted |= set(names_read([node]))
            kept.append(node)
    return kept[::-1]
