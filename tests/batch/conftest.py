"""What the tests of batches share: an export of the digits detector, and pictures with their answers."""

from pathlib import Path

import pytest
from batch_inputs import DIGITS, write_pictures


@pytest.fixture(scope="session")
def detector(tmp_path_factory) -> Path:
    """An export of the digits detector: SavedModel with three signatures, TFLite file."""
    from visionport import Options, export

    out = tmp_path_factory.mktemp("batch") / "exported"
    return export(
        Options(
            config=DIGITS / "tf2",
            checkpoint=DIGITS / "tf2",
            out=out,
            formats=("saved_model", "tflite"),
            inputs=("image_tensor", "encoded_image_string_tensor", "tf_example"),
            labels=DIGITS / "label_map.pbtxt",
            verify=False,
        )
    ).out


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """40 pictures of three sizes, in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    write_pictures(folder / "a", 25)
    write_pictures(folder / "b", 15, seed=1)
    return folder


@pytest.fixture(scope="session")
def wanted(detector, photos) -> list[dict]:
    """What `visionport predict` answers about them with the TFLite file, by path."""
    from visionport import predict

    return sorted(predict(detector / "model.tflite", photos), key=lambda row: row["image"])
