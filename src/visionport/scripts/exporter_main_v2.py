"""`exporter_main_v2.py` of the TF Object Detection API: saved_model/, checkpoint/, pipeline.config.

And the frozen graph, which guides expect. TF1 checkpoints are taken too: the config says which API it is for.
"""

from visionport.scripts import exports
from visionport.scripts.flags import Flag, call, start

FLAGS = (
    Flag(
        name="input_type",
        default="image_tensor",
        choices=(
            "image_tensor",
            "encoded_image_string_tensor",
            "tf_example",
            "float_image_tensor",
            "image_and_boxes_tensor",
        ),
        help="What the SavedModel takes.",
    ),
    exports.CONFIG,
    exports.FOLDER,
    exports.OUTPUT,
    exports.OVERRIDE,
    *exports.side_inputs(""),
)


def run(flags) -> None:
    exports.export(
        flags,
        flags.trained_checkpoint_dir,
        formats=("saved_model", "frozen_graph"),
        inputs=(flags.input_type,),
        side_inputs=exports.given_side_inputs(flags),
    )


def main(arguments=None) -> None:
    call("Exports a detector for inference.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
