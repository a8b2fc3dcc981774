"""What the reference gives to the TFLite converter: the raw heads with `TFLite_Detection_PostProcess` behind them.

Not formats to ask for: the old scripts write them beside the TFLite file. Reference: export_tflite_ssd_graph_lib.py,
export_tflite_graph_lib_tf2.py.
"""

from pathlib import Path

from visionport.formats.tflite import center_net, ssd
from visionport.graph import edit
from visionport.graph.function import freeze_function
from visionport.tflite.edit import POSTPROCESS

GRAPHS = ("tflite_graph.pb", "tflite_graph.pbtxt")
# Head -> node
NODES: dict[str, str] = dict(zip(ssd.RAW, ("raw_outputs/box_encodings", "raw_outputs/class_predictions"), strict=True))
ANCHORS = "anchors"


def write_graph(model, options, folder: Path, *, postprocess: bool = True) -> None:
    """Writes tflite_graph.pb and .pbtxt: a frozen graph, of the op or of its three inputs."""
    import tensorflow as tf
    from google.protobuf import text_format

    heads, anchors = ssd.trace_heads(model)
    graph = freeze_function(heads, {ssd.INPUT: ssd.INPUT})
    edit.rename(graph, NODES)
    node = graph.node.add(name=ANCHORS, op="Const")
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(anchors, tf.float32))
    if postprocess:
        op = graph.node.add(name=POSTPROCESS, op=POSTPROCESS, input=[*NODES.values(), ANCHORS])
        for name, value in attributes(model, options).items():
            setattr(op.attr[name], {bool: "b", int: "i", float: "f"}[type(value)], value)
        op.attr["_output_quantized"].b = True
        op.attr["_support_output_type_float_in_quantized_op"].b = True
        op.attr["_output_types"].list.type.extend([tf.float32.as_datatype_enum] * 4)
    binary, text = GRAPHS
    (folder / binary).write_bytes(graph.SerializeToString(deterministic=True))
    (folder / text).write_text(text_format.MessageToString(graph), "utf-8")


def write_saved_model(model, options, folder: Path) -> None:
    """Writes saved_model/: one preprocessed image to output_0 (count), output_1, output_2 and output_3 (boxes).

    Its last step is a stand-in with the op's name and attributes, which the converter puts the op in place of.
    """
    import tensorflow as tf

    if model.config.family == "center_net":
        _write_center_net(model, options, folder)
        return
    heads, anchors = ssd.trace_heads(model)
    pairs = " ".join(f'attr {{ key: "{k}" value {{ {text(v)} }} }}' for k, v in attributes(model, options).items())

    @tf.function(experimental_implements=f'name: "{POSTPROCESS}" {pairs}', autograph=False)
    def stand_in(box_encodings, class_predictions, anchors):
        return tuple(tf.constant(0.0, name=n) for n in ("boxes", "classes", "scores", "num_detections"))

    def infer(image):
        found = heads(image)
        codes, scores = (tf.identity(found[k], name=n.rpartition("/")[2]) for k, n in NODES.items())
        outputs = stand_in(codes, scores, tf.constant(anchors, tf.float32, name=ANCHORS))
        return {f"output_{i}": v for i, v in enumerate(reversed(outputs))}

    _save(model, infer, folder)


def _write_center_net(model, options, folder: Path) -> None:
    """One image's pixels to the same four, or with keypoints six, all of it the model's own operations."""
    found = center_net.trace_detections(model, options)
    names = center_net.output_names(center_net.reduce_config(model.config.model, options))

    def infer(image):
        outputs = found(image)
        return {f"output_{i}": outputs[name] for i, name in enumerate(reversed(names))}

    _save(model, infer, folder)


def _save(model, infer, folder: Path) -> None:
    import tensorflow as tf

    root = tf.__internal__.tracking.AutoTrackable()
    for name, variable in model.params.variables.items():
        root._track_trackable(variable, name)
    spec = tf.TensorSpec((1, *model.input_size), tf.float32, name="input")
    function = tf.function(infer, autograph=False).get_concrete_function(spec)
    tf.saved_model.save(root, str(folder / "saved_model"), signatures=function)


def attributes(model, options) -> dict:
    """The op's, with the config's own score threshold, as the reference writes it."""
    config = model.config.model
    return ssd.op_attributes(config, options) | {"nms_score_threshold": config.post_processing.nms.score_threshold}


def text(value) -> str:
    if isinstance(value, bool):
        return f"b: {str(value).lower()}"
    return f"i: {value}" if isinstance(value, int) else f"f: {value:f}"
