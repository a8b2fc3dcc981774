"""TF1-style frozen graph: constants only, everything inlined, the old node names."""

from pathlib import Path

from visionport.formats import opencv
from visionport.graph import edit
from visionport.inputs import side_inputs
from visionport.signatures import INPUTS
from visionport.tasks.detection.answers import ATTRIBUTES, answer, feed, more_feed

NAME = "frozen_inference_graph.pb"
LARGE = 1 << 28  # bytes of a graph whose copies count


def check(config, options) -> None:
    """Any model can be frozen; OpenCV takes not all, see opencv.py."""
    if options.opencv:
        opencv.check(config)


def write(model, signatures, options, folder: Path, progress=None) -> Path:
    """Writes folder/frozen_inference_graph.pb, of the first signature; its input node is named as the input type."""
    signature = signatures[0]
    inputs = {signature.input_name: signature.name} | {name: name for name in signature.more}
    graph = freeze(signature.function, inputs)
    target = folder / NAME
    target.write_bytes(graph.SerializeToString(deterministic=True))
    if options.opencv:
        opencv.write(model, graph, folder, progress)
    return target


def freeze(function, inputs: dict[str, str]):
    """A GraphDef without variables, functions or calls.

    function: a concrete function with a dict of outputs, each of which becomes a node of its key's name. inputs: names
    of its arguments -> names of the placeholders.
    """
    from tensorflow.python.framework import convert_to_constants

    # The halves of convert_variables_to_constants_v2, without its end: a function of the graph, and with it four copies
    # of the weights.
    data = convert_to_constants._FunctionConverterDataInEager(
        func=function, lower_control_flow=True, aggressive_inlining=False
    )
    graph, variables = convert_to_constants._replace_variables_by_constants(data)
    del data, graph.library.function[:]
    captured = {id(t) for i, t in enumerate(function.graph.internal_captures) if i in variables}
    sources = [t.op.name for t in function.inputs if id(t) not in captured]
    edit.prune(graph, [*sources, *(t.op.name for t in function.outputs)])
    edit.rename(graph, node_names(function, sources, inputs))
    return graph


def node_names(function, sources, inputs: dict[str, str], keys=None) -> dict[str, str]:
    """Node -> the name it is to have, for a function's inputs and outputs; these are flattened in their keys' order."""
    keys = sorted(function.structured_outputs) if keys is None else keys
    outputs = {t.op.name: key for t, key in zip(function.outputs, keys, strict=True)}
    return {name: inputs[name] for name in sources} | outputs


def load(path: Path, manifest=None):
    """run(image, side) in a session that imported the graph as old code does."""
    import tensorflow as tf

    definition = read(path)
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.import_graph_def(definition, name="")
    session = tf.compat.v1.Session(graph=graph, config=frugal(path.stat().st_size))
    (source,) = (n.name for n in definition.node if n.op == "Placeholder" and n.name in INPUTS)
    more = [n.name for n in definition.node if n.op == "Placeholder" and n.name not in INPUTS]
    outputs = {n.name: graph.get_tensor_by_name(f"{n.name}:0") for n in definition.node if n.name in OUTPUTS}
    given = graph.get_tensor_by_name(f"{source}:0")

    none = side_inputs.nothing(side_inputs.of(manifest))

    def run(image, side=none):
        value = feed(image, given.dtype.name, batch=given.shape[0], example=source == "tf_example")
        values = {f"{source}:0": value} | {
            f"{n}:0": side[n] if n in side else more_feed(n, given.shape[0]) for n in more
        }
        return answer(session.run(outputs, values), more)

    return run


def frugal(size: int):
    """Of a session: no copies of the graph to extend it by, nor those of the optimizer where the graph is large."""
    import tensorflow as tf

    config = tf.compat.v1.ConfigProto()
    config.experimental.optimize_for_static_graph = True
    if size > LARGE:
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    return config


def read(path: Path):
    from tensorflow.core.framework import graph_pb2

    return graph_pb2.GraphDef.FromString(path.read_bytes())


def signatures(path: Path):
    import tensorflow as tf

    graph = tf.Graph()
    definition = read(path)
    with graph.as_default():
        tf.compat.v1.import_graph_def(definition, name="")

    def tensors(nodes):
        found = [(n.name, graph.get_tensor_by_name(f"{n.name}:0")) for n in nodes]
        return [(f"{n}:0", t.dtype.name, [d if d is not None else -1 for d in t.shape]) for n, t in found]

    sources = [n for n in definition.node if n.op == "Placeholder"]
    return [("graph", tensors(sources), tensors([n for n in definition.node if n.name in OUTPUTS]))]


# The reference's output nodes: core/standard_fields.py, DetectionResultFields.
OUTPUTS = (
    "detection_boxes",
    "detection_scores",
    "detection_classes",
    "num_detections",
    "raw_detection_boxes",
    "raw_detection_scores",
    "detection_multiclass_scores",
    "detection_anchor_indices",
    "detection_boxes_strided",  # CenterNet's
    *ATTRIBUTES,
)

SNIPPET = """\
import numpy as np, tensorflow as tf
from PIL import Image

graph = tf.compat.v1.GraphDef.FromString(open("{path}", "rb").read())
{feed}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    tf.compat.v1.import_graph_def(graph, name="")
    outputs = ["detection_boxes:0", "detection_classes:0", "detection_scores:0"]
    boxes, classes, scores = session.run(outputs, {{"{input}": value{more}}})
print(boxes[0, 0], classes[0, 0], scores[0, 0])
"""
MORE = ', "{name}": {value}'  # of an input besides the image
