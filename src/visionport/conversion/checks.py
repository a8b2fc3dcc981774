"""A converted file beside its source: what it must not be, and how far its answers are off."""

import dataclasses
from collections.abc import Mapping
from itertools import islice

import numpy as np

from visionport.conversion import tflite
from visionport.conversion.inputs import Feeds, example_inputs
from visionport.conversion.network import Network
from visionport.conversion.sources import Model, answers
from visionport.errors import InputError
from visionport.inputs.quantization import dequantized, quantized
from visionport.progress import Progress
from visionport.tflite import checks as tflite_checks
from visionport.tflite import layers
from visionport.tflite.flatbuffer import op_names, parse
from visionport.verification.bounds import OTHER_RUNTIME, QUANTIZED
from visionport.verification.checks import Check, difference


def check(data: bytes, function, network: Network, request):
    """See tflite/checks.py. Returns what runs the file.

    None where it has ops of TensorFlow's or unknown ones, which no interpreter here has.
    """
    name, partly = request.out.name, bool(request.quantize_exclude)
    tflite_checks.ops(data, name, select=request.select_tf_ops, custom=request.custom_ops)
    tflite_checks.size(data, name, function.graph.as_graph_def(), request.quantize, partly=partly)
    if any(is_custom and op not in tflite_checks.KNOWN for op, is_custom in op_names(parse(data))):
        return None
    interpreter = tflite_checks.runs(data, name)
    if not any(d < 0 for g in network.inputs for d in g.spec):
        keys = [key for key, _ in network.outputs]
        tflite_checks.alive(interpreter, name, tflite_checks.answers(function, interpreter, keys))
    return interpreter


def verify(interpreter, model: Model, network: Network, feeds: Feeds, request, progress: Progress) -> list[Check]:
    """The file beside the source, on inputs that are the same every time: each output's worst difference."""
    tolerance = QUANTIZED[request.quantize] if request.quantize != "none" else OTHER_RUNTIME
    is_open = any(d < 0 for g in network.inputs for d in g.spec)
    checks, examples = [], list(example_inputs(feeds))  # before a session, within which nothing is eager
    with answers(model, request.tags) as answer:
        for title, inputs in examples:
            try:
                wanted = answer(inputs)
            except InputError as e:
                if not is_open:
                    raise
                progress.warn(f"{request.out.name} is not verified, since its sizes are open: {e}")
                return []
            values = dict(zip(inputs, feeds.traced([*inputs.values()]), strict=True))
            if is_open:
                for d in interpreter.get_input_details():
                    interpreter.resize_tensor_input(d["index"], values[d["name"]].shape)
                interpreter.allocate_tensors()
            details = {d["name"]: d for d in interpreter.get_input_details()}
            outputs = {d["name"]: d["quantization"] for d in interpreter.get_output_details()}
            given = {k: quantized(v, details[k]["dtype"], *details[k]["quantization"]) for k, v in values.items()}
            found = tflite_checks.run(interpreter, given)
            again: Mapping = {}
            for key, _ in network.outputs:
                pair = comparable(wanted[key], dequantized(found[key], *outputs[key]))
                made = difference("tflite", title, key, *pair, tolerance=tolerance)
                if not made.ok:
                    again = again or answer(inputs)
                    made = judged(made, wanted[key], again[key])
                checks.append(made)
    return checks


def judged(check: Check, once, twice) -> Check:
    """A disagreement is reported and not judged where the source disagrees with itself: its ops draw random numbers."""
    if np.shape(once) == np.shape(twice) and np.array_equal(*comparable(once, twice)):
        return check
    return dataclasses.replace(check, bound=None, notes="the source itself answers otherwise each time")


def comparable(wanted, found) -> tuple[np.ndarray, np.ndarray]:
    """Both as numbers: of texts only whether they are the same; no number on both sides is the same too."""
    wanted, found = np.asarray(wanted), np.asarray(found)
    if wanted.shape != found.shape:
        return wanted, found
    if wanted.dtype.kind in "OSU":
        return np.zeros(wanted.shape), (wanted != found).astype(np.float64)
    if wanted.dtype.kind == "c":
        return comparable(*(np.stack([v.real, v.imag]) for v in (wanted, found)))
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    both = np.isnan(wanted) & np.isnan(found)
    return np.where(both, 0, wanted), np.where(both, 0, found)


def losses(data: bytes, function, network: Network, feeds: Feeds, request) -> list[layers.Layer]:
    """What quantised activations cost each layer, on examples of the calibration; the worst loss first."""
    exact = tflite.exact(function, network, request)
    examples = [feeds.traced(e) for e in islice(feeds, layers.PICTURES)]
    keys = [g.key for g in network.inputs]

    def feed(source):
        values = (e[keys.index(source["name"])] for e in examples)
        return [quantized(v, source["dtype"], *source["quantization"]) for v in values]

    return layers.layers(exact, data, feed)
