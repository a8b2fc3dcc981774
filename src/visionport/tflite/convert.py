"""A traced function becomes a TFLite file of a given quantisation, by TensorFlow's converter."""

import contextlib
import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from visionport.inputs.quantization import EIGHT_BITS
from visionport.tflite import checks as tflite_checks
from visionport.tflite import edit, ranges
from visionport.tflite import layers as tflite_layers
from visionport.tflite.flatbuffer import parse, serialize, text
from visionport.tflite.kinds import CALIBRATED


def convert(
    function,
    *,
    input_name: str,
    quantize: str = "none",
    integer_input: str = "",
    integer_outputs: bool = False,
    examples: Iterable[np.ndarray] = (),
    exclude: Sequence[str] = (),
) -> bytes:
    """TFLite of a concrete function with a dict of outputs; its tensors are called as the inputs and outputs are.

    input_name: what its only input's tensor is to be called. quantize: a key of tflite_checks.SHRINKS. integer_input:
    "int8" or "uint8", the type of the input of a fully quantised file, which else is the function's. integer_outputs:
    the outputs are of that type too; else each ends in a DEQUANTIZE of its own, so that no two share a scale. examples:
    float32 inputs to calibrate with. exclude: ops and layers that stay float32, of int8 and uint8 (tflite_layers.py).

    Frozen first: the converter may keep variables without a word.
    """
    import tensorflow as tf

    constant, keys = frozen(function), sorted(function.structured_outputs)
    # The converter may change the order of outputs, but keeps their names; they are flattened in the order of the keys.
    names = {t.op.name: key for t, key in zip(constant.outputs, keys, strict=True)}
    with quietly():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([constant])
        configured(converter, quantize, integer_input, integer_outputs, examples)
        data = eight_bits(converter, exclude, names) if quantize in EIGHT_BITS else converter.convert()
    (source,) = (t.name for t in edit.read_graph(data).inputs)
    data = edit.rename_tensors(data, names | {source: input_name})
    data = own_biases(data) if quantize == "int16x8" else data
    tflite_checks.converted(data, constant, keys, quantize=quantize, partly=bool(exclude))
    return data


def convert_plain(function) -> tuple[bytes, list[str]]:
    """A float32 TFLite of a concrete function without variables, and the names of its inputs, in their order."""
    import tensorflow as tf

    constant, keys = frozen(function), sorted(function.structured_outputs)
    with quietly():
        data = tf.lite.TFLiteConverter.from_concrete_functions([constant]).convert()
    names = {t.op.name: key for t, key in zip(constant.outputs, keys, strict=True)}
    data = edit.rename_tensors(data, names)
    tflite_checks.converted(data, constant, keys, quantize="none")
    return data, [t.op.name for t in constant.inputs]


def frozen(function):
    """The concrete function with its variables as constants; loops and branches stay those that the converter knows."""
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants.convert_variables_to_constants_v2(function, lower_control_flow=False)


def eight_bits(converter, exclude: Sequence[str], names: Mapping[str, str]) -> bytes:
    """What the converter makes for int8, by ranges of our own measuring and without the ops and layers to exclude.

    It has options for neither. names: {tensor: what it is to be called}, of the outputs.
    """
    from tensorflow.lite.python.convert import deduplicate_readonly_buffers, mlir_quantize

    measured = ranges.measured(converter)
    ops, layers = tflite_layers.excluded(measured, exclude, names)
    made: Any = mlir_quantize(
        ranges.narrowed(measured, ops, layers),
        input_data_type=converter.inference_input_type,
        output_data_type=converter.inference_output_type,
        denylisted_ops=ops,
        denylisted_nodes=layers,
    )
    return deduplicate_readonly_buffers(made)


@contextlib.contextmanager
def quietly():
    """Without the converter's warnings: of functions that have no object to hold their variables, of old interfaces."""
    from absl import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)


def configured(converter, quantize: str, integer_input: str, integer_outputs: bool, examples: Iterable[np.ndarray]):
    """The converter, told what `convert` takes."""
    import tensorflow as tf

    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize in CALIBRATED:
        converter.representative_dataset = lambda: ([x] for x in examples)
        sets = tf.lite.OpsSet
        both = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [both if quantize == "int16x8" else sets.TFLITE_BUILTINS_INT8]
    if integer_input:
        converter.inference_input_type = tf.dtypes.as_dtype(integer_input)
        if integer_outputs:
            converter.inference_output_type = converter.inference_input_type
    return converter


def own_biases(data: bytes) -> bytes:
    """A bias of its own scale for each op that uses one.

    A bias's scale is its op's input's times the weights'. Where several convolutions share a bias, as heads over the
    feature maps do, TensorFlow 2.21's int16x8 gives all of them the scale of one; the others are off by a factor.
    """
    from ai_edge_litert import schema_py_generated as schema

    parsed = parse(data, edit=True)
    (graph,) = parsed.subgraphs
    for op in graph.operators:
        if len(op.inputs) != 3 or op.inputs[2] < 0 or graph.tensors[op.inputs[2]].type != schema.TensorType.INT64:
            continue
        given, weights, bias = (graph.tensors[i] for i in op.inputs)
        right = given.quantization.scale[0] * np.asarray(weights.quantization.scale)
        scale = np.asarray(bias.quantization.scale)
        if np.allclose(scale, right, rtol=1e-5):
            continue
        values = np.frombuffer(parsed.buffers[bias.buffer].data, np.int64) * (scale / right)
        own = copy.deepcopy(bias)
        own.name = f"{text(bias.name)}_{len(graph.tensors)}"
        own.quantization.scale, own.buffer = right.astype(np.float32), len(parsed.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.rint(values).astype(np.int64).tobytes(), np.uint8)
        parsed.buffers.append(buffer)
        op.inputs = np.array([*op.inputs[:2], len(graph.tensors)], np.int32)
        graph.tensors.append(own)
    return serialize(parsed)
