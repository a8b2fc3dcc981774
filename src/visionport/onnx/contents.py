"""What an ONNX file holds: read without its runtime, within bounds."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import limits
from visionport.errors import ArtifactError
from visionport.filetypes import open_file, read_file

# The first bytes: the version of the format, of which SavedModels have 1; then the maker, the graph or the opset.
FIRST, VERSIONS, SECOND = 0x08, range(2, 64), (0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72)
# Whose operations ONNX Runtime brings along.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool"}
DTYPES |= {10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16"}
SIZES = {"float32": 4, "int32": 4, "uint32": 4, "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}
SIZES |= {"int64": 8, "uint64": 8, "float64": 8}
EXTERNAL = 1  # TensorProto.DataLocation


@dataclass(frozen=True, kw_only=True)
class End:
    """An input or output of the graph. shape: None where a size is open; a name of what is open is left out."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def is_onnx(path: Path) -> bool:
    """By its first bytes."""
    if not path.is_file():
        return False
    with open_file(path) as file:
        head = file.read(3)
    return len(head) == 3 and head[0] == FIRST and head[1] in VERSIONS and head[2] in SECOND


def read(path: Path):
    """The onnx.ModelProto of a file, without what lies outside of it. Raises ArtifactError for any other file."""
    import onnx

    data = read_file(path, limit=limits.ONNX_BYTES, error=ArtifactError)
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception as e:  # protobuf's own kinds of errors differ between its versions
        raise ArtifactError(f"{path} is no ONNX file: {e}.") from None
    if not model.graph.node and not model.graph.output:
        raise ArtifactError(f"{path} is no ONNX file, or an empty one.")
    if sum(1 for _ in nodes(model.graph)) > limits.ONNX_NODES:
        raise ArtifactError(f"{path} has more than {limits.ONNX_NODES:,} operations; none is read of such a file.")
    return model


def inputs(model) -> tuple[End, ...]:
    """Those that must be fed: constants may be listed among the inputs."""
    constant = {tensor.name for tensor in model.graph.initializer}
    return tuple(end(info) for info in model.graph.input if info.name not in constant)


def outputs(model) -> tuple[End, ...]:
    return tuple(map(end, model.graph.output))


def end(info) -> End:
    kind = info.type.tensor_type
    shape = tuple(d.dim_value if d.WhichOneof("value") == "dim_value" else None for d in kind.shape.dim)
    return End(name=text(info.name), dtype=DTYPES.get(kind.elem_type, f"type {kind.elem_type}"), shape=shape)


def metadata(model) -> dict[str, str]:
    """What the file says of itself, by key."""
    return {text(entry.key): text(entry.value) for entry in model.metadata_props}


def text(value: str | bytes) -> str:
    """What protobuf gives as bytes where it is no UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def graphs(graph) -> Iterator[Any]:
    """A graph and its branches."""
    queue = [graph]
    for one in queue:  # grows while it is walked
        yield one
        for node in one.node:
            for attribute in node.attribute:
                queue += [attribute.g] if attribute.HasField("g") else []
                queue += attribute.graphs


def nodes(graph) -> Iterator[Any]:
    """Every operation, those of branches too."""
    for one in graphs(graph):
        yield from one.node


def constants(model) -> Iterator[Any]:
    """Every TensorProto."""
    for one in graphs(model.graph):
        yield from one.initializer
        for node in one.node:
            for attribute in node.attribute:
                yield from [attribute.t] if attribute.HasField("t") else []
                yield from attribute.tensors


def check(path: Path, model) -> None:
    """Raises ArtifactError for a file that reads others outside of its folder, or runs code of its own."""
    for tensor in constants(model):
        if tensor.data_location == EXTERNAL:
            place = location(tensor)
            if not lies_beside(path, place):
                raise ArtifactError(
                    f"{path} reads the weights {text(tensor.name)[:80]!r} from {place[:200]!r}, which is no file in "
                    "its folder. Have a file made that holds them, or put them beside it."
                )
    foreign = sorted({text(node.domain) for node in nodes(model.graph)} - set(DOMAINS) - functions(model))
    if foreign:
        raise ArtifactError(
            f"{path} has operations of {', '.join(repr(d[:80]) for d in foreign)}, which ONNX Runtime does not have: "
            "they are code of somebody's own, and none is loaded."
        )


def lies_beside(path: Path, place: str) -> bool:
    """Whether `place` is a file in the folder of `path`, or below, where all links are followed."""
    folder = path.resolve().parent
    try:
        target = (folder / place).resolve()
        return bool(place) and not Path(place).is_absolute() and target.is_relative_to(folder) and target.is_file()
    except (OSError, ValueError):  # a name that no file system has
        return False


def functions(model) -> set[str]:
    """The domains of what the file itself defines by ONNX's operations."""
    return {text(function.domain) for function in model.functions}


def location(tensor) -> str:
    """The file that a tensor's values are in, as the tensor says; "" where it says nothing."""
    return next((text(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def describe(path: Path) -> dict[str, Any]:
    """What `visionport inspect` says, ready for JSON."""
    model = read(path)
    weights: Counter[str] = Counter()
    largest = []
    for tensor in constants(model):
        dtype = DTYPES.get(tensor.data_type, f"type {tensor.data_type}")
        size = bytes_of(tensor, dtype)
        weights[dtype] += size
        largest.append({"name": text(tensor.name), "dtype": dtype, "shape": list(tensor.dims), "size": size})
    ops = Counter(".".join(filter(None, (text(n.domain), text(n.op_type)))) for n in nodes(model.graph))
    largest.sort(key=lambda t: (-t["size"], t["name"]))
    return {
        "path": str(path),
        "kind": "ONNX file",
        "size": path.stat().st_size,
        "ir_version": model.ir_version,
        "opsets": {text(o.domain) or "ai.onnx": o.version for o in model.opset_import},
        "producer": " ".join(filter(None, map(text, (model.producer_name, model.producer_version)))),
        "description": text(model.doc_string),
        "inputs": [record(e) for e in inputs(model)],
        "outputs": [record(e) for e in outputs(model)],
        "ops": dict(sorted(ops.items(), key=lambda item: (-item[1], item[0]))),
        "weights": {
            "tensors": len(largest),
            "bytes": sum(weights.values()),
            "by_dtype": dict(weights.most_common()),
            "outside": sorted({location(t) for t in constants(model) if t.data_location == EXTERNAL}),
            "largest": largest[:5],
        },
        "metadata": metadata(model),
    }


def record(one: End) -> dict[str, Any]:
    return {"name": one.name, "dtype": one.dtype, "shape": [-1 if d is None else d for d in one.shape]}


def bytes_of(tensor, dtype: str) -> int:
    """Of its values, as its shape says, whichever way the file holds them."""
    count = 1
    for side in tensor.dims:
        count *= max(int(side), 0)
    return count * SIZES.get(dtype, 1)


def without(model, wanted: Mapping[str, Any] | set[str]):
    """The same model that gives only the outputs `wanted`, and holds only what these need."""
    import onnx

    part = onnx.ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    needed = set(wanted)
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            for inner in [node, *(n for a in node.attribute if a.HasField("g") for n in nodes(a.g))]:
                needed |= {*inner.input}
            needed |= {o.name for a in node.attribute if a.HasField("g") for o in a.g.output}
    ends = [o for o in graph.output if o.name in wanted]
    weights = [t for t in graph.initializer if t.name in needed]
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in reversed(kept)]
    ends = [onnx.ValueInfoProto.FromString(o.SerializeToString()) for o in ends]
    weights = [onnx.TensorProto.FromString(t.SerializeToString()) for t in weights]
    graph.ClearField("node")
    graph.ClearField("output")
    graph.ClearField("initializer")
    graph.node.extend(kept)
    graph.output.extend(ends)
    graph.initializer.extend(weights)
    return part


def before(model, op: str) -> list[str]:
    """The outputs that do not depend on an operation of that kind, where others do; otherwise none."""
    makers = {name: node for node in model.graph.node for name in node.output}
    names = [o.name for o in model.graph.output]
    late: dict[str, bool] = {}
    for node in model.graph.node:  # in the order of calculation
        inner = [node, *(n for a in node.attribute if a.HasField("g") for n in nodes(a.g))]
        is_late = any(n.op_type == op or any(late.get(i, False) for i in n.input) for n in inner)
        late |= dict.fromkeys(node.output, is_late)
    found = [name for name in names if name in makers and not late.get(name, False)]
    return found if len(found) < len(names) else []
