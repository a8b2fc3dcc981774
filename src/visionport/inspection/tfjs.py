"""What a TensorFlow.js model holds: its facts, and as tables for people. Read without TensorFlow.js."""

import json
from collections.abc import Mapping
from typing import Any

from visionport.inspection.checkpoint import shape_text
from visionport.inspection.tables import name_table
from visionport.progress import size_text
from visionport.tfjs.contents import describe

__all__ = ["describe", "render"]

LONGEST = 200  # characters of what the file says of itself


def render(facts: Mapping[str, Any]):
    """A rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row(facts["kind"], Text(facts["path"]))
    head.add_row("size", size_text(facts["size"]))
    head.add_row("producer", Text(facts["producer"]))
    parts: list[Any] = [head]
    for side in ("inputs", "outputs"):
        rows = [(t["dtype"], shape_text("?" if n < 0 else n for n in t["shape"]), t["name"]) for t in facts[side]]
        parts.append(name_table(side, ("dtype", "shape", "name"), rows))
    ops = [(str(count), name) for name, count in facts["ops"].items()]
    parts.append(name_table(f"{sum(facts['ops'].values())} operations", ("count", "name"), ops, right=("count",)))
    w = facts["weights"]
    kinds = ", ".join(f"{dtype} {size_text(size)}" for dtype, size in w["by_dtype"].items())
    title = (
        f"{w['tensors']} weights in {len(w['files'])} files, {size_text(w['bytes'])}: {kinds or 'none'}; the largest"
    )
    rows = [(shape_text(t["shape"]), t["dtype"], size_text(t["size"]), t["name"]) for t in w["largest"]]
    parts.append(name_table(title, ("shape", "dtype", "size", "name"), rows, right=("size",)))
    told = {name: json.dumps(value, ensure_ascii=False)[:LONGEST] for name, value in flat(facts["metadata"]).items()}
    parts.append(name_table("metadata", ("key", "value"), list(told.items())) if told else Text("no metadata"))
    return Group(*parts)


def flat(told: Mapping[str, Any]) -> dict[str, Any]:
    """What each maker says, by its own keys."""
    found = {}
    for maker, value in told.items():
        found |= {f"{maker}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {maker: value}
    return found
