"""Tables that the artifacts of other runtimes share: what goes in, what comes out, operations, weights."""

from collections.abc import Mapping
from typing import Any

from visionport.inspection.checkpoint import shape_text
from visionport.inspection.tables import name_table
from visionport.progress import size_text


def network_tables(facts: Mapping[str, Any]) -> list[Any]:
    """Of the facts' inputs, outputs and ops."""
    found = []
    for side in ("inputs", "outputs"):
        rows = [(t["dtype"], shape_text("?" if n < 0 else n for n in t["shape"]), t["name"]) for t in facts[side]]
        found.append(name_table(side, ("dtype", "shape", "name"), rows))
    ops = [(str(count), name) for name, count in facts["ops"].items()]
    title = f"{sum(facts['ops'].values())} operations"
    return [*found, name_table(title, ("count", "name"), ops, right=("count",))]


def weight_table(weights: Mapping[str, Any], what: str):
    """The largest of them. what: how many there are, in words."""
    kinds = ", ".join(f"{dtype} {size_text(size)}" for dtype, size in weights["by_dtype"].items())
    title = f"{what}, {size_text(weights['bytes'])}: {kinds or 'none'}; the largest"
    rows = [(shape_text(t["shape"]), t["dtype"], size_text(t["size"]), t["name"]) for t in weights["largest"]]
    return name_table(title, ("shape", "dtype", "size", "name"), rows, right=("size",))
