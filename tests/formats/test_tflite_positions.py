"""By position and by name every TFLite file gives the same outputs in the same order: each head and quantisation."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_cases import GOLDEN

from visionport.checkpoint.open import open_checkpoint
from visionport.config import read_config
from visionport.formats.tflite.format import FORMAT as TFLITE
from visionport.inputs import pictures
from visionport.options import Options
from visionport.tflite.kinds import CALIBRATED, QUANTIZATIONS

PICTURES = Path(str(pictures.example("digits/images")))
BOXES = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
POINTS = ("detection_keypoints", "detection_keypoint_scores")
OP = ("TFLite_Detection_PostProcess", *(f"TFLite_Detection_PostProcess:{i}" for i in (1, 2, 3)))
MAPS = ("object_center", "box/offset", "box/scale", "ta/keypoint/heatmap")  # some of them
ORDER = {  # tensors by position; where they have other names in the signature, these
    ("ssd", "detections"): (OP, BOXES),
    ("ssd", "decoded"): (("raw_detection_boxes", "raw_detection_scores"),) * 2,
    ("ssd", "raw"): (("box_encodings", "class_scores"),) * 2,
    ("center_net", "detections"): (BOXES + POINTS,) * 2,
    ("center_net", "raw"): ((), ()),  # by name
}


@pytest.fixture(scope="module")
def models(tmp_path_factory, digits):
    from visionport.models.build import build

    case, out = GOLDEN / "center_net_hourglass_10_keypoints", tmp_path_factory.mktemp("checkpoint")
    made = [sys.executable, GOLDEN / "make_checkpoint.py", case, out]
    prefix = subprocess.run(made, capture_output=True, text=True, check=True).stdout.split()[-1]
    places = {"ssd": (digits / "tf2", digits / "tf2"), "center_net": (case, Path(prefix))}
    return {k: build(read_config(config), open_checkpoint(checkpoint)) for k, (config, checkpoint) in places.items()}


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
@pytest.mark.parametrize(("kind", "head"), ORDER, ids="-".join)
def test_positions_and_names(models, digits, tmp_path, kind, head, quantize):
    from ai_edge_litert.interpreter import Interpreter

    more: dict[str, Any] = {"calibration": PICTURES} if quantize in CALIBRATED else {}
    model, tf2 = models[kind], digits / "tf2"
    options = Options(
        config=tf2, checkpoint=tf2, out=tmp_path, formats=("tflite",), quantize=quantize, tflite_head=head, **more
    )
    options.check()
    interpreter = Interpreter(str(TFLITE.write(model, (), options, tmp_path)))
    interpreter.allocate_tensors()
    (source,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    value = np.random.default_rng(0).integers(0, 255, source["shape"]).astype(source["dtype"])
    value = value / np.float32(127.5) - 1 if source["dtype"] == np.float32 and kind == "ssd" else value
    interpreter.set_tensor(source["index"], value.astype(source["dtype"]))
    interpreter.invoke()
    by_position = [interpreter.get_tensor(o["index"]).copy() for o in outputs]
    by_name = interpreter.get_signature_runner()(**{next(iter(runner_inputs(interpreter))): value})

    tensors, names = ORDER[kind, head]
    found = [o["name"] for o in outputs]
    assert found == list(tensors or sorted(found))
    assert set(by_name) >= set(names or MAPS)
    for name, mine in zip(names or found, by_position, strict=True):
        np.testing.assert_array_equal(by_name[name], mine, err_msg=name)
    if head == "detections":  # count, scores, classes, boxes; with keypoints, from the end
        for number, mine in enumerate(reversed(by_position)):
            np.testing.assert_array_equal(by_name[f"output_{number}"], mine)
    assert len({v.shape for v in by_position}) > 1


def runner_inputs(interpreter):
    return interpreter.get_signature_runner().get_input_details()
