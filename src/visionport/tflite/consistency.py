"""Do the parts of a TFLite file fit each other? Indices, sizes, scales, and graphs that call graphs.

What is read of a file, here and by LiteRT, follows its indices; this says which one is wrong, before anything does.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from visionport import limits
from visionport.errors import ArtifactError

# Bytes of an element; of types that are not here (texts, parts of a byte) the size follows from more than the shape.
WIDTHS = {
    "FLOAT32": 4,
    "FLOAT16": 2,
    "BFLOAT16": 2,
    "FLOAT64": 8,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "UINT16": 2,
    "INT32": 4,
    "UINT32": 4,
    "INT64": 8,
    "UINT64": 8,
    "BOOL": 1,
    "COMPLEX64": 8,
    "COMPLEX128": 16,
}
BEHIND = 1  # an offset above it means that a buffer's bytes lie behind the flatbuffer


def check_model(parsed, size: int) -> None:
    """Raises ArtifactError for the first part that does not fit. parsed: the schema's `ModelT`; size: of the file."""
    for i, buffer in enumerate(parsed.buffers):
        if buffer.offset > BEHIND and buffer.offset + buffer.size > size:
            raise ArtifactError(f"buffers[{i}] leads outside of the file's {size:,} bytes")
    for entry in parsed.metadata or ():
        check_index(entry.buffer, parsed.buffers, f"the metadata {named(entry)}", "buffer")
    for k, graph in enumerate(parsed.subgraphs):
        where = f"graph {k}"
        tensors = graph.tensors or ()
        for i, tensor in enumerate(tensors):
            check_tensor(parsed, tensor, f"{where}: tensor {i} {named(tensor)}")
        check_indices(graph.inputs, tensors, f"{where}: its inputs")
        check_indices(graph.outputs, tensors, f"{where}: its outputs")
        for i, op in enumerate(graph.operators or ()):
            place = f"{where}: operation {i}"
            check_index(op.opcodeIndex, parsed.operatorCodes or (), place, "kind of operation")
            for indices in (op.inputs, op.outputs, op.intermediates):
                check_indices(indices, tensors, place, least=-1)  # one that is left out
            for called in called_graphs(op):
                check_index(called, parsed.subgraphs, place, "graph")
    for signature in parsed.signatureDefs or ():
        where = f"the signature {readable(signature.signatureKey)}"
        check_index(signature.subgraphIndex, parsed.subgraphs, where, "graph")
        tensors = parsed.subgraphs[signature.subgraphIndex].tensors or ()
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            check_index(entry.tensorIndex, tensors, where, "tensor")
    check_calls(parsed.subgraphs)


def check_tensor(parsed, tensor, where: str) -> None:
    check_index(tensor.buffer, parsed.buffers, where, "buffer")
    shape, signature = (as_list(s) for s in (tensor.shape, tensor.shapeSignature))
    for dims in (shape, signature):
        if len(dims) > limits.TFLITE_RANK or min(dims, default=0) < -1:
            raise ArtifactError(f"{where} has the shape {dims[: limits.TFLITE_RANK]}, which none can have")
    if signature and len(signature) != len(shape):
        raise ArtifactError(f"{where} has two shapes that do not fit each other: {shape} and {signature}")
    check_scales(tensor, shape, where)
    width = WIDTHS.get(type_names().get(tensor.type, ""))
    if width is None or tensor.sparsity is not None or tensor.isVariable:
        return
    wanted = width
    for n in shape:
        wanted *= max(n, 0)
    data = parsed.buffers[tensor.buffer].data if tensor.buffer else None
    if data is not None and len(data):
        if len(data) != wanted:
            raise ArtifactError(f"{where} has {len(data):,} bytes, and its shape {shape} takes {wanted:,}")
    elif wanted > limits.TFLITE_TENSOR:
        raise ArtifactError(
            f"{where} has the shape {shape}, {wanted:,} bytes; at most {limits.TFLITE_TENSOR:,} are run"
        )


def check_scales(tensor, shape: Sequence[int], where: str) -> None:
    q = tensor.quantization
    scales, zeros = (np.asarray(() if q is None or v is None else v) for v in (q and q.scale, q and q.zeroPoint))
    if not np.isfinite(scales.astype(float)).all():
        raise ArtifactError(f"{where} has a scale that is no number")
    if len(zeros) not in (0, 1, len(scales)) and len(scales):
        raise ArtifactError(f"{where} has {len(scales)} scales and {len(zeros)} zero points")
    if q is not None and len(scales) > 1 and not 0 <= q.quantizedDimension < len(shape):
        raise ArtifactError(f"{where} has scales along axis {q.quantizedDimension}, and its shape is {list(shape)}")


def check_index(index: int, of: Sequence[Any], where: str, what: str) -> None:
    if not 0 <= index < len(of):
        raise ArtifactError(f"{where} names the {what} {index}, and there are {len(of)}")


def check_indices(indices, tensors: Sequence[Any], where: str, least: int = 0) -> None:
    for i in as_list(indices):
        if not least <= i < len(tensors):
            raise ArtifactError(f"{where} names the tensor {i}, and there are {len(tensors)}")


def called_graphs(op) -> Iterator[int]:
    """The graphs that an operation runs, as an IF does. -1 stands for none."""
    for options in (op.builtinOptions, op.builtinOptions2):
        for name, value in vars(options).items() if options is not None else ():
            if name.lower().endswith(("subgraphindex", "subgraphindices")) or name == "subgraph":
                yield from (i for i in as_list(value) if i != -1)


def check_calls(graphs: Sequence[Any]) -> None:
    """Graphs that call each other in a circle would never end."""
    calls = [{i for op in graph.operators or () for i in called_graphs(op)} for graph in graphs]
    left = set(range(len(graphs)))
    while free := {i for i in left if not calls[i] & left}:
        left -= free
    if left:
        raise ArtifactError(f"the graphs {sorted(left)[:8]} call each other in a circle")


def type_names() -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    return {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}


def as_list(value) -> list[int]:
    """The integers of a vector, of one number, or of nothing."""
    if value is None:
        return []
    return [int(value)] if isinstance(value, int) else [int(i) for i in value]


def named(part) -> str:
    return readable(part.name)


def readable(name: bytes | str | None) -> str:
    return repr(name.decode() if isinstance(name, bytes) else name or "")
