"""A detector that gets preprocessed pictures does not know where they end: its boxes are of the frame."""

import numpy as np
import pytest

from visionport import Options, export, manifest
from visionport.tasks.detection.answers import read_answer

NORMALIZED = "task.export_config.output_normalized_coordinates=true"
PADDED = "task.model.input_size=[180, 180, 3]"  # which levels of 32 pixels are padded to
BOX = [[10.0, 20.0, 50.0, 60.0]]


@pytest.mark.parametrize(
    ("override", "frame"),
    [((), 192), ((NORMALIZED,), 1), ((NORMALIZED, PADDED), 192 / 180)],
    ids=["pixels", "normalized", "padded"],
)
def test_padded_pictures_agree(digits, tmp_path, override, frame):
    """Those of verification are wide and high: all of them are padded."""
    how = {"config": digits / "retinanet" / "params.yaml", "checkpoint": digits / "retinanet", "inputs": ("tflite",)}
    found = export(Options(**how, out=tmp_path / "out", params_override=override, formats=("saved_model",)))
    matched = [c for c in found.checks if c.what == "detections matched"]
    assert found.agrees
    assert len(matched) >= 4
    (artifact,) = manifest.read(tmp_path / "out")["artifacts"]
    assert artifact["reading"]["answers"] == {"boxes": "frame", "classes_from": 1, "frame": [frame, frame]}
    names = [t["name"] for t in artifact["signatures"][0]["outputs"]]
    assert "image_info" in names  # as the reference has it


@pytest.mark.parametrize("name", ["detection_boxes", "detection_outer_boxes"])
def test_boxes_of_a_padded_picture(name):
    """A picture of 100x200 in a frame of 200x200."""
    shape = {"num_detections": np.array([1]), "detection_boxes": np.array([BOX]), "image_info": np.ones((1, 4, 2))}
    reading = {"boxes": "frame", "frame": [200, 200]}
    found = read_answer(shape | {name: np.array([BOX])}, reading, np.array([0.5, 1.0]))
    np.testing.assert_allclose(found[name], [[0.1, 0.1, 0.5, 0.3]])
    assert "image_info" not in found  # it tells of the frame
