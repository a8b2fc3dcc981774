"""Pictures resized, normalised and padded in NumPy, as `ops/image.py` does it in a graph.

A TFLite file is asked without TensorFlow, which takes seconds to import. Every step is TensorFlow's own kernel's, in
float32 and in its order, so that the same bits come out; what is rare (bicubic, area, clips) is left to TensorFlow.
"""

import math
from collections.abc import Callable

import numpy as np

from visionport import config, limits
from visionport.errors import InputError

METHODS = ("bilinear", "nearest")
GRAY = np.array([0.2989, 0.5870, 0.1140], np.float32)  # the weights of tf.image.rgb_to_grayscale

Size = tuple[int, int]  # (height, width)


def knows(resizer: config.Resizer) -> bool:
    """Whether `preprocess` takes it."""
    return type(resizer) in RESIZERS and getattr(resizer, "method", "bilinear") in METHODS


def preprocess(
    picture: np.ndarray, resizer: config.Resizer, normalization: config.Normalization
) -> tuple[np.ndarray, Size]:
    """uint8 or float32 [h, w, 3] -> float32 [H, W, c] as the network wants it, and its size without padding."""
    check_fits((picture.shape[0], picture.shape[1]), resizer)
    out = RESIZERS[type(resizer)](picture, resizer).astype(np.float32)
    size = out.shape[:2]
    if not normalization.pads_first:
        out = normalize(out, normalization)
    if isinstance(resizer, config.KeepAspectRatio) and resizer.pad_to_max:
        out = pad(out, (resizer.max_dimension, resizer.max_dimension), resizer.pad_value)
    if isinstance(resizer, config.PadToMultiple):
        height, width = (side + -side % resizer.multiple for side in size)
        out = pad(out, (height, width))
    if isinstance(resizer, config.FitAndPad):
        out = pad(out, resizer.padded)
    if resizer.grayscale:
        out = (out @ GRAY)[..., None]
    if normalization.pads_first:
        out = normalize(out, normalization)
    return out, size


def normalize(picture: np.ndarray, n: config.Normalization) -> np.ndarray:
    """float32 [..., 3] of 0 to 255 -> (picture - mean) / std. Of a gray one, [..., 1], by the first channel's."""
    picture = picture[..., ::-1] if n.bgr else picture
    mean, std = (np.array(v[: picture.shape[-1]], np.float32) for v in (n.mean, n.std))
    return picture * (1 / std) - mean / std


def pad(picture: np.ndarray, size: Size, value: tuple[float, ...] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Below and right, to `size`."""
    out = np.empty((*size, picture.shape[-1]), np.float32)
    out[:] = np.array(value, np.float32)[: picture.shape[-1]]
    out[: picture.shape[0], : picture.shape[1]] = picture
    return out


def resize(picture: np.ndarray, size: Size, method: str = "bilinear", **grid: bool) -> np.ndarray:
    """[h, w, c] resized to `size`; float32 for bilinear. grid: align_corners, half_pixel_centers, as of TensorFlow."""
    sides = zip(picture.shape[:2], size, strict=True)
    if method == "nearest":
        rows, columns = (nearest_places(now, wanted, **grid) for now, wanted in sides)
        return picture[rows][:, columns]
    (top, bottom, down), (left, right, along) = (bilinear_places(now, wanted, **grid) for now, wanted in sides)
    down, along = down[:, None, None], along[None, :, None]
    # Columns first: row by row, as the kernel goes.
    upper, lower = (picture[rows].astype(np.float32) for rows in (top, bottom))
    above = upper[:, left] + (upper[:, right] - upper[:, left]) * along
    below = lower[:, left] + (lower[:, right] - lower[:, left]) * along
    return above + (below - above) * down


def step(now: int, wanted: int, align_corners: bool) -> np.float32:
    """Between two samples, in pixels of the picture."""
    ends = int(align_corners and wanted > 1)
    return np.float32(now - ends) / np.float32(wanted - ends)


def bilinear_places(now: int, wanted: int, *, align_corners: bool = False, half_pixel_centers: bool = False):
    """The pixels before and behind each sample, and how far it is between them (resize_bilinear_op.cc)."""
    places = np.arange(wanted, dtype=np.float32)
    half = np.float32(0.5)
    places = (
        (places + half) * step(now, wanted, align_corners) - half
        if half_pixel_centers
        else places * step(now, wanted, align_corners)
    )
    floor = np.floor(places)
    before = np.maximum(floor.astype(np.int64), 0)
    behind = np.minimum(np.ceil(places).astype(np.int64), now - 1)
    return np.minimum(before, now - 1), np.maximum(behind, 0), places - floor


def nearest_places(now: int, wanted: int, *, align_corners: bool = False, half_pixel_centers: bool = False):
    """The pixel of each sample (resize_nearest_neighbor_op.cc)."""
    places = np.arange(wanted, dtype=np.float32)
    if half_pixel_centers:
        places = places + np.float32(0.5)
    places = places * step(now, wanted, align_corners)
    places = np.floor(places + np.float32(0.5)) if align_corners else np.floor(places)
    return np.clip(places.astype(np.int64), 0, now - 1)


def fixed(picture: np.ndarray, r: config.FixedShape) -> np.ndarray:
    return resize(picture, (r.height, r.width), r.method)


def check_fits(size: Size, r: config.Resizer) -> None:
    """Raises InputError for a picture so narrow that nothing, or too much, would be left of it."""
    fitted = FITTED[type(r)](size, r) if type(r) in FITTED else size
    if min(fitted) < 1 or math.prod(fitted) > limits.PICTURE_PIXELS:
        shown = [f"{width}x{height}" for height, width in (size, fitted)]
        raise InputError(
            f"a picture of {shown[0]} pixels would become {shown[1]} for the model: cut or scale it before."
        )


def keep_aspect(picture: np.ndarray, r: config.KeepAspectRatio) -> np.ndarray:
    return resize(picture, aspect_kept((picture.shape[0], picture.shape[1]), r), r.method)


def aspect_kept(size: Size, r: config.KeepAspectRatio) -> Size:
    height, width = (np.float32(side) for side in size)
    low, high = np.float32(r.min_dimension), np.float32(r.max_dimension)
    along = (low, high) if height < width else (high, low)
    scale = min(along[0] / height, along[1] / width)
    return int(np.rint(scale * height)), int(np.rint(scale * width))


def conditional(picture: np.ndarray, r: config.ConditionalShape) -> np.ndarray:
    return resize(picture, limited((picture.shape[0], picture.shape[1]), r), r.method, align_corners=True)


def limited(size: Size, r: config.ConditionalShape) -> Size:
    height, width = (np.float32(side) for side in size)
    threshold = np.float32(r.threshold)
    if r.condition == "greater":
        side = max(height, width)
        scale = min(side, threshold) / side
    else:
        side = min(height, width)
        scale = max(side, threshold) / side
    return int(height * scale), int(width * scale)


def as_it_is(picture: np.ndarray, r: config.PadToMultiple | config.Identity) -> np.ndarray:
    return picture


def crop_and_resize(picture: np.ndarray, r: config.CropAndResize) -> np.ndarray:
    picture = center_crop(picture, r.crop) if r.crop else picture
    return resize(picture, (r.height, r.width), half_pixel_centers=True)


def center_crop(picture: np.ndarray, share: float) -> np.ndarray:
    """The middle square, its side that share of the short side."""
    size = np.array(picture.shape[:2], np.float32)
    side = np.float32(share) * size.min()
    top, left = ((size - side) / np.float32(2)).astype(np.int32)
    return picture[top : top + int(side), left : left + int(side)]


def cropped(size: Size, r: config.CropAndResize) -> Size:
    """The size that is wanted; of nothing where nothing is left to resize."""
    side = int(np.float32(r.crop) * min(size)) if r.crop else min(size)
    return (r.height, r.width) if side else (0, 0)


def fit(picture: np.ndarray, r: config.FitAndPad) -> np.ndarray:
    return resize(picture, aspect_fitted((picture.shape[0], picture.shape[1]), r), half_pixel_centers=True)


def aspect_fitted(size: Size, r: config.FitAndPad) -> Size:
    wanted = (r.height, r.width)
    if not r.keep_aspect_ratio:
        return wanted
    found = np.array(size, np.float32)
    height, width = np.rint(found * (np.array(wanted, np.float32) / found).min())
    return int(height), int(width)


# What a picture's size becomes, before it is padded, where that is not its own or the same for all.
FITTED: dict[type, Callable[..., Size]] = {
    config.KeepAspectRatio: aspect_kept,
    config.ConditionalShape: limited,
    config.CropAndResize: cropped,
    config.FitAndPad: aspect_fitted,
}
RESIZERS = {
    config.FixedShape: fixed,
    config.KeepAspectRatio: keep_aspect,
    config.ConditionalShape: conditional,
    config.PadToMultiple: as_it_is,
    config.Identity: as_it_is,
    config.CropAndResize: crop_and_resize,
    config.FitAndPad: fit,
}
