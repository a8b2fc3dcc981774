"""The model's own preprocessing outside of its graph: as a manifest records it, and done to one image."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport import config, limits
from visionport.errors import ArtifactError
from visionport.inputs import resizing

METHODS = ("bilinear", "nearest", "bicubic", "area")
RESIZERS = {
    c.__name__: c
    for c in (
        config.FixedShape,
        config.KeepAspectRatio,
        config.ConditionalShape,
        config.PadToMultiple,
        config.Identity,
        config.CropAndResize,
        config.FitAndPad,
        config.MiddleClip,
    )
}


def describe(resizer: config.Resizer, normalization: config.Normalization) -> dict:
    """JSON-ready: the resizer's name and fields, mean and std of (x - mean) / std."""
    return {"resizer": type(resizer).__name__, **dataclasses.asdict(resizer), **dataclasses.asdict(normalization)}


def parse(description: Mapping) -> tuple[config.Resizer, config.Normalization]:
    """What `describe` described."""
    fields: dict[str, Any] = dict(description)
    resizer = RESIZERS[fields.pop("resizer")]
    flags = {k: fields.pop(k, False) for k in ("bgr", "pads_first")}
    normalization = config.Normalization(mean=tuple(fields.pop("mean")), std=tuple(fields.pop("std")), **flags)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return resizer(**given), normalization


def check(description: Any) -> None:
    """Raises ArtifactError for what `describe` cannot have described: a stranger may have."""
    try:
        resizer, normalization = parse(description)
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise ArtifactError(f"its preprocessing cannot be read ({type(e).__name__}: {e})") from None
    if len(normalization.mean) != 3 or len(normalization.std) != 3:
        raise ArtifactError("its preprocessing has no mean and std of three channels")
    for part in (resizer, normalization):
        for field in dataclasses.fields(part):
            if not is_sound(field.name, getattr(part, field.name), field.type):
                value = f"{getattr(part, field.name)!r:.60}"
                raise ArtifactError(f"its preprocessing says that {field.name} is {value}, which it cannot be")
    sides = [getattr(resizer, name, 1) for name in ("height", "width")]
    if isinstance(resizer, config.KeepAspectRatio) and resizer.pad_to_max:
        sides = [resizer.max_dimension] * 2
    if math.prod(sides) > limits.PICTURE_PIXELS:
        raise ArtifactError(f"its preprocessing makes pictures of {math.prod(sides):,} pixels")


def is_sound(name: str, value: Any, kind: Any) -> bool:
    """Whether a field of a resizer or of Normalization, of that annotation, may have the value."""
    if name in ("mean", "std", "pad_value"):
        return isinstance(value, tuple) and all(is_number(v) and (v or name != "std") for v in value)
    if name in ("method", "condition"):
        return value in (METHODS if name == "method" else ("greater", "smaller"))
    if name == "crop":
        return value is None or (is_number(value) and 0 < value <= 1)
    if kind is bool:
        return isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= limits.PICTURE_SIDE


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def of_pixels(resizer: config.Resizer, normalization: config.Normalization) -> config.Normalization:
    """What normalises resized pixels themselves; of a gray image the first channel of it alone.

    Gray is a sum of normalised channels, which for a gray pixel x, the same in all three, is (x - mean) / std again.
    """
    if not resizer.grayscale:
        return normalization
    mean, std = normalization.mean[0], normalization.std[0]
    if not normalization.pads_first:  # else it is gray before it is normalised
        shares = GRAY / np.array(normalization.std)
        std = float(1 / shares.sum())
        mean = float(shares @ np.array(normalization.mean)) * std
    return config.Normalization(mean=(mean, mean, mean), std=(std, std, std))


def without_normalization(description: Mapping) -> dict:
    """A manifest's preprocessing with the pixels left as they are."""
    return {**description, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "bgr": False}


def padding(resizer: config.KeepAspectRatio, normalization: config.Normalization) -> np.ndarray:
    """The RGB pixel [3], not rounded, that a padded picture is filled up with."""
    value = np.array(resizer.pad_value)
    if not normalization.pads_first:
        value = value * normalization.std + normalization.mean
    return value[::-1] if normalization.bgr else value


# The weights of tf.image.rgb_to_grayscale, which add up to 0.9999.
GRAY = np.array([0.2989, 0.5870, 0.1140])


def in_words(resizer: config.Resizer) -> str:
    """For people: "300x300, aspect lost"."""
    if isinstance(resizer, config.FixedShape):
        return f"{resizer.height}x{resizer.width}, aspect lost"
    if isinstance(resizer, config.KeepAspectRatio):
        padded = f", padded to {resizer.max_dimension}x{resizer.max_dimension}" if resizer.pad_to_max else ""
        return f"short side {resizer.min_dimension}, long side at most {resizer.max_dimension}{padded}"
    if isinstance(resizer, config.CropAndResize):
        cut = f"the middle square of {resizer.crop:g} of the short side, " if resizer.crop else ""
        return f"{cut}{resizer.height}x{resizer.width}{'' if cut else ', aspect lost'}"
    if isinstance(resizer, config.FitAndPad):
        height, width = resizer.padded
        fitted = "aspect kept, padded" if resizer.keep_aspect_ratio else "aspect lost"
        return f"{resizer.height}x{resizer.width}, {fitted}" + f" to {height}x{width}" * resizer.keep_aspect_ratio
    if isinstance(resizer, config.MiddleClip):
        return f"{resizer.frames} frames of {resizer.side}x{resizer.side}, {resizer.temporal_stride} apart"
    return type(resizer).__name__


def prepare(image: np.ndarray, description: Mapping, dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [h, w, 3] -> the network's input [1, H, W, c], and how much of its height and width is not padding [2].

    dtype: float32, normalised; uint8, pixels.
    """
    if np.dtype(dtype).name not in ("float32", "uint8"):
        raise ArtifactError(f"an input of {np.dtype(dtype).name} is not supported here; float32, uint8 and int8 are.")
    resizer, normalization = parse(description)
    if resizing.knows(resizer):
        out, size = resizing.preprocess(image, resizer, normalization)
        value, extent = out[None], np.array(size) / out.shape[:2]
    else:
        check_picture(image, description)
        value, extent = prepare_by_tensorflow(image, resizer, normalization)
    if np.dtype(dtype) == np.uint8 and not isinstance(resizer, config.MiddleClip):
        value = to_pixels(value, describe(resizer, of_pixels(resizer, normalization)))
    return value, extent


def check_picture(image: np.ndarray, description: Mapping) -> None:
    """Raises InputError for a picture [h, w, 3], or a clip, that the artifact's own resizer cannot take."""
    resizer, _ = parse(description)
    height, width = image.shape[-3:-1]
    resizing.check_fits((height, width), resizer)


def prepare_by_tensorflow(image: np.ndarray, resizer: config.Resizer, normalization: config.Normalization):
    """What `prepare` gives, float32, of clips and of resizers that are not in resizing.py."""
    import tensorflow as tf

    from visionport.ops import image as image_ops
    from visionport.ops import video as video_ops

    if isinstance(resizer, config.MiddleClip):
        return video_ops.preprocess(tf.constant(image[None]), resizer).numpy(), np.ones(2)
    prepared, shapes = image_ops.preprocess(tf.constant(image[None]), resizer, normalization)
    return prepared.numpy(), shapes.numpy()[0, :2] / prepared.shape[1:3]


def to_pixels(value: np.ndarray, description: Mapping) -> np.ndarray:
    """What was normalised, float32 [..., c], as uint8 again: RGB, or gray by a gray pixel's mean and std."""
    mean, std = (np.array(description[k][: value.shape[-1]], np.float32) for k in ("mean", "std"))
    pixels = np.clip(np.rint(value * std + mean), 0, 255).astype(np.uint8)
    return pixels[..., ::-1] if description.get("bgr") else pixels
