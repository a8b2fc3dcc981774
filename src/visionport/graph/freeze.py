"""Any TensorFlow model to one graph of constants: a SavedModel, or a GraphDef or MetaGraph with a checkpoint."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport import staging
from visionport.errors import OptionError
from visionport.graph import edit
from visionport.graph.sources import Source, list_sinks, open_source


@dataclass(frozen=True, kw_only=True)
class GraphRequest:
    """Which part of which model is wanted, and what its nodes are to be called.

    source: a SavedModel's folder, or a graph as .pb, .pbtxt or .meta. checkpoint: a graph's; a SavedModel has its own.
    tags, signature: of a SavedModel. inputs: nodes that become placeholders; the signature's otherwise. outputs: nodes
    to keep; the signature's otherwise. names: nodes -> other names for them. initializers: nodes of a graph to run
    before its variables are read.
    """

    source: Path
    checkpoint: Path | None = None
    tags: Sequence[str] | None = None
    signature: str | None = None
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    initializers: Sequence[str] = ()

    def open(self) -> Source:
        return open_source(Path(self.source), self.checkpoint, self.tags, self.signature, self.initializers)


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A graph, its input and output nodes, and how many variables became constants."""

    graph: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    variables: int


def freeze(
    request: GraphRequest,
    *,
    optimize: bool = False,
    clear_devices: bool = True,
    frozen: Callable[[str], bool] = lambda name: True,
) -> Frozen:
    """A graph without variables and functions, of what the outputs need.

    optimize: constants are folded. frozen: which variables become constants, by their names.
    """
    source = request.open()
    graph, kept, renamed = trim_graph(source, request.inputs, request.outputs, request.names)
    chosen = [node for name, node in edit.variables(graph).items() if frozen(name)]
    values = source.values(chosen)
    edit.freeze(graph, [n.name for n in chosen])
    if optimize:
        edit.fill(graph, values)
        graph = edit.optimized(graph, kept)
    edit.finish(graph, kept, renamed, values, clear_devices=clear_devices)
    ends = {renamed.get(n, n) for n in kept}
    placeholders = [n.name for n in graph.node if n.op.startswith("Placeholder")]
    return Frozen(
        graph=graph,
        inputs=tuple(placeholders),
        outputs=tuple(n.name for n in graph.node if n.name in ends and n.name not in placeholders),
        variables=len(chosen),
    )


def trim_graph(
    source: Source,
    inputs: Sequence[str],
    outputs: Sequence[str],
    names: Mapping[str, str] | None = None,
    *,
    lower: bool = True,
):
    """(graph, its output nodes, {node: name that it is to have}): inlined, and without what the outputs do not need.

    lower: v2 control flow becomes v1's.
    """
    graph = source.graph
    edit.known(graph, inputs, "--input")
    edit.known(graph, outputs, "--output")
    nodes = {n.name: n for n in graph.node}
    ends = {edit.base(o): o for o in outputs} if outputs else dict(source.outputs)
    if not ends:
        raise OptionError(f"{source.path}: no signature says what comes out. Name it with --output{list_sinks(graph)}.")
    kept, renamed = [], {}
    for key, tensor in ends.items():
        name, _, index = tensor.partition(":")
        if nodes[name].op in edit.CALLS or index not in ("", "0"):
            name = f"visionport_output_{len(kept)}"
            kind = output_type(source, nodes[edit.base(tensor)], int(index or 0))
            graph.node.add(name=name, op="Identity", input=[tensor]).attr["T"].type = kind
            renamed[name] = key
        kept.append(name)
    for key, tensor in source.inputs.items():  # TF2's: serving_default_KEY
        if edit.base(tensor).endswith(f"_{key}") and nodes[edit.base(tensor)].op == "Placeholder" and not inputs:
            renamed[edit.base(tensor)] = key
    if inputs:
        edit.cut(graph, inputs)
    edit.needed(graph, kept)
    left = {n.name for n in graph.node}
    placeholders = [n.name for n in graph.node if n.op == "Placeholder"]
    graph = edit.inline(graph, [*kept, *placeholders], lower=lower)
    edit.needed(graph, kept)
    renamed = {k: v for k, v in renamed.items() if k in left}
    for old, new in (names or {}).items():
        node = next((k for k, v in renamed.items() if v == old), old)
        edit.known(graph, [node], "--rename")
        renamed[node] = new
    return graph, kept, renamed


def output_type(source: Source, node, index: int) -> int:
    """The type of a node's output."""
    if node.op in edit.CALLS and index < len(node.attr["Tout"].list.type):
        return node.attr["Tout"].list.type[index]
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.compat.v1.import_graph_def(source.graph, name="")
    found = graph.get_operation_by_name(node.name).outputs
    if index >= len(found):
        raise OptionError(f"{source.path}: {node.name}:{index} is none of the {len(found)} outputs of {node.name}.")
    return found[index].dtype.base_dtype.as_datatype_enum


def write_graph(graph, target: Path, *, overwrite: bool = False) -> Path:
    """Writes .pb, or text where the name ends in .pbtxt."""
    from google.protobuf import text_format

    parts = [text_format.MessageToString(graph).encode()] if Path(target).suffix == ".pbtxt" else serialize_graph(graph)
    return staging.write_file(Path(target), parts, overwrite=overwrite)


def serialize_graph(graph) -> Iterator[bytes]:
    """A GraphDef's bytes, a node after the other: no second copy of all weights."""
    from google.protobuf.internal.encoder import _VarintBytes  # pyright: ignore[reportAttributeAccessIssue]

    for node in graph.node:
        data = node.SerializeToString(deterministic=True)
        yield b"\x0a" + _VarintBytes(len(data))  # field 1, of bytes
        yield data
    rest = type(graph)(library=graph.library, versions=graph.versions)
    yield rest.SerializeToString(deterministic=True)
