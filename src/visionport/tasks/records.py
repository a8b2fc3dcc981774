"""Labelled pictures of TFRecords, whatever the labels are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.inputs.calibration import raw


def check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"--evaluate {path}: no such TFRecord.")


def labelled(path: Path, features: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Each picture of a TFRecord of tf.Examples, uint8 [h, w, 3], and what `features` parse of its labels."""
    import tensorflow as tf

    from visionport.ops import image

    for i, data in enumerate(raw(path, "--evaluate")):
        try:
            parsed = tf.io.parse_single_example(data, features)
            picture = image.decode_example(data).numpy()
        except tf.errors.InvalidArgumentError as e:
            raise InputError(f"{path}: record {i} is no labelled tf.Example: {str(e).splitlines()[0]}") from None
        yield picture, parsed


def check_size(path: Path, picture: np.ndarray, size: tuple[int, int] | None) -> None:
    """size: (height, width), the only one that artifacts take; None for any. picture: [..., h, w, 3]."""
    height, width = picture.shape[-3:-1]
    if size and (height, width) != tuple(size):
        raise InputError(f"{path}: a picture of {height},{width}, but --image-size is {size[0]},{size[1]}.")
