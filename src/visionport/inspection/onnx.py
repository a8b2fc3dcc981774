"""What an ONNX file holds, as tables for people: what `onnx.contents` says."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.errors import OptionError
from visionport.inspection.networks import network_tables, weight_table
from visionport.inspection.tables import name_table
from visionport.onnx import contents
from visionport.progress import size_text

LONGEST = 200  # characters of what the metadata says that are shown


def describe(path: Path) -> dict[str, Any]:
    if not importlib.util.find_spec("onnx"):
        raise OptionError(f"{path} is an ONNX file, which is read by a package: `pip install visionport[onnx]`.")
    return contents.describe(path)


def render(d: Mapping[str, Any]):
    """A rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row("ONNX file", Text(d["path"]))
    head.add_row("size", size_text(d["size"]))
    head.add_row("opset", Text(", ".join(f"{name} {version}" for name, version in d["opsets"].items())))
    if d["producer"]:
        head.add_row("made by", Text(d["producer"]))
    if d["description"]:
        head.add_row("description", Text(d["description"]))
    w = d["weights"]
    parts = [head, *network_tables(d), weight_table(w, f"{w['tensors']} constants")]
    if w["outside"]:
        parts.append(Text(f"weights beside it: {', '.join(w['outside'])}"))
    if d["metadata"]:
        shown = {k: v if len(v) <= LONGEST else f"{v[:LONGEST]}..." for k, v in d["metadata"].items()}
        parts.append(name_table("metadata", ("key", "value"), list(shown.items())))
    else:
        parts.append(Text("no metadata"))
    return Group(*parts)
