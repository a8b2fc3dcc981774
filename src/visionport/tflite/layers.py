"""The layers of an integer TFLite file: what quantisation costs each, and which are excluded from it."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visionport.errors import OptionError, nearest
from visionport.inputs.quantization import dequantized
from visionport.tflite.flatbuffer import op_names, parse, text

PICTURES = 4  # to measure on
MOVES = ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "DELEGATE")  # these compute nothing of their own


@dataclass(frozen=True, kw_only=True)
class Layer:
    """name: its output tensor. signal: decibels of signal to noise against float32 (20: a tenth of the signal's size is
    noise). lost: how many of those its noisiest input had more."""

    name: str
    op: str
    signal: float
    lost: float


def layers(exact: bytes, quantized: bytes, feed: Callable) -> list[Layer]:
    """Each layer whose output is an integer in `quantized` and has its twin, by name, in `exact`; the worst loss first.

    feed: an input's detail -> arrays for it, of the same pictures for both files. What lies outside of a layer's range
    is no loss, since on these pictures it was left out because it makes no difference (tflite_ranges.py).
    """
    runs = [keeping_all(data) for data in (exact, quantized)]
    twins = {d["name"]: d["index"] for d in runs[0].get_tensor_details() if d["dtype"] == np.float32}
    details = {d["index"]: d for d in runs[1].get_tensor_details()}
    pairs = {i: twins[d["name"]] for i, d in details.items() if d["quantization"][0] and d["name"] in twins}
    ends = {i: _ends(details[i]) for i in pairs}
    power, noise = (dict.fromkeys(pairs, 0.0) for _ in range(2))
    examples = [zip(*map(feed, run.get_input_details()), strict=True) for run in runs]
    for pair in zip(*examples, strict=True):
        for run, values in zip(runs, pair, strict=True):
            for source, value in zip(run.get_input_details(), values, strict=True):
                run.set_tensor(source["index"], value)
            run.invoke()
        for i, j in pairs.items():
            a = np.clip(runs[0].get_tensor(j).astype(np.float64), *ends[i])
            b = dequantized(runs[1].get_tensor(i), *details[i]["quantization"]).astype(np.float64)
            power[i] += float(np.sum(a * a))
            noise[i] += float(np.sum((a - b) ** 2))
    signal = {i: 10 * float(np.log10(power[i] / noise[i])) for i in pairs if power[i] and noise[i]}
    found = []
    for op in runs[1]._get_ops_details():
        # XNNPACK's part may end in nothing that others take.
        out, inputs = next(iter(op["outputs"]), None), [i for i in op["inputs"] if i in signal]
        if out in signal and op["op_name"] not in MOVES:
            lost = min((signal[i] for i in inputs), default=signal[out]) - signal[out]
            layer = {"name": plain(details[out]["name"]), "op": op["op_name"], "signal": signal[out], "lost": lost}
            found.append(Layer(**layer))
    return sorted(found, key=lambda layer: -layer.lost)


def _ends(detail) -> np.ndarray:
    """The least and the largest value that a quantised tensor holds."""
    info = np.iinfo(detail["dtype"])
    return dequantized(np.array([info.min, info.max]), *detail["quantization"])


def find_excluded(model: bytes, exclude: Sequence[str], names: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The TFLite ops, and the output tensors of layers, that `exclude` means in a file: names of ops as they are, else
    regular expressions over layers' names. Raises OptionError for what fits nothing.

    names: {tensor: what it is to be called}, of the file's outputs.
    """
    parsed = parse(model)
    codes, (graph, *_) = [name for name, _ in op_names(parsed)], parsed.subgraphs
    tensors = [text(graph.tensors[op.outputs[0]].name) for op in graph.operators]
    made = {names.get(name, name): name for name in tensors}
    known = {codes[op.opcodeIndex] for op in graph.operators}
    ops = [e for e in exclude if e in known]
    layers = []
    for pattern in (e for e in exclude if e not in known):
        try:
            found = [tensor for name, tensor in made.items() if re.search(pattern, name)]
        except re.error as e:
            raise OptionError(f"--quantize-exclude {pattern!r} is no regular expression: {e}.") from None
        if not found:
            near = nearest(pattern, [*sorted(known), *map(plain, made)])
            raise OptionError(
                f"--quantize-exclude {pattern!r} fits no op and no layer of the network{near}. Ops: "
                f"{', '.join(sorted(known))}; layers have names such as {plain(next(iter(made)))}."
            )
        layers += found
    return ops, layers


def plain(name: str) -> str:
    """A layer's scope, of the names that the converter joined for it: "Relu6;A/B/Conv1" -> "A/B/Conv1".

    Without the calls through which a SavedModel's signature comes to it.
    """
    parts = [re.sub(r"^(StatefulPartitionedCall(_\d+)?/)+", "", part) for part in name.split(";")]
    return max(parts, key=lambda part: (part.count("/"), len(part)))


def keeping_all(data: bytes):
    """An interpreter in which every tensor can be read after a run."""
    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes memory to keep all tensors
        interpreter = Interpreter(model_content=data, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    return interpreter
