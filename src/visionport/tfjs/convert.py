"""A GraphDef of constants becomes a graph model of TensorFlow.js: its graph as JSON, its constants apart in shards."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.graph import edit, means
from visionport.graph.fake_quantization import steps
from visionport.tfjs.operations import OPERATIONS

SHARD = 4 << 20  # bytes, as browsers' caches like them
CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
KERNELS = (*CONVOLUTIONS, "MatMul", "Conv2DBackpropInput")  # whose weights are what a file is made of
KEPT = ("float32", "int32", "bool")  # what a weights manifest holds as it is
QUANTIZED = ("float16", "uint8", "uint16")


@dataclass(frozen=True, kw_only=True)
class GraphModel:
    """model.json's content, and its shards by their names."""

    content: Mapping[str, Any]
    shards: Mapping[str, bytes]


def convert(
    graph, inputs: Sequence[str], outputs: Sequence[str], *, quantize: str = "none", metadata: Mapping[str, Any]
) -> GraphModel:
    """The graph model. Raises UnsupportedError for operations that TensorFlow.js does not have.

    inputs, outputs: nodes. quantize: how kernels are stored, one of QUANTIZED. metadata: what the file says of itself.
    """
    graph = translate(graph, inputs, outputs)
    if quantize != "uint8":  # whose one range for all of a kernel would have to hold what the factors spread
        fold_batch_norms(graph)
        edit.prune(graph, [*inputs, *outputs])
    ends = {"inputs": describe_ends(graph, inputs), "outputs": describe_ends(graph, outputs)}
    narrow(graph)
    kernels = {edit.base(n.input[1]) for n in graph.node if n.op in KERNELS}
    weights = {n.name: take_value(n) for n in graph.node if n.op == "Const"}
    entries, data = [], bytearray()
    for name, value in sorted(weights.items()):
        entry, stored = store(name, value, quantize if name in kernels else "none")
        entries.append(entry)
        data += stored
    count = max(1, math.ceil(len(data) / SHARD))
    names = [f"group1-shard{i + 1}of{count}.bin" for i in range(count)]
    content = {
        "format": "graph-model",
        "generatedBy": "visionport",
        "convertedBy": "visionport",
        "signature": ends,
        "userDefinedMetadata": dict(metadata),
        "modelTopology": topology(graph),
        "weightsManifest": [{"paths": names, "weights": entries}],
    }
    return GraphModel(
        content=content, shards={name: bytes(data[i * SHARD : (i + 1) * SHARD]) for i, name in enumerate(names)}
    )


def translate(graph, inputs: Sequence[str], outputs: Sequence[str]):
    """The graph without what depends on constants alone. Raises as `convert` does."""
    graph = edit.optimized(graph, outputs, ("constfold", "dependency", "pruning"))
    replace_shape_checks(graph)
    spell_out_fake_quantization(graph)
    flatten_gathers(graph)
    add_up_in_order(graph)
    edit.prune(graph, [*inputs, *outputs])
    check_operations(graph)
    return graph


def replace_shape_checks(graph) -> None:
    """What only asserts a shape passes on what it is given."""
    for node in graph.node:
        if node.op in ("EnsureShape", "PreventGradient", "StopGradient", "Snapshot"):
            node.op = "Identity"
            node.attr.pop("shape", None)


def spell_out_fake_quantization(graph) -> None:
    """By arithmetic: TensorFlow.js knows the operation, and passes on what it is given."""
    nodes = {n.name: n for n in graph.node}
    for node in [n for n in graph.node if n.op == "FakeQuantWithMinMaxVars"]:
        low, high = (nodes[edit.base(i)] for i in node.input[1:3])
        if low.op != "Const" or high.op != "Const":
            raise UnsupportedError(f"TensorFlow.js rounds to no range that is not constant ({node.name}).")
        how = {"bits": node.attr["num_bits"].i or 8, "narrow_range": node.attr["narrow_range"].b}
        found = steps(float(value_of(low)), float(value_of(high)), **how)
        rest = [("Minimum", found.high), ("Maximum", found.low), ("Sub", found.low)]
        inverse = np.float32(1) / found.scale if found.scale else np.float32(0)
        rest += [("Mul", inverse), ("AddV2", np.float32(0.5)), ("Floor", None), ("Mul", found.scale)]
        x = node.input[0]
        for i, (op, value) in enumerate(rest):
            name = f"{node.name}/{i}"
            given = [] if value is None else [constant(graph, f"{name}/value", np.asarray(value, np.float32))]
            made = graph.node.add(name=name, op=op, input=[x, *given])
            made.attr["T"].type = node_type(np.float32)
            x = name
        node.op, node.input[:] = "AddV2", [x, constant(graph, f"{node.name}/least", found.low)]
        node.attr.clear()
        node.attr["T"].type = node_type(np.float32)


def flatten_gathers(graph) -> None:
    """Gathers of several rows become gathers of one: TensorFlow.js 4 takes the first row's values for all of them."""
    nodes = {n.name: n for n in graph.node}
    batched = [n for n in graph.node if n.op == "GatherV2" and n.attr["batch_dims"].i > 0]
    sources = [name for node in batched for name in node.input[:2]]
    shapes = {name: tensor.shape for name, tensor in edit.import_tensors(graph, sources).items()}
    for node in batched:
        batch, axis = node.attr["batch_dims"].i, int(value_of(nodes[edit.base(node.input[2])]))
        values, places = (shapes[name] for name in node.input[:2])
        if values[:batch].num_elements() == 1:
            continue
        if not values.is_fully_defined() or not places.is_fully_defined() or axis != batch:
            raise UnsupportedError(f"TensorFlow.js does not gather as it is asked to ({node.name}).")
        values, places = values.as_list(), places.as_list()
        rows, size, rest = math.prod(values[:batch]), values[batch], values[batch + 1 :]
        given, asked = (node.attr[name].type for name in ("Tparams", "Tindices"))
        flat = f"{node.name}/flat"
        source = reshape(graph, f"{flat}/values", node.input[0], [rows * size, *rest], given)
        place = reshape(graph, f"{flat}/places", node.input[1], [rows, -1], asked)
        first = (size * np.arange(rows)[:, None]).astype(numpy_type(asked))
        moved = graph.node.add(name=f"{flat}/moved", op="AddV2")
        moved.input.extend([place, constant(graph, f"{flat}/first", first)])
        moved.attr["T"].type = asked
        gather = graph.node.add(name=flat, op="GatherV2")
        gather.input.extend([source, moved.name, constant(graph, f"{flat}/axis", np.int32(0))])
        for name, attribute in node.attr.items():
            gather.attr[name].CopyFrom(attribute)
        gather.attr["batch_dims"].i = 0
        gather.attr["Taxis"].type = node_type(np.int32)
        taken = constant(graph, f"{flat}/taken", np.array([*places, *rest], np.int32))
        node.op, node.input[:] = "Reshape", [flat, taken]
        node.attr.clear()
        node.attr["T"].type, node.attr["Tshape"].type = given, node_type(np.int32)


def add_up_in_order(graph) -> None:
    """Means of large maps become sums, rounded as TensorFlow rounds them; see graph/means.py."""
    nodes = {n.name: n for n in graph.node}
    found = [n for n in graph.node if n.op == "Mean" and nodes[edit.base(n.input[1])].op == "Const"]
    tensors = edit.import_tensors(graph, {n.input[0] for n in found})
    for node in found:
        shape, dtype = tensors[node.input[0]].shape, node.attr["T"].type
        sides = shape.as_list() if shape.rank is not None else []
        axes = value_of(nodes[edit.base(node.input[1])]).reshape(-1).tolist()
        if dtype != node_type(np.float32) or not shape.is_fully_defined() or not means.is_large(sides, axes):
            continue
        batch, *inner, channels = sides
        places = math.prod(inner)
        rows = [batch, places // means.SUMS, means.SUMS * channels]
        x = reshape(graph, f"{node.name}/rows", node.input[0], rows, dtype)
        x = add_up(graph, f"{node.name}/sums", x)
        x = reshape(graph, f"{node.name}/few", x, [batch, means.SUMS, channels], dtype)
        x = add_up(graph, f"{node.name}/sum", x)
        kept = [1] * len(inner) if node.attr["keep_dims"].b else []
        x = reshape(graph, f"{node.name}/shaped", x, [batch, *kept, channels], dtype)
        node.op, node.input[:] = "RealDiv", [x, constant(graph, f"{node.name}/places", np.float32(places))]
        node.attr.clear()
        node.attr["T"].type = dtype


def add_up(graph, name: str, source: str) -> str:
    """Of a float32 [b, n, c] the sum over n."""
    node = graph.node.add(name=name, op="Sum")
    node.input.extend([source, constant(graph, f"{name}/axis", np.int32(1))])
    node.attr["T"].type, node.attr["Tidx"].type = (node_type(t) for t in (np.float32, np.int32))
    return name


def reshape(graph, name: str, source: str, shape: Sequence[int], dtype: int) -> str:
    node = graph.node.add(name=name, op="Reshape")
    node.input.extend([source, constant(graph, f"{name}/shape", np.array(shape, np.int32))])
    node.attr["T"].type, node.attr["Tshape"].type = dtype, node_type(np.int32)
    return name


def check_operations(graph) -> None:
    """Raises UnsupportedError, with names, for what TensorFlow.js does not have."""
    missing = {n.op: n.name for n in graph.node if n.op not in OPERATIONS}
    if missing:
        shown = ", ".join(f"{op} ({name})" for op, name in sorted(missing.items())[:5])
        raise UnsupportedError(f"TensorFlow.js has no operation {shown}.")


def fold_batch_norms(graph) -> None:
    """Batch norms go into the convolution before them, where nobody else reads that or its kernel.

    Others are left as they are: of a kernel that levels share there would be a copy a level.
    """
    nodes = {n.name: n for n in graph.node}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[edit.base(name)] = readers.get(edit.base(name), 0) + 1
    for norm in [n for n in graph.node if n.op == "FusedBatchNormV3" and not n.attr["is_training"].b]:
        layer, constants = nodes[edit.base(norm.input[0])], [nodes[edit.base(i)] for i in norm.input[1:5]]
        if layer.op not in CONVOLUTIONS or readers[layer.name] > 1 or any(c.op != "Const" for c in constants):
            continue
        kernel = nodes[edit.base(layer.input[1])]
        if kernel.op != "Const" or readers[kernel.name] > 1 or norm.attr["data_format"].s not in (b"", b"NHWC"):
            continue
        scale, offset, mean, variance = (value_of(c).astype(np.float64) for c in constants)
        factor = scale / np.sqrt(variance + norm.attr["epsilon"].f)
        value = value_of(kernel).astype(np.float64)
        factors = factor.reshape(value.shape[2:]) if layer.op == "DepthwiseConv2dNative" else factor
        folded = constant(graph, f"{norm.name}/kernel", (value * factors).astype(np.float32))
        bias = constant(graph, f"{norm.name}/bias", (offset - mean * factor).astype(np.float32))
        nodes |= {folded: graph.node[-2], bias: graph.node[-1]}
        layer.input[1] = folded
        norm.op, norm.input[:] = "BiasAdd", [norm.input[0], bias]
        dtype = norm.attr["T"].type
        norm.attr.clear()
        norm.attr["T"].type, norm.attr["data_format"].s = dtype, b"NHWC"


def constant(graph, name: str, value: np.ndarray | np.generic) -> str:
    import tensorflow as tf

    node = graph.node.add(name=name, op="Const")
    node.attr["dtype"].type = node_type(value.dtype)
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    return name


def node_type(dtype) -> int:
    """A dtype as attributes have it."""
    import tensorflow as tf

    return tf.as_dtype(dtype).as_datatype_enum


def numpy_type(dtype: int) -> Any:
    import tensorflow as tf

    return tf.as_dtype(dtype).as_numpy_dtype


def value_of(node) -> np.ndarray:
    from tensorflow.python.framework import tensor_util

    return tensor_util.MakeNdarray(node.attr["value"].tensor)


def narrow(graph) -> None:
    """TensorFlow.js has no int64: all of them are int32 there."""
    import tensorflow as tf

    wide, narrow_ = tf.int64.as_datatype_enum, tf.int32.as_datatype_enum
    for node in graph.node:
        for attribute in node.attr.values():
            kind = attribute.WhichOneof("value")
            if kind == "type" and attribute.type == wide:
                attribute.type = narrow_
            if kind == "list":
                attribute.list.type[:] = [narrow_ if t == wide else t for t in attribute.list.type]


def take_value(node) -> np.ndarray:
    """A constant's value, of which only the shape is left in the graph."""
    import tensorflow as tf

    value = value_of(node)
    if value.dtype == np.int64:
        value = np.clip(value, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
    if value.dtype.name not in KEPT:
        raise UnsupportedError(f"TensorFlow.js has no constants of {value.dtype.name} ({node.name}).")
    tensor = node.attr["value"].tensor
    tensor.Clear()
    tensor.dtype = node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
    return value


def store(name: str, value: np.ndarray, quantize: str) -> tuple[dict[str, Any], bytes]:
    """The manifest's entry of a weight, and its bytes."""
    entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": value.dtype.name}
    if value.dtype != np.float32 or quantize == "none":
        return entry, np.ascontiguousarray(value).tobytes()
    if quantize == "float16":
        largest = float(np.finfo(np.float16).max)
        entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        return entry, np.clip(value, -largest, largest).astype("<f2").tobytes()
    stored, scale, least = quantize_linearly(value, quantize)
    entry["quantization"] = {"dtype": quantize, "original_dtype": "float32", "scale": scale, "min": least}
    return entry, stored.tobytes()


def quantize_linearly(value: np.ndarray, dtype: str) -> tuple[np.ndarray, float, float]:
    """Steps of one size between the smallest value and the largest, one of which is 0: codes, scale and smallest."""
    low, high = min(float(value.min(initial=0)), 0.0), max(float(value.max(initial=0)), 0.0)
    levels = int(np.iinfo(dtype).max)
    scale = (high - low) / levels or 1.0
    least = -round(-low / scale) * scale
    codes = np.clip(np.rint((value.astype(np.float64) - least) / scale), 0, levels)
    return codes.astype(np.dtype(dtype).newbyteorder("<")), scale, least


def describe_ends(graph, names: Iterable[str]) -> dict[str, Any]:
    """Inputs or outputs as the signature has them. Their dtypes are those of the graph, int64 as int32."""
    import tensorflow as tf

    names = list(names)
    found = {}
    for tensor, value in edit.import_tensors(graph, names).items():
        dtype = tf.int32 if value.dtype == tf.int64 else value.dtype
        sides = [-1 if d is None else d for d in value.shape.as_list()] if value.shape.rank is not None else []
        shape = {"dim": [{"size": str(side)} for side in sides]}
        found[tensor] = {"name": f"{tensor}:0", "dtype": f"DT_{NAMES[dtype.name]}", "tensorShape": shape}
    return found


NAMES = {"float32": "FLOAT", "int32": "INT32", "bool": "BOOL"}


def topology(graph) -> dict[str, Any]:
    """The graph as JSON, as protobuf writes it."""
    from google.protobuf import json_format

    for node in graph.node:
        for name in ("_output_shapes", "_class", "explicit_paddings") if node.op != "Conv2D" else ("_output_shapes",):
            node.attr.pop(name, None)
    return json_format.MessageToDict(graph)
