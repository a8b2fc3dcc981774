"""Constants that grow: what follows from a graph's constants alone, TensorFlow computes on import or when it folds.

A file of a few bytes can ask for zeros of 10^10 elements. So the sizes of such tensors are found first, a layer of
nodes after the other: their shapes are known by then to depend on nothing that is itself too large.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport.errors import InputError
from visionport.graph import calls, decide, edit, effects
from visionport.graph.soundness import ELEMENTS, TOTAL, is_open

# Ops whose output nothing in their inputs' shapes bounds, and whose shape TensorFlow does not foresee.
UNFORESEEN = re.compile(
    r"(Sparse)?Segment\w+|Ragged(Range|TensorToTensor|Bincount)|Decode\w+|ParseTensor|LookupTable\w+"
)
LISTS = {"TensorListReserve": 1, "TensorListResize": 1}  # which input says how long a list is
SHAPES = ("Shape", "ShapeN", "Size", "Rank")
SPELT = 1 << 16  # bytes of a constant that may be a shape; a longer one's value matters to no shape


def check_growth(path: Path | str, graph, *, functions: bool = False) -> None:
    """Raises InputError where constants alone come to more than ELEMENTS, naming the node. functions: in these too."""
    examine(path, graph.node)
    for function in graph.library.function if functions else ():
        examine(path, flatten(function), f" of the function {function.signature.name}")


def flatten(function) -> list[Any]:
    """A function's nodes with inputs as a graph's main nodes have them, but for those that are arguments."""
    from tensorflow.python.framework import op_def_registry

    nodes, flat = {n.name: n for n in function.node_def}, []
    for given in function.node_def:
        if is_open(given):
            continue
        node = given
        if given.input and op_def_registry.get(given.op):
            node = type(given)()
            node.CopyFrom(given)
            node.input[:] = [flat_name(i, nodes) for i in given.input]
        flat.append(node)
    return flat


def flat_name(name: str, nodes: Mapping[str, Any]) -> str:
    """NODE:INDEX of NODE:OUTPUT:INDEX."""
    from tensorflow.python.framework import op_def_registry

    node, *more = name.split(":")
    if len(more) != 2 or node not in nodes or op_def_registry.get(nodes[node].op) is None:
        return name
    return f"{node}:{calls.position(nodes[node], more[0]) + int(more[1])}"


def examine(path: Path | str, nodes, place: str = "") -> None:
    import tensorflow as tf

    layers = list_layers(nodes)
    if len(layers) < 2:
        return
    wanted = {edit.base(i) for layer in layers[1:] for n in layer for i in n.input}
    layers[0] = [n for n in layers[0] if n.name in wanted]
    sizes: dict[str, int] = {}  # tensor -> elements
    bytes_: dict[str, float] = {}  # node -> of its texts, at most
    grown = 0
    made: dict[str, Any] = {}  # node -> TensorFlow's operation
    with tf.Graph().as_default():
        for layer in layers:
            import_layer(made, layer)
            for node in layer:
                where = f"{path}: {node.name} ({node.op}){place}"
                given = {edit.full_name(i): sizes.get(edit.full_name(i), 0) for i in node.input if i[0] != "^"}
                outputs = made[node.name].outputs
                for index, tensor in enumerate(outputs):
                    count = count_elements(tensor, where)
                    if count is None and UNFORESEEN.fullmatch(node.op):
                        raise InputError(f"{where} makes a constant whose size nothing bounds.")
                    sizes[f"{node.name}:{index}"] = count = sum(given.values()) if count is None else count
                    grown += max(0, count - sum(given.values())) if node.op != "Const" else 0
                    if grown > ELEMENTS or count > 1 << 40:
                        raise InputError(f"{where} makes a constant of {count} elements, more than any model needs.")
                if any(t.dtype == tf.string for t in outputs):
                    bytes_[node.name] = text_bytes(node, bytes_, sizes)
                    if bytes_[node.name] > TOTAL:
                        raise InputError(f"{where} makes texts of more bytes than any model needs.")
                if node.op in LISTS and list_length(made, node) > ELEMENTS:
                    raise InputError(f"{where} makes a list longer than any model needs.")


def count_elements(tensor, where: str) -> int | None:
    """How many a tensor has, where TensorFlow foresees it."""
    try:
        return tensor.shape.num_elements()
    except ValueError:  # a size that TensorFlow itself has let overflow
        raise InputError(f"{where} makes a constant of more elements than any model needs.") from None


def list_layers(nodes) -> list[list[Any]]:
    """The nodes that follow from constants alone, each layer from those before it; the first are the constants.

    The shapes of placeholders that have one are constants too.
    """
    from tensorflow.python.framework import op_def_registry

    depths: dict[str, int] = {}
    known = {n.name for n in nodes if n.op == "Placeholder" and is_closed(n.attr["shape"].shape)}
    layers: list[list[Any]] = []
    for node in in_order(nodes):
        data = [edit.base(i) for i in node.input if i[0] != "^"]
        if node.name in known:
            depths[node.name] = 0
        else:
            open_ = any(d not in depths or (d in known and node.op not in SHAPES) for d in data)
            definition = op_def_registry.get(node.op)
            if open_ or node.op in decide.UNKNOWN or node.op.startswith("Placeholder") or definition is None:
                continue
            if definition.is_stateful or effects.effect_of(node):
                continue
            depths[node.name] = 1 + max((depths[d] for d in data), default=-1)
        layers += [[] for _ in range(depths[node.name] + 1 - len(layers))]
        layers[depths[node.name]].append(node)
    return layers


def is_closed(shape) -> bool:
    return bool(shape.dim) and not shape.unknown_rank and all(d.size >= 0 for d in shape.dim)


def in_order(nodes) -> Iterator[Any]:
    """Nodes behind all that they need; those in loops, and behind them, are left out."""
    by_name = {n.name: n for n in nodes}
    waiting, readers = {}, {}
    for node in nodes:
        ends = {edit.base(i) for i in node.input}
        waiting[node.name] = len(ends)
        for end in ends:
            readers.setdefault(end, []).append(node.name)
    ready = [name for name, count in waiting.items() if not count]
    for name in ready:  # grows while it is walked
        yield by_name[name]
        for reader in readers.get(name, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)


def import_layer(made: dict[str, Any], layer: Sequence[Any]) -> None:
    """Adds nodes to the tf.Graph of now, which holds all that they need; long constants as placeholders.

    made: node -> operation, which is added to.
    """
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    part, given = graph_pb2.GraphDef(), {}
    for node in layer:
        copy = part.node.add(name=node.name, op=node.op)
        if node.op == "Const" and node.ByteSize() > SPELT:
            copy.op = "Placeholder"
            copy.attr["dtype"].type = node.attr["dtype"].type
            copy.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
            continue
        copy.input.extend(i for i in node.input if i[0] != "^")
        given |= {i: tensor_of(made, i) for i in copy.input}
        for name, value in node.attr.items():
            if not name.startswith("_"):
                copy.attr[name].CopyFrom(value)
    try:
        found = tf.graph_util.import_graph_def(part, given, [n.name for n in layer], name="")
    except Exception as e:  # whatever TensorFlow makes of a stranger's graph
        raise InputError(f"TensorFlow does not take the graph: {edit.first_line(e)}.") from None
    made.update(zip((n.name for n in layer), found or (), strict=True))


def tensor_of(made: Mapping[str, Any], name: str):
    return made[edit.base(name)].outputs[int(edit.full_name(name).partition(":")[2])]


def text_bytes(node, bytes_: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    """How many bytes the texts that a node gives have at most, of those that it is given."""
    if node.op == "Const":
        return node.ByteSize()
    texts = [(edit.base(i), sizes.get(edit.full_name(i), 0)) for i in node.input if edit.base(i) in bytes_]
    longest = max((count for _, count in texts), default=0)
    spread = max(1.0, sizes[f"{node.name}:0"] / max(longest, 1))
    packed = 1100 if node.op == "DecodeCompressed" else 1  # zlib packs 1032 zeros in a byte
    return (64 + sum(bytes_[name] for name, _ in texts)) * spread * packed


def list_length(made: Mapping[str, Any], node) -> int:
    """How long a list is to be, which TensorFlow finds as the shape of another tensor; 0 where it cannot."""
    import tensorflow as tf

    length = tensor_of(made, node.input[LISTS[node.op]])
    try:
        return tf.fill(tf.reshape(length, [1]), False).shape[0] or 0
    except (ValueError, TypeError):  # below 0
        return 0
