"""What a graph model's files hold: read without TensorFlow.js, within bounds."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionport import limits
from visionport.errors import ArtifactError, InputError
from visionport.filetypes import open_file
from visionport.json_files import read_json
from visionport.tfjs.operations import OPERATIONS

HEAD = 1 << 16  # bytes among which the format is told
SIZES = {"float32": 4, "int32": 4, "bool": 1, "uint8": 1, "uint16": 2, "float16": 2, "complex64": 8}
DTYPES = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_BOOL": "bool", "DT_STRING": "string"}


@dataclass(frozen=True, kw_only=True)
class End:
    """An input or output. shape: None where a size is open."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def is_tfjs(path: Path) -> bool:
    """By its first bytes: JSON that has a topology and a manifest of weights, or says its format."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with open_file(path) as file:
        head = file.read(HEAD)
    return any(text in head for text in (b'"modelTopology"', b'"graph-model"', b'"layers-model"'))


def read(path: Path) -> dict[str, Any]:
    """model.json's content. Raises ArtifactError for any other file, and for what TensorFlow.js calls layers models."""
    try:
        content = read_json(path)
    except OSError as e:
        raise ArtifactError(f"{path} cannot be read: {e.strerror}.") from None
    except InputError as e:
        raise ArtifactError(str(e)) from None
    if not isinstance(content, dict) or "modelTopology" not in content or "weightsManifest" not in content:
        raise ArtifactError(f"{path} is no model of TensorFlow.js: it has no modelTopology and no weightsManifest.")
    topology = content["modelTopology"]
    if content.get("format") == "layers-model" or (isinstance(topology, dict) and "model_config" in topology):
        raise ArtifactError(
            f"{path} is a layers model of TensorFlow.js, made of Keras's layers; graph models are read here. Convert "
            "the model with --output_format=tfjs_graph_model."
        )
    nodes = topology.get("node") if isinstance(topology, dict) else None
    if not isinstance(nodes, list) or not all(isinstance(n, dict) and isinstance(n.get("op"), str) for n in nodes):
        raise ArtifactError(f"{path}: its modelTopology is no graph.")
    if len(nodes) > limits.TFJS_NODES:
        raise ArtifactError(f"{path} has more than {limits.TFJS_NODES:,} operations; none is read of such a file.")
    return content


def shards(path: Path, content: Mapping[str, Any]) -> list[Path]:
    """The files of weights, in their order. Raises ArtifactError for those that are not beside the file."""
    folder, found = path.resolve().parent, []
    groups = content["weightsManifest"]
    if not isinstance(groups, list) or not all(
        isinstance(g, dict) and isinstance(g.get("paths"), list) and isinstance(g.get("weights"), list) for g in groups
    ):
        raise ArtifactError(f"{path}: its weightsManifest is no list of files and weights.")
    names = [name for group in groups for name in group["paths"]]
    if len(names) > limits.TFJS_SHARDS:
        raise ArtifactError(f"{path} names more than {limits.TFJS_SHARDS:,} files of weights.")
    for name in names:
        if not isinstance(name, str) or not name or "\0" in name or "\\" in name or ":" in name:
            raise ArtifactError(f"{path} names a file of weights {str(name)[:80]!r}, which is no path beside it.")
        target = (folder / name).resolve()
        if Path(name).is_absolute() or not target.is_relative_to(folder):
            raise ArtifactError(f"{path} reads weights from {name[:200]!r}, which lies outside of its folder.")
        if not target.is_file():
            raise ArtifactError(f"{path} needs {name[:200]!r} beside it, which holds weights.")
        found.append(target)
    return found


def weights(path: Path, content: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Every weight's entry, and its bytes as stored."""
    for group in content["weightsManifest"]:
        for entry in group["weights"]:
            yield entry, bytes_of(path, entry)


def bytes_of(path: Path, entry: Any) -> int:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    kind = stored_dtype(entry)
    sides = shape if isinstance(shape, list) and len(shape) <= limits.TFJS_RANK else [None]
    sound = all(isinstance(d, int) and 0 <= d < 1 << 31 for d in sides)
    if not sound or not isinstance(kind, str) or kind not in SIZES or not isinstance(entry.get("name"), str):
        raise ArtifactError(f"{path}: a weight of its weightsManifest cannot be read: {str(entry)[:120]}.")
    size = math.prod(shape or [1]) * SIZES[kind]
    if math.prod(shape or [1]) * 4 > limits.TFJS_BYTES:
        raise ArtifactError(f"{path}: the weight {entry['name'][:80]!r} has more than {limits.TFJS_BYTES:,} bytes.")
    return size


def stored_dtype(entry: Any) -> Any:
    """What a weight's bytes are; its dtype, unless it is quantised."""
    how = (entry.get("quantization") or {}) if isinstance(entry, dict) else None
    return how.get("dtype", entry.get("dtype")) if isinstance(how, dict) else None


def check(path: Path, content: Mapping[str, Any]) -> None:
    """Raises ArtifactError for weights outside of the folder, or of other sizes than the files, and for unknown ops."""
    stored = sum(file.stat().st_size for file in shards(path, content))
    told = sum(size for _, size in weights(path, content))
    if stored != told:
        raise ArtifactError(f"{path}: its weights take {told:,} bytes, and the files beside it have {stored:,}.")
    if told > limits.TFJS_BYTES:
        raise ArtifactError(f"{path} has {told:,} bytes of weights; at most {limits.TFJS_BYTES:,} are read.")
    if unknown := sorted(set(ops(content)) - OPERATIONS):
        raise ArtifactError(f"{path} has operations that TensorFlow.js does not have: {', '.join(unknown)[:300]}.")


def ops(content: Mapping[str, Any]) -> Counter[str]:
    """How often each operation stands in the graph."""
    return Counter(node["op"] for node in content["modelTopology"]["node"])


def ends(path: Path, content: Mapping[str, Any], side: str) -> tuple[End, ...]:
    """side: "inputs" or "outputs", in the signature's order. Raises ArtifactError where it cannot be read."""
    signature = content.get("signature") or metadata(content, "signature")
    try:
        return tuple(end(name, told) for name, told in signature[side].items())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ArtifactError(f"{path} has no signature that says its {side}.") from None


def end(name: str, told: Mapping[str, Any]) -> End:
    sides = [int(d["size"]) for d in told.get("tensorShape", {}).get("dim", ())]
    return End(
        name=name, dtype=DTYPES.get(told["dtype"], str(told["dtype"])), shape=tuple(None if d < 0 else d for d in sides)
    )


def metadata(content: Mapping[str, Any], maker: str) -> Any:
    """What a maker says of the model."""
    told = content.get("userDefinedMetadata")
    return told.get(maker) if isinstance(told, dict) else None


def size(path: Path) -> int:
    """Bytes of the file and its shards."""
    return path.stat().st_size + sum(file.stat().st_size for file in shards(path, read(path)))


def describe(path: Path) -> dict[str, Any]:
    """What `visionport inspect` says, ready for JSON."""
    content = read(path)
    files = shards(path, content)
    stored: Counter[str] = Counter()
    largest = []
    for entry, bytes_ in weights(path, content):
        dtype = stored_dtype(entry)
        stored[dtype] += bytes_
        largest.append({"name": entry["name"], "dtype": dtype, "shape": entry["shape"], "size": bytes_})
    largest.sort(key=lambda t: (-t["size"], t["name"]))
    told = content.get("userDefinedMetadata")
    return {
        "path": str(path),
        "kind": "TensorFlow.js model",
        "size": path.stat().st_size + sum(f.stat().st_size for f in files),
        "producer": str(content.get("convertedBy") or content.get("generatedBy") or ""),
        **{side: [record(e) for e in ends(path, content, side)] for side in ("inputs", "outputs")},
        "ops": dict(sorted(ops(content).items(), key=lambda item: (-item[1], item[0]))),
        "weights": {
            "tensors": len(largest),
            "bytes": sum(stored.values()),
            "by_dtype": dict(stored.most_common()),
            "files": [f.name for f in files],
            "largest": largest[:5],
        },
        "metadata": told if isinstance(told, dict) else {},
    }


def record(one: End) -> dict[str, Any]:
    return {"name": one.name, "dtype": one.dtype, "shape": [-1 if d is None else d for d in one.shape]}
