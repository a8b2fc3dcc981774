"""The model's own preprocessing outside of its graph: as a manifest records it, and done to one image."""

import dataclasses
from typing import Any

import numpy as np

from visionport import config
from visionport.errors import ArtifactError

RESIZERS = {
    c.__name__: c
    for c in (config.FixedShape, config.KeepAspectRatio, config.ConditionalShape, config.PadToMultiple, config.Identity)
}


def describe(resizer: config.Resizer, normalization: config.Normalization) -> dict:
    """JSON-ready: the resizer's name and fields, mean and std of (x - mean) / std."""
    return {"resizer": type(resizer).__name__, **dataclasses.asdict(resizer), **dataclasses.asdict(normalization)}


def in_words(resizer: config.Resizer) -> str:
    """For people: "300x300, aspect lost"."""
    if isinstance(resizer, config.FixedShape):
        return f"{resizer.height}x{resizer.width}, aspect lost"
    if isinstance(resizer, config.KeepAspectRatio):
        padded = f", padded to {resizer.max_dimension}x{resizer.max_dimension}" if resizer.pad_to_max else ""
        return f"short side {resizer.min_dimension}, long side at most {resizer.max_dimension}{padded}"
    return type(resizer).__name__


def prepare(image: np.ndarray, description: dict, dtype=np.float32) -> np.ndarray:
    """uint8 [h, w, 3] -> the network's input [1, H, W, c]."""
    import tensorflow as tf

    from visionport.ops import image as image_ops

    if np.dtype(dtype) != np.float32:
        raise ArtifactError(f"an input of {np.dtype(dtype).name} is not supported here; float32 is.")
    fields: dict[str, Any] = dict(description)
    resizer = RESIZERS[fields.pop("resizer")]
    normalization = config.Normalization(mean=tuple(fields.pop("mean")), std=tuple(fields.pop("std")))
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    prepared, _ = image_ops.preprocess(tf.constant(image[None]), resizer(**fields), normalization)
    return prepared.numpy()
