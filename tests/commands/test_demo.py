"""`visionport demo`: the bundled detectors to every format."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import ARTIFACTS, FILES, done, files, visionport
from PIL import Image

from visionport import open_checkpoint, read_config
from visionport.formats import BASIC as FORMATS


def test_demo(tmp_path, digits):
    process = visionport("demo", "--out", "digits", cwd=tmp_path)
    printed, demo = done(process), tmp_path / "digits"
    written = files(demo)
    assert sorted(written) == sorted([*FILES, "digits-0_detections.png"])
    for name in (*ARTIFACTS, "report.html", "digits-0_detections.png"):
        assert str(Path("digits") / name) in printed
    assert "six 0.99" in printed
    assert "write tflite" in process.stderr

    content = json.loads(written["manifest.json"])
    assert set(content["files"]) == {*FILES, "digits-0_detections.png"} - {"manifest.json"}
    for name, record in content["files"].items():
        assert record == {"size": len(written[name]), "sha256": hashlib.sha256(written[name]).hexdigest()}
    for name, record in content["inputs"].items():
        assert record["sha256"] == hashlib.sha256((digits / "tf2" / name).read_bytes()).hexdigest()
    assert [a["path"] for a in content["artifacts"]] == list(ARTIFACTS)

    verified = json.loads(written["verify.json"])
    assert verified["agrees"] is True
    assert {c["artifact"] for c in verified["checks"]} == set(FORMATS)
    assert len({c["image"] for c in verified["checks"]} - {""}) == 6

    assert written["labels.txt"].decode().splitlines()[6] == "six"
    assert read_config(demo).model.num_classes == 10
    checkpoint, source = open_checkpoint(demo / "checkpoint" / "ckpt-0"), open_checkpoint(digits / "tf2")
    for key in checkpoint.groups()["model"]:
        np.testing.assert_array_equal(checkpoint[key], source[key])
    assert "ssd_mobilenet_v2_fpn_keras, 10 classes" in written["report.html"].decode()
    drawn, photo = (Image.open(f) for f in (demo / "digits-0_detections.png", digits / "images" / "digits-0.jpg"))
    assert drawn.format == "PNG"
    assert drawn.width * photo.height == drawn.height * photo.width  # small pictures are drawn larger


def test_demo_of_the_tf1_detector(tmp_path, digits):
    printed = done(visionport("demo", "--model", "tf1", "--out", "digits", "-q", cwd=tmp_path))
    demo = tmp_path / "digits"
    assert "six 1.00" in printed
    assert (demo / "model.ckpt.meta").is_file()
    assert json.loads((demo / "verify.json").read_text())["agrees"] is True
    # What is exported are the moving averages, under the variables' own names.
    checkpoint, source = open_checkpoint(demo / "model.ckpt"), open_checkpoint(digits / "tf1")
    averaged = [key for key in checkpoint.entries if f"{key}/ExponentialMovingAverage" in source.entries]
    assert averaged
    for key in averaged:
        np.testing.assert_array_equal(checkpoint[key], source[f"{key}/ExponentialMovingAverage"])
        assert not np.array_equal(checkpoint[key], source[key])


@pytest.mark.parametrize(
    ("model", "found", "drawn"),
    [
        ("classifier", "six 0.9", "digit-0_classes.png"),
        ("segmenter", "background 79%, three 7%", "digit-0_masks.png"),
        ("retinanet", "three 0.", "digit-0_detections.png"),
    ],
)
def test_demo_of_official_vision(model, found, drawn, tmp_path, digits):
    printed = done(visionport("demo", "--model", model, "--out", "digits", "-q", cwd=tmp_path))
    demo = tmp_path / "digits"
    assert found in printed
    assert (demo / drawn).is_file()
    assert (demo / "checkpoint" / "ckpt-1.index").is_file()
    assert json.loads((demo / "verify.json").read_text())["agrees"] is True
    assert (demo / "labels.txt").read_text().splitlines()[-1] == "nine"


@pytest.mark.parametrize("model", ["classifier", "segmenter", "retinanet"])
def test_bundled_models_are_without_the_optimizer(model, digits):
    checkpoint = open_checkpoint(digits / model)
    assert not [key for key in checkpoint.entries if "OPTIMIZER_SLOT" in key or key.startswith("optimizer")]
    assert sum(f.stat().st_size for f in (digits / model).iterdir()) < 2_200_000
