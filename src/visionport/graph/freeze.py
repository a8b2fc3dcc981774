"""Any TensorFlow model to one graph of constants: a SavedModel, or a GraphDef or MetaGraph with a checkpoint."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from visionport import staging
from visionport.checkpoint.find import locate
from visionport.errors import CheckpointError, OptionError
from visionport.graph import decide, edit, growth
from visionport.graph.sources import Source, list_sinks, open_source


@dataclass(frozen=True, kw_only=True)
class GraphRequest:
    """Which part of which model is wanted, and what its nodes are to be called.

    source: a SavedModel's folder, or a graph as .pb, .pbtxt or .meta. checkpoint: a graph's; a SavedModel has its own.
    tags, signature: of a SavedModel. inputs: nodes that become placeholders; the signature's otherwise. outputs: nodes
    to keep; the signature's otherwise. names: nodes -> other names for them. constants: nodes -> values that they are
    fixed to (decide.py). initializers: nodes of a graph to run before its variables are read. allow_unsafe_ops: ops
    with effects outside of the graph may run (effects.py).
    """

    source: Path
    checkpoint: Path | None = None
    tags: Sequence[str] | None = None
    signature: str | None = None
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    initializers: Sequence[str] = ()
    allow_unsafe_ops: bool = False

    def open(self) -> Source:
        given = (Path(self.source), self.checkpoint, self.tags, self.signature, self.initializers)
        return open_source(*given, trusted=self.allow_unsafe_ops)

    @property
    def files(self) -> list[Path]:
        """The files and folders that are read."""
        given = self.checkpoint or (self.source.with_suffix("") if self.source.suffix == ".meta" else None)
        try:
            return [self.source, *([locate(given)[0]] if given else [])]
        except CheckpointError:  # whoever opens it says so
            return [self.source]

    def trim(self, source: Source) -> "Trimmed":
        """What is wanted of the source's graph."""
        parts = {"inputs": self.inputs, "outputs": self.outputs, "names": self.names, "constants": self.constants}
        return trim_graph(source, **parts)


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
    trimmed = request.trim(source)
    graph, kept, renamed = trimmed.graph, trimmed.kept, trimmed.names
    decide.check_references(graph, edit.variables(graph))
    chosen = [node for name, node in edit.variables(graph).items() if frozen(name)]
    values = source.values(chosen)
    edit.freeze(graph, [n.name for n in chosen])
    if optimize:
        edit.fill(graph, values)
        growth.check_growth(source.path, graph)  # again: variables are constants now
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


@dataclass(frozen=True, kw_only=True)
class Trimmed:
    """What the outputs need, inlined. kept: its output nodes; names: node -> name that it is to have; placed: tensor ->
    the placeholder that it has become."""

    graph: Any
    kept: list[str]
    names: dict[str, str]
    placed: dict[str, str]


def trim_graph(
    source: Source,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    names: Mapping[str, str] = MappingProxyType({}),
    constants: Mapping[str, Any] = MappingProxyType({}),
    lower: bool = True,
) -> Trimmed:
    """The part of a source's graph between inputs and outputs, without what constants decide.

    lower: v2 control flow becomes v1's. The arguments are a GraphRequest's.
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
        replaced = nodes[name].op in (*edit.CALLS, *(decide.BRANCHES if constants else ()))
        if replaced or index not in ("", "0"):
            name = f"visionport_output_{len(kept)}"
            kind = output_type(graph, tensor)
            graph.node.add(name=name, op="Identity", input=[tensor]).attr["T"].type = kind
            renamed[name] = key
        kept.append(name)
    decide.set_inputs(graph, constants, source.inputs)
    fixed = {edit.full_name(source.inputs.get(name, name)) for name in constants}
    if both := [t for t in inputs if edit.full_name(t) in fixed]:
        raise OptionError(f"{', '.join(both)}: an input, and fixed by --set. Leave one out.")
    own = [t for t in source.inputs.values() if edit.full_name(t) not in fixed]
    fed = list(inputs) or [t for t in own if not is_handle(nodes[edit.base(t)])]
    for key, tensor in source.inputs.items():  # TF2's: serving_default_KEY
        if edit.base(tensor).endswith(f"_{key}") and nodes[edit.base(tensor)].op == "Placeholder" and not inputs:
            renamed[edit.base(tensor)] = key
    placed = edit.cut(graph, fed)
    edit.needed(graph, kept)
    left = {n.name for n in graph.node}
    if not constants:
        source.check_effects(graph, kept)
    while True:
        placeholders = [n.name for n in graph.node if n.op == "Placeholder"]
        while constants and decide.drop_branches(graph, kept):
            pass
        graph = edit.inline(graph, [*kept, *placeholders], lower=lower)
        edit.needed(graph, kept)
        for node in graph.node:
            node.attr.pop("_class", None)  # a place beside a node that may be gone
        if not constants or not decide.find_decided(graph):
            break
    if constants:
        source.check_effects(graph, kept)
        decide.drop_dropout(graph, kept)
    growth.check_growth(source.path, graph)
    check_fed(graph, kept, [*inputs], placed)
    renamed = {k: v for k, v in renamed.items() if k in left}
    for old, new in names.items():
        node = next((k for k, v in renamed.items() if v == old), old)
        edit.known(graph, [node], "--rename")
        renamed[node] = new
    return Trimmed(graph=graph, kept=kept, names=renamed, placed=placed)


def is_handle(node) -> bool:
    """Does it stand for a resource, which has no value to feed?"""
    return node.op == "VarHandleOp"


# What takes examples out of a pipeline of training: nothing feeds them in a graph that stands alone.
FEEDERS = re.compile("(QueueDequeue(Many|UpTo)?|ReaderRead(UpTo)?)(V2)?|IteratorGetNext(Sync)?|Unstage")


def check_fed(graph, kept: Sequence[str], inputs: Sequence[str], placed: Mapping[str, str]) -> None:
    """Raises OptionError for inputs that reach no output, and for outputs that a queue feeds."""
    nodes = {n.name: n for n in graph.node}
    unused = [i for i in inputs if placed[i] not in nodes]
    feeders = [n for n in graph.node if FEEDERS.fullmatch(n.op)]
    ends = ", ".join(kept)
    said = [f"{', '.join(unused)} does not reach {ends}"] if unused else []
    if feeders:
        first = feeders[0]
        readers = [n.name for n in graph.node if first.name in map(edit.base, n.input) and n.op == "Identity"]
        said.append(f"{first.name} ({first.op}) feeds {ends}; nearest node to feed: {(*readers, first.name)[0]}")
    if said:
        near = [n.name for n in graph.node if n.op.startswith("Placeholder")]
        instead = "" if feeders or not near else f"; what does: {', '.join(near[:8])}"
        raise OptionError(f"{'; '.join(said)}{instead}. Name that as an input.")


def output_type(graph, tensor: str) -> int:
    """The type of a node's output."""
    node = next(n for n in graph.node if n.name == edit.base(tensor))
    index = int(edit.full_name(tensor).partition(":")[2])
    if node.op in edit.CALLS and index < len(node.attr["Tout"].list.type):
        return node.attr["Tout"].list.type[index]
    if index < len(node.attr["_output_types"].list.type):  # of an op that only TFLite knows
        return node.attr["_output_types"].list.type[index]
    return edit.import_tensors(graph, [tensor])[tensor].dtype.base_dtype.as_datatype_enum


def write_graph(graph, target: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> Path:
    """Writes .pb, or text where the name ends in .pbtxt. inputs: what was read, and is not overwritten."""
    from google.protobuf import text_format

    parts = [text_format.MessageToString(graph).encode()] if Path(target).suffix == ".pbtxt" else serialize_graph(graph)
    return staging.write_file(Path(target), parts, overwrite=overwrite, inputs=inputs)


def serialize_graph(graph) -> Iterator[bytes]:
    """A GraphDef's bytes, a node after the other: no second copy of all weights."""
    from google.protobuf.internal.encoder import _VarintBytes  # pyright: ignore[reportAttributeAccessIssue]

    for node in graph.node:
        data = node.SerializeToString(deterministic=True)
        yield b"\x0a" + _VarintBytes(len(data))  # field 1, of bytes
        yield data
    rest = type(graph)(library=graph.library, versions=graph.versions)
    yield rest.SerializeToString(deterministic=True)
