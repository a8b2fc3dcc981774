"""Too few calibration pictures are warned of."""

import pytest
from PIL import Image

from visionport import Options, export
from visionport.inputs import calibration


@pytest.mark.parametrize(("number", "told"), [(1, "1 calibration picture "), (49, "49 calibration pictures"), (50, "")])
def test_the_words(number, told):
    found = calibration.few(number, "int8")
    assert bool(found) == bool(told)
    assert told in found


def test_an_export_warns(tmp_path, digits, capfd):
    (tmp_path / "photos").mkdir()
    Image.open(digits / "images" / "digits-0.jpg").save(tmp_path / "photos" / "a.png")
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt"}
    options = Options(
        **places,
        out=tmp_path / "out",
        formats=("tflite",),
        quantize="int8",
        calibration=tmp_path / "photos",
        verify=False,
    )
    export(options)
    assert "warning: --quantize int8: 1 calibration picture " in capfd.readouterr().err
