"""Mean average precision of the digits detectors' artifacts, where the validation pictures are."""

from pathlib import Path

import pytest
from digits_map import EVALUATE, mean_average_precision

from visionport import Options, export
from visionport.formats import BASIC as FORMATS

pytestmark = pytest.mark.skipif(not EVALUATE.exists(), reason="the validation pictures are not here")


ARTIFACTS = ("saved_model", "frozen_inference_graph.pb", "model.tflite")


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_tf2_digits(exported, artifact):
    assert mean_average_precision(exported / artifact) == pytest.approx(0.9737, abs=0.005)


@pytest.fixture(scope="module")
def exported_tf1(tmp_path_factory, digits) -> Path:
    places = {
        "config": digits / "tf1",
        "checkpoint": digits / "tf1",
        "out": tmp_path_factory.mktemp("tf1") / "exported",
    }
    return export(Options(**places, formats=FORMATS, verify=False)).out


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_tf1_digits(exported_tf1, artifact):
    assert mean_average_precision(exported_tf1 / artifact) == pytest.approx(0.9344, abs=0.005)
