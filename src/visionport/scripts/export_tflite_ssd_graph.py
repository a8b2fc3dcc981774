"""`export_tflite_ssd_graph.py` of the TF1 Object Detection API: tflite_graph.pb and .pbtxt; and model.tflite."""

from functools import partial

from visionport.exporter import Extra
from visionport.formats.tflite import reference
from visionport.scripts import exports
from visionport.scripts.flags import Flag, call, start

FLAGS = (
    exports.OUTPUT,
    exports.CONFIG,
    exports.PREFIX,
    exports.MAX_DETECTIONS,
    Flag(name="max_classes_per_detection", default=1, kind=int, help="Classes of a place; more is refused."),
    Flag(name="detections_per_class", default=100, kind=int, help="Detections of a class, in regular NMS."),
    Flag(name="add_postprocessing_op", default=True, kind=bool, help="Put TFLite_Detection_PostProcess in the graph."),
    Flag(name="use_regular_nms", default=False, kind=bool, help="Regular instead of fast NMS."),
    exports.OVERRIDE,
)


def run(flags) -> None:
    write = partial(reference.write_graph, postprocess=flags.add_postprocessing_op)
    exports.export(
        flags,
        flags.trained_checkpoint_prefix,
        extras=[Extra(names=reference.GRAPHS, write=write)],
        formats=("tflite",),
        tflite_nms="regular" if flags.use_regular_nms else "fast",
        max_detections=flags.max_detections,
        detections_per_class=flags.detections_per_class,
        classes_per_detection=flags.max_classes_per_detection,
    )


def main(arguments=None) -> None:
    call("Exports an SSD detector as a graph for the TFLite converter, and the TFLite file.", FLAGS, run, arguments)


if __name__ == "__main__":
    start(main)
