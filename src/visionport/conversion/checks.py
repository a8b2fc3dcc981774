"""A converted file beside its source: what it must not be, and how far its answers are off."""

import dataclasses
from collections.abc import Mapping
from itertools import islice
from typing import Any

import numpy as np

from visionport.conversion import tflite
from visionport.conversion.inputs import DOMAINS, Feeds, given_examples, made_up
from visionport.conversion.network import Network
from visionport.conversion.sources import Model, open_answers
from visionport.errors import InputError
from visionport.graph import edit
from visionport.inputs.quantization import dequantized, quantized
from visionport.progress import Progress
from visionport.tflite import checks as tflite_checks
from visionport.tflite import layers
from visionport.tflite.flatbuffer import op_names, parse
from visionport.verification.bounds import OTHER_RUNTIME, QUANTIZED, Tolerance
from visionport.verification.checks import Check, difference


def verify_file(data: bytes, model: Model, network: Network, feeds: Feeds, request, progress: Progress) -> list[Check]:
    """The file beside the source, on inputs that are the same every time: each output's worst difference."""
    alone = find_unrunnable(model)
    if alone:
        progress.warn(
            f"TensorFlow does not run {', '.join(sorted(set(alone.values())))}: compared is what goes into it."
        )
    interpreter = layers.keeping_all(data) if alone else tflite_checks.runs(data, request.out.name)
    watched = watch_inputs(data, model, alone) if alone else {}
    source = dataclasses.replace(model.source, outputs={k: t for k, (_, t) in watched.items()})
    model = dataclasses.replace(model, source=source, function=None) if alone else model
    checks: list[Check] = []
    examples = given_examples(feeds, request.verify_input)  # before a session, within which nothing is eager
    with open_answers(model, request.tags) as answer:
        if examples:
            compared = answer_all(examples, answer)
        else:
            compared = find_examples(interpreter, feeds, answer, request, progress)
        for title, inputs, wanted in compared:
            found = run_file(interpreter, network, feeds, inputs, {k: i for k, (i, _) in watched.items()})
            again: Mapping = {}
            for key, value in found.items():
                made = difference(
                    "tflite", title, key, *make_comparable(wanted[key], value), tolerance=tolerance_of(request)
                )
                if not made.ok:
                    again = again or answer(inputs)
                    made = judge_random(made, wanted[key], again[key])
                checks.append(made)
    return checks


def tolerance_of(request) -> Tolerance:
    return QUANTIZED[request.quantize] if request.quantize != "none" else OTHER_RUNTIME


Example = tuple[str, dict[str, Any], Mapping[str, Any]]  # title, inputs, the source's outputs


def answer_all(examples, answer) -> list[Example]:
    return [(title, inputs, answer(inputs)) for title, inputs in examples]


def find_examples(interpreter, feeds: Feeds, answer, request, progress: Progress) -> list[Example]:
    """Made-up inputs of a size that source and file take, and of a domain where the source's answer is finite."""
    is_open = any(-1 in g.spec for g in feeds.inputs)
    sizes = tflite_checks.OPEN_SIZES if is_open else tflite_checks.OPEN_SIZES[:1]
    reason: Exception | None = None
    first: list[Example] = []
    for size in sizes:
        try:
            tflite_checks.resize_open(interpreter, size)
            interpreter.allocate_tensors()
            for domain in DOMAINS:
                found = answer_all(made_up(feeds, domain, size), answer)
                if all(map(is_finite, (v for _, _, out in found for v in out.values()))):
                    return found
                first = first or found
        except (InputError, RuntimeError, ValueError) as e:
            reason = reason or e
            if not is_open:
                raise
            continue
        progress.warn(
            f"{request.out.name}: the source's own answer to made-up inputs is not finite; where both are not, they "
            "are taken to agree. Give inputs of its own with --verify-input FILE.npz."
        )
        return first
    progress.warn(f"{request.out.name} is not verified, since its sizes are open: {reason}. Give --verify-input.")
    return []


def is_finite(value) -> bool:
    value = np.asarray(value)
    return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())


def run_file(interpreter, network: Network, feeds: Feeds, inputs, watched: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The file's outputs by name; or, where an index of a tensor is named, these tensors."""
    values = dict(zip(inputs, feeds.traced([*inputs.values()]), strict=True))
    if any(-1 in g.spec for g in network.inputs):
        for d in interpreter.get_input_details():
            interpreter.resize_tensor_input(d["index"], values[d["name"]].shape)
        interpreter.allocate_tensors()
    details = {d["name"]: d for d in interpreter.get_input_details()}
    given = {k: quantized(v, details[k]["dtype"], *details[k]["quantization"]) for k, v in values.items()}
    found = tflite_checks.run(interpreter, given)
    if watched:
        quantization = {d["index"]: d["quantization"] for d in interpreter.get_tensor_details()}
        return {k: dequantized(interpreter.get_tensor(i), *quantization[i]) for k, i in watched.items()}
    outputs = {d["name"]: d["quantization"] for d in interpreter.get_output_details()}
    return {key: dequantized(found[key], *outputs[key]) for key, _ in network.outputs}


def find_unrunnable(model: Model) -> dict[str, str]:
    """{node: op} of what the outputs need and TensorFlow does not run."""
    source = model.source
    return edit.unrunnable_ops(edit.part_of(source.graph, map(edit.base, source.outputs.values())))


def watch_inputs(data: bytes, model: Model, alone: Mapping[str, str]) -> dict[str, tuple[int, str]]:
    """{title: (a tensor of the file, one of the source)} of what goes into ops that TensorFlow does not run."""
    nodes = {n.name: n for n in model.source.graph.node}
    parsed = parse(data)
    main, names = parsed.subgraphs[0], op_names(parsed)
    found = {}
    for op in sorted(set(alone.values())):
        theirs = [nodes[name] for name, kind in alone.items() if kind == op]
        ours = [o for o in main.operators if names[o.opcodeIndex] == (op, True)]
        for number, (mine, node) in enumerate(zip(ours, theirs, strict=True)):
            for k, (i, tensor) in enumerate(zip(mine.inputs, node.input, strict=False)):
                constant = parsed.buffers[main.tensors[i].buffer].data is not None
                if not constant and edit.base(tensor) not in alone:
                    title = f"{op} input {k}" if len(ours) == 1 else f"{op} {number + 1} input {k}"
                    found[title] = int(i), edit.full_name(tensor)
    return found


def judge_random(check: Check, once, twice) -> Check:
    """A disagreement is reported and not judged where the source disagrees with itself: its ops draw random numbers."""
    if np.shape(once) == np.shape(twice) and np.array_equal(*make_comparable(once, twice)):
        return check
    return dataclasses.replace(check, bound=None, notes="the source itself answers otherwise each time")


def make_comparable(wanted, found) -> tuple[np.ndarray, np.ndarray]:
    """Both as numbers: of texts only whether they are the same; no number on both sides is the same too."""
    wanted, found = np.asarray(wanted), np.asarray(found)
    if wanted.shape != found.shape:
        return wanted, found
    if wanted.dtype.kind in "OSU":
        return np.zeros(wanted.shape), (wanted != found).astype(np.float64)
    if wanted.dtype.kind == "c":
        return make_comparable(*(np.stack([v.real, v.imag]) for v in (wanted, found)))
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    both = np.isnan(wanted) & np.isnan(found)
    return np.where(both, 0, wanted), np.where(both, 0, found)


def measure_losses(data: bytes, function, network: Network, feeds: Feeds, request) -> list[layers.Layer]:
    """What quantised activations cost each layer, on examples of the calibration; the worst loss first."""
    exact = tflite.make_exact_file(function, network, request)
    examples = [feeds.traced(e) for e in islice(feeds.preprocessed(), layers.PICTURES)]
    keys = [g.key for g in network.inputs]

    def feed(source):
        values = (e[keys.index(source["name"])] for e in examples)
        return [quantized(v, source["dtype"], *source["quantization"]) for v in values]

    return layers.layers(exact, data, feed)
