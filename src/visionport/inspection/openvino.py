"""What an OpenVINO model holds: its facts, and as tables for people. Read without OpenVINO."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.inspection.networks import network_tables
from visionport.inspection.tables import name_table
from visionport.progress import size_text


def describe(path: Path) -> dict[str, Any]:
    """JSON-ready facts of a model.xml."""
    from visionport.formats.openvino import ir

    found = ir.read(path)

    def side(tensors):
        shapes = [[-1 if n is None else n for n in t.shape] for t in tensors]
        return [{"name": t.name, "dtype": t.dtype, "shape": s} for t, s in zip(tensors, shapes, strict=True)]

    return {
        "kind": "OpenVINO model",
        "path": str(path),
        "size": path.stat().st_size + ir.weights_of(path).stat().st_size,
        "name": found.name,
        "precision": found.precision,
        "inputs": side(found.inputs),
        "outputs": side(found.outputs),
        "ops": dict(found.ops),
        "constant_bytes": {ir.DTYPES.get(kind, kind): size for kind, size in found.weights.items()},
        "rt_info": dict(found.facts),
    }


def render(facts: Mapping[str, Any]):
    """A rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row("OpenVINO model", Text(facts["path"]))
    head.add_row("name", Text(facts["name"]))
    head.add_row("size", size_text(facts["size"]))
    head.add_row("precision", Text(facts["precision"]))
    parts = [head, *network_tables(facts)]
    constants = [(size_text(size), kind) for kind, size in facts["constant_bytes"].items()]
    parts.append(name_table("constants", ("size", "type"), constants, right=("size",)))
    told = [(name, value) for name, value in facts["rt_info"].items()]
    return Group(*parts, *([name_table("rt_info", ("name", "value"), told)] if told else []))
