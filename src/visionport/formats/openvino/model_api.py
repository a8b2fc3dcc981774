"""Outputs as OpenVINO's Model API and Deep Learning Streamer read them, and back to what the SavedModel calls them.

Of detectors one output, `detection_out` float32 [1, 1, n, 7]: a row (image, label, score, xmin, ymin, xmax, ymax) for
each place of each image, those without a detection last and of image -1; labels count from 0, boxes are normalised. Of
segmenters one output, `segmentation` float32 [b, classes, h, w]. Classifiers are read as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from visionport.errors import UnsupportedError
from visionport.formats.base import Tensor

DETECTIONS = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
NOBODY = (-1.0, 0, 0, 0, 0, 0, 0)


class Convention(NamedTuple):
    """How a task's outputs are read there. type: the Model API's own name of it; outputs: what `back` gives."""

    type: str
    output: str
    outputs: tuple[Tensor, ...]
    make: Callable  # (outputs, reading, images, true_shapes) -> the output
    back: Callable  # (the output, pictures) -> {name: array}
    answers: Mapping[str, Any]  # how the names are read, see models/build.py
    refuses: Callable = lambda config: ""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(t.name for t in self.outputs)


def check(config, option: str) -> None:
    """Raises UnsupportedError where the Model API has no reader. option: what was asked for."""
    if config.task == "classification":
        return
    if config.task not in CONVENTIONS:
        raise UnsupportedError(f"{config.path}: {option}: the Model API reads no {config.task}. Leave it out.")
    if reason := CONVENTIONS[config.task].refuses(config):
        raise UnsupportedError(f"{config.path}: {option}: {reason}")


def of(config) -> Convention | None:
    """None where the model's own outputs are what is read."""
    return CONVENTIONS.get(config.task)


def followed(outputs: Iterable[str]) -> Convention | None:
    """The convention that a model's outputs, of those names, are arranged by."""
    names = list(outputs)
    return next((c for c in CONVENTIONS.values() if names == [c.output]), None)


def answer_of(model) -> Callable:
    """A function of what `Model.infer` takes -> that output, to be traced."""
    convention = of(model.config)
    if convention is None:
        return model.infer

    def answer(images, true_shapes, *side, **more):
        found = model.infer(images, true_shapes, *side, **more)
        return {convention.output: convention.make(found, model.reading, images, true_shapes)}

    return answer


def rows_of(found: Mapping[str, Any], reading: Mapping[str, Any], images, true_shapes):
    """detection_out of a detector's outputs."""
    import tensorflow as tf

    boxes, scores, classes, counts = (tf.cast(found[name], tf.float32) for name in DETECTIONS)
    places = tf.shape(scores)[1]
    kind = reading.get("boxes")
    if kind == "scaled":
        original, _, scale, _ = tf.unstack(found["image_info"], axis=1)
        boxes = tf.clip_by_value(boxes / tf.tile(original * scale, [1, 2])[:, None], 0, 1)
    elif kind == "frame":
        frame = tf.cast(tf.shape(images)[1:3], tf.float32)
        extent = tf.cast(true_shapes[:, :2], tf.float32) / frame
        boxes = tf.clip_by_value(boxes / tf.tile(extent, [1, 2])[:, None], 0, 1)
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=2)
    image = tf.broadcast_to(tf.range(tf.cast(tf.shape(scores)[0], tf.float32))[:, None], tf.shape(scores))
    label = classes - float(reading.get("classes_from", 1))
    rows = tf.reshape(tf.stack([image, label, scores, xmin, ymin, xmax, ymax], 2), [-1, len(NOBODY)])
    taken = tf.reshape(tf.cast(tf.range(places), tf.float32)[None] < tf.reshape(counts, [-1, 1]), [-1])
    rows = tf.where(taken[:, None], rows, tf.constant(NOBODY))
    order = tf.concat([tf.where(taken), tf.where(tf.logical_not(taken))], 0)[:, 0]
    return tf.gather(rows, order)[None, None]


def detections_of(rows: np.ndarray, pictures: int) -> dict[str, np.ndarray]:
    """A detector's outputs of its detection_out."""
    rows = np.asarray(rows, np.float32).reshape(-1, len(NOBODY))
    shape = (pictures, len(rows) // max(1, pictures))
    boxes, scores, classes = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    counts = np.zeros(pictures, np.float32)
    for image in range(pictures):
        mine = rows[rows[:, 0] == image][: shape[1]]
        counts[image] = len(mine)
        boxes[image, : len(mine)] = mine[:, [4, 3, 6, 5]]
        scores[image, : len(mine)], classes[image, : len(mine)] = mine[:, 2], mine[:, 1]
    return dict(zip(DETECTIONS, (boxes, scores, classes, counts), strict=True))


def planes_of(found: Mapping[str, Any], reading: Mapping[str, Any], images, true_shapes):
    """A segmenter's logits, the classes before the places."""
    import tensorflow as tf

    return tf.transpose(found["logits"], [0, 3, 1, 2])


def logits_of(planes: np.ndarray, pictures: int) -> dict[str, np.ndarray]:
    return {"logits": np.ascontiguousarray(np.transpose(planes, [0, 2, 3, 1]))}


def refuses_padding(config) -> str:
    if config.model.rescale_output or not config.model.resizer.keep_aspect_ratio:
        return ""
    return (
        "its logits are those of padded pictures, which the Model API would stretch over the picture. Add "
        "--params-override task.export_config.rescale_output=true."
    )


ROWS = ((None, None, 4), (None, None), (None, None), (None,))
FOUND = tuple(Tensor(name=name, dtype="float32", shape=shape) for name, shape in zip(DETECTIONS, ROWS, strict=True))
LOGITS = (Tensor(name="logits", dtype="float32", shape=(None, None, None, None)),)

# Task -> how its outputs are read there.
CONVENTIONS = {
    "detection": Convention("SSD", "detection_out", FOUND, rows_of, detections_of, {"classes_from": 0}),
    "segmentation": Convention(
        "Segmentation", "segmentation", LOGITS, planes_of, logits_of, {"logits": "picture"}, refuses_padding
    ),
}

SNIPPET = """\
import numpy as np
from model_api.models import Model
from PIL import Image

model = Model.create_model("{path}", device="CPU")
print(model(np.asarray(Image.open("image.jpg").convert("RGB"))))"""
