"""What a TFLite file holds, as tables for people: what `tflite.description` says."""

from collections.abc import Mapping
from typing import Any

from visionport.inspection.checkpoint import shape_text
from visionport.inspection.tables import name_table
from visionport.progress import size_text


def render(description: Mapping[str, Any]):
    """A rich renderable."""
    from rich.console import Group

    parts = [
        _head(description),
        *_tensors(description),
        *_signatures(description),
        _ops(description),
        *_custom(description),
        _weights(description),
        *_metadata(description),
        *_labels(description),
        _delegates(description),
    ]
    return Group(*parts)


def _table(title: str, *columns: str):
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title), title_justify="left", title_style="bold", header_style="dim", box=None, padding=(0, 1)
    )
    for name in columns:
        right = name in ("count", "size", "ops", "scale", "zero point")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    return table


def _head(d):
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    head.add_row("TFLite file", Text(d["path"]))
    head.add_row("size", size_text(d["size"]))
    head.add_row("quantisation", Text(d["quantization"]))
    if d["description"]:
        head.add_row("description", Text(d["description"]))
    if d["subgraphs"] > 1:
        head.add_row("graphs", f"{d['subgraphs']}; the first one's inputs and outputs are shown")
    return head


def _tensors(d):
    for side in ("inputs", "outputs"):
        rows = []
        for t in d[side]:
            scale = f"{t['scale']:.7g}" if "scale" in t else ""
            shape = shape_text("?" if n < 0 else n for n in t["shape"])
            rows.append((t["dtype"], shape, scale, str(t.get("zero_point", "")), t["name"]))
        yield name_table(side, ("dtype", "shape", "scale", "zero point", "name"), rows, right=("scale", "zero point"))


def _signatures(d):
    for s in d["signatures"]:
        rows = [(side[:-1], key, name) for side in ("inputs", "outputs") for key, name in s[side].items()]
        yield name_table(f"signature {s['name']}", ("", "key", "tensor"), rows)


def _ops(d):
    from rich.text import Text

    table = _table(f"{sum(d['ops'].values())} operations", "name", "count")
    for name, count in d["ops"].items():
        table.add_row(Text(name), str(count))
    return table


def _custom(d):
    from rich.text import Text

    for op in d["custom_ops"]:
        table = _table(f"custom op {op['name']}", "attribute", "value")
        for key, value in op["attributes"].items():
            table.add_row(Text(key), Text(str(value)))
        table.add_row("inputs", Text(", ".join(op["inputs"])))
        table.add_row("outputs", Text(", ".join(op["outputs"])))
        yield table


def _weights(d):
    w = d["weights"]
    kinds = ", ".join(f"{dtype} {size_text(size)}" for dtype, size in w["by_dtype"].items())
    title = f"{w['tensors']} constants, {size_text(w['bytes'])}: {kinds or 'none'}; the largest"
    rows = [(shape_text(t["shape"]), t["dtype"], size_text(t["size"]), t["name"]) for t in w["largest"]]
    return name_table(title, ("shape", "dtype", "size", "name"), rows, right=("size",))


def _metadata(d):
    from rich.text import Text

    if d["metadata"] is None:
        yield Text("no metadata")
        return
    m = d["metadata"]
    table = _table(f"metadata: {m['name']}", "", "name", "content", "what it says")
    for graph in m["subgraphs"]:
        for side in ("inputs", "outputs"):
            for t in graph[side]:
                says = [t["description"]]
                if "mean" in t:
                    says.append(f"Normalised by (pixel - {numbers(t['mean'])}) / {numbers(t['std'])}.")
                says += [f"See {name}." for name in t["files"]]
                table.add_row(side[:-1], Text(t["name"]), t["content"], Text(" ".join(filter(None, says))))
    yield table
    if m["description"]:
        yield Text(m["description"])


def numbers(values) -> str:
    """One where all are the same."""
    found = [f"{v:.6g}" for v in values]
    return found[0] if len(set(found)) == 1 else f"({', '.join(found)})"


def _labels(d):
    from rich.text import Text

    if d["files"]:
        yield Text(f"packed behind it: {', '.join(d['files'])}")
    if d["labels"]:
        shown = ", ".join(d["labels"][:20])
        more = f" and {len(d['labels']) - 20} more" if len(d["labels"]) > 20 else ""
        yield Text(f"{len(d['labels'])} labels: {shown}{more}")


def _delegates(d):
    from rich.text import Text

    table = _table("delegates, by their documented lists", "name", "ops", "takes", "falls back to the CPU")
    for row in d["delegates"]:
        takes = "all" if row["ops"] == row["of"] else "none" if not row["ops"] else f"in {row['parts']} parts"
        takes = "in 1 part" if takes == "in 1 parts" else takes
        reasons: dict[str, list[str]] = {}
        for f in row["falls_back"]:
            reasons.setdefault(f["reason"], []).append(f"{f['count']} {f['op']}")
        lines = [f"{reason}: {', '.join(ops)}" for reason, ops in reasons.items()]
        lines += [f"({note})" for note in row["notes"]]
        table.add_row(row["name"], f"{row['ops']} of {row['of']}", takes, Text("\n".join(lines)))
    return table
