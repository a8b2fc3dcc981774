"""`visionport inspect` of TFLite files, SavedModels and graphs: everything that they hold, and no traceback."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from visionport import Options, export
from visionport.cli import main
from visionport.errors import InputError, VisionportError
from visionport.inputs import pictures
from visionport.inspection import graph as inspection_graph
from visionport.inspection import tflite as inspection_tflite
from visionport.tflite import description

PICTURES = Path(str(pictures.example("digits/images")))


@pytest.fixture(scope="module")
def int8(tmp_path_factory, digits) -> Path:
    out = tmp_path_factory.mktemp("int8") / "out"
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt", "out": out}
    kind = {"quantize": "int8", "tflite_input": "uint8", "calibration": PICTURES}
    export(Options(**places, formats=("tflite",), verify=False, **kind))
    return out / "model.tflite"


def test_everything_in_a_quantised_file(int8):
    found = description.describe_tflite(int8)
    assert found["size"] == int8.stat().st_size
    assert found["quantization"] == "int8"
    (source,) = found["inputs"]
    assert (source["dtype"], source["shape"]) == ("uint8", [1, 192, 192, 3])
    assert source["scale"] == pytest.approx(1 / 127.5)
    assert [o["name"] for o in found["outputs"]][1] == "TFLite_Detection_PostProcess:1"
    (signature,) = found["signatures"]
    assert signature["outputs"]["detection_boxes"] == signature["outputs"]["output_3"] == found["outputs"][0]["name"]
    assert found["ops"]["CONV_2D"] > 10
    (op,) = found["custom_ops"]
    assert op["inputs"] == ["box_encodings", "class_scores", "anchors"]
    assert op["attributes"]["num_classes"] == 10
    assert op["attributes"]["use_regular_nms"] is True
    assert op["attributes"]["nms_iou_threshold"] == pytest.approx(0.6)
    weights = found["weights"]
    assert weights["bytes"] == sum(weights["by_dtype"].values())
    assert next(iter(weights["by_dtype"])) == "int8"
    assert found["labels"][:2] == ["zero", "one"]
    assert found["files"] == ["labels.txt"]
    (graph,) = found["metadata"]["subgraphs"]
    assert graph["inputs"][0]["mean"] == [127.5] * 3
    assert (graph["outputs"][0]["content"], graph["outputs"][0]["order"]) == ("boxes", [1, 0, 3, 2])
    assert graph["outputs"][1]["files"] == ["labels.txt"]
    json.dumps(found)


def test_who_takes_it(int8, exported):
    eight, floats = (
        {d["name"]: d for d in description.describe_tflite(f)["delegates"]} for f in (int8, exported / "model.tflite")
    )
    assert {(f["op"], f["reason"]) for f in eight["GPU"]["falls_back"]} == {
        ("TFLite_Detection_PostProcess", "a custom op")
    }
    left = {f["op"] for f in eight["Edge TPU"]["falls_back"]}
    assert left == {"DEQUANTIZE", "TFLite_Detection_PostProcess"}
    assert eight["Edge TPU"]["parts"] == 1
    assert floats["Edge TPU"]["ops"] == 0
    assert "--quantize int8" in floats["Edge TPU"]["notes"][0]


def test_damaged_files_are_told(int8, tmp_path):
    data, random = int8.read_bytes(), np.random.default_rng(0)
    file = tmp_path / "m.tflite"
    told = 0
    for i in range(60):
        broken = bytearray(data)
        if i % 2:
            broken = broken[: random.integers(0, len(data) // 2)]
        else:
            for _ in range(300):
                broken[random.integers(8, len(broken))] = random.integers(0, 256)
        file.write_bytes(broken)
        try:
            inspection_tflite.render(description.describe_tflite(file))
        except VisionportError:
            told += 1
    assert told > 25


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x20\0\0\0TFL3", "damaged or cut short"),
    ],
)
def test_what_is_no_tflite_file(tmp_path, content, text):
    (tmp_path / "m.tflite").write_bytes(content)
    with pytest.raises(InputError, match=text):
        description.describe_tflite(tmp_path / "m.tflite")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "m.tflite")])
    assert result.exit_code == 2


def test_the_command_needs_no_tensorflow(int8):
    code = f"import sys; from visionport.cli import main; main(['inspect', {str(int8)!r}], standalone_mode=False)"
    code += "; assert 'tensorflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for text in (
        "TFLite_Detection_PostProcess",
        "use_regular_nms",
        "0.0078431",
        "labels.txt",
        "Edge TPU",
        "zero, one",
    ):
        assert text in done.stdout


def test_config_is_for_checkpoints(int8):
    result = CliRunner().invoke(main, ["inspect", str(int8), "--config", "pipeline.config"])
    assert result.exit_code == 2


def test_a_saved_model(exported):
    found = inspection_graph.describe(exported / "saved_model")
    (meta,) = found["meta_graphs"]
    assert meta["tags"] == ["serve"]
    signatures = {s["name"]: s for s in meta["signatures"]}
    assert signatures["serving_default"]["inputs"]["input_tensor"]["shape"] == [-1, -1, -1, 3]
    assert signatures["serving_default"]["outputs"]["detection_boxes"]["dtype"] == "float32"
    assert any(v["name"].endswith("weights") for v in found["variables"])
    inspection_graph.render(found)
    json.dumps(found)


def test_a_frozen_graph(exported):
    found = inspection_graph.describe(exported / "frozen_inference_graph.pb")
    assert [t["name"] for t in found["inputs"]] == ["image_tensor"]
    assert "detection_boxes" in found["outputs"]
    assert found["ops"]["Conv2D"] > 10
    assert not found["variables"]
    inspection_graph.render(found)
