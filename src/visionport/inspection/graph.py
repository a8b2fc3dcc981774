"""What a SavedModel or a graph holds: signatures, inputs, outputs, variables, operations."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionport.errors import VisionportError
from visionport.inspection.checkpoint import shape_text
from visionport.inspection.tables import name_table
from visionport.progress import size_text

GRAPHS = (".pb", ".pbtxt", ".meta")


def describe(path: Path) -> dict[str, Any]:
    """Ready for JSON. path: a SavedModel's folder or file, or a GraphDef or MetaGraphDef as .pb, .pbtxt or .meta."""
    from visionport.graph import sources

    path = path.parent if path.name in sources.SAVED_MODEL else Path(path)
    if path.is_dir():
        return _saved_model(path)
    meta = sources.read_meta_graph(path)
    return {
        "path": str(path),
        "kind": "graph",
        "size": path.stat().st_size,
        "signatures": [_signature(name, s) for name, s in meta.signature_def.items()],
        **_graph(meta.graph_def),
        "unsafe_ops": _unsafe(meta, {}),
    }


def _saved_model(path: Path) -> dict[str, Any]:
    from visionport.graph import effects, sources

    content = sources.read_saved_model(path)
    graphs = [
        {
            "tags": list(m.meta_info_def.tags),
            "tensorflow": m.meta_info_def.tensorflow_version,
            "signatures": [
                _signature(n, s) for n, s in sorted(m.signature_def.items()) if not n.startswith("__") and s.outputs
            ],
            "ops": _count(m.graph_def),
            "unsafe_ops": _unsafe(m, effects.check_assets(path, m)),
        }
        for m in content.meta_graphs
    ]
    return {
        "path": str(path),
        "kind": "saved_model",
        "size": sum(f.stat().st_size for f in path.rglob("*") if f.is_file()),
        "meta_graphs": graphs,
        "variables": _variables(path / "variables" / "variables.index"),
    }


def _variables(index: Path) -> list[dict[str, Any]]:
    """Names, shapes and types of what the SavedModel's checkpoint holds; none where it has none."""
    if not index.is_file():
        return []
    from visionport.checkpoint.open import open_checkpoint
    from visionport.checkpoint.read import VALUE

    try:
        entries = open_checkpoint(index).entries.values()
    except VisionportError:
        return []
    kept = [e for e in entries if not e.name.startswith("_CHECKPOINTABLE")]
    names = [(e.name.removesuffix(VALUE), e) for e in kept]
    return [{"name": n, "shape": list(e.shape), "dtype": e.dtype, "size": e.nbytes} for n, e in names]


def _graph(graph) -> dict[str, Any]:
    """A graph that says nothing of itself: what is fed, what nothing reads, and how much is constant."""

    from visionport.graph import edit

    inputs = [
        {"name": n.name, "dtype": _dtype(n.attr["dtype"].type), "shape": _shape(n.attr["shape"].shape)}
        for n in graph.node
        if n.op.startswith("Placeholder")
    ]
    constants = [n.attr["value"].tensor for n in graph.node if n.op == "Const"]
    return {
        "inputs": inputs,
        "outputs": likely_outputs(graph),
        "ops": _count(graph),
        "constant_bytes": sum(c.ByteSize() for c in constants),
        "variables": [
            {"name": n.name, "shape": _shape(n.attr["shape"].shape), "dtype": _dtype(n.attr["dtype"].type)}
            for n in graph.node
            if n.op in edit.VARIABLES
        ],
    }


def likely_outputs(graph) -> list[str]:
    """The nodes that one would name as outputs: what nothing reads but training, its losses, savers and summaries."""
    from visionport.graph import edit

    reads = {n.name: [edit.base(i) for i in n.input] for n in graph.node}
    readers: dict[str, set[str]] = {name: set() for name in reads}
    for name, sources in reads.items():
        for source in sources:
            readers.setdefault(source, set()).add(name)
    trains = behind(readers, [n.name for n in graph.node if TRAINING.search(n.name) or n.op.startswith("Apply")])
    updates = {n.name for n in graph.node if UPDATES.search(n.op)}
    for n in reversed(graph.node):  # and what is computed for these alone
        if readers[n.name] and readers[n.name] <= updates:
            updates.add(n.name)
    kept = {n.name for n in graph.node if n.op not in IGNORED} - trains - updates
    if trains:  # a loss reads labels besides the picture: what depends on the picture alone is left
        kept &= picture_alone(graph, readers) or kept
    return [n.name for n in graph.node if n.name in kept and not readers[n.name] & kept]


IGNORED = (
    "NoOp",
    "Const",
    "Placeholder",
    "Assert",
    "PlaceholderWithDefault",
    "VariableV2",
    "VarHandleOp",
    "ReadVariableOp",
)
TRAINING = re.compile(r"(^|/)(gradients|save|AssignMovingAvg)(_\d+)?/")
UPDATES = re.compile(r"^(Resource)?(Apply|Scatter|Assign)|Save|Restore|Summary|MergeV2Checkpoints|NoOp|Assert")


def behind(readers: Mapping[str, set[str]], names: Sequence[str]) -> set[str]:
    """These nodes and all that depend on them."""
    found, left = set(names), list(names)
    while left:
        new = readers.get(left.pop(), set()) - found
        found |= new
        left += new
    return found


def picture_alone(graph, readers: Mapping[str, set[str]]) -> set[str]:
    """What depends on one placeholder and on no other but switches and numbers; of that which most depends on."""
    fed = [n for n in graph.node if n.op == "Placeholder" and not is_number(n)]
    reached = {n.name: behind(readers, [n.name]) for n in fed}
    alone = [reached[name] - set().union(*(v for k, v in reached.items() if k != name)) for name in reached]
    return max(alone, key=len, default=set())


def is_number(node) -> bool:
    shape = node.attr["shape"].shape
    return node.attr["dtype"].type == 10 or ("shape" in node.attr and not shape.unknown_rank and not shape.dim)


def _count(graph) -> dict[str, int]:
    """Operations, those of functions too."""
    found = Counter(n.op for n in graph.node)
    for function in graph.library.function:
        found.update(n.op for n in function.node_def)
    return dict(sorted(found.items()))


def _unsafe(meta, assets: Mapping[str, str]) -> list[dict[str, str]]:
    """Operations with effects outside of the graph, wherever they are. assets: of a SavedModel."""
    from visionport.graph import effects

    return [vars(finding) for finding in effects.list_effects(meta, assets)]


def _signature(name: str, signature) -> dict[str, Any]:
    def side(infos):
        return {
            key: {"tensor": info.name, "dtype": _dtype(info.dtype), "shape": _shape(info.tensor_shape)}
            for key, info in sorted(infos.items())
        }

    return {"name": name, "inputs": side(signature.inputs), "outputs": side(signature.outputs)}


def _dtype(number: int) -> str:
    """What TensorFlow calls a type; an operation, and several tensors in one, have none."""
    import tensorflow as tf

    return tf.as_dtype(number).name if number else "?"


def _shape(shape) -> list[int] | None:
    """-1 where it is not fixed; None where not even the rank is."""
    return None if shape.unknown_rank else [d.size for d in shape.dim]


def render(description: Mapping[str, Any]):
    """What `describe` gave, as a rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    d = description
    head = Table.grid(padding=(0, 2))
    head.add_row("SavedModel" if d["kind"] == "saved_model" else "graph", Text(d["path"]))
    head.add_row("size", size_text(d["size"]))
    parts: list[Any] = [head]
    for m in d.get("meta_graphs", [d]):
        if "tags" in m:
            head.add_row("tags", Text(f"{','.join(m['tags'])} (TensorFlow {m['tensorflow']})"))
        for s in m["signatures"]:
            parts.append(_tensors(f"signature {s['name']}", s))
        parts.append(Text(f"{sum(m['ops'].values())} operations: {_most(m['ops'])}"))
        if m["unsafe_ops"]:
            rows = [(f["op"], f["effect"], f["node"], f["function"]) for f in m["unsafe_ops"]]
            title = f"{len(rows)} with effects outside of the graph: refused without --allow-unsafe-ops"
            parts.append(name_table(title, ("op", "effect", "node", "function"), rows))
    if "constant_bytes" in d:
        head.add_row("constants", size_text(d["constant_bytes"]))
        for t in d["inputs"]:
            head.add_row("input", Text(f"{t['name']}  {t['dtype']} {_text(t['shape'])}"))
        head.add_row("outputs", Text(", ".join(d["outputs"][:12])))
    if d["variables"]:
        rows = [(_text(v["shape"]), v["dtype"], v["name"]) for v in d["variables"]]
        parts.append(name_table(f"{len(rows)} variables", ("shape", "dtype", "name"), rows))
    return Group(*parts)


def _tensors(title: str, signature):
    rows = [
        (side[:-1], t["dtype"], _text(t["shape"]), key, t["tensor"])
        for side in ("inputs", "outputs")
        for key, t in signature[side].items()
    ]
    return name_table(title, ("", "dtype", "shape", "key", "tensor"), rows)


def _text(shape) -> str:
    return "any" if shape is None else shape_text("?" if d < 0 else d for d in shape)


def _most(ops: Mapping[str, int]) -> str:
    ranked = sorted(ops.items(), key=lambda row: (-row[1], row[0]))
    more = f" and {len(ranked) - 12} other kinds" if len(ranked) > 12 else ""
    return ", ".join(f"{n} {op}" for op, n in ranked[:12]) + more
