"""TF1-style frozen graph: constants only, everything inlined, the old node names."""

from pathlib import Path

from visionport.formats.answers import answer, feed

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
    prune(graph, [t.op.name for t in (*frozen.inputs, *frozen.outputs)])
    rename(graph, node_names(frozen, [t.op.name for t in frozen.inputs], inputs, sorted(function.structured_outputs)))
    return graph


def node_names(function, sources, inputs: dict[str, str], keys=None) -> dict[str, str]:
    """Node -> the name it is to have, for a function's inputs and outputs; these are flattened in their keys' order."""
    keys = sorted(function.structured_outputs) if keys is None else keys
    outputs = {t.op.name: key for t, key in zip(function.outputs, keys, strict=True)}
    return {name: inputs[name] for name in sources} | outputs


def rename(graph, names: dict[str, str]) -> None:
    """Gives nodes other names, and those that have one of these names already yet another."""
    taken = set(names.values())
    names = names | {n.name: f"{n.name}_" for n in graph.node if n.name in taken and n.name not in names}
    for node in graph.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [_renamed(i, names) for i in node.input]
        node.attr.pop("_output_shapes", None)


def prune(graph, kept) -> None:
    """Drops what none of the nodes `kept` needs, and the Identity through which each weight was read."""
    nodes = {n.name: n for n in graph.node}
    controls = {i[1:] for n in graph.node for i in n.input if i[0] == "^"}
    plain = {
        n.name: n.input[0].removesuffix(":0")
        for n in graph.node
        if n.op == "Identity" and n.name not in controls and n.name not in kept and len(n.input) == 1
    }

    def source(name: str) -> str:
        end = name.removesuffix(":0")
        while end in plain:
            end = plain[end]
        return end if end in nodes and nodes[end].op == "Const" else name

    for node in graph.node:
        node.input[:] = [source(i) for i in node.input]
    needed, queue = set(kept), list(kept)
    while queue:
        for name in map(_base, nodes[queue.pop()].input):
            if name not in needed:
                needed.add(name)
                queue.append(name)
    left = sorted((n for n in graph.node if n.name in needed), key=lambda n: n.name)
    for node in left:
        node.attr.pop("_has_manual_control_dependencies", None)
    del graph.node[:]
    graph.node.extend(left)


def keep(graph, wanted) -> None:
    """Drops the nodes that are not wanted."""
    left = [n for n in graph.node if wanted(n)]
    del graph.node[:]
    graph.node.extend(left)


def _base(name: str) -> str:
    return name.removeprefix("^").partition(":")[0]


def _renamed(name: str, names: dict[str, str]) -> str:
    node = _base(name)
    return name.replace(node, names[node], 1) if node in names else name


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
    "detection_keypoints",
    # Of CenterNet:
    "detection_boxes_strided",
    "detection_keypoint_scores",
    "detection_keypoint_depths",
    "detection_masks",
    "detection_surface_coords",
    "detection_embeddings",
    "detection_temporal_offsets",
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
