"""What exports give of a detector's answers, whatever its meta-architecture is."""

from typing import Any

import tensorflow as tf

from visionport.config import Config


def exported(config: Config, outputs: dict) -> dict:
    """The outputs of an export, all float32: classes by the config's numbers.

    outputs: of a meta-architecture's `postprocess`, its classes from 0. Reference: exporter.py, exporter_lib_v2.py.
    """
    outputs["detection_classes"] = tf.cast(outputs["detection_classes"], tf.float32) + config.label_offset
    if not config.lineage.gives_anchor_indices:
        outputs.pop("detection_anchor_indices", None)
    return {k: tf.cast(v, tf.float32) for k, v in outputs.items()}


def reading(config: Config) -> dict[str, Any]:
    """See models/build.py. Boxes are of the picture: normalised, without its padding."""
    return {"classes_from": config.label_offset, "boxes": "picture"}
