"""Every stored case against the reference's own answers: preprocessing, feature maps, heads, anchors, detections.

Cases lie in tests/golden and, where it is there, in ../shared/golden/od. A new case needs no code.
"""

import dataclasses
import re
import subprocess
import sys

import numpy as np
import pytest
from golden_cases import (
    CASES,
    GOLDEN,
    PREPROCESSED,
    REFERENCE_NAMES,
    assert_close,
    assert_twins,
    build_case,
    goldens,
    is_stored,
    make_checkpoint,
    stored,
)

from visionport.config import Ssd
from visionport.config.faster_rcnn import FasterRcnn

# Half of its proposals lie on the border, where the reference's crops lose 13 of 300 to rounding (see ops/roi.py).
ROUNDED = {"rfcn_resnet101_coco"}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """(folder, model): one case at a time, its checkpoint made by the weight rule."""

    folder = CASES[request.param]
    prefix = make_checkpoint(folder, tmp_path_factory.mktemp("checkpoint"))
    return folder, build_case(folder, prefix), prefix


def test_golden_cases_are_there():
    assert {f.name for f in GOLDEN.iterdir() if (f / "variables.json").exists()} <= set(CASES)
    assert len(CASES) >= 3


def test_preprocessing_heads_and_anchors(case):
    import tensorflow as tf

    from visionport.models.ssd import architecture as ssd

    folder, model, _ = case
    for image, golden in goldens(folder):
        prepared, shapes = model.preprocess(tf.constant(image))
        if is_stored(golden, "preprocess/image"):
            reference, found = stored(golden, "preprocess/image", prepared.numpy())
            assert np.abs(reference - found).max() <= PREPROCESSED
            np.testing.assert_array_equal(golden["preprocess/true_shape"], shapes)
        heads = model.predict(prepared, shapes)
        for name, head in heads.items():
            if not isinstance(head, list):
                if isinstance(model.config.model, FasterRcnn) and not name.startswith(("rpn_", "anchors")):
                    continue  # in the order of the proposals
                assert_close(golden, f"predict/{REFERENCE_NAMES.get(name, name)}", head)
        if isinstance(model.config.model, FasterRcnn):
            assert_twins(golden, "predict/proposal_boxes", heads["proposal_boxes"])
        # A quantised network's were kept before the rewrite put fake quantisation behind them.
        for i, feature_map in enumerate([] if model.config.quantized else heads["feature_maps"]):
            assert_close(golden, f"predict/feature_maps/{i}", feature_map)
            assert_close(golden, f"predict/extracted_features/{i}", feature_map)  # CenterNet
        if isinstance(model.config.model, Ssd):
            for constant in (True, False):
                anchors = ssd.anchors(model.config.model, heads, prepared, constant=constant)
                assert_close(golden, "predict/anchors", anchors)


def test_every_tensor_is_read(case):
    _, model, _ = case
    # A moving average is read in its variable's place.
    read = {k.removesuffix("/ExponentialMovingAverage") for k in model.params.keys.values()}
    assert read == {k for k in model.params.model_keys() if not model.params.known_unread(k)}


def test_saved_model_against_the_reference(case, tmp_path):
    """By the same script that judges any SavedModel."""
    from visionport.formats import saved_model
    from visionport.signatures import sign

    folder, model, _ = case
    path = saved_model.FORMAT.write(model, sign(model, ["image_tensor"]), None, tmp_path)
    command = [sys.executable, GOLDEN / "compare.py", folder, path, "--images", GOLDEN / "images"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode and folder.name in ROUNDED:
        assert set(re.findall(r"^BAD \S+ +(\S+)", done.stdout, re.M)) <= {"raw_detection_boxes", "raw_detection_scores"}
        pytest.xfail("the reference's rounding at the border")
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
    from visionport.prediction import load

    folder, *_ = case
    saved_model, frozen = (load(exported, format=kind) for kind in ("saved_model", "frozen_graph"))
    for image, _ in goldens(folder):
        a, b = saved_model(image[0]), frozen(image[0])
        assert set(a) == set(b)
        names = [n for n in ("raw_detection_boxes", "raw_detection_scores", "detection_boxes_strided") if n in a]
        assert names
        for name in names:
            assert np.abs(a[name] - b[name]).max() <= max(1e-5, 1e-5 * a[name].std()), name


def tflite_answer(path):
    """Boxes, classes, scores and count of the stored image of the file's size."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    height, width = source["shape"][1:3]
    image = np.load(GOLDEN / "images" / f"{height}x{width}.npz")["input_image"]
    pixels = source["dtype"] == np.uint8
    interpreter.set_tensor(source["index"], image if pixels else image.astype(np.float32) / 127.5 - 1)
    interpreter.invoke()
    return [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]


def test_tflite_against_the_reference(case, tmp_path):
    """With the reference's own settings, where its answers were stored: fast NMS, 10 detections.

    They are of float32 files. A quantisation-aware checkpoint's 8-bit file has their scores within four levels of 256.
    """
    from visionport.formats.tflite.format import FORMAT as TFLITE
    from visionport.options import Options

    folder, _, prefix = case
    stored_answers = folder / "model.tflite.npz"
    if not stored_answers.exists():
        pytest.skip("no TFLite answers stored")
    golden = np.load(stored_answers)
    model = build_case(folder, prefix)
    asked = {"formats": ("tflite",), "tflite_nms": "fast", "max_detections": 10}
    options = Options(config=folder, checkpoint=prefix, out=tmp_path, quantize="none", **asked)
    boxes, classes, scores, count = tflite_answer(TFLITE.write(model, [], options, tmp_path))
    named = {k.split("/", 2)[2]: golden[k] for k in golden.files if k.startswith("output/")}
    # TF1's file has the op's own order, TF2's the converter's: count, scores, classes, boxes.
    op, call = "TFLite_Detection_PostProcess", "StatefulPartitionedCall"
    order = [op, f"{op}:1", f"{op}:2", f"{op}:3"] if op in named else [f"{call}:{i}" for i in (3, 2, 1, 0)]
    reference = [named[name] for name in order]
    assert reference[3] == count
    np.testing.assert_allclose(scores, reference[2], atol=1e-4)
    np.testing.assert_array_equal(classes, reference[1])
    np.testing.assert_allclose(boxes, reference[0], atol=1e-4)
    if model.config.quantized:
        path = TFLITE.write(model, [], dataclasses.replace(options, quantize=None), tmp_path)
        np.testing.assert_allclose(tflite_answer(path)[2], reference[2], atol=4 / 256)
