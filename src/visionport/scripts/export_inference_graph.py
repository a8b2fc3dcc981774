"""`export_inference_graph.py` of the TF1 Object Detection API.

Writes frozen_inference_graph.pb, saved_model/ with its variables, model.ckpt.*, checkpoint and pipeline.config.
"""

from pathlib import Path

from visionport.errors import OptionError, UnsupportedError
from visionport.exporter import Extra
from visionport.scripts import exports
from visionport.scripts.flags import Flag, call, start

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
    Flag(name="additional_output_tensor_names", help="More outputs. Not supported."),
    *exports.side_inputs(None),
)
INFERENCE_GRAPH = "inference_graph.pbtxt"


def run(flags) -> None:
    exports.refuse_side_inputs(flags)
    if flags.additional_output_tensor_names:
        raise UnsupportedError(
            "--additional_output_tensor_names: the graph's inner names are not the reference's, so they cannot be "
            "named as outputs. Leave it out."
        )
    batch, size = shape(flags)
    exports.export(
        flags,
        flags.trained_checkpoint_prefix,
        extras=[Extra(names=(INFERENCE_GRAPH,), write=write_inference_graph)] if flags.write_inference_graph else (),
        formats=("saved_model", "frozen_graph"),
        inputs=(flags.input_type,),
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
