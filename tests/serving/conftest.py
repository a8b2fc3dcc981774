"""What the tests of serving serve."""

import pytest

from visionport import Options, export


@pytest.fixture(scope="session")
def digits_export(tmp_path_factory, digits):
    """The digits detector: a SavedModel that takes pixels, encoded pictures and tf.Examples, and a TFLite file."""
    out = tmp_path_factory.mktemp("serving") / "digits"
    inputs = ("image_tensor", "encoded_image_string_tensor", "tf_example")
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt", "out": out}
    export(Options(**places, formats=("saved_model", "tflite"), inputs=inputs, verify=False))
    return out
