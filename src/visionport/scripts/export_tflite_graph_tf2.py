"""`export_tflite_graph_tf2.py` of the TF Object Detection API: saved_model/ for the TFLite converter.

And what the converter would make of it, model.tflite, with the op that the converter gets wrong put in afterwards.
"""

from pathlib import Path

from visionport.config import read_config
from visionport.exporter import Extra
from visionport.formats.tflite import reference
from visionport.scripts import exports
from visionport.scripts.flags import Flag, call, start

FLAGS = (
    exports.CONFIG,
    exports.FOLDER,
    exports.OUTPUT,
    exports.OVERRIDE,
    exports.MAX_DETECTIONS,
    Flag(name="ssd_use_regular_nms", default=False, kind=bool, help="Regular instead of fast NMS."),
    Flag(name="centernet_include_keypoints", default=False, kind=bool, help="CenterNet's keypoints too."),
    Flag(name="keypoint_label_map_path", help="CenterNet's label map of keypoints. Default: the config's."),
)


def run(flags) -> None:
    label_map = flags.keypoint_label_map_path or None
    center_net = is_center_net(flags, label_map)
    nms = "regular" if flags.ssd_use_regular_nms else "fast"
    exports.export(
        flags,
        flags.trained_checkpoint_dir,
        extras=[Extra(names=("saved_model",), write=reference.write_saved_model)],
        formats=("tflite",),
        tflite_nms=None if center_net else nms,
        max_detections=flags.max_detections,
        keypoint_label_map=Path(label_map) if center_net and label_map else None,
        tflite_keypoints=flags.centernet_include_keypoints or not center_net,
        tflite_outputs="numbered",
    )


def is_center_net(flags, label_map) -> bool:
    """Is the model one? The flags of SSD and of CenterNet are without effect on the other kind."""
    if not Path(flags.pipeline_config_path).exists():
        return False  # which `export` says
    config = read_config(flags.pipeline_config_path, flags.config_override, keypoint_label_map=label_map)
    return config.family == "center_net"


def main(arguments=None) -> None:
    call("Exports a detector for the TFLite converter, and the TFLite file.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
