"""Decoding and resizing of images.

The Object Detection API samples as TF1 did (no half-pixel centres), on TF2 too; Official Vision with those centres.
"""

import numpy as np
import tensorflow as tf

from visionport import config
from visionport.ops import nn

METHODS = {
    "bilinear": tf.raw_ops.ResizeBilinear,
    "nearest": tf.raw_ops.ResizeNearestNeighbor,
    "bicubic": tf.raw_ops.ResizeBicubic,
    "area": tf.raw_ops.ResizeArea,
}


def preprocess(images, resizer: config.Resizer, normalization: config.Normalization):
    """A batch of images of one size, resized, normalised and padded as the network wants it.

    images: uint8 or float32 [b, h, w, 3], values 0 to 255.
    Returns float32 [b, H, W, c] and the size of the image without padding, int32 [b, 3].
    Resizing first and normalising after is the reference's order reversed: equal, as both are linear, and cheaper. Two
    exceptions keep its order: where it pads first, and for "area", whose weights add up to 1 only roughly.
    Reference: builders/image_resizer_builder.py, core/preprocessor.py.
    """
    early = not normalization.pads_first and getattr(resizer, "method", "") == "area"
    if early:
        images = normalize(tf.cast(images, tf.float32), normalization)
    out = tf.cast(RESIZERS[type(resizer)](images, resizer), tf.float32)
    height, width = nn.spatial(out)
    if not normalization.pads_first and not early:
        out = normalize(out, normalization)
    if isinstance(resizer, config.KeepAspectRatio) and resizer.pad_to_max:
        out = _pad_to(out, resizer.max_dimension, resizer.pad_value)
    if isinstance(resizer, config.PadToMultiple):
        out = nn.pad_to_multiple(out, resizer.multiple)
    if isinstance(resizer, config.FitAndPad):
        out = _pad_below(out, *resizer.padded)
    if resizer.grayscale:
        out = tf.image.rgb_to_grayscale(out)
    if normalization.pads_first:
        out = normalize(out, normalization)
    shape = tf.stack([height, width, out.shape[-1]])
    return out, tf.repeat(shape[None], tf.shape(images)[0], axis=0)


def normalize(images, n: config.Normalization):
    """float32 [..., 3] of 0 to 255 -> (images - mean) / std. Of a gray one, [..., 1], by the first channel's."""
    images = images[..., ::-1] if n.bgr else images
    mean, std = (np.array(v[: images.shape[-1]], np.float32) for v in (n.mean, n.std))
    return images * (1 / std) - mean / std


def fixed_size(resizer: config.Resizer) -> tuple[int, int] | None:
    """(height, width) of the network's input where the config alone decides it."""
    if isinstance(resizer, config.FixedShape | config.CropAndResize):
        return resizer.height, resizer.width
    if isinstance(resizer, config.FitAndPad):
        return resizer.padded
    if isinstance(resizer, config.KeepAspectRatio) and resizer.pad_to_max:
        return resizer.max_dimension, resizer.max_dimension
    return None


def channels(resizer: config.Resizer) -> int:
    return 1 if resizer.grayscale else 3


def decode(data):
    """uint8 [h, w, 3] from the bytes (scalar string) of a JPEG, PNG, BMP or the first frame of a GIF."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image


def decode_example(data):
    """uint8 [h, w, 3] from a serialized tf.train.Example (scalar string) with the key `image/encoded`."""
    return decode(
        tf.io.parse_single_example(data, {"image/encoded": tf.io.FixedLenFeature((), tf.string)})["image/encoded"]
    )


def resize(images, size, method="bilinear", align_corners=False, half_pixel_centers=False):
    """images [b, h, w, c] resized to `size` (height, width), an int32 tensor or pair. Returns float32 for bilinear."""
    size = tf.stack(size) if isinstance(size, (tuple, list)) else size
    if method == "area":
        return METHODS[method](images=images, size=size, align_corners=align_corners)
    return METHODS[method](images=images, size=size, align_corners=align_corners, half_pixel_centers=half_pixel_centers)


def center_crop(images, share: float):
    """The middle square of images [b, h, w, c], its side that share of the short side.

    Reference: official/vision/ops/preprocess_ops.py, center_crop_image.
    """
    size = tf.cast(tf.shape(images)[1:3], tf.float32)
    side = share * tf.reduce_min(size)
    top, left = tf.unstack(tf.cast((size - side) / 2, tf.int32))
    side = tf.cast(side, tf.int32)
    return images[:, top : top + side, left : left + side]


def _fixed(images, r):
    out = resize(images, (r.height, r.width), r.method)
    out.set_shape((None, r.height, r.width, None))
    return out


def _keep_aspect(images, r):
    # The largest size of the same shape inside (min, max) laid along the image's orientation.
    height, width = (tf.cast(d, tf.float32) for d in nn.spatial(images))
    landscape = height < width
    low, high = float(r.min_dimension), float(r.max_dimension)
    scale = tf.minimum(tf.where(landscape, low, high) / height, tf.where(landscape, high, low) / width)
    size = [tf.cast(tf.round(scale * d), tf.int32) for d in (height, width)]
    return resize(images, size, r.method)


def _conditional(images, r):
    height, width = (tf.cast(d, tf.float32) for d in nn.spatial(images))
    if r.condition == "greater":
        longest = tf.maximum(height, width)
        scale = tf.minimum(longest, float(r.threshold)) / longest
    else:
        shortest = tf.minimum(height, width)
        scale = tf.maximum(shortest, float(r.threshold)) / shortest
    # The reference truncates the size and aligns the corners here, and only here.
    return resize(images, [tf.cast(d * scale, tf.int32) for d in (height, width)], r.method, align_corners=True)


def _crop_and_resize(images, r):
    images = center_crop(images, r.crop) if r.crop else images
    out = resize(images, (r.height, r.width), half_pixel_centers=True)
    out.set_shape((None, r.height, r.width, None))
    return out


def _fit(images, r):
    size = tf.unstack(fitted_size(tf.stack(nn.spatial(images)), r)) if r.keep_aspect_ratio else (r.height, r.width)
    return resize(images, size, half_pixel_centers=True)


def fitted_size(sizes, r: config.FitAndPad | config.CropAndResize):
    """Of images of those sizes, int32 [..., 2], the sizes before padding; r: one that keeps all of the image."""
    wanted = tf.constant([r.height, r.width], tf.float32)
    sizes = tf.cast(sizes, tf.float32)
    if isinstance(r, config.CropAndResize) or not r.keep_aspect_ratio:
        return tf.cast(tf.zeros_like(sizes) + wanted, tf.int32)
    return tf.cast(tf.round(sizes * tf.reduce_min(wanted / sizes, -1, keepdims=True)), tf.int32)


def image_info(sizes, r: config.FitAndPad | config.CropAndResize):
    """What Official Vision tells of images and their resizing, float32 [b, 4, 2], of pairs of height and width.

    Those of the image, those wanted (without padding to a multiple), the two scales, and the offset, 0.
    sizes: int32 [b, 3] of the images.
    """
    found = tf.cast(sizes[:, :2], tf.float32)
    wanted = tf.zeros_like(found) + tf.constant([r.height, r.width], tf.float32)
    scales = tf.cast(fitted_size(sizes[:, :2], r), tf.float32) / found
    return tf.stack([found, wanted, scales, tf.zeros_like(found)], 1)


def _pad_below(images, height, width):
    now = nn.spatial(images)
    out = tf.pad(images, [[0, 0], [0, height - now[0]], [0, width - now[1]], [0, 0]])
    out.set_shape((None, height, width, None))
    return out


def _pad_to(images, size, value):
    height, width = nn.spatial(images)
    paddings = [[0, 0], [0, size - height], [0, size - width]]
    if any(value):
        planes = zip(tf.unstack(images, axis=-1), value, strict=True)
        out = tf.stack([tf.pad(p, paddings, constant_values=v) for p, v in planes], -1)
    else:
        out = tf.pad(images, [*paddings, [0, 0]])
    out.set_shape((None, size, size, None))
    return out


RESIZERS = {
    config.FixedShape: _fixed,
    config.KeepAspectRatio: _keep_aspect,
    config.ConditionalShape: _conditional,
    config.PadToMultiple: lambda images, r: images,
    config.Identity: lambda images, r: images,
    config.CropAndResize: _crop_and_resize,
    config.FitAndPad: _fit,
}
