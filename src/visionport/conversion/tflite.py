"""A network to the bytes of a TFLite file, by TensorFlow's converter, with the names and the order of its source."""

import dataclasses

from visionport.conversion.inputs import Feeds
from visionport.conversion.network import Network
from visionport.errors import OptionError, UnsupportedError
from visionport.graph.edit import base as node_of
from visionport.progress import Progress
from visionport.tflite import edit
from visionport.tflite.convert import FileRequest, check_file, convert_function, freeze_variables
from visionport.tflite.kinds import CALIBRATED
from visionport.tflite.trained import convert_trained


def make_file(function, network: Network, feeds: Feeds, request, progress: Progress) -> bytes:
    """The file of the traced function, as the request says."""
    # Eight bits of its own: no 16.
    faked = any(n.op.startswith("FakeQuant") for n in network.graph.node) and request.quantize != "int16x8"
    if request.quantize in CALIBRATED and not request.calibration and not faked:
        raise OptionError(
            f"--quantize {request.quantize} needs --calibration: about 100 typical pictures, a TFRecord of them, or an "
            ".npz with the inputs. Without any, take --quantize dynamic."
        )
    check_measurable(network, request)
    if request.quantize_exclude and not request.calibration:
        raise OptionError("--quantize-exclude: fake quantisation is for all of a graph, but with --calibration.")
    if faked and request.quantize == "uint8" and not request.calibration:
        return make_trained_file(function, network, request)
    with progress.bar("calibrate", feeds.examples or ()) as examples:
        return convert_function(function, file_request(network, request, examples))


def check_measurable(network: Network, request) -> None:
    """Raises UnsupportedError for what TensorFlow cannot measure activations of: it crashes at lists."""
    bodies = [n for f in network.graph.library.function for n in f.node_def]
    lists = any(n.op.startswith("TensorList") for n in (*network.graph.node, *bodies))
    if request.quantize in CALIBRATED and lists:
        raise UnsupportedError(
            f"--quantize {request.quantize}: TensorFlow cannot measure activations where a loop collects rows, as "
            "those of LSTM and GRU do. Take --quantize dynamic or float16, or unroll the loop."
        )


def make_exact_file(function, network: Network, request) -> bytes:
    """The file in float32, to measure against."""
    plain = dataclasses.replace(request, quantize="none", quantize_exclude=(), calibration=None, input_type=None)
    return convert_function(function, file_request(network, plain, None))


def make_trained_file(function, network: Network, request) -> bytes:
    """The file of a graph with fake quantisation: uint8 throughout, by the ranges that it was trained with."""
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
    names = [node_of(t) for _, t in network.outputs]
    how = {"mean": request.mean[0], "std": request.std[0], "custom_ops": request.custom_ops}
    data = convert_trained(network.graph, input_name=image.node, output_names=names, **how)
    wanted = file_request(network, request, None)
    data = edit.name_ends(data, [image.node], names, wanted.inputs, wanted.outputs)
    check_file(data, freeze_variables(function), wanted)
    return data


def file_request(network: Network, request, examples) -> FileRequest:
    """What the converter is to do. examples: None for a file that is not calibrated."""
    floats = any(g.dtype == "float32" for g in network.inputs)  # inputs of integers stay as they are
    return FileRequest(
        inputs=[g.key for g in network.inputs],
        outputs=[key for key, _ in network.outputs],
        quantize=request.quantize,
        integer_input=request.integer if floats else "",
        integer_output=request.integer,
        examples=examples if request.calibration else None,
        exclude=request.quantize_exclude,
        select_tf_ops=request.select_tf_ops,
        custom_ops=request.custom_ops,
        name=request.out.name,
    )
