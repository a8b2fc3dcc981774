"""CenterNet: masks of given boxes (DeepMAC), TFLite files, and what is refused."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from golden_cases import GOLDEN

from visionport.checkpoint.open import open_checkpoint
from visionport.config import read_config
from visionport.errors import ConfigError, MismatchError, OptionError, UnsupportedError
from visionport.formats.tflite import center_net as tflite_center_net
from visionport.formats.tflite.format import FORMAT as TFLITE
from visionport.inputs.preprocessing import describe
from visionport.inspection.fit import fit_config
from visionport.options import Options
from visionport.tflite.contents import read_contents

DEEPMAC = GOLDEN / "center_net_deepmac_resnet8"
KEYPOINTS = GOLDEN / "center_net_hourglass_10_keypoints"
OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")
POINTS = ("detection_keypoints", "detection_keypoint_scores")


def make_checkpoint(case, out):
    done = subprocess.run(
        [sys.executable, GOLDEN / "make_checkpoint.py", case, out], capture_output=True, text=True, check=True
    )
    return Path(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def deepmac(tmp_path_factory):
    from visionport.models.build import build

    prefix = make_checkpoint(DEEPMAC, tmp_path_factory.mktemp("deepmac"))
    return build(read_config(DEEPMAC), open_checkpoint(prefix))


@pytest.fixture(scope="module")
def keypoints(tmp_path_factory):
    """(model, checkpoint)"""
    from visionport.models.build import build

    prefix = make_checkpoint(KEYPOINTS, tmp_path_factory.mktemp("keypoints"))
    return build(read_config(KEYPOINTS), open_checkpoint(prefix)), prefix


def picture(size):
    return np.load(GOLDEN / "images" / f"{size}.npz")["input_image"]


# DeepMAC


def test_masks_of_given_boxes_are_the_references(deepmac, tmp_path):
    """In a signature with the boxes as its second input."""
    import tensorflow as tf

    from visionport.formats import saved_model
    from visionport.signatures import sign

    path = saved_model.FORMAT.write(deepmac, sign(deepmac, ["image_and_boxes_tensor", "image_tensor"]), None, tmp_path)
    signatures = tf.saved_model.load(str(path)).signatures
    golden = np.load(DEEPMAC / "boxes.npz")
    given = {"input_tensor": tf.constant(picture("300x300")), "boxes": tf.constant(golden["boxes"])}
    found = signatures["serving_default"](**given)
    assert np.abs(found["detection_masks"] - golden["detection_masks"]).max() <= 1e-5
    own = signatures["image_tensor"](input_tensor=given["input_tensor"])
    np.testing.assert_allclose(own["detection_boxes"], found["detection_boxes"], atol=1e-6)
    assert own["detection_masks"].shape[1] == own["detection_boxes"].shape[1]


def test_the_masks_of_the_models_own_boxes_are_the_same_either_way(deepmac):
    import tensorflow as tf

    from visionport.inputs.types import more_specs

    prepared, shapes = deepmac.preprocess(tf.constant(picture("300x300")))  # square: no padding
    own = deepmac.detect(prepared, shapes)
    given = deepmac.trace(more_specs("image_and_boxes_tensor"))(prepared, shapes, own["detection_boxes"])
    close = np.abs(own["detection_masks"] - given["detection_masks"]).max((2, 3)) < 1e-3
    assert close.mean() > 0.8  # a center on the edge of a place may fall to either side


def test_other_models_take_no_boxes(digits):
    from visionport.inputs.types import check_model

    with pytest.raises(UnsupportedError, match="image_and_boxes_tensor: it is for models that draw masks"):
        check_model(["image_and_boxes_tensor"], read_config(digits / "tf2"))


def names_alone(tmp_path, wanted):
    entries = [e for e in json.loads((DEEPMAC / "variables.json").read_text()) if wanted(e["key"])]
    file = tmp_path / "names.json"
    file.write_text(json.dumps([[e["key"], e["shape"], e["dtype"]] for e in entries]))
    return make_checkpoint(file, tmp_path / "checkpoint")


def test_without_the_mask_network_boxes_are_left_with_a_note(tmp_path):
    from visionport.models.build import build
    from visionport.signatures import sign

    prefix = names_alone(tmp_path, lambda key: "/_mask_net/" not in key)
    fitted = fit_config(prefix, path=DEEPMAC)
    assert fitted["fits"]
    assert "without detection_masks" in fitted["warnings"][-1]
    model = build(read_config(DEEPMAC), open_checkpoint(prefix))
    assert "detection_masks" not in model.detect.structured_outputs
    with pytest.raises(UnsupportedError, match="no network that draws masks"):
        sign(model, ["image_and_boxes_tensor"])


def test_half_a_mask_network_does_not_fit(tmp_path):
    prefix = names_alone(tmp_path, lambda key: "project_out/kernel" not in key)
    (problem,) = fit_config(prefix, path=DEEPMAC)["problems"]
    assert (problem["kind"], problem["name"]) == ("missing", "MaskNetwork/project_out/weights")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ("network_type: 'fully_connected'", UnsupportedError, "the reference builds no such model"),
        ("network_type: 'cond_inst3'", ConfigError, "use_instance_embedding: false"),
        ("network_type: 'cond_inst2' use_instance_embedding: false num_init_channels: 8", ConfigError, "dim: 161"),
        ("network_type: 'embedding_projection' use_instance_embedding: false", ConfigError, "use_xy: false"),
        ("network_type: 'hourglass52' mask_size: 20", UnsupportedError, "multiples of 32"),
    ],
)
def test_what_the_reference_cannot_build_is_refused(change, error, match, tmp_path):
    override = f"model {{ center_net {{ deepmac_mask_estimation {{ {change} }} }} }}"
    with pytest.raises(error, match=match):
        fit_config(make_checkpoint(DEEPMAC, tmp_path), path=DEEPMAC, override=override)


# TFLite


def written(keypoints, tmp_path, **options):
    model, prefix = keypoints
    chosen = Options(config=KEYPOINTS, checkpoint=prefix, out=tmp_path, formats=("tflite",), **options)
    chosen.check()
    TFLITE.check(model.config, chosen)
    return TFLITE.write(model, [], chosen, tmp_path)


def interpreter(path):
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(str(path))
    made.allocate_tensors()
    return made


def test_the_file_answers_as_the_references_file(keypoints, tmp_path):
    """Made by export_tflite_graph_tf2.py --max_detections 10 --centernet_include_keypoints and its converter."""
    path = written(keypoints, tmp_path, max_detections=10)
    graph = read_contents(path.read_bytes())
    assert tuple(t.name for t in graph.outputs) == OUTPUTS + POINTS  # by position: boxes, classes, scores, count
    golden = np.load(KEYPOINTS / "tflite_keypoints.npz")
    run = interpreter(path).get_signature_runner()
    found = run(**{next(iter(run.get_input_details())): picture("128x128").astype(np.float32)})
    assert golden["output_3"].max() > 0.5
    for name in golden.files:
        np.testing.assert_allclose(found[name], golden[name], atol=1e-4, err_msg=name)
    for name, numbered in zip(OUTPUTS + POINTS, sorted(golden.files, reverse=True), strict=True):
        np.testing.assert_array_equal(found[name], found[numbered])


def test_keypoints_can_be_left_out(keypoints, tmp_path):
    path = written(keypoints, tmp_path, tflite_keypoints=False, tflite_outputs="numbered")
    run = interpreter(path).get_signature_runner()
    details = run.get_output_details()
    assert sorted(details) == [f"output_{i}" for i in range(4)]
    assert list(details["output_3"]["shape"]) == [1, 14, 4]


def test_an_8_bit_file_finds_boxes_in_float32(keypoints, digits, tmp_path):
    path = written(keypoints, tmp_path, quantize="uint8", calibration=digits / "images")
    graph = read_contents(path.read_bytes())
    assert graph.inputs[0].dtype == "uint8"
    assert graph.inputs[0].quantization == (1.0, 0)  # pixels as they are
    assert {t.dtype for t in graph.outputs} == {"float32"}
    files = tmp_path / "float"
    files.mkdir()
    floats = written(keypoints, files)
    image = picture("128x128")
    answers = []
    for file, value in ((path, image), (floats, image.astype(np.float32))):
        run = interpreter(file).get_signature_runner()
        answers.append(run(**{next(iter(run.get_input_details())): value}))
    near = np.abs(answers[0]["detection_boxes"][0][:, None] - answers[1]["detection_boxes"][0]).max(-1).min(1)
    assert np.mean(near < 0.05) > 0.7


def test_what_8_bits_cost_each_layer(keypoints, digits, tmp_path):
    model, prefix = keypoints
    more = {"quantize": "int8", "calibration": digits / "images"}
    path = written(keypoints, tmp_path, **more)
    options = Options(config=KEYPOINTS, checkpoint=prefix, out=tmp_path, formats=("tflite",), **more)
    how = describe(model.config.model.resizer, model.meta.normalization(model.config.model))
    found = TFLITE.layers(model, options, path, {"preprocessing": how}, [picture("128x128")[0]])
    assert len(found) > 20
    assert all(10 < layer.signal < 100 for layer in found)


def test_raw_maps_are_the_models(keypoints, tmp_path):
    model, _ = keypoints
    path = written(keypoints, tmp_path, tflite_head="raw", tflite_input="uint8")
    image = picture("128x128")
    run = interpreter(path)
    run.set_tensor(run.get_input_details()[0]["index"], image)
    run.invoke()
    prepared, shapes = model.preprocess(image)
    wanted = {k.rpartition("/")[0]: v for k, v in model.predict(prepared, shapes).items() if k != "feature_maps"}
    found = {o["name"]: run.get_tensor(o["index"]) for o in run.get_output_details()}
    assert sorted(found) == sorted(wanted)
    for name, value in found.items():
        assert np.abs(value - wanted[name]).max() <= 1e-4 * np.std(wanted[name]) + 1e-5, name


@pytest.mark.parametrize(
    ("options", "change", "error", "match"),
    [
        ({"tflite_head": "decoded"}, {}, OptionError, "without anchors"),
        ({"tflite_nms": "fast"}, {}, OptionError, "takes peaks instead"),
        ({"batch": 2}, {}, UnsupportedError, "a batch of 2"),
        ({"tflite_keypoints": False}, {"detection": None}, UnsupportedError, "from keypoints"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(options, change, error, match):
    config = read_config(KEYPOINTS)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **change))
    chosen = Options(config=KEYPOINTS, checkpoint=KEYPOINTS, out=KEYPOINTS, formats=("tflite",), **options)
    with pytest.raises(error, match=match):
        tflite_center_net.check(config, chosen)


def test_the_old_script_writes_its_saved_model_and_the_file(keypoints, tmp_path):
    import tensorflow as tf

    _, prefix = keypoints
    out = tmp_path / "out"
    command = [sys.executable, "-m", "visionport.scripts.export_tflite_graph_tf2"]
    command += [f"--pipeline_config_path={KEYPOINTS / 'pipeline.config'}", f"--trained_checkpoint_dir={prefix.parent}"]
    command += [f"--output_directory={out}", "--centernet_include_keypoints"]
    command += [f"--keypoint_label_map_path={KEYPOINTS / 'keypoint_label_map.pbtxt'}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--max-detections 10" in done.stdout
    golden = np.load(KEYPOINTS / "tflite_keypoints.npz")
    function = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"]
    found = function(input=tf.constant(picture("128x128").astype(np.float32)))
    for name in golden.files:
        np.testing.assert_allclose(found[name], golden[name], atol=1e-4, err_msg=name)


def test_argmax_is_not_looked_at_with_several_classes(tmp_path):
    """As in the reference; with one class and one task it decides, and wants a ranking mode of its own."""
    text = (KEYPOINTS / "pipeline.config").read_text()
    text = re.sub(r"predict_depth: true", "argmax_postprocessing: true per_keypoint_offset: true", text)
    (tmp_path / "keypoint_label_map.pbtxt").write_text((KEYPOINTS / "keypoint_label_map.pbtxt").read_text())
    config = tmp_path / "pipeline.config"
    config.write_text(text.replace("num_classes: 1", "num_classes: 3"))
    assert not read_config(config).model.keypoints[0].argmax
    config.write_text(text)
    with pytest.raises(ConfigError, match="gaussian_weighted_const"):
        read_config(config)


def test_mismatch_is_told_with_a_table(tmp_path):
    from visionport.models.build import build

    other = read_config(KEYPOINTS, "model { center_net { feature_extractor { type: 'hourglass_20' } } }")
    with pytest.raises(MismatchError):
        build(other, open_checkpoint(make_checkpoint(KEYPOINTS, tmp_path)))
