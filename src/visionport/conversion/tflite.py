"""A network to the bytes of a TFLite file, by TensorFlow's converter, with the names and the order of its source."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np

from visionport.conversion.inputs import Feeds
from visionport.conversion.network import Network
from visionport.conversion.sources import first_line
from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.graph import edit
from visionport.inputs.quantization import EIGHT_BITS
from visionport.progress import Progress
from visionport.tflite.kinds import CALIBRATED


def made(function, network: Network, feeds: Feeds, request, progress: Progress) -> bytes:
    """The file of the traced function, as the request says."""
    faked = any(n.op.startswith("FakeQuant") for n in network.graph.node)
    if request.quantize in CALIBRATED and not request.calibration and not faked:
        raise OptionError(
            f"--quantize {request.quantize} needs --calibration: about 100 typical pictures, a TFRecord of them, or an "
            ".npz with the inputs. Without any, take --quantize dynamic."
        )
    check_measurable(network, request)
    if request.quantize_exclude and not request.calibration:
        raise OptionError("--quantize-exclude: fake quantisation is for all of a graph, but with --calibration.")
    if faked and request.quantize == "uint8" and not request.calibration:
        return trained(network, request)
    with progress.bar("calibrate", feeds.examples()) as examples:
        return converted(function, network, request, examples)


def check_measurable(network: Network, request) -> None:
    """Raises UnsupportedError for what TensorFlow cannot measure activations of: it crashes at lists."""
    bodies = [n for f in network.graph.library.function for n in f.node_def]
    lists = any(n.op.startswith("TensorList") for n in (*network.graph.node, *bodies))
    if request.quantize in CALIBRATED and lists:
        raise UnsupportedError(
            f"--quantize {request.quantize}: TensorFlow cannot measure activations where a loop collects rows, as "
            "those of LSTM and GRU do. Take --quantize dynamic or float16, or unroll the loop."
        )


def exact(function, network: Network, request) -> bytes:
    """The file in float32, to measure against."""
    plain = dataclasses.replace(request, quantize="none", quantize_exclude=(), calibration=None, input_type=None)
    return converted(function, network, plain, ())


def trained(network: Network, request) -> bytes:
    """The file of a graph with fake quantisation: uint8 throughout, by the ranges that it was trained with."""
    from visionport.tflite import trained as tflite_trained

    if (
        len(network.inputs) != 1
        or len(set(request.mean)) != 1
        or len(set(request.std)) != 1
        or None in network.inputs[0].shape
    ):
        raise OptionError(
            "--quantize uint8 of a graph with fake quantisation takes one input of a fixed shape, and --mean and --std "
            "of its pixels, a number each: --mean 127.5 --std 127.5 where it was trained from -1 to 1."
        )
    (image,) = network.inputs
    for node in network.graph.node:
        if node.name == image.node:
            node.attr["shape"].shape.Clear()
            node.attr["shape"].shape.dim.extend(type(node.attr["shape"].shape).Dim(size=d) for d in image.spec)
    names = [edit.base(t) for _, t in network.outputs]
    how = {"mean": request.mean[0], "std": request.std[0]}
    data = tflite_trained.convert(network.graph, input_name=image.node, output_names=names, **how)
    return named(data, [image.node], names, network)


def converted(function, network: Network, request, examples) -> bytes:
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    from visionport.tflite import convert as tflite_convert

    constant = tflite_convert.frozen(function)
    floats = any(g.dtype == "float32" for g in network.inputs)
    integer = request.integer if floats else ""
    try:
        with tflite_convert.quietly():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([constant])
            tflite_convert.configured(converter, request.quantize, integer, bool(integer), examples)
            if request.integer and not floats:  # inputs of integers stay as they are
                converter.inference_output_type = tf.dtypes.as_dtype(request.integer)
            # Without calibration: by the graph's own fake quantisation.
            converter.representative_dataset = (lambda: iter(examples)) if request.calibration else None
            if request.select_tf_ops:
                sets = converter.target_spec.supported_ops
                converter.target_spec.supported_ops = [*sets, tf.lite.OpsSet.SELECT_TF_OPS]
            converter.allow_custom_ops = request.custom_ops
            if request.calibration and request.quantize in EIGHT_BITS:
                names = {t.op.name: key for (key, _), t in zip(network.outputs, constant.outputs, strict=True)}
                data = tflite_convert.eight_bits(converter, request.quantize_exclude, names)
            else:
                data = converter.convert()
    except ConverterError as e:
        raise refused(str(e)) from None
    except (ValueError, RuntimeError, tf.errors.OpError) as e:
        if request.quantize in CALIBRATED and "Select TensorFlow op" in str(e):
            raise UnsupportedError(
                f"--quantize {request.quantize} measures activations on the file, and nothing here runs Select TF ops. "
                "Take --quantize dynamic or float16, or name inputs and outputs without such ops between them."
            ) from None
        raise UnsupportedError(f"TensorFlow's converter does not take the graph: {first_line(e)}.") from None
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


def named(data: bytes, inputs: Sequence[str], outputs: Sequence[str], network: Network) -> bytes:
    """The file with inputs and outputs in the source's order and by its names, in one signature."""
    from visionport.tflite.edit import copied, set_signature
    from visionport.tflite.flatbuffer import parse, serialize, text

    parsed = parse(data, edit=True)
    main = parsed.subgraphs[0]
    at = {text(t.name): i for i, t in enumerate(main.tensors)}
    keys = [key for key, _ in network.outputs]
    main.inputs = np.array([at[n] for n in inputs], np.int32)
    main.outputs = np.array(ends(main.outputs, outputs, at), np.int32)
    for k, i in enumerate(main.outputs):
        if i in main.inputs or i in main.outputs[:k]:  # an output that is an input or another output
            main.outputs[k] = copied(parsed, int(i), f"output_{k}_copy")
    taken = {g.key for g in network.inputs} | set(keys)
    for t in main.tensors:
        if text(t.name) in taken:
            t.name = f"{text(t.name)}_inside"
    for side, names in ((main.inputs, [g.key for g in network.inputs]), (main.outputs, keys)):
        for i, name in zip(side, names, strict=True):
            main.tensors[i].name = name
    parsed.signatureDefs = []
    set_signature(parsed, {k: int(i) for k, i in zip(keys, main.outputs, strict=True)})
    return serialize(parsed)


def ends(found: Sequence[int], names: Sequence[str], at: Mapping[str, int]) -> list[int]:
    """The tensors of the outputs by their names; by their places where the converter made one of equal ones."""
    lost = [n for n in names if n not in at]
    if lost and (len(found) != len(names) or any(at.get(n, i) != i for n, i in zip(names, found, strict=True))):
        raise ArtifactError(f"the converter lost {', '.join(lost)}: does an output repeat another? Name it once.")
    return [int(at.get(n, i)) for n, i in zip(names, found, strict=True)] if lost else [at[n] for n in names]


# What the converter calls types that few of LiteRT's ops take.
TYPES = {"f64": "float64", "f16": "float16", "bf16": "bfloat16", "ui16": "uint16", "ui32": "uint32", "ui64": "uint64"}
