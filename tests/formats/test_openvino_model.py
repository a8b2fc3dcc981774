"""`--format openvino`: a model.xml of OpenVINO's own, which answers as the checkpoint does."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import ROOT, SHARED
from sampling import ALL

import visionport
from visionport import Options, export
from visionport.config import read_config
from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.formats import format_of
from visionport.formats.openvino import ir, trial
from visionport.formats.openvino.format import check_quantization

pytest.importorskip("openvino")
FORMAT = format_of("openvino")


def options(digits, out, api="tf2", **more) -> Options:
    given: dict = {"config": digits / api, "checkpoint": digits / api, "labels": digits / "label_map.pbtxt"}
    given |= {"out": out, "formats": ("openvino",)}
    return Options(**given | more)


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits) -> Path:
    """Both digits detectors' formats: a SavedModel and an OpenVINO model, verified."""
    out = tmp_path_factory.mktemp("openvino") / "made"
    done = export(options(digits, out, formats=("saved_model", "openvino")))
    assert done.agrees
    (artifact,) = (a for a in done.artifacts if a.format == "openvino")
    assert artifact.path == "openvino/model.xml"
    assert artifact.size == sum(f.stat().st_size for f in (out / "openvino").iterdir())
    judged = {c.what for c in done.checks if c.artifact == "openvino" and c.bound is not None}
    assert {"outputs", "raw_detection_boxes", "raw_detection_scores", "detections matched"} <= judged
    return out


@pytest.fixture(scope="module")
def pictures(digits) -> list[np.ndarray]:
    return [np.array(Image.open(digits / "images" / f"digits-{i}.jpg")) for i in range(3)]


def test_answers_as_the_saved_model(made, pictures):
    """Whole batches, pictures of another size, and from several threads at once."""
    found, wanted = (visionport.load(made, format=name) for name in ("openvino", "saved_model"))
    runners = [p.asker.runner for p in (found, wanted)]
    signatures = [r.signatures["serving_default"] for r in runners]
    assert signatures[0].inputs == signatures[1].inputs
    mine, theirs = {}, {}
    large = np.asarray(Image.fromarray(pictures[0]).resize((321, 455)))[None]
    for batch in (np.stack(pictures), large):
        mine, theirs = (r.call("serving_default", {"input_tensor": batch}) for r in runners)
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name].dtype == value.dtype, name
            np.testing.assert_allclose(mine[name], value, atol=2e-5, err_msg=name)
    assert theirs["num_detections"].min() > 0
    with ThreadPoolExecutor(3) as pool:
        together = [*pool.map(found.predict, pictures * 2)]
    assert together == [found.predict(p) for p in pictures] * 2


def test_a_model_that_lies_in_no_export(made, pictures, tmp_path):
    shutil.copytree(made / "openvino", tmp_path / "alone")
    alone = visionport.load(tmp_path / "alone" / "model.xml")
    assert alone.predict(pictures[0]) == visionport.load(made / "openvino" / "model.xml").predict(pictures[0])
    assert alone.predict(pictures[0])["detections"][0]["label"] == "six"


def test_what_it_says_without_openvino(made):
    facts = visionport.inspect(made / "openvino" / "model.xml").facts
    assert facts["inputs"] == [{"name": "input_tensor", "dtype": "uint8", "shape": [-1, -1, -1, 3]}]
    assert {"name": "detection_boxes", "dtype": "float32", "shape": [-1, 100, 4]} in facts["outputs"]
    assert facts["ops"]["NonMaxSuppression"] == 2
    assert facts["precision"] == "float32"
    assert facts["rt_info"]["model_info/labels"].split()[:3] == ["zero", "one", "two"]
    assert "nncf" not in str(facts["rt_info"].keys())
    assert FORMAT.recognises(made / "openvino" / "model.xml")
    assert not FORMAT.recognises(made / "openvino" / "model.bin")
    assert not FORMAT.recognises(made / "report.html")


def test_the_network_alone(made):
    record = json.loads((made / "manifest.json").read_text())["artifacts"][1]
    reading = visionport.load(made, format="openvino").asker.reading
    network = FORMAT.network(made / record["path"], reading)
    assert network
    (signature,) = network.runner.signatures.values()
    assert {t.name for t in signature.outputs} == {"raw_detection_boxes", "raw_detection_scores"}


def test_the_same_bytes_each_time(digits, made, tmp_path):
    """A process numbers what it makes: a second export in it must not show that it is the second."""
    export(options(digits, tmp_path / "again", verify=False))
    for name in ("model.xml", "model.bin"):
        digests = [hashlib.sha256((f / "openvino" / name).read_bytes()).digest() for f in (made, tmp_path / "again")]
        assert digests[0] == digests[1], name


def test_snippets_run(digits, made, tmp_path):
    """The report's, and that of docs/openvino.md."""
    from visionport.tasks import task_of

    content = json.loads((made / "manifest.json").read_text())
    report = FORMAT.snippet(content["artifacts"][1], content, task_of("detection"))
    document = (ROOT / "docs" / "openvino.md").read_text().partition("```python\n")[2].partition("```")[0]
    shutil.copytree(made / "openvino", tmp_path / "openvino")
    for name in ("image.jpg", "photo.jpg"):
        shutil.copy(digits / "images" / "digits-0.jpg", tmp_path / name)
    for code in (report, document):
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


@pytest.mark.parametrize("head", ["raw", "decoded"])
def test_heads(digits, tmp_path, head):
    picture = digits / "images" / "digits-0.jpg"
    done = export(options(digits, tmp_path / "out", openvino_head=head, batch=1, images=(picture,)))
    assert done.agrees
    names = {
        "raw": {"box_encodings", "class_scores", "anchors"},
        "decoded": {"raw_detection_boxes", "raw_detection_scores"},
    }
    assert {t.name for t in ir.read(tmp_path / "out" / "openvino" / "model.xml").outputs} == names[head]
    with pytest.raises(OptionError, match="gives no detections"):
        visionport.predict(tmp_path / "out", picture)


def test_half_the_size(digits, made, tmp_path):
    export(options(digits, tmp_path / "out", openvino_precision="f16", verify=False))
    sizes = [(f / "openvino" / "model.bin").stat().st_size for f in (tmp_path / "out", made)]
    assert 0.5 < sizes[0] / sizes[1] < 0.65
    assert FORMAT.precision(tmp_path / "out" / "openvino" / "model.xml") == "float32 (weights float16)"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"openvino_precision": "int8"}, "needs --calibration"),
        ({"openvino_precision": "f8"}, "is unknown"),
        ({"openvino_head": "boxes"}, "is unknown"),
        ({"formats": ("saved_model",), "openvino_head": "raw"}, "add --format openvino"),
        ({"inputs": ("encoded_image_string_tensor",)}, "no operation that reads JPEG"),
        ({"calibration": Path("pictures")}, "--calibration: for TFLite alone"),
    ],
)
def test_options_that_are_refused(digits, tmp_path, given, words):
    with pytest.raises((OptionError, UnsupportedError), match=words):
        export(options(digits, tmp_path / "out", **given))
    assert not (tmp_path / "out").exists()


def test_soft_nms_is_refused_with_the_field_to_change(digits, tmp_path):
    soft = "model { ssd { post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 } } } }"
    with pytest.raises(UnsupportedError, match=r"--format openvino: .*soft NMS.*soft_nms_sigma: 0"):
        export(options(digits, tmp_path / "out", config_override=soft, verify=False))


def test_checkpoints_trained_for_8_bits_have_them(digits, tmp_path):
    trained = replace(read_config(path=digits / "tf1"), quantized=True)
    given = options(digits, tmp_path, openvino_precision="int8", calibration=digits / "images")
    with pytest.raises(OptionError, match="trained for 8 bits"):
        check_quantization(trained, given)


def test_8_bits_without_nncf(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "nncf" else object())
    given = options(digits, tmp_path / "out", openvino_precision="int8", calibration=digits / "images")
    with pytest.raises(OptionError, match=r"nncf is not installed. Take `pip install visionport\[nncf\]`"):
        export(given)


def damaged(made, folder: Path, change) -> Path:
    shutil.copytree(made / "openvino", folder)
    path = folder / "model.xml"
    path.write_text(change(path.read_text()))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace('<?xml version="1.0"?>', '<!DOCTYPE net [<!ENTITY a "b">]>'), "declares a document type"),
        (lambda t: t.replace('offset="0" size="', 'offset="99999999" size="', 1), "weights from 99,999,999"),
        (lambda t: t.replace('offset="0"', 'offset="-8"', 1), "weights from -8"),
        (lambda t: t.replace("</net>", ""), "cannot be read"),
        (lambda t: t.replace('version="11">', 'version="11">' + "<a>" * 300, 1), "deeper ones, than any model"),
        (lambda t: "<netto></netto>", "outermost element is <netto>"),
        (lambda t: t.replace("<dim>-1</dim>", "<dim>many</dim>", 1), "cannot be read"),
        (
            lambda t: t.replace('type="Convolution" version="opset1"', 'type="Convolusion" version="opset1"', 1),
            "OpenVINO",
        ),
        (lambda t: t.replace('type="Convolution" version="opset1"', 'type="X" version="mine"', 1), "OpenVINO"),
    ],
)
def test_damaged_models(made, tmp_path, change, words):
    path = damaged(made, tmp_path / "model", change)
    with pytest.raises(ArtifactError, match=words):
        trial.try_model(path)


def test_weights_that_are_missing(made, tmp_path):
    shutil.copy(made / "openvino" / "model.xml", tmp_path)
    with pytest.raises(ArtifactError, match=r"model\.bin must lie beside it"):
        visionport.inspect(tmp_path / "model.xml")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", "OpenVINO crashes on it .Aborted"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "OpenVINO crashes on it .Segmentation fault"),
    ],
)
def test_a_model_that_ends_its_process_ends_another(made, tmp_path, monkeypatch, program, words):
    path = damaged(made, tmp_path / "model", lambda t: t + "<!-- another -->")
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **how: real([*command[:3], program, *command[4:]], **how))
    with pytest.raises(ArtifactError, match=words):
        trial.try_model(path)


def test_a_sound_model_is_tried_once(made, tmp_path, monkeypatch):
    path = damaged(made, tmp_path / "model", lambda t: t + "<!-- sound -->")
    trial.try_model(path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("tried again"))
    trial.try_model(path)


# ---------------------------------------------------------------- slow ones

slow = pytest.mark.skipif(not ALL, reason="minutes")
DEMO = SHARED / "demo"


@slow
@pytest.mark.parametrize("api", ["tf1", "tf2"])
@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_metric_of_the_digits_detectors(digits, tmp_path, api, precision):
    if not DEMO.is_dir():
        pytest.skip("the labelled pictures are not here")
    more = {"openvino_precision": precision, "evaluate": DEMO / "val.tfrecord"}
    done = export(options(digits, tmp_path / "out", api, **more))
    (check,) = (c for c in done.checks if c.what.endswith("lost"))
    assert check.measured <= 0.002
