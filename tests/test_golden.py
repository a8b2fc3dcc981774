"""Every stored case against the reference's own answers: preprocessing, feature maps, heads, anchors, detections.

Cases lie in tests/golden and, where it is there, in ../shared/golden/od. A new case needs no code.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from visionport.checkpoint import open_checkpoint
from visionport.config import read_config
from visionport.errors import UnsupportedError

GOLDEN = Path(__file__).parent / "golden"
SHARED = Path(os.environ.get("VISIONPORT_SHARED", Path(__file__).parents[2] / "shared"))

# Of the reference tensor's standard deviation, or absolute: what rounding in another order of operations does.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
PREPROCESSED = 1e-4  # of values up to 255


def cases():
    """{name: folder} of the cases whose model can be built."""
    roots = (SHARED / "golden" / "od", GOLDEN)
    found = {f.parent.name: f.parent for root in roots for f in root.glob("*/variables.json")}
    return {name: folder for name, folder in sorted(found.items()) if supported(folder)}


def supported(folder):
    from visionport.models.build import meta_of

    try:
        config = read_config(folder / "pipeline.config")
        meta_of(config).normalization(config.model)
    except UnsupportedError:
        return False
    return True


CASES = cases()


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """(folder, model): one case at a time, its checkpoint made by the weight rule."""
    from visionport.models.build import build

    folder = CASES[request.param]
    prefix = make_checkpoint(folder, tmp_path_factory.mktemp("checkpoint"))
    return folder, build(read_config(folder / "pipeline.config"), open_checkpoint(prefix)), prefix


def make_checkpoint(folder, out):
    command = [sys.executable, GOLDEN / "make_checkpoint.py", folder, out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return Path(done.stdout.split()[-1])


def goldens(folder):
    """(input image, stored arrays) of each image of a case."""
    for file in sorted(folder.glob("golden_*.npz")):
        image = np.load(GOLDEN / "images" / f"{file.stem.removeprefix('golden_')}.npz")["input_image"]
        yield image, np.load(file)


def is_stored(golden, name):
    return name in golden or f"{name}#sample" in golden


def stored(golden, name, found):
    """(reference, found) of an array stored whole or as a sample."""
    if name in golden:
        return golden[name], found
    assert tuple(golden[f"{name}#shape"]) == found.shape
    return golden[f"{name}#sample"], found.reshape(-1)[golden[f"{name}#index"]]


def assert_close(golden, name, found):
    if not is_stored(golden, name):  # real exports' graphs show their outputs alone
        return
    reference, found = stored(golden, name, np.asarray(found))
    assert reference.shape == found.shape, name
    bound = max(ABSOLUTE, RELATIVE * float(reference.std()))
    assert np.abs(reference.astype(np.float64) - found).max() <= bound, name


def test_golden_cases_are_there():
    assert {f.name for f in GOLDEN.iterdir() if (f / "variables.json").exists()} <= set(CASES)
    assert len(CASES) >= 3


def test_preprocessing_heads_and_anchors(case):
    import tensorflow as tf

    from visionport.models import ssd

    folder, model, _ = case
    for image, golden in goldens(folder):
        prepared, shapes = model.preprocess(tf.constant(image))
        if is_stored(golden, "preprocess/image"):
            reference, found = stored(golden, "preprocess/image", prepared.numpy())
            assert np.abs(reference - found).max() <= PREPROCESSED
            np.testing.assert_array_equal(golden["preprocess/true_shape"], shapes)
        heads = model.predict(prepared, shapes)
        assert_close(golden, "predict/box_encodings", heads["box_encodings"])
        assert_close(golden, "predict/class_predictions_with_background", heads["logits"])
        for i, feature_map in enumerate(heads["feature_maps"]):
            assert_close(golden, f"predict/feature_maps/{i}", feature_map)
        for constant in (True, False):
            anchors = ssd.anchors(model.config.model, heads, prepared, constant=constant)
            assert_close(golden, "predict/anchors", anchors)


def test_every_tensor_is_read(case):
    _, model, prefix = case
    checkpoint = open_checkpoint(prefix)
    assert set(model.params.keys.values()) == {k for k in checkpoint.entries if checkpoint.classify(k) == "model"}


def test_saved_model_against_the_reference(case, tmp_path):
    """By the same script that judges any SavedModel."""
    from visionport.formats import saved_model
    from visionport.signatures import sign

    folder, model, _ = case
    path = saved_model.write(model, sign(model, ["image_tensor"]), None, tmp_path)
    command = [sys.executable, GOLDEN / "compare.py", folder, path, "--images", GOLDEN / "images"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def exported(case, tmp_path_factory):
    """The export of a case of our own in every format; the command line verifies them against the checkpoint."""
    folder, _, prefix = case
    if folder.parent != GOLDEN:
        pytest.skip("exported to every format for our own cases")
    out = tmp_path_factory.mktemp("export") / "out"
    command = [sys.executable, "-m", "visionport", "export", "--config", folder / "pipeline.config"]
    command += ["--checkpoint", prefix, "--out", out, "--format", "saved_model,frozen_graph,tflite"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_frozen_graph_against_the_saved_model(case, exported):
    from visionport.predict import load

    folder, *_ = case
    saved_model, frozen = (load(exported, kind)[0] for kind in ("saved_model", "frozen_graph"))
    for image, _ in goldens(folder):
        a, b = saved_model(image[0]), frozen(image[0])
        assert set(a) == set(b)
        for name in ("raw_detection_boxes", "raw_detection_scores"):
            assert np.abs(a[name] - b[name]).max() <= max(1e-5, 1e-5 * a[name].std()), name


def test_tflite_against_the_reference(case, tmp_path):
    """With the reference's own settings, where its answers were stored: fast NMS, 10 detections."""
    from visionport.formats import tflite
    from visionport.models.build import build
    from visionport.options import Options

    folder, _, prefix = case
    stored_answers = folder / "model.tflite.npz"
    if not stored_answers.exists():
        pytest.skip("no TFLite answers stored")
    golden = np.load(stored_answers)
    model = build(read_config(folder / "pipeline.config"), open_checkpoint(prefix))
    options = Options(
        config=folder, checkpoint=prefix, out=tmp_path, formats=("tflite",), tflite_nms="fast", max_detections=10
    )
    path = tflite.write(model, [], options, tmp_path)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    height, width = source["shape"][1:3]
    image = np.load(GOLDEN / "images" / f"{height}x{width}.npz")["input_image"]
    interpreter.set_tensor(source["index"], image.astype(np.float32) / 127.5 - 1)
    interpreter.invoke()
    boxes, classes, scores, count = (interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details())
    # The converter's order: count, scores, classes, boxes.
    reference = {k.rpartition(":")[2]: golden[k] for k in golden.files if k.startswith("output/")}
    assert reference["0"] == count
    np.testing.assert_allclose(scores, reference["1"], atol=1e-4)
    np.testing.assert_array_equal(classes, reference["2"])
    np.testing.assert_allclose(boxes, reference["3"], atol=1e-4)
