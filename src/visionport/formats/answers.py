"""What goes into an artifact and what comes out, in one shape for all formats."""

import io

import numpy as np


def feed(image: np.ndarray, dtype: str, *, example: bool = False):
    """A batch of one for an input of that dtype: pixels, or the PNG's bytes (in a tf.train.Example)."""
    if dtype != "string":
        return image[None].astype(dtype)
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    if not example:
        return np.array([data.getvalue()], object)
    import tensorflow as tf

    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data.getvalue()]))
    features = tf.train.Features(feature={"image/encoded": value})
    return np.array([tf.train.Example(features=features).SerializeToString()], object)


def answer(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first image's detections, without padding rows, and its other outputs.

    outputs: detection_boxes [b, m, 4], detection_scores, detection_classes (from 1) and num_detections [b], and more.
    """
    count = int(outputs["num_detections"][0])
    rest = {k: v[0] for k, v in outputs.items() if k != "num_detections"}
    return {k: v[:count] if k.startswith("detection_") else v for k, v in rest.items()}


def clipped(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Detections cut to the image, those with nothing left dropped: what the TFLite op leaves undone."""
    boxes = np.clip(found["detection_boxes"], 0, 1)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return {k: (boxes if k == "detection_boxes" else v)[kept] for k, v in found.items()}
