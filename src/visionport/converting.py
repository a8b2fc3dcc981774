"""Any TensorFlow model to TFLite: a SavedModel or a frozen graph, checked and compared with its source.

The story: read the source -> freeze what is between the chosen tensors -> trace with fixed shapes -> convert ->
check the file -> run it beside the source.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport import freezing, graphs, staging
from visionport.converting_checks import check, interpreter_of, verify
from visionport.converting_inputs import Feeds, Given
from visionport.errors import ArtifactError, InputError, OptionError, UnsupportedError, nearest
from visionport.options import CALIBRATED, QUANTIZATIONS
from visionport.progress import Progress
from visionport.verify import Check


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be converted, and how. Names are tensors' ("scores", "scores:0") or, of a signature, its keys'."""

    source: Path
    out: Path
    tags: tuple[str, ...] = ()
    signature: str | None = None
    input_arrays: tuple[str, ...] = ()
    output_arrays: tuple[str, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)  # "" where there is one input
    quantize: str = "none"
    calibration: Path | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    input_type: str | None = None
    select_tf_ops: bool = False
    custom_ops: bool = False
    verify: bool = True
    overwrite: bool = False

    def check(self) -> None:
        """Raises OptionError for what is unknown or contradictory."""
        if self.quantize not in QUANTIZATIONS:
            raise OptionError(f"--quantize {self.quantize!r} is unknown. One of: {', '.join(QUANTIZATIONS)}.")
        if self.calibration and self.quantize not in CALIBRATED:
            raise OptionError(f"--calibration is of no use to --quantize {self.quantize}; {', '.join(CALIBRATED)} are.")
        if self.calibration and not self.calibration.exists():
            raise InputError(f"--calibration {self.calibration}: no such folder or file.")
        if len(self.mean) != len(self.std):
            raise OptionError("--mean and --std go together: (pixel - mean) / std, one number or one a channel.")
        if len(self.mean) not in (0, 1, 3):
            raise OptionError(f"--mean {','.join(map(str, self.mean))}: one number, or three: of red, green and blue.")
        if any(s <= 0 for s in self.std):
            raise OptionError(f"--std {','.join(map(str, self.std))}: above 0.")
        if self.input_type == "int8" and self.quantize != "int8":
            raise OptionError(f"--input-type int8 needs --quantize int8, not {self.quantize}.")
        if self.input_type == "uint8" and self.quantize not in ("int8", "uint8"):
            raise OptionError("--input-type uint8 needs --quantize int8 or uint8: pixels are not normalised here.")
        if self.quantize == "uint8" and self.input_type not in (None, "uint8"):
            raise OptionError("--quantize uint8 is int8 with a uint8 input; for another take --quantize int8.")
        staging.check_file(self.out, overwrite=self.overwrite)

    @property
    def integer(self) -> str:
        """The type of the file's inputs and outputs where that is not the source's."""
        kind = "uint8" if self.quantize == "uint8" else self.input_type
        return kind if kind in ("uint8", "int8") else ""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What was written, and whether it agrees with its source."""

    out: Path
    size: int
    seconds: float  # of the converter
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        return all(c.ok for c in self.checks)


@dataclass(frozen=True, kw_only=True)
class Network:
    """A graph of constants: its inputs as they will be, its outputs as (key, tensor)."""

    graph: Any
    inputs: tuple[Given, ...]
    outputs: tuple[tuple[str, str], ...]


def convert(request: Request, progress: Progress | None = None) -> Conversion:
    """Writes request.out. Raises VisionportError; then nothing is written."""
    progress = progress or Progress()
    request.check()
    with progress.stage("import TensorFlow"):
        import tensorflow as _  # noqa: F401

    with progress.stage("read and freeze"):
        source = chosen(freezing.read(Path(request.source), None, request.tags or None, request.signature), request)
        network = frozen(source, request)
        feeds = Feeds(network.inputs, request)
    with progress.stage("convert") as remark:
        begun = time.perf_counter()
        data, function = tflite_of(network, feeds, request, progress)
        seconds = time.perf_counter() - begun
        remark(f"{len(data) / 1e6:.1f} MB")
    with progress.stage("check"):
        check(data, function, network, request)
    checks: list[Check] = []
    if request.verify and interpreter_of(data, request) is None:
        progress.warn(f"{request.out.name} is not verified: nothing here runs its Select TF or custom ops.")
    elif request.verify:
        with progress.stage("verify"):
            checks = verify(data, source, network, feeds, request)
    staging.write_file(request.out, [data], overwrite=request.overwrite)
    return Conversion(
        out=request.out,
        size=len(data),
        seconds=seconds,
        inputs=tuple(g.key for g in network.inputs),
        outputs=tuple(key for key, _ in network.outputs),
        checks=tuple(checks),
    )


# --- the source ---


def chosen(source: freezing.Source, request: Request) -> freezing.Source:
    """The source with the inputs and outputs that were asked for, as key -> tensor."""
    # A signature is no list: its keys' order is the alphabet's.
    inputs = picked(source, request.input_arrays, source.inputs, "--input-arrays") or dict(
        sorted(source.inputs.items())
    )
    outputs = picked(source, request.output_arrays, source.outputs, "--output-arrays")
    outputs = outputs or dict(sorted(source.outputs.items()))
    if not outputs:
        raise OptionError(
            f"{source.path}: no signature says what comes out. Name it with --output-arrays"
            f"{freezing.sinks(source.graph)}."
        )
    return dataclasses.replace(source, inputs=inputs, outputs=outputs)


def picked(source, names: Sequence[str], signature: Mapping[str, str], option: str) -> dict[str, str]:
    """Key -> tensor, of keys of the signature or names of the graph's tensors."""
    nodes = {n.name for n in source.graph.node}
    found = {}
    for name in names:
        if name in signature:
            found[name] = signature[name]
        elif option == "--input-arrays" and name.rpartition(":")[2] not in ("0", name):
            raise OptionError(f"{option} {name}: only a node's first output can be fed.")
        elif graphs.base(name) in nodes:
            found[name.removesuffix(":0")] = name if ":" in name else f"{name}:0"
        else:
            near = nearest(name, [*signature, *nodes])
            have = f" The signature has: {', '.join(signature)}." if signature else ""
            raise OptionError(f"{option} {name!r}: no such tensor in {source.path}{near}.{have}")
    return found


def frozen(source: freezing.Source, request: Request) -> Network:
    """What lies between inputs and outputs, as constants."""
    copy = type(source.graph)()
    copy.CopyFrom(source.graph)
    cut = [graphs.base(t) for t in source.inputs.values()] if request.input_arrays else []
    graph, kept, _ = freezing.trimmed(dataclasses.replace(source, graph=copy), cut, ())
    variables = graphs.variables(graph)
    values = source.values(list(variables.values()))
    graphs.freeze(graph, list(variables))
    graphs.finish(graph, kept, {}, values)
    without_orders(graph)
    of_floats(graph)
    placed = {n.name: n for n in graph.node if n.op.startswith("Placeholder")}
    wanted = {graphs.base(t): key for key, t in source.inputs.items()}
    strange = [n for n in placed if n not in wanted]
    if strange and source.inputs:
        raise OptionError(
            f"{source.path}: the outputs need {', '.join(strange)} too, which is no input. Add it to --input-arrays."
        )
    wanted = {n: key for n, key in wanted.items() if n in placed} or {n: n for n in placed}
    if not wanted:
        raise OptionError(f"{source.path}: the outputs depend on no input; name others with --output-arrays.")
    inputs = tuple(Given.of(placed[n], key, request.shapes, len(wanted)) for n, key in wanted.items())
    unused = set(request.shapes) - {"", *(g.key for g in inputs), *(g.node for g in inputs)}
    if unused or ("" in request.shapes and len(inputs) > 1):
        names = ", ".join(g.key for g in inputs)
        raise OptionError(f"--input-shape: name one of the inputs, {names}: --input-shape {inputs[0].key}=1,...")
    return Network(
        graph=graph, inputs=inputs, outputs=tuple(zip(source.outputs, (f"{k}:0" for k in kept), strict=True))
    )


def without_orders(graph) -> None:
    """Constants have no side effects to keep in order, and the converter cannot follow such orders out of loops."""
    for node in graph.node:
        if node.op != "Const":  # those of a loop lie in it by such an order
            node.input[:] = [i for i in node.input if not i.startswith("^")]


def of_floats(graph) -> None:
    """Pixels become floats before they are resized: LiteRT's bilinear op takes none, and TensorFlow's gives floats."""
    import tensorflow as tf

    floats, pixels = tf.float32.as_datatype_enum, tf.uint8.as_datatype_enum
    for node in [n for n in graph.node if n.op == "ResizeBilinear" and n.attr["T"].type == pixels]:
        cast = graph.node.add(name=f"{node.name}/floats", op="Cast", input=[node.input[0]])
        cast.attr["SrcT"].type, cast.attr["DstT"].type = pixels, floats
        node.input[0], node.attr["T"].type = cast.name, floats


# --- the converter ---


def tflite_of(network: Network, feeds: Feeds, request: Request, progress: Progress):
    """(the file's bytes, the traced function)."""
    from visionport.formats import tflite_convert

    function = traced(network)
    faked = any(n.op.startswith("FakeQuant") for n in network.graph.node)
    if request.quantize in CALIBRATED and not request.calibration and not faked:
        raise OptionError(
            f"--quantize {request.quantize} needs --calibration: about 100 typical pictures, a TFRecord of them, or an "
            ".npz with the inputs. Without any, take --quantize dynamic."
        )
    if faked and request.quantize == "uint8" and not request.calibration:
        return trained(network, request), function
    with progress.bar("calibrate", feeds.examples()) as examples:
        return converted(function, network, request, examples, tflite_convert), function


def traced(network: Network):
    """A concrete function of the inputs, in their order; its outputs are a list."""
    import tensorflow as tf

    def run(*values):
        given = {f"{g.node}:0": v for g, v in zip(network.inputs, values, strict=True)}
        found = tf.graph_util.import_graph_def(
            network.graph, input_map=given, return_elements=[t for _, t in network.outputs], name=""
        )
        return [tf.identity(v) for v in found]

    specs = [tf.TensorSpec(g.shape, g.dtype, name=f"input_{i}") for i, g in enumerate(network.inputs)]
    try:
        return tf.function(run, autograph=False).get_concrete_function(*specs)
    except (ValueError, tf.errors.OpError) as e:
        shapes = ", ".join(f"{g.key} {list(g.shape)}" for g in network.inputs)
        raise OptionError(f"the graph does not take {shapes}: {told(e)}. See --input-shape.") from None


def trained(network: Network, request: Request) -> bytes:
    """The file of a graph with fake quantisation: uint8 throughout, by the ranges that it was trained with."""
    from visionport.formats import tflite_trained

    if len(network.inputs) != 1 or len(request.mean) != 1 or None in network.inputs[0].shape:
        raise OptionError(
            "--quantize uint8 of a graph with fake quantisation takes one input of a fixed shape, and --mean and --std "
            "of its pixels, a number each: --mean 127.5 --std 127.5 where it was trained from -1 to 1."
        )
    (image,) = network.inputs
    for node in network.graph.node:
        if node.name == image.node:
            node.attr["shape"].shape.Clear()
            node.attr["shape"].shape.dim.extend(type(node.attr["shape"].shape).Dim(size=d) for d in image.spec)
    names = [graphs.base(t) for _, t in network.outputs]
    how = {"mean": request.mean[0], "std": request.std[0]}
    data = tflite_trained.convert(network.graph, input_name=image.node, output_names=names, **how)
    return named(data, [image.node], names, network)


def converted(function, network: Network, request: Request, examples, tflite_convert) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    constant = tflite_convert.frozen(function)
    integer = request.integer if any(g.dtype == "float32" for g in network.inputs) else ""
    try:
        with tflite_convert.quietly():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([constant])
            tflite_convert.configured(converter, request.quantize, integer, bool(integer), examples)
            # Without calibration: by the graph's own fake quantisation.
            converter.representative_dataset = (lambda: iter(examples)) if request.calibration else None
            if request.select_tf_ops:
                sets = converter.target_spec.supported_ops
                converter.target_spec.supported_ops = [*sets, tf.lite.OpsSet.SELECT_TF_OPS]
            converter.allow_custom_ops = request.custom_ops
            data = converter.convert()
    except ConverterError as e:
        raise refused(str(e)) from None
    except (ValueError, RuntimeError, tf.errors.OpError) as e:
        raise UnsupportedError(f"TensorFlow's converter does not take the graph: {told(e)}") from None
    ends = [t.op.name for t in constant.inputs], [t.op.name for t in constant.outputs]
    data = named(data, *ends, network)
    return tflite_convert.own_biases(data) if request.quantize == "int16x8" else data


def refused(text: str) -> UnsupportedError:
    """The converter's pages as one sentence: which ops it could not convert, and what to do."""
    lines = text.splitlines()

    def after(mark: str) -> str:
        return next((line.partition(mark)[2].strip() for line in lines if mark in line), "")

    select, custom = after("TF Select ops:"), after("Custom ops:")
    if select:
        return UnsupportedError(
            f"LiteRT has no op for {select}. Name outputs before them (--output-arrays), or let TensorFlow's own ops "
            "into the file with --allow-select-tf-ops; the runtime then needs the Select TF library."
        )
    if custom:
        return UnsupportedError(
            f"neither LiteRT nor its Select TF library has an op for {custom}. Name outputs before them "
            "(--output-arrays), or keep them with --allow-custom-ops; the runtime then needs their kernels."
        )
    if "Functionalize" in text or "functionalize" in text:
        return UnsupportedError(
            "TensorFlow's converter cannot follow the graph's loops or branches, which are of TF1 or became so. Name "
            "outputs before them (--output-arrays)."
        )
    errors = [line.partition("error:")[2].strip() for line in lines]
    return UnsupportedError(f"TensorFlow's converter does not take the graph: {next(filter(None, errors), told(text))}")


def told(error: object) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def named(data: bytes, inputs: Sequence[str], outputs: Sequence[str], network: Network) -> bytes:
    """The file with inputs and outputs in the source's order and by its names, in one signature."""
    from visionport.formats import tflite_graph
    from visionport.formats.tflite_flatbuffer import parse, serialize, text

    parsed = parse(data, edit=True)
    main = parsed.subgraphs[0]
    at = {text(t.name): i for i, t in enumerate(main.tensors)}
    lost = [n for n in (*inputs, *outputs) if n not in at]
    if lost:
        raise ArtifactError(f"the converter lost {', '.join(lost)}: does an output repeat another? Name it once.")
    keys = [key for key, _ in network.outputs]
    main.inputs, main.outputs = (np.array([at[n] for n in side], np.int32) for side in (inputs, outputs))
    taken = {g.key for g in network.inputs} | set(keys)
    for t in main.tensors:
        if text(t.name) in taken:
            t.name = f"{text(t.name)}_inside"
    for ends, names in ((main.inputs, [g.key for g in network.inputs]), (main.outputs, keys)):
        for i, name in zip(ends, names, strict=True):
            main.tensors[i].name = name
    parsed.signatureDefs = []
    tflite_graph.set_signature(parsed, {k: int(i) for k, i in zip(keys, main.outputs, strict=True)})
    return serialize(parsed)
