"""`export_inference_graph.py` of the TF1 Object Detection API.

Writes frozen_inference_graph.pb, saved_model/ with its variables, model.ckpt.*, checkpoint and pipeline.config.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from visionport.errors import OptionError, UnsupportedError, nearest
from visionport.exporter import Extra
from visionport.formats import frozen_graph
from visionport.scripts import exports
from visionport.scripts.flags import Flag, call, start

# Nodes of the original's graphs that people name, and the outputs that they are here: ssd_meta_arch.py, postprocess.
INNER = {
    "Postprocessor/raw_box_locations": "raw_detection_boxes",
    "Postprocessor/raw_box_scores": "raw_detection_scores",
}

FLAGS = (
    Flag(
        name="input_type",
        default="image_tensor",
        choices=("image_tensor", "encoded_image_string_tensor", "tf_example", "float_image_tensor"),
        help="What the graphs take.",
    ),
    Flag(name="input_shape", help="Of image_tensor: BATCH,HEIGHT,WIDTH,3, with -1 for any."),
    exports.CONFIG,
    exports.PREFIX,
    exports.OUTPUT,
    exports.OVERRIDE,
    Flag(name="write_inference_graph", default=False, kind=bool, help="Also write inference_graph.pbtxt, unfrozen."),
    Flag(name="additional_output_tensor_names", help=f"More nodes of the frozen graph, of {', '.join(INNER)} (SSD)."),
    *exports.side_inputs(None),
)
INFERENCE_GRAPH = "inference_graph.pbtxt"


def run(flags) -> None:
    batch, size = shape(flags)
    more = additional(flags.additional_output_tensor_names or "")
    extras = [Extra(names=(INFERENCE_GRAPH,), write=write_inference_graph)] if flags.write_inference_graph else []
    extras += [Extra(names=(frozen_graph.FORMAT.target,), write=partial(add_nodes, names=more))] if more else []
    exports.export(
        flags,
        flags.trained_checkpoint_prefix,
        extras=extras,
        formats=("saved_model", "frozen_graph"),
        inputs=(flags.input_type,),
        side_inputs=exports.given_side_inputs(flags),
        batch=batch,
        image_size=size,
        verify=batch in (None, 1),
    )


def shape(flags) -> tuple[int | None, tuple[int, int] | None]:
    """(batch, (height, width)) of --input_shape, None for any."""
    given = flags.input_shape
    if not given:
        return None, None
    if flags.input_type != "image_tensor":
        raise OptionError(f"--input_shape is for --input_type=image_tensor, not {flags.input_type}. Leave it out.")
    try:
        batch, height, width, channels = (None if int(v) == -1 else int(v) for v in given.split(","))
    except ValueError:
        raise OptionError(f"--input_shape={given}: four numbers such as 1,300,300,3, with -1 for any.") from None
    if channels not in (None, 3):
        raise OptionError(f"--input_shape={given}: images have 3 channels.")
    if (height is None) != (width is None):
        raise UnsupportedError(f"--input_shape={given}: height and width are both fixed, or both -1.")
    return batch, (height, width) if height and width else None


def additional(given: str) -> tuple[str, ...]:
    """The nodes of --additional_output_tensor_names; raises UnsupportedError for one that this graph cannot have."""
    names = tuple(dict.fromkeys(n.strip() for n in given.split(",") if n.strip()))
    for name in names:
        if name not in INNER:
            raise UnsupportedError(
                f"--additional_output_tensor_names={name}: the graph's inner nodes are not the original's"
                f"{nearest(name, INNER)}. Of its names it has {', '.join(INNER)}; raw heads are what the "
                "signature `predict` of `visionport export --keep .` gives."
            )
    return names


def add_nodes(model, options, folder: Path, *, names: Sequence[str]) -> None:
    """More names in the frozen graph, for outputs that it has."""
    path = folder / frozen_graph.FORMAT.target
    graph = frozen_graph.read_graph_def(path)
    nodes = {n.name for n in graph.node}
    for name in names:
        if model.config.family != "ssd" or INNER[name] not in nodes:
            raise UnsupportedError(f"--additional_output_tensor_names={name}: only SSD has it. Leave it out.")
        node = graph.node.add(name=name, op="Identity", input=[INNER[name]])
        node.attr["T"].type = DT_FLOAT
    path.write_bytes(graph.SerializeToString(deterministic=True))


DT_FLOAT = 1  # tensorflow/core/framework/types.proto


def write_inference_graph(model, options, folder: Path) -> None:
    """inference_graph.pbtxt: the graph of model.ckpt.meta."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import meta_graph_pb2

    meta = folder / "model.ckpt.meta"
    if not meta.is_file():
        raise UnsupportedError("--write_inference_graph: only for TF1 configs. Leave it out.")
    graph = meta_graph_pb2.MetaGraphDef.FromString(meta.read_bytes()).graph_def
    (folder / INFERENCE_GRAPH).write_text(text_format.MessageToString(graph), "utf-8")


def main(arguments=None) -> None:
    call("Exports a detector for inference, as TF1 did.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
