"""OpenVINO's `convert_model` takes frozen graphs and SavedModels as they are, and answers as they do."""

from pathlib import Path

import numpy as np
import pytest
from environments import assert_same_detections, interpreter, run, run_snippet
from golden_cases import CASES, make_checkpoint
from PIL import Image

from visionport import Options, export

CONVERT = """
import sys
import numpy as np
import openvino

model, images, answers = sys.argv[1:]
exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else some processors take bfloat16
network = openvino.compile_model(openvino.convert_model(model), "CPU", exact)
found = {name.partition(":")[0]: value for out, value in network(np.load(images)).items() for name in out.names}
np.savez(answers, **{name: value for name, value in found.items() if name.startswith(("detection_", "num_"))})
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return interpreter(tmp_path_factory.mktemp("openvino"), "openvino", "openvino", "numpy", "pillow")


def check(python, artifact: Path, saved_model: Path, images, folder: Path, share: float = 1.0) -> None:
    """OpenVINO's answers of an artifact against TensorFlow's of a SavedModel. images: uint8 [b, h, w, 3]."""
    import tensorflow as tf

    np.save(folder / "images.npy", images)
    run(python, CONVERT, artifact, folder / "images.npy", folder / "answers.npz")
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    wanted = {k: v.numpy() for k, v in signature(**{name: tf.constant(images)}).items()}
    assert wanted["num_detections"].min() > 0
    assert_same_detections(np.load(folder / "answers.npz"), wanted, share)


def pictures(digits, count):
    return np.stack([np.array(Image.open(digits / "images" / f"digits-{i}.jpg")) for i in range(count)])


@pytest.mark.parametrize("name", ["frozen_inference_graph.pb", "saved_model"])
def test_any_batch(python, digits, frozen, tmp_path, name):
    check(python, frozen / name, frozen / "saved_model", pictures(digits, 3), tmp_path)


def test_a_batch_of_one(python, digits, tmp_path):
    out = tmp_path / "out"
    formats = ("frozen_graph", "saved_model")
    export(Options(config=digits / "tf2", checkpoint=digits / "tf2", out=out, formats=formats, batch=1, verify=False))
    check(python, out / "frozen_inference_graph.pb", out / "saved_model", pictures(digits, 1), tmp_path)


# Of proposals with nearly equal scores, rounding decides which comes first.
@pytest.mark.parametrize(("case", "share"), [("ssd_mobilenet_v1_coco", 1.0), ("faster_rcnn_resnet50_coco", 0.98)])
def test_golden_cases(python, digits, tmp_path, case, share):
    if case not in CASES:
        pytest.skip("this golden case is not here")
    prefix, out = make_checkpoint(CASES[case], tmp_path / "checkpoint"), tmp_path / "out"
    formats = ("frozen_graph", "saved_model")
    export(Options(config=CASES[case], checkpoint=prefix, out=out, formats=formats, verify=False))
    check(python, out / "frozen_inference_graph.pb", out / "saved_model", pictures(digits, 1), tmp_path, share)


def test_the_snippet_in_the_documents(python, frozen, digits, tmp_path):
    picture = digits / "images" / "digits-0.jpg"
    assert run_snippet(python, "OpenVINO", frozen, picture, tmp_path).strip()
