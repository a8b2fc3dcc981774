"""TF1-style frozen graph: constants only, everything inlined, the old node names."""

from pathlib import Path

from visionport import graphs
from visionport.formats.answers import ATTRIBUTES, answer, feed

NAME = "frozen_inference_graph.pb"


def check(config, options) -> None:
    """Any model can be frozen."""


def write(model, signatures, options, folder: Path, progress=None) -> Path:
    """Writes folder/frozen_inference_graph.pb, of the first signature; its input node is named as the input type."""
    signature = signatures[0]
    graph = freeze(signature.function, {signature.input_name: signature.name})
    target = folder / NAME
    target.write_bytes(graph.SerializeToString(deterministic=True))
    return target


def freeze(function, inputs: dict[str, str]):
    """A GraphDef without variables, functions or calls.

    function: a concrete function with a dict of outputs, each of which becomes a node of its key's name. inputs: names
    of its arguments -> names of the placeholders.
    """
    from tensorflow.python.framework import convert_to_constants

    frozen = convert_to_constants.convert_variables_to_constants_v2(function, lower_control_flow=True)
    graph = frozen.graph.as_graph_def()
    del graph.library.function[:]
    graphs.prune(graph, [t.op.name for t in (*frozen.inputs, *frozen.outputs)])
    keys = sorted(function.structured_outputs)
    graphs.rename(graph, node_names(frozen, [t.op.name for t in frozen.inputs], inputs, keys))
    return graph


def node_names(function, sources, inputs: dict[str, str], keys=None) -> dict[str, str]:
    """Node -> the name it is to have, for a function's inputs and outputs; these are flattened in their keys' order."""
    keys = sorted(function.structured_outputs) if keys is None else keys
    outputs = {t.op.name: key for t, key in zip(function.outputs, keys, strict=True)}
    return {name: inputs[name] for name in sources} | outputs


def load(path: Path, manifest=None):
    """run(image) in a session that imported the graph as old code does."""
    import tensorflow as tf

    definition = read(path)
    graph = tf.Graph()
    with graph.as_default():
        tf.compat.v1.import_graph_def(definition, name="")
    session = tf.compat.v1.Session(graph=graph)
    (source,) = (n for n in definition.node if n.op == "Placeholder")
    outputs = {n.name: graph.get_tensor_by_name(f"{n.name}:0") for n in definition.node if n.name in OUTPUTS}
    given = graph.get_tensor_by_name(f"{source.name}:0")

    def run(image):
        value = feed(image, given.dtype.name, batch=given.shape[0], example=source.name == "tf_example")
        return answer(session.run(outputs, {f"{source.name}:0": value}))

    return run


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
    boxes, classes, scores = session.run(outputs, {{"{input}": value}})
print(boxes[0, 0], classes[0, 0], scores[0, 0])
"""
