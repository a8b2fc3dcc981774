"""What a checkpoint holds: as plain data for --json, and as tables for people."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from visionport.checkpoint.read import VALUE, Checkpoint, Entry
from visionport.inspection.tables import name_table
from visionport.progress import size_text
from visionport.terminal import one_line

_KINDS = {"tf1": "TF1 (by names)", "tf2": "TF2 (object graph)", "named": "SavedModel of visionport"}
_SHOWN = 5  # names of slots, averages and counters; the variables are shown whole


def describe_checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything the checkpoint says of itself, ready for JSON.

    `parameters` and `bytes` count the model's variables alone. Each tensor is {name, shape, dtype, size}, size in
    bytes (0 for strings).
    """
    groups = {group: [checkpoint.entries[key] for key in keys] for group, keys in checkpoint.groups().items()}
    return {
        "prefix": str(checkpoint.prefix),
        "kind": checkpoint.kind,
        "step": checkpoint.step,
        "complete": checkpoint.complete,
        "parameters": sum(math.prod(entry.shape) for entry in groups["model"]),
        "bytes": sum(entry.nbytes for entry in groups["model"]),
        "variables": _tensors(groups["model"]),
        "optimizer_slots": _tensors(groups["slot"]),
        "moving_averages": _tensors(groups["average"]),
        "counters": _tensors(groups["step"]),
        "warnings": list(checkpoint.warnings),
    }


def render(description: Mapping[str, Any]):
    """What `describe_checkpoint` gave, as a rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row("checkpoint", Text(description["prefix"]))
    head.add_row("kind", _KINDS[description["kind"]])
    head.add_row("step", "unknown" if description["step"] is None else f"{description['step']:,}")
    head.add_row("parameters", f"{description['parameters']:,} ({size_text(description['bytes'])})")
    if not description["complete"]:
        head.add_row("values", "cannot be read")

    rows = [
        (shape_text(t["shape"]), t["dtype"], size_text(t["size"]), t["name"].removesuffix(VALUE))
        for t in description["variables"]
    ]
    title = f"{len(rows)} variables"
    parts: list[Any] = [head, name_table(title, ("shape", "dtype", "size", "name"), rows, right=("size",))]
    for key in ("optimizer_slots", "moving_averages", "counters"):
        if description[key]:
            parts.append(Text(_summary(key.replace("_", " "), description[key])))
    parts += [Text(f"Note: {warning}", style="yellow") for warning in description["warnings"]]
    return Group(*parts)


def shape_text(shape: Iterable[int | str]) -> str:
    """[3, 3, 8] -> "3x3x8", [] -> "scalar"."""
    return "x".join(map(str, shape)) or "scalar"


def _summary(title: str, tensors: list[dict[str, Any]]) -> str:
    names = [one_line(tensor["name"].removesuffix(VALUE)) for tensor in tensors]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    size = size_text(sum(tensor["size"] for tensor in tensors))
    return "\n  ".join([f"{len(names)} {title} ({size}):", *names[:_SHOWN], *more])


def _tensors(entries: list[Entry]) -> list[dict[str, Any]]:
    return [{"name": e.name, "shape": list(e.shape), "dtype": e.dtype, "size": e.nbytes} for e in entries]
