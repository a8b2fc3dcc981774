"""What a SavedModel or a graph holds: signatures, inputs, outputs, variables, operations."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.errors import InputError, VisionportError
from visionport.inspection.checkpoint import shape_text, size_text

GRAPHS = (".pb", ".pbtxt", ".meta")


def describe(path: Path) -> dict[str, Any]:
    """Ready for JSON. path: a SavedModel's folder or file, or a GraphDef or MetaGraphDef as .pb, .pbtxt or .meta."""
    from visionport.graph import sources

    path = path.parent if path.name in sources.SAVED_MODEL else Path(path)
    if path.is_dir():
        return _saved_model(path)
    graph, signatures = sources.read_graph_def(path)
    return {
        "path": str(path),
        "kind": "graph",
        "size": path.stat().st_size,
        "signatures": [_signature(name, s) for name, s in signatures.items()],
        **_graph(graph),
    }


def _saved_model(path: Path) -> dict[str, Any]:
    from tensorflow.python.saved_model import loader_impl

    try:
        content = loader_impl.parse_saved_model(str(path))
    except OSError as e:
        raise InputError(f"{path}: its saved_model.pb cannot be read: {e}.") from None
    graphs = [
        {
            "tags": list(m.meta_info_def.tags),
            "tensorflow": m.meta_info_def.tensorflow_version,
            "signatures": [
                _signature(n, s) for n, s in sorted(m.signature_def.items()) if not n.startswith("__") and s.outputs
            ],
            "ops": _count(m.graph_def),
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
    import tensorflow as tf

    from visionport.graph import edit

    read = {edit.base(i) for n in graph.node for i in n.input}
    ignored = ("NoOp", "Assign", "AssignVariableOp", "SaveV2", "Const", "Placeholder", "Assert", "MergeV2Checkpoints")
    inputs = [
        {"name": n.name, "dtype": tf.as_dtype(n.attr["dtype"].type).name, "shape": _shape(n.attr["shape"].shape)}
        for n in graph.node
        if n.op.startswith("Placeholder")
    ]
    constants = [n.attr["value"].tensor for n in graph.node if n.op == "Const"]
    return {
        "inputs": inputs,
        "outputs": [n.name for n in graph.node if n.name not in read and n.op not in ignored],
        "ops": _count(graph),
        "constant_bytes": sum(c.ByteSize() for c in constants),
        "variables": [
            {"name": n.name, "shape": _shape(n.attr["shape"].shape), "dtype": tf.as_dtype(n.attr["dtype"].type).name}
            for n in graph.node
            if n.op in edit.VARIABLES
        ],
    }


def _count(graph) -> dict[str, int]:
    """Operations, those of functions too."""
    found = Counter(n.op for n in graph.node)
    for function in graph.library.function:
        found.update(n.op for n in function.node_def)
    return dict(sorted(found.items()))


def _signature(name: str, signature) -> dict[str, Any]:
    import tensorflow as tf

    def side(infos):
        return {
            key: {"tensor": info.name, "dtype": tf.as_dtype(info.dtype).name, "shape": _shape(info.tensor_shape)}
            for key, info in sorted(infos.items())
        }

    return {"name": name, "inputs": side(signature.inputs), "outputs": side(signature.outputs)}


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
            head.add_row("tags", f"{','.join(m['tags'])} (TensorFlow {m['tensorflow']})")
        for s in m["signatures"]:
            parts.append(_tensors(f"signature {s['name']}", s))
        parts.append(Text(f"{sum(m['ops'].values())} operations: {_most(m['ops'])}"))
    if "constant_bytes" in d:
        head.add_row("constants", size_text(d["constant_bytes"]))
        for t in d["inputs"]:
            head.add_row("input", Text(f"{t['name']}  {t['dtype']} {_text(t['shape'])}"))
        head.add_row("outputs", Text(", ".join(d["outputs"][:12])))
    if d["variables"]:
        table = Table("name", "shape", "dtype", title=f"{len(d['variables'])} variables", title_justify="left")
        table.columns[0].overflow = "fold"
        for v in d["variables"]:
            table.add_row(Text(v["name"]), _text(v["shape"]), v["dtype"])
        parts.append(table)
    return Group(*parts)


def _tensors(title: str, signature):
    from rich.table import Table
    from rich.text import Text

    table = Table("", "key", "dtype", "shape", "tensor", title=title, title_justify="left")
    for side in ("inputs", "outputs"):
        for key, t in signature[side].items():
            table.add_row(side[:-1], Text(key), t["dtype"], _text(t["shape"]), Text(t["tensor"]))
    return table


def _text(shape) -> str:
    return "any" if shape is None else shape_text("?" if d < 0 else d for d in shape)


def _most(ops: Mapping[str, int]) -> str:
    ranked = sorted(ops.items(), key=lambda row: (-row[1], row[0]))
    more = f" and {len(ranked) - 12} other kinds" if len(ranked) > 12 else ""
    return ", ".join(f"{n} {op}" for op, n in ranked[:12]) + more
