"""Everything that a TFLite file holds, as plain data: for `visionport inspect`, without TensorFlow."""

import struct
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport.errors import ArtifactError, InputError
from visionport.tflite import metadata
from visionport.tflite.delegates import judge
from visionport.tflite.flatbuffer import op_names, parse, text

LARGEST = 10  # tensors shown by size


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of a graph. `size` is in bytes where it is a constant, else None; scales: one, or one a channel."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    size: int | None = None
    values: Any = field(default=None, repr=False, compare=False)  # bytes of a constant

    @property
    def constant(self) -> bool:
        return self.size is not None


@dataclass(frozen=True, kw_only=True)
class Op:
    """An operation; inputs hold None where one is left out. `options` are the schema's, as a table's object or None."""

    name: str
    custom: bool
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)  # of a custom op


def read(path: Path) -> bytes:
    """The file's bytes. Raises InputError for what is no TFLite file, or only its place holder."""
    data = Path(path).read_bytes()
    if data.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is a Git LFS pointer, not the file: run `git lfs pull`.")
    if data[4:8] != b"TFL3":
        what = "is empty" if not data else "begins with none of its marks (TFL3)"
        raise InputError(f"{path} is no TFLite file: it {what}. Is the download whole?")
    return data


def describe(path: Path) -> dict[str, Any]:
    """All of it, ready for JSON. Raises InputError for a file that is damaged or cut short."""
    path = Path(path)
    data = read(path)
    try:
        return {"path": str(path), "kind": "tflite", "size": len(data), **contents(data)}
    except ArtifactError as e:
        raise InputError(f"{path}: {e}.") from None
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, AttributeError, struct.error) as e:
        raise InputError(f"{path}: the TFLite file is damaged or cut short ({type(e).__name__}: {e}).") from None


def contents(data: bytes) -> dict[str, Any]:
    """What `describe` tells, but for the file's name and size."""
    parsed = parse(data)
    graphs = [tensors_of(parsed, graph) for graph in parsed.subgraphs]
    ops = [op for graph, tensors in zip(parsed.subgraphs, graphs, strict=True) for op in ops_of(parsed, graph, tensors)]
    main, tensors = parsed.subgraphs[0], graphs[0]
    weights = constants(parsed, graphs)
    mine = list(ops_of(parsed, main, tensors))
    return {
        "description": text(parsed.description),
        "inputs": [tensor_record(tensors[i]) for i in main.inputs],
        "outputs": [tensor_record(tensors[i]) for i in main.outputs],
        "signatures": [signature_record(s, graphs) for s in parsed.signatureDefs or ()],
        "subgraphs": len(graphs),
        "quantization": kind_of(mine),
        "ops": dict(sorted(Counter(op.name for op in ops).items())),
        "custom_ops": [
            {
                "name": op.name,
                "inputs": [t.name for t in op.inputs if t],
                "outputs": [t.name for t in op.outputs],
                "attributes": dict(op.attributes),
            }
            for op in ops
            if op.custom
        ],
        "weights": weights,
        "metadata": metadata.read(data, parsed),
        "files": packed(data),
        "labels": labels(data),
        "delegates": [judge.judge(name, mine) for name in judge.DELEGATES],
    }


def tensors_of(parsed, graph) -> list[Tensor]:
    from ai_edge_litert import schema_py_generated as schema

    dtypes = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
    found = []
    for t in graph.tensors or ():
        data = parsed.buffers[t.buffer].data if t.buffer else None
        shape = t.shapeSignature if t.shapeSignature is not None else t.shape
        q = t.quantization
        scales = () if q is None or q.scale is None else tuple(map(float, q.scale))
        zeros = () if q is None or not scales or q.zeroPoint is None else tuple(map(int, q.zeroPoint))
        found.append(
            Tensor(
                name=text(t.name),
                shape=() if shape is None else tuple(map(int, shape)),
                dtype=dtypes.get(t.type, f"type {t.type}"),
                scales=scales,
                zero_points=zeros,
                size=None if data is None else len(data),
                values=data,
            )
        )
    return found


def ops_of(parsed, graph, tensors: Sequence[Tensor]):
    """The graph's operations, in the order in which they run."""
    names = op_names(parsed)
    for op in graph.operators or ():
        name, custom = names[op.opcodeIndex]
        yield Op(
            name=name,
            custom=custom,
            inputs=tuple(tensors[i] if i >= 0 else None for i in (() if op.inputs is None else op.inputs)),
            outputs=tuple(tensors[i] for i in (() if op.outputs is None else op.outputs)),
            options=op.builtinOptions,
            attributes=attributes(op.customOptions) if custom else {},
        )


def attributes(data) -> dict[str, Any]:
    """A custom op's options, where they are a flexbuffer's map; else how many bytes they are."""
    from flatbuffers import flexbuffers

    if data is None or not len(data):
        return {}
    try:
        found = flexbuffers.Loads(bytes(data))
    except (ValueError, IndexError, struct.error, NotImplementedError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        return {"bytes": len(data)}
    return {k: float(f"{v:.7g}") if isinstance(v, float) else v for k, v in found.items()}


def tensor_record(t: Tensor) -> dict[str, Any]:
    record: dict[str, Any] = {"name": t.name, "dtype": t.dtype, "shape": list(t.shape)}
    if t.scales:
        record |= {"scale": t.scales[0], "zero_point": t.zero_points[0] if t.zero_points else 0}
    return record


def signature_record(signature, graphs) -> dict[str, Any]:
    tensors = graphs[signature.subgraphIndex or 0]

    def side(entries):
        return {text(e.name): tensors[e.tensorIndex].name for e in entries or ()}

    name = text(signature.signatureKey)
    return {"name": name, "inputs": side(signature.inputs), "outputs": side(signature.outputs)}


def constants(parsed, graphs) -> dict[str, Any]:
    """Bytes of constants, each buffer once, in all and by type, and the largest."""
    seen: dict[int, Tensor] = {}
    for graph, tensors in zip(parsed.subgraphs, graphs, strict=True):
        for raw, t in zip(graph.tensors or (), tensors, strict=True):
            if t.constant:
                seen.setdefault(raw.buffer, t)
    by_type: Counter[str] = Counter()
    for t in seen.values():
        by_type[t.dtype] += t.size or 0
    largest = sorted(seen.values(), key=lambda t: (-(t.size or 0), t.name))[:LARGEST]
    return {
        "bytes": sum(by_type.values()),
        "tensors": len(seen),
        "by_dtype": dict(by_type.most_common()),
        "largest": [{"name": t.name, "shape": list(t.shape), "dtype": t.dtype, "size": t.size} for t in largest],
    }


def kind_of(ops: Sequence[Op]) -> str:
    """How the layers with weights compute: float32, float16, dynamic, int8, uint8, int16x8; several: "mixed"."""
    kinds = set()
    halves = {o.name for op in ops if op.name == "DEQUANTIZE" for o in op.outputs if half(op)}
    for op in ops:
        if op.name in judge.WEIGHTED and len(op.inputs) > 1:
            given, weights = op.inputs[2 if transposed(op) else 0], op.inputs[1]
            if given is None or weights is None:
                continue
            pair = given.dtype, weights.dtype
            if weights.name in halves:
                kinds.add("float16")
            else:
                kinds.add(KINDS.get(pair, f"{pair[0]} with {pair[1]} weights"))
    return next(iter(kinds)) if len(kinds) == 1 else "mixed: " + ", ".join(sorted(kinds)) if kinds else "none"


def half(op: Op) -> bool:
    return bool(op.inputs and op.inputs[0] and op.inputs[0].constant and op.inputs[0].dtype == "float16")


def transposed(op: Op) -> bool:
    """Its inputs are the output's shape, the weights, the image."""
    return op.name == "TRANSPOSE_CONV" and len(op.inputs) > 2


KINDS = {
    ("float32", "float32"): "float32",
    ("float32", "float16"): "float16",
    ("float32", "int8"): "dynamic",
    ("int8", "int8"): "int8",
    ("uint8", "uint8"): "uint8",
    ("int16", "int8"): "int16x8",
}


def packed(data: bytes) -> list[str]:
    """Names of the files behind the flatbuffer."""
    with _archive(data) as archive:
        return archive.namelist() if archive else []


def labels(data: bytes) -> list[str]:
    """The lines of the first text file behind the flatbuffer."""
    with _archive(data) as archive:
        names = [n for n in archive.namelist() if n.endswith(".txt")] if archive else []
        return archive.read(names[0]).decode("utf-8", "replace").splitlines() if archive and names else []


def _archive(data: bytes):
    import contextlib
    import io

    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, struct.error):
        return contextlib.nullcontext()
