"""Python for people: the lines that make of a picture's file what a network takes.

`image` is a Pillow picture there, `height` and `width` are the network's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visionport.inputs import preprocessing

# A picture fitted to the input: by the resizer's name.
FITS = {
    "FixedShape": "image = image.resize((width, height), Image.Resampling.BILINEAR)",
    "whole": "image = image.resize((width, height), Image.Resampling.BILINEAR)",
    "CropAndResize": """\
side = int({crop} * min(image.size))
left, top = (image.width - side) // 2, (image.height - side) // 2
image = image.crop((left, top, left + side, top + side)).resize((width, height), Image.Resampling.BILINEAR)""",
    "FitAndPad": """\
scale = min({high} / image.height, {wide} / image.width)
shown = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
image = Image.new("RGB", (width, height), {mean})
image.paste(shown)  # top left""",
    "KeepAspectRatio": """\
scale = min({short} / min(image.size), {long} / max(image.size))
shown = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
image = Image.new("{mode}", (width, height), {color})
image.paste(shown)  # top left; boxes are of the padded image""",
}


def fit_lines(resizer, normalization, mode: str) -> str:
    """The lines that fit `image` to the input. mode: Pillow's, "RGB" or "L"."""
    kind = type(resizer).__name__
    if kind in ("CropAndResize", "FitAndPad"):
        whole = "whole" if not getattr(resizer, "crop", 1) or not getattr(resizer, "keep_aspect_ratio", True) else kind
        mean = tuple(round(v) for v in normalization.mean)
        size = getattr(resizer, "padded", (0, 0))
        names = {"crop": getattr(resizer, "crop", 1), "mean": mean, "high": resizer.height, "wide": resizer.width}
        return FITS[whole].format(**names, height=size[0], width=size[1])
    if kind != "KeepAspectRatio":
        return FITS[kind]
    color = [round(v) for v in preprocessing.padding(resizer, normalization).tolist()]
    shown = tuple(color) if mode == "RGB" else color[0]
    return FITS[kind].format(short=resizer.min_dimension, long=resizer.max_dimension, color=shown, mode=mode)


def network_lines(
    how: Mapping[str, Any], shape: Sequence[int | None], dtype: str, quantization: tuple[float, int] | None, image: str
) -> str:
    """The lines that make `value`, a NumPy array, of the file `image`; "" where they would not be short.

    how: a manifest's preprocessing. shape, dtype: the network's input. quantization: (scale, zero point) of integers
    that stand for what is normalised; None of a uint8 that takes the pixels, or of floats.
    """
    resizer, normalization = preprocessing.parse(how)
    if len(shape) != 4 or None in shape[1:] or type(resizer).__name__ not in FITS:
        return ""
    n, gray = preprocessing.of_pixels(resizer, normalization), resizer.grayscale
    mode, (height, width, channels) = "L" if gray else "RGB", shape[1:]
    lines = [
        f"height, width = {height}, {width}",
        f'image = Image.open("{image}").convert("{mode}")',
        fit_lines(resizer, n, mode),
        f"value = np.asarray(image).reshape(1, {height}, {width}, {channels})",
    ]
    if dtype != "uint8":
        mean, std = ([*n.mean], [*n.std]) if not gray else (n.mean[0], n.std[0])
        lines.append(f"value = (value{'[..., ::-1]' * n.bgr} - np.float32({mean})) / np.float32({std})")
    if dtype != "uint8" and quantization:
        scale, zero = quantization
        limits = np.iinfo(dtype)
        made = f"np.clip(np.rint(value / {float(scale)!r}) + {int(zero)}, {limits.min}, {limits.max})"
        lines.append(f"value = {made}.astype(np.{dtype})")
    return "\n".join([*lines, *repeat_lines(shape[0])])


def repeat_lines(batch: int | None) -> list[str]:
    """For an input that takes that many pictures at once."""
    return [f"value = np.repeat(value, {batch}, 0)  # it takes {batch} at once"] if batch not in (None, 1) else []
