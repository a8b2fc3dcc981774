"""What goes into an artifact and what comes out, in one shape for all formats."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from visionport import config
from visionport.inputs.preprocessing import prepare

# What a detection may have besides box, score and class.
ATTRIBUTES = (
    "detection_keypoints",
    "detection_keypoint_scores",
    "detection_keypoint_depths",
    "detection_masks",
    "detection_surface_coords",
    "detection_embeddings",
    "detection_temporal_offsets",
)


def feed(image: np.ndarray, dtype: str, *, batch: int | None = None, example: bool = False):
    """One image as often as the input's batch wants: pixels, or a PNG's bytes (in a tf.train.Example)."""
    if dtype != "string":
        return np.repeat(image[None].astype(dtype), batch or 1, axis=0)
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    item = data.getvalue()
    if example:
        import tensorflow as tf

        value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[item]))
        item = tf.train.Example(features=tf.train.Features(feature={"image/encoded": value})).SerializeToString()
    return np.array([item] * (batch or 1), object)


# Boxes of a picture to draw masks in, for input types that take them: the whole, and three parts.
GIVEN_BOXES = ((0.0, 0.0, 1.0, 1.0), (0.1, 0.2, 0.7, 0.6), (0.4, 0.3, 0.9, 0.95), (0.25, 0.5, 0.5, 0.75))


def more_feed(name: str, batch: int | None = None) -> np.ndarray:
    """What is fed to an input besides the image."""
    assert name == "boxes", name
    return np.repeat(np.array([GIVEN_BOXES], np.float32), batch or 1, axis=0)


# How a snippet makes `value`, by input type.
FEEDS = {
    "image_tensor": 'value = np.asarray(Image.open("{image}").convert("RGB"))[None]  # uint8 [1, height, width, 3]',
    "float_image_tensor": 'value = np.asarray(Image.open("{image}").convert("RGB"), np.float32)[None]  # 0 to 255',
    "encoded_image_string_tensor": 'value = np.array([open("{image}", "rb").read()], object)',
    "image_and_boxes_tensor": """\
value = np.asarray(Image.open("{image}").convert("RGB"))[None]  # uint8 [1, height, width, 3]
boxes = np.array([[[0.1, 0.2, 0.7, 0.6]]], np.float32)  # [1, n, 4] as (ymin, xmin, ymax, xmax), from 0 to 1""",
    "tf_example": """\
encoded = tf.train.Feature(bytes_list=tf.train.BytesList(value=[open("{image}", "rb").read()]))
example = tf.train.Example(features=tf.train.Features(feature={{"image/encoded": encoded}}))
value = np.array([example.SerializeToString()], object)""",
}


def answer(outputs: dict[str, np.ndarray], more=()) -> dict[str, np.ndarray]:
    """The first image's detections, without padding rows, and its other outputs.

    outputs: detection_boxes [b, m, 4], detection_scores, detection_classes (from 1) and num_detections [b], and more.
    more: names of inputs besides the image. Masks of given boxes are no detection's.
    """
    if "boxes" in more:
        outputs = {"masks" if k == "detection_masks" else k: v for k, v in outputs.items()}
    count = int(outputs["num_detections"][0])
    rest = {k: v[0] for k, v in outputs.items() if k != "num_detections"}
    return {k: v[:count] if k.startswith("detection_") else v for k, v in rest.items()}


def of_padding(model) -> bool:
    """Are the boxes of a config's model those of the padded image? So the reference leaves them where it is told to."""
    resizer = model.resizer
    padding = isinstance(resizer, config.PadToMultiple) or getattr(resizer, "pad_to_max", False)
    return padding and isinstance(model, config.Ssd) and not model.post_processing.nms.change_coordinate_frame


def of_image(run: Callable, content: Mapping[str, Any]) -> Callable:
    """`run` with its boxes of the image, where a manifest says that they are of the padded one."""
    if not content.get("model", {}).get("boxes_of_padding"):
        return run

    def without_padding(image, **more):
        found = run(image, **more)
        _, extent = prepare(image, content["preprocessing"])
        boxes = np.clip(found["detection_boxes"] / np.tile(extent, 2), 0, 1).astype(np.float32)
        return {**found, "detection_boxes": boxes}

    return without_padding


def clipped(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Detections cut to the image, those with nothing left dropped: what the TFLite op leaves undone."""
    boxes = np.clip(found["detection_boxes"], 0, 1)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return {k: (boxes if k == "detection_boxes" else v)[kept] for k, v in found.items()}
