"""`export_tflite_graph_tf2.py` of the TF Object Detection API: saved_model/ for the TFLite converter.

And what the converter would make of it, model.tflite, with the op that the converter gets wrong put in afterwards.
"""

from visionport.errors import UnsupportedError
from visionport.exporter import Extra
from visionport.formats import tflite_reference
from visionport.scripts import exports
from visionport.scripts.flags import Flag, call, start

FLAGS = (
    exports.CONFIG,
    exports.FOLDER,
    exports.OUTPUT,
    exports.OVERRIDE,
    exports.MAX_DETECTIONS,
    Flag(name="ssd_use_regular_nms", default=False, kind=bool, help="Regular instead of fast NMS."),
    Flag(name="centernet_include_keypoints", default=False, kind=bool, help="CenterNet's keypoints. Not supported."),
    Flag(name="keypoint_label_map_path", help="CenterNet's label map of keypoints. Not supported."),
)


def run(flags) -> None:
    for name in ("centernet_include_keypoints", "keypoint_label_map_path"):
        if getattr(flags, name):
            raise UnsupportedError(f"--{name}: CenterNet to TFLite is not supported; see docs/support.md.")
    exports.export(
        flags,
        flags.trained_checkpoint_dir,
        extras=[Extra(names=("saved_model",), write=tflite_reference.write_saved_model)],
        formats=("tflite",),
        tflite_nms="regular" if flags.ssd_use_regular_nms else "fast",
        max_detections=flags.max_detections,
        tflite_outputs="numbered",
    )


def main(arguments=None) -> None:
    call("Exports an SSD detector for the TFLite converter, and the TFLite file.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
