"""No silent damage: what a converted TFLite file must not be. Each check raises ArtifactError saying why.

The converter succeeds where it should not: it may keep variables without their values, leave ops that only TensorFlow
runs, copy weights that layers share, or fold the network away. What is measured here needs no picture.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.graph import edit
from visionport.inputs.quantization import dequantized
from visionport.tflite import trial
from visionport.tflite.contents import read_contents
from visionport.tflite.edit import POSTPROCESS, VARIABLE_OPS
from visionport.tflite.flatbuffer import make, op_names, parse, serialize
from visionport.tflite.flexbuffer import write_map

# What of the float32 weights' bytes is left.
SHRINKS = {"none": 1.0, "float16": 0.5, "dynamic": 0.25, "int8": 0.25, "uint8": 0.25, "int16x8": 0.25}
# Of the expected bytes of constants: batch norms become biases, and layers of few weights stay float32.
MOST, LEAST = 1.3, 0.5
SLACK = 1 << 18  # shapes, axes and small tables, in bytes; of no weight in a file worth checking
# Of open sizes, tried one after another until the file, and its source, take them; open batches are of OPEN_BATCH.
OPEN_SIZES, OPEN_BATCH = (64, 224, 32, 320, 16, 128, 299, 512, 8, 4, 2, 1), 2
FLEX = "Flex"
FILE = "the TFLite file"
WEIGHTED = {  # op of a TensorFlow graph: which of its inputs are weights
    "Conv2D": (1,),
    "Conv3D": (1,),
    "DepthwiseConv2dNative": (1,),
    "Conv2DBackpropInput": (1,),
    "MatMul": (0, 1),
    "BatchMatMulV2": (0, 1),
}


def ops(data: bytes, name: str, *, select: bool = False, custom: bool = False) -> None:
    """Ops that LiteRT cannot run, or that keep weights outside. select, custom: TensorFlow's, unknown ones may be."""
    codes = op_names(parse(data))
    variables = sorted({op for op, _ in codes if op in VARIABLE_OPS})
    if variables:
        raise ArtifactError(
            f"{name}: the converter kept variables ({', '.join(variables)}), whose values are not in the file: it "
            "would answer with zeros. Freeze the model first."
        )
    flex = sorted({op.removeprefix(FLEX) for op, is_custom in codes if is_custom and op.startswith(FLEX)})
    if flex and not select:
        raise ArtifactError(
            f"{name}: the converter left ops that LiteRT cannot run, only TensorFlow: {', '.join(flex)}. Name outputs "
            "before them, or allow them with --allow-select-tf-ops (`visionport convert`); the runtime then needs the "
            "Select TF library."
        )
    unknown = [op for op in unknown_ops(data) if not op.startswith(FLEX)]
    if unknown and not custom:
        raise ArtifactError(
            f"{name}: custom ops that LiteRT does not know: {', '.join(unknown)}. Name outputs before them, or keep "
            "them with --allow-custom-ops (`visionport convert`); the runtime then needs their kernels."
        )
    new = sorted({op for op, is_custom in codes if not is_custom and op.startswith("BUILTIN_")})
    if new:
        raise ArtifactError(f"{name}: ops newer than the installed LiteRT: {', '.join(new)}. Update ai-edge-litert.")


def unknown_ops(data: bytes) -> list[str]:
    """The custom ops that LiteRT alone does not run, TensorFlow's among them."""
    return sorted({op for op, is_custom in op_names(parse(data)) if is_custom and not is_known_op(op)})


@functools.cache
def is_known_op(name: str) -> bool:
    """Does the installed LiteRT bring that custom op along? It is asked, by a file that holds nothing else.

    Some kernels die of that, so it is asked in a process of its own.
    """
    from ai_edge_litert import schema_py_generated as schema

    if name == POSTPROCESS:
        return True

    codes = {"builtinCode": schema.BuiltinOperator.CUSTOM, "deprecatedBuiltinCode": schema.BuiltinOperator.CUSTOM}
    code = make(schema.OperatorCodeT, version=1, customCode=name, **codes)
    none = np.zeros(0, np.int32)
    options = np.frombuffer(write_map({}), np.uint8)  # kernels read them before anything is checked
    op = make(schema.OperatorT, opcodeIndex=0, inputs=none, outputs=none, customOptions=options)
    graph = make(schema.SubGraphT, tensors=[], operators=[op], inputs=none, outputs=none)
    model = make(schema.ModelT, version=3, operatorCodes=[code], subgraphs=[graph], buffers=[schema.BufferT()])
    said = trial.run_apart(serialize(model)).stdout.decode("utf-8", "replace")
    return not re.search("unresolved custom op|Select TensorFlow op", said)  # it may refuse to have no inputs


def runs(file: bytes | Path, name: str = "", threads: int | None = None):
    """LiteRT takes the file: an interpreter with its tensors allocated."""
    from ai_edge_litert.interpreter import Interpreter

    given: dict[str, Any] = {"model_content": file} if isinstance(file, bytes) else {"model_path": str(file)}
    reason, is_open = "", False
    for size in OPEN_SIZES:
        try:
            interpreter = Interpreter(**given, num_threads=threads)
            is_open = resize_open(interpreter, size)
            interpreter.allocate_tensors()
            return interpreter
        except (RuntimeError, ValueError) as e:
            reason = reason or first_line(e)
            if not is_open:
                break
    raise ArtifactError(f"{name}{': ' * bool(name)}LiteRT does not take the file: {reason}.") from None


def first_line(error: object) -> str:
    """The first line of what an error says, without its end; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def resize_open(interpreter, size: int) -> bool:
    """Gives the open sizes of its inputs that size. Whether there are any."""
    is_open = False
    for d in interpreter.get_input_details():
        if -1 in d["shape_signature"]:
            is_open = True
            interpreter.resize_tensor_input(d["index"], close_shape(d["shape_signature"], size))
    return is_open


def close_shape(shape: Sequence[int], size: int) -> list[int]:
    """A shape whose open sizes, -1, are `size`, or of the batch OPEN_BATCH."""
    return [int(d) if d >= 0 else size if i else OPEN_BATCH for i, d in enumerate(shape)]


def answers(function, interpreter, keys: Sequence[str]) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The outputs of a file's source, a concrete function, as `alive` wants them.

    keys: what its outputs are called in the file; the inputs are in the same order in both.
    """
    sources = interpreter.get_input_details()

    def answer(inputs):
        import tensorflow as tf

        values = []
        for source, given in zip(sources, function.inputs, strict=True):
            value = dequantized(inputs[source["name"]], *source["quantization"])
            values.append(tf.constant(value.astype(given.dtype.as_numpy_dtype)))
        return dict(zip(keys, (v.numpy() for v in function(*values)), strict=True))

    return answer


def size(data: bytes, name: str, graph, quantize: str, *, partly: bool = False) -> None:
    """As many bytes of constants as the weights of the graph (a GraphDef of constants) make in that quantisation.

    partly: some layers stay float32.
    """
    weights, rest = weights_of(graph)
    expected = weights * SHRINKS[quantize] + rest
    found = read_contents(data).constant_bytes
    if found > MOST * (weights + rest if partly else expected) + SLACK:
        why = "weights that layers share were copied, or were not quantised"
    elif found < LEAST * weights * SHRINKS[quantize]:
        why = "weights are missing"
    else:
        return
    raise ArtifactError(
        f"{name}: {found:,} bytes of constants, where {weights:,} bytes of float32 weights make about {expected:,.0f} "
        f"with --quantize {quantize}: {why}. Please report it."
    )


def weights_of(graph) -> tuple[int, int]:
    """Bytes of a GraphDef's constants, as float32: (those that layers multiply with, all others)."""
    import tensorflow as tf

    nodes = {n.name: n for n in graph.node}

    def source(name: str) -> str:
        name = edit.base(name)
        while name in nodes and nodes[name].op in ("Identity", "ReadVariableOp", "FakeQuantWithMinMaxVars", "Cast"):
            name = edit.base(nodes[name].input[0])
        return name

    taken = {source(n.input[i]) for n in graph.node for i in WEIGHTED.get(n.op, ()) if i < len(n.input)}
    totals = [0, 0]
    for node in graph.node:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            count = int(np.prod([d.size for d in tensor.tensor_shape.dim], dtype=np.int64))
            totals[node.name not in taken] += count * tf.as_dtype(tensor.dtype).size
    return totals[0], totals[1]


def alive(interpreter, name: str, answer: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]) -> None:
    """No output is one value everywhere, unless it is in the source too.

    answer: the source's outputs for inputs by the file's names, by the names of the file's outputs.
    """
    sources = interpreter.get_input_details()
    if any(np.dtype(d["dtype"]).kind not in "fiubc" for d in sources):  # texts
        return
    inputs = {d["name"]: noise(d["shape"], d["dtype"], seed) for seed, d in enumerate(sources)}
    found = run(interpreter, inputs)
    flat = {k: v for k, v in found.items() if v.size > 1 and v.dtype.kind in "fiub" and (v == v.flat[0]).all()}
    if not flat:
        return
    details = {d["name"]: d for d in interpreter.get_output_details()}
    wanted = answer(inputs)
    for key, value in flat.items():
        step = details[key]["quantization"][0]
        if key in wanted and np.ptp(np.asarray(wanted[key], np.float64)) > max(2 * step, 1e-6):
            raise ArtifactError(
                f"{name}: {key} is {float(value.flat[0]):g} everywhere, where the source's is not. Please report it."
            )


def run(interpreter, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs, by their tensors' names."""
    for d in interpreter.get_input_details():
        interpreter.set_tensor(d["index"], inputs[d["name"]])
    try:
        interpreter.invoke()
        return {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
    except (RuntimeError, ValueError) as e:
        raise ArtifactError(f"{FILE} loads, but fails when it is run: {first_line(e)}") from None


def noise(shape, dtype, seed: int = 0) -> np.ndarray:
    """Always the same: normal for floats, all values of 8 bits, small numbers for other integers."""
    random, kind = np.random.default_rng(seed), np.dtype(dtype)
    shape = tuple(1 if d < 0 else int(d) for d in shape)
    if kind.kind == "f":
        return random.normal(size=shape).astype(kind)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(bool)
    if kind.itemsize == 1:
        return random.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, endpoint=True).astype(kind)
    return random.integers(0, 8, shape).astype(kind)
