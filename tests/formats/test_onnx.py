"""ONNX files of the digits detector, in ONNX Runtime."""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from command_line import snippet, visionport
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from visionport import Options, export, load, manifest
from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.formats import format_of
from visionport.formats.base import Reading
from visionport.inspection.inspect import inspect

FORMAT = format_of("onnx")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, digits):
    """The digits detector's SavedModel and ONNX file, verified."""
    options = Options(
        config=digits / "tf2",
        checkpoint=digits / "tf2",
        labels=digits / "label_map.pbtxt",
        out=tmp_path_factory.mktemp("onnx") / "exported",
        formats=("saved_model", "onnx"),
    )
    assert export(options).agrees
    return options.out


@pytest.fixture(scope="module")
def file(exported):
    return exported / "model.onnx"


def export_onnx(digits, out, **how):
    options = Options(config=digits / "tf2", checkpoint=digits / "tf2", out=out, formats=("onnx",), **how)
    found = export(options)
    return found, onnx.load(out / "model.onnx")


def test_it_has_the_saved_models_inputs_and_outputs(exported):
    content = manifest.read(exported)
    saved, mine = (
        next(a for a in content["artifacts"] if a["format"] == name)["signatures"][0]
        for name in ("saved_model", "onnx")
    )
    assert [t["name"] for t in mine["inputs"]] == ["input_tensor"]
    assert mine["inputs"][0]["dtype"] == "uint8"
    assert {t["name"]: t["dtype"] for t in mine["outputs"]} == {t["name"]: t["dtype"] for t in saved["outputs"]}


def test_suppression_is_one_operation_and_no_loop(file):
    model = onnx.load(file)
    ops = [n.op_type for n in model.graph.node]
    assert ops.count("NonMaxSuppression") == 1
    assert "Loop" not in ops
    onnx.checker.check_model(model, full_check=True)


def test_the_file_says_what_it_is(file):
    told = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert told["task"] == "detection"
    assert json.loads(told["labels"])[3] == "three"
    assert json.loads(told["mean"]) == [127.5] * 3
    assert told["input_type"] == "image_tensor"


def test_it_answers_wherever_it_lies(file, exported, digits, tmp_path):
    alone = shutil.copy(file, tmp_path / "digits.onnx")
    picture = digits / "images" / "digits-0.jpg"
    there, here = (load(path).predict(picture) for path in (file, alone))
    assert there == here
    assert [d["label"] for d in here["detections"]] == [
        d["label"] for d in load(exported / "saved_model").predict(picture)["detections"]
    ]
    assert len(here["detections"]) >= 3


def test_a_batch_of_pictures(file, digits):
    predictor = load(file)
    pictures = [np.asarray(Image.open(f)) for f in sorted((digits / "images").glob("*.jpg"))[:2]]
    pictures = [p[:200, :200] for p in pictures]
    together, apart = predictor(np.stack(pictures)), [predictor(p) for p in pictures]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one["detection_scores"], other["detection_scores"], atol=1e-6)
        np.testing.assert_allclose(one["detection_boxes"], other["detection_boxes"], atol=1e-5)


def test_the_snippet_runs(exported, digits, tmp_path):
    content = manifest.read(exported)
    (artifact,) = (a for a in content["artifacts"] if a["format"] == "onnx")
    text = snippet(artifact, content)
    (tmp_path / "model.onnx").symlink_to(exported / "model.onnx")
    (tmp_path / "image.jpg").symlink_to(digits / "images" / "digits-0.jpg")
    ran = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    best = load(exported / "model.onnx")(digits / "images" / "digits-0.jpg")["detection_classes"][0]
    assert f" {best:.1f}" in ran.stdout


def test_inspect(file):
    found = inspect(file)
    assert found["opsets"] == {"ai.onnx": 17}
    assert found["ops"]["Conv"] > 50
    assert "NonMaxSuppression" in str(found)
    assert "three" in str(found)


def test_the_network_without_suppression(file, digits):
    reading = Reading.read(next(a for a in manifest.read(file.parent)["artifacts"] if a["format"] == "onnx")["reading"])
    network = FORMAT.network(file, reading)
    assert network
    assert [t.name for t in network.runner.signatures["serving_default"].outputs] == [
        "raw_detection_boxes",
        "raw_detection_scores",
    ]
    assert (
        not FORMAT.network(file, reading)
        .runner.call(  # type: ignore[union-attr]
            "serving_default", {"input_tensor": np.zeros((1, 64, 64, 3), np.uint8)}
        )["raw_detection_scores"]
        .max()
        > 1
    )


@pytest.mark.parametrize(
    ("how", "outputs", "shape"),
    [
        (
            {"onnx_head": "raw", "opset": 13},
            ["anchors", "box_encodings", "class_scores"],
            ["batch", "height", "width", 3],
        ),
        (
            {"onnx_head": "decoded", "batch": 2, "image_size": (100, 120), "opset": 21},
            ["raw_detection_boxes", "raw_detection_scores"],
            [2, 100, 120, 3],
        ),
        ({"onnx_preprocessing": "outside", "batch": 1}, None, [1, 192, 192, 3]),
        ({"inputs": ("float_image_tensor",)}, None, ["batch", "height", "width", 3]),
    ],
)
def test_what_may_be_asked(digits, tmp_path, how, outputs, shape):
    found, model = export_onnx(digits, tmp_path / "out", **how)
    assert found.agrees, str(found)
    (source,) = model.graph.input
    dims = [d.dim_param or d.dim_value for d in source.type.tensor_type.shape.dim]
    assert dims == shape
    kind = TensorProto.UINT8 if how.get("onnx_head") else TensorProto.FLOAT
    assert source.type.tensor_type.elem_type == kind
    assert model.opset_import[0].version == how.get("opset", 17)
    if outputs:
        assert sorted(o.name for o in model.graph.output) == outputs


def test_refusals(digits, tmp_path):
    base = Options(config=digits / "tf2", checkpoint=digits / "tf2", out=tmp_path / "out", formats=("onnx",))
    for change, match in (
        ({"inputs": ("encoded_image_string_tensor",)}, "decodes pictures. Take image_tensor"),
        ({"input_name": "my input"}, "--input-name 'my input': TensorFlow takes letters"),
        ({"opset": 12}, "--opset 12: versions 13 to 21 of ONNX"),
        ({"onnx_head": "boxes"}, "'boxes' is unknown. One of: detections, decoded, raw"),
        ({"formats": ("saved_model",), "onnx_head": "raw"}, "--onnx-head: for ONNX alone; add --format onnx"),
    ):
        with pytest.raises(OptionError, match=match):
            export(dataclasses.replace(base, **change))
    override = "model { ssd { post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 } } } }"
    with pytest.raises(UnsupportedError, match="soft NMS: set soft_nms_sigma: 0"):
        export(dataclasses.replace(base, config_override=override, verify=False))
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- files of others


def small(path, *nodes, initializers=(), domains=("",), shape=(1, 4)):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(shape)) for n in ("x", "y")]
    graph = helper.make_graph(list(nodes), "g", ends[:1], ends[1:], list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(d, 17 if not d else 1) for d in domains])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def test_a_stranger_is_known_by_its_bytes(tmp_path, file):
    path = small(tmp_path / "model.bin", helper.make_node("Relu", ["x"], ["y"]))
    assert FORMAT.recognises(path)
    assert FORMAT.recognises(file)
    assert not FORMAT.recognises(file.parent / "saved_model" / "saved_model.pb")
    assert not FORMAT.recognises(file.parent / "frozen_inference_graph.pb")
    FORMAT.check_foreign(path)
    runner = FORMAT.open(path, Reading(input="x", type="preprocessed"))
    (found,) = runner.call("serving_default", {"x": np.array([[-1, 0, 1, 2]], np.float32)}).values()
    assert found.tolist() == [[0, 0, 1, 2]]


def outside(location):
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "", "link", "missing", "n" * 300, "a\0b"])
def test_weights_elsewhere_are_refused(tmp_path, location):
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    path = small(folder / "m.onnx", helper.make_node("Add", ["x", "w"], ["y"]), initializers=[outside(location)])
    with pytest.raises(ArtifactError, match="is no file in its folder"):
        FORMAT.check_foreign(path)


def test_weights_beside_the_file_are_read(tmp_path):
    (tmp_path / "w.bin").write_bytes(np.array([1, 2, 3, 4], np.float32).tobytes())
    path = small(tmp_path / "m.onnx", helper.make_node("Add", ["x", "w"], ["y"]), initializers=[outside("w.bin")])
    FORMAT.check_foreign(path)
    runner = FORMAT.open(path, Reading(input="x", type="preprocessed"))
    (found,) = runner.call("serving_default", {"x": np.ones((1, 4), np.float32)}).values()
    assert found.tolist() == [[2, 3, 4, 5]]


def test_operations_of_others_are_refused(tmp_path):
    path = small(tmp_path / "m.onnx", helper.make_node("Evil", ["x"], ["y"], domain="mine"), domains=("", "mine"))
    with pytest.raises(ArtifactError, match="operations of 'mine'"):
        FORMAT.check_foreign(path)
    with pytest.raises(ArtifactError, match="ONNX Runtime does not take the file"):
        FORMAT.open(path, Reading(input="x", type="preprocessed"))


def test_a_file_that_takes_all_memory_does_not_take_ours(tmp_path, monkeypatch):
    from visionport import limits

    monkeypatch.setattr(limits, "TRIAL_MEMORY", limits.GIBIBYTE)
    size = numpy_helper.from_array(np.array([1 << 20, 1 << 14]), "size")
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Expand", ["s", "size"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    path = small(tmp_path / "m.onnx", *nodes, initializers=[size])
    with pytest.raises(ArtifactError):
        FORMAT.open(path, Reading(input="x", type="preprocessed")).call("serving_default", {"x": np.ones((1, 4))})


@pytest.mark.parametrize("data", [b"", b"\x08\x08\x3a", b"\x08\x08\x3a\xff\xff\xff\xff\x0f", b"text"])
def test_damaged_files(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ArtifactError):
        FORMAT.check_foreign(path)
    said = visionport("predict", path, path)
    assert said.returncode == 2
    assert "Traceback" not in said.stderr


def test_it_is_served_wherever_it_lies(file, tmp_path):
    from visionport.serving.servable import open_servable

    shutil.copy(file, tmp_path / "model.onnx")
    servable = open_servable(tmp_path)
    assert servable.format == "onnx"
    assert servable.predictor
    assert servable.predictor.labels[4] == "three"
    assert list(servable.definitions) == ["serving_default"]
