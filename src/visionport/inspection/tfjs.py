"""What a TensorFlow.js model holds: its facts, and as tables for people. Read without TensorFlow.js."""

import json
from collections.abc import Mapping
from typing import Any

from visionport.inspection.networks import network_tables, weight_table
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
    w = facts["weights"]
    weights = weight_table(w, f"{w['tensors']} weights in {len(w['files'])} files")
    parts = [head, *network_tables(facts), weights]
    told = {name: json.dumps(value, ensure_ascii=False)[:LONGEST] for name, value in flat(facts["metadata"]).items()}
    parts.append(name_table("metadata", ("key", "value"), list(told.items())) if told else Text("no metadata"))
    return Group(*parts)


def flat(told: Mapping[str, Any]) -> dict[str, Any]:
    """What each maker says, by its own keys."""
    found = {}
    for maker, value in told.items():
        found |= {f"{maker}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {maker: value}
    return found
