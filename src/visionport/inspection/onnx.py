"""What an ONNX file holds, as tables for people: what `onnx.contents` says."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.errors import OptionError
from visionport.inspection.checkpoint import shape_text
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
    parts: list[Any] = [head]
    for side in ("inputs", "outputs"):
        rows = [(t["dtype"], shape_text("?" if n < 0 else n for n in t["shape"]), t["name"]) for t in d[side]]
        parts.append(name_table(side, ("dtype", "shape", "name"), rows))
    rows = [(str(count), name) for name, count in d["ops"].items()]
    parts.append(name_table(f"{sum(d['ops'].values())} operations", ("count", "name"), rows, right=("count",)))
    w = d["weights"]
    kinds = ", ".join(f"{dtype} {size_text(size)}" for dtype, size in w["by_dtype"].items())
    title = f"{w['tensors']} constants, {size_text(w['bytes'])}: {kinds or 'none'}; the largest"
    rows = [(shape_text(t["shape"]), t["dtype"], size_text(t["size"]), t["name"]) for t in w["largest"]]
    parts.append(name_table(title, ("shape", "dtype", "size", "name"), rows, right=("size",)))
    if w["outside"]:
        parts.append(Text(f"weights beside it: {', '.join(w['outside'])}"))
    if d["metadata"]:
        shown = {k: v if len(v) <= LONGEST else f"{v[:LONGEST]}..." for k, v in d["metadata"].items()}
        parts.append(name_table("metadata", ("key", "value"), list(shown.items())))
    else:
        parts.append(Text("no metadata"))
    return Group(*parts)
