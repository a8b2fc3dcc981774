"""Labelled pictures of TFRecords, whatever the labels are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from visionport.errors import InputError
from visionport.inputs import tfrecords
from visionport.inputs.tfrecords import Features

OPTION = "--evaluate"


def check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"--evaluate {path}: no such TFRecord.")


def labelled(path: Path) -> Iterator[tuple[np.ndarray, Features]]:
    """Each picture of a TFRecord of tf.Examples, uint8 [h, w, 3], and the features that label it."""
    for i, data in enumerate(tfrecords.read(path, OPTION)):
        found = tfrecords.parse_example(data, f"{path}: record {i}")
        yield found.picture(), found


def check_size(path: Path, picture: np.ndarray, size: tuple[int, int] | None) -> None:
    """size: (height, width), the only one that artifacts take; None for any. picture: [..., h, w, 3]."""
    height, width = picture.shape[-3:-1]
    if size and (height, width) != tuple(size):
        raise InputError(f"{path}: a picture of {height},{width}, but --image-size is {size[0]},{size[1]}.")
