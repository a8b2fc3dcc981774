"""What a TFLite file holds, as plain data: tensors, operations, constants, packed files. Without TensorFlow."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport import filetypes
from visionport.downloads import check_download
from visionport.errors import InputError
from visionport.tflite.flatbuffer import MAX_BYTES, op_names, parse, text
from visionport.tflite.flexbuffer import read_map


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of a graph. `size`: bytes of a constant, otherwise None. scales: one, or one per channel."""

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

    @property
    def quantization(self) -> tuple[float, int] | None:
        """(scale, zero point), of the first channel where there are several."""
        return (self.scales[0], self.zero_points[0] if self.zero_points else 0) if self.scales else None


@dataclass(frozen=True, kw_only=True)
class Op:
    """An operation; inputs hold None where one is left out. `options` are the schema's, as a table's object or None."""

    name: str
    custom: bool
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)  # of a custom op


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A file: the tensors and operations of each of its graphs, the first of which is the main one.

    parsed: the schema's object. ops: how often each operation stands in all graphs, as {"CONV_2D": 35}.
    """

    parsed: Any
    tensors: tuple[tuple[Tensor, ...], ...]
    graphs: tuple[tuple[Op, ...], ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def main(self) -> tuple[Op, ...]:
        """The main graph's operations, in the order in which they run."""
        return self.graphs[0]

    @property
    def ops(self) -> Mapping[str, int]:
        return dict(sorted(Counter(op.name for graph in self.graphs for op in graph).items()))

    @property
    def constants(self) -> dict[int, Tensor]:
        """A tensor of each buffer that holds a constant: tensors may share one."""
        seen: dict[int, Tensor] = {}
        for graph, tensors in zip(self.parsed.subgraphs, self.tensors, strict=True):
            for raw, t in zip(graph.tensors or (), tensors, strict=True):
                if t.constant:
                    seen.setdefault(raw.buffer, t)
        return seen

    @property
    def constant_bytes(self) -> int:
        return sum(t.size or 0 for t in self.constants.values())


def read_contents(model: bytes) -> Contents:
    """Raises ArtifactError for what is damaged or no TFLite file."""
    parsed = parse(model)
    tensors = tuple(tuple(tensors_of(parsed, graph)) for graph in parsed.subgraphs)
    graphs = (tuple(ops_of(parsed, graph, own)) for graph, own in zip(parsed.subgraphs, tensors, strict=True))
    main = parsed.subgraphs[0]
    return Contents(
        parsed=parsed,
        tensors=tensors,
        graphs=tuple(graphs),
        inputs=tuple(tensors[0][i] for i in (() if main.inputs is None else main.inputs)),
        outputs=tuple(tensors[0][i] for i in (() if main.outputs is None else main.outputs)),
    )


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises InputError for what is no TFLite file, or only its place holder."""
    data = filetypes.read_file(path, limit=MAX_BYTES)
    check_download(data, path, "TFLite file", InputError)
    if data[4:8] != b"TFL3":
        what = "is empty" if not data else "begins with none of its marks (TFL3)"
        raise InputError(f"{path} is no TFLite file: it {what}. Is the download whole?")
    return data


def tensors_of(parsed, graph) -> list[Tensor]:
    return [describe_tensor(parsed, t) for t in graph.tensors or ()]


def describe_tensor(parsed, t) -> Tensor:
    from ai_edge_litert import schema_py_generated as schema

    dtypes = {code: name.lower() for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
    data = parsed.buffers[t.buffer].data if t.buffer else None
    # The signature of a shape is written only where a size is open.
    shape = t.shapeSignature if t.shapeSignature is not None else t.shape
    q = t.quantization
    scales = () if q is None or q.scale is None else tuple(map(float, q.scale))
    zeros = () if q is None or not scales or q.zeroPoint is None else tuple(map(int, q.zeroPoint))
    return Tensor(
        name=text(t.name),
        shape=() if shape is None else tuple(map(int, shape)),
        dtype=dtypes.get(t.type, f"type {t.type}"),
        scales=scales,
        zero_points=zeros,
        size=None if data is None else len(data),
        values=data,
    )


def ops_of(parsed, graph, tensors: Sequence[Tensor]) -> Iterator[Op]:
    """The graph's operations, in the order in which they run."""
    names = op_names(parsed)
    for op in graph.operators or ():
        name, custom = names[op.opcodeIndex]
        yield Op(
            name=name,
            custom=custom,
            inputs=tuple(tensors[i] if i >= 0 else None for i in (() if op.inputs is None else op.inputs)),
            outputs=tuple(tensors[i] for i in (() if op.outputs is None else op.outputs) if i >= 0),
            options=op.builtinOptions,
            attributes=custom_attributes(op.customOptions) if custom else {},
        )


def custom_attributes(data) -> dict[str, Any]:
    """A custom op's options, where they are a flexbuffer's map; else how many bytes they are."""
    if data is None or not len(data):
        return {}
    found = read_map(bytes(data))
    if found is None:
        return {"bytes": len(data)}
    return {k: float(f"{v:.7g}") if isinstance(v, float) else v for k, v in found.items()}
