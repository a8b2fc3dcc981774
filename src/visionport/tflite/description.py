"""Everything that a TFLite file holds, ready for JSON: for `visionport inspect`, without TensorFlow."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionport.errors import ArtifactError, InputError
from visionport.tflite import metadata
from visionport.tflite.contents import Contents, Op, Tensor, read_contents, read_file
from visionport.tflite.delegates import judge
from visionport.tflite.flatbuffer import text
from visionport.tflite.packed import labels_of, packed_files

LARGEST = 10  # tensors shown by size


def describe_tflite(path: Path) -> dict[str, Any]:
    """All of it, ready for JSON. Raises InputError for a file that is damaged or cut short."""
    path = Path(path)
    data = read_file(path)
    try:
        return {"path": str(path), "kind": "tflite", "size": len(data), **describe_contents(data)}
    except ArtifactError as e:
        raise InputError(f"{path}: {e}.") from None


def describe_contents(data: bytes) -> dict[str, Any]:
    """What `describe_tflite` says, but for the file's name and size."""
    found = read_contents(data)
    parsed = found.parsed
    return {
        "description": text(parsed.description),
        "inputs": [tensor_record(t) for t in found.inputs],
        "outputs": [tensor_record(t) for t in found.outputs],
        "signatures": [signature_record(s, found.tensors) for s in parsed.signatureDefs or ()],
        "subgraphs": len(found.tensors),
        "quantization": kind_of(found.main),
        "ops": dict(found.ops),
        "custom_ops": [
            {
                "name": op.name,
                "inputs": [t.name for t in op.inputs if t],
                "outputs": [t.name for t in op.outputs],
                "attributes": dict(op.attributes),
            }
            for graph in found.graphs
            for op in graph
            if op.custom
        ],
        "weights": weigh_constants(found),
        "metadata": metadata.read(data, parsed),
        "files": packed_files(data),
        "labels": labels_of(data),
        "delegates": [judge.judge(name, found.main) for name in judge.DELEGATES],
    }


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


def weigh_constants(found: Contents) -> dict[str, Any]:
    """Bytes of constants, each buffer once, in all and by type, and the largest."""
    seen = found.constants
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
    halves = {o.name for op in ops if op.name == "DEQUANTIZE" for o in op.outputs if is_half_weights(op)}
    for op in ops:
        if op.name in judge.WEIGHTED and len(op.inputs) > 1:
            given, weights = op.inputs[2 if is_transposed(op) else 0], op.inputs[1]
            if given is None or weights is None:
                continue
            pair = given.dtype, weights.dtype
            if weights.name in halves:
                kinds.add("float16")
            else:
                kinds.add(KINDS.get(pair, f"{pair[0]} with {pair[1]} weights"))
    return next(iter(kinds)) if len(kinds) == 1 else "mixed: " + ", ".join(sorted(kinds)) if kinds else "none"


def is_half_weights(op: Op) -> bool:
    return bool(op.inputs and op.inputs[0] and op.inputs[0].constant and op.inputs[0].dtype == "float16")


def is_transposed(op: Op) -> bool:
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
