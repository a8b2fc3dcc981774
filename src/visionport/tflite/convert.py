"""A function becomes a TFLite file of a given quantisation, by TensorFlow's converter: its one orchestration.

The story: freeze -> configure the converter -> convert, by ranges of our own measuring where these are calibrated ->
name and order the ends -> check that nothing was damaged.
"""

import contextlib
import copy
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.graph import edit as graph_edit
from visionport.inputs.quantization import EIGHT_BITS
from visionport.tflite import checks as tflite_checks
from visionport.tflite import edit, ranges
from visionport.tflite import layers as tflite_layers
from visionport.tflite.checks import first_line
from visionport.tflite.flatbuffer import parse, serialize, text
from visionport.tflite.kinds import CALIBRATED


@dataclass(frozen=True, kw_only=True)
class FileRequest:
    """How a function becomes a file.

    inputs, outputs: what its tensors are to be called in the file, in the function's own order (a dict's outputs are
    flattened in the order of their keys). quantize: a key of checks.SHRINKS. integer_input, integer_output: "int8" or
    "uint8", the types of the ends of a fully quantised file; the function's own where empty. An output that is not of
    that type ends in a DEQUANTIZE of its own, so that no two share a scale. examples: each an array for every input, to
    calibrate with; None for a graph with fake quantisation. exclude: ops and layers that stay float32 (layers.py).
    select_tf_ops, custom_ops: ops that only TensorFlow runs, or that LiteRT does not know, may be in it. name: the
    file's, for errors.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    quantize: str = "none"
    integer_input: str = ""
    integer_output: str = ""
    examples: Iterable[Sequence[np.ndarray]] | None = None
    exclude: Sequence[str] = ()
    select_tf_ops: bool = False
    custom_ops: bool = False
    name: str = tflite_checks.FILE


def convert_function(function, request: FileRequest) -> bytes:
    """TFLite of a concrete function, checked; its outputs are in the request's order, and in one signature.

    Frozen first: the converter may keep variables without a word. Raises UnsupportedError for what TFLite cannot hold.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    constant = freeze_variables(function)
    # The converter may change the order of outputs, but keeps their names.
    inputs, outputs = ([t.op.name for t in side] for side in (constant.inputs, constant.outputs))
    try:
        with mute_converter():
            try:
                data = run_converter(constant, request, outputs)
            except ConverterError as e:
                if not only_custom_ops(str(e)):
                    raise
                data = run_converter(constant, replace(request, custom_ops=True), outputs)
    except ConverterError as e:
        raise explain_refusal(str(e)) from None
    except (ValueError, RuntimeError, tf.errors.OpError) as e:
        if request.quantize in CALIBRATED and "Select TensorFlow op" in str(e):
            raise UnsupportedError(
                f"--quantize {request.quantize} measures activations on the file, and nothing here runs Select TF ops. "
                "Take --quantize dynamic or float16, or name inputs and outputs without such ops between them."
            ) from None
        raise UnsupportedError(f"TensorFlow's converter does not take the graph: {first_line(e)}.") from None
    data = edit.name_ends(data, inputs, outputs, request.inputs, request.outputs)
    data = own_biases(data) if request.quantize == "int16x8" else data
    check_file(data, constant, request)
    return data


def run_converter(constant, request: FileRequest, outputs: Sequence[str]) -> bytes:
    """What the converter makes of a function without variables. outputs: its tensors' names."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([constant])
    configure_converter(converter, request)
    if request.examples is not None and request.quantize in EIGHT_BITS:
        names = dict(zip(outputs, request.outputs, strict=True))
        return convert_to_eight_bits(converter, request.exclude, names)
    return converter.convert()


def only_custom_ops(text: str) -> bool:
    """Did the converter refuse nothing but ops that the installed LiteRT has as custom ones?"""
    refused = [op for mark in ("TF Select ops:", "Custom ops:") for op in find_refused(text, mark)]
    return bool(refused) and all(map(tflite_checks.is_known_op, refused))


def find_refused(text: str, mark: str) -> list[str]:
    """The ops that the converter's pages list behind that mark."""
    found = next((line.partition(mark)[2] for line in text.splitlines() if mark in line), "")
    return [op.strip() for op in found.split(",") if op.strip()]


def check_file(data: bytes, frozen, request: FileRequest) -> None:
    """What a file that was made of `frozen`, a concrete function without variables, must not be; see checks.py."""
    name = request.name
    tflite_checks.ops(data, name, select=request.select_tf_ops, custom=request.custom_ops)
    tflite_checks.size(data, name, frozen.graph.as_graph_def(), request.quantize, partly=bool(request.exclude))
    if not tflite_checks.unknown_ops(data):
        interpreter = tflite_checks.runs(data, name)
        alone = graph_edit.unrunnable_ops(frozen.graph.as_graph_def())
        if not alone and all(t.shape.is_fully_defined() for t in frozen.inputs):
            tflite_checks.alive(interpreter, name, tflite_checks.answers(frozen, interpreter, request.outputs))


def freeze_variables(function):
    """The concrete function with its variables as constants; loops and branches stay those that the converter knows."""
    from tensorflow.python.framework import convert_to_constants

    return convert_to_constants.convert_variables_to_constants_v2(function, lower_control_flow=False)


def convert_to_eight_bits(converter, exclude: Sequence[str], names: Mapping[str, str]) -> bytes:
    """What the converter makes for int8, by ranges of our own measuring and without the ops and layers to exclude.

    It has options for neither. names: {tensor: what it is to be called}, of the outputs.
    """
    from tensorflow.lite.python.convert import deduplicate_readonly_buffers, mlir_quantize

    measured = ranges.measure_ranges(converter)
    ops, layers = tflite_layers.find_excluded(measured, exclude, names)
    made: Any = mlir_quantize(
        ranges.narrow_ranges(measured, ops, layers),
        input_data_type=converter.inference_input_type,
        output_data_type=converter.inference_output_type,
        denylisted_ops=ops,
        denylisted_nodes=layers,
    )
    return deduplicate_readonly_buffers(made)


@contextlib.contextmanager
def mute_converter():
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


def configure_converter(converter, request: FileRequest) -> None:
    """Tells the converter what is requested."""
    import tensorflow as tf

    sets, quantize = tf.lite.OpsSet, request.quantize
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if request.examples is not None and quantize in CALIBRATED:
        converter.representative_dataset = lambda: (list(example) for example in request.examples or ())
        both = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [both if quantize == "int16x8" else sets.TFLITE_BUILTINS_INT8]
    if request.integer_input:
        converter.inference_input_type = tf.dtypes.as_dtype(request.integer_input)
    if request.integer_output:
        converter.inference_output_type = tf.dtypes.as_dtype(request.integer_output)
    if request.select_tf_ops:
        converter.target_spec.supported_ops = [*converter.target_spec.supported_ops, sets.SELECT_TF_OPS]
    converter.allow_custom_ops = request.custom_ops


def explain_refusal(text: str) -> UnsupportedError:
    """The converter's pages as one sentence: which ops it could not convert, and what to do."""
    lines = text.splitlines()
    select, custom = (", ".join(find_refused(text, mark)) for mark in ("TF Select ops:", "Custom ops:"))
    if select:
        types = sorted(set(re.findall(r"[<x](f64|f16|bf16|complex<f64>|ui16|ui32|ui64)>", text)))
        of = f" (it computes in {', '.join(str(TYPES.get(t, t)) for t in types)})" if types else ""
        return UnsupportedError(
            f"LiteRT has no op for {select}{of}. Name inputs behind or outputs before them, or let TensorFlow's own "
            "ops into the file with --allow-select-tf-ops; the runtime then needs the Select TF library."
        )
    if custom:
        return UnsupportedError(
            f"neither LiteRT nor its Select TF library has an op for {custom}. Name inputs behind "
            "or outputs before them, or keep them with --allow-custom-ops; the runtime then needs their kernels."
        )
    if "Functionalize" in text or "functionalize" in text:
        return UnsupportedError(
            "TensorFlow's converter cannot follow the graph's loops or branches, which are of TF1 or became so. Name "
            "outputs before them (--output-arrays)."
        )
    if "element_shape" in text:
        return UnsupportedError(
            "a loop of the graph collects rows whose shape is open. Trace or save the model with a fixed batch, or "
            "give its tf.TensorArray an element_shape."
        )
    errors = [line.partition("error:")[2].strip() for line in lines]
    why = next(filter(None, errors), first_line(text))
    return UnsupportedError(f"TensorFlow's converter does not take the graph: {why}")


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


# What the converter calls types that few of LiteRT's ops take.
TYPES = {"f64": "float64", "f16": "float16", "bf16": "bfloat16", "ui16": "uint16", "ui32": "uint32", "ui64": "uint64"}
