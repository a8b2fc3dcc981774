"""The command line from end to end, each command in a process of its own, on the bundled digits detector."""

import io
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from command_line import ARTIFACTS, FILES, at_once, done, files, snippet, visionport
from PIL import Image

from visionport import Options, cli, export, exporter
from visionport.commands import common
from visionport.config.model import COMMON_INPUTS
from visionport.errors import OutputError
from visionport.formats import BASIC as FORMATS
from visionport.inputs import pictures as images
from visionport.inputs.types import INPUT_TYPES
from visionport.tasks.detection.comparison import compare_answers
from visionport.verification.bounds import SAME_OPERATIONS
from visionport.verification.checks import Check, agree

INPUTS = {name: how for name, how in INPUT_TYPES.items() if name in COMMON_INPUTS}  # of an image alone

# What exporter_main_v2.py gives for an SSD, all float32.
OUTPUTS = {
    "detection_anchor_indices",
    "detection_boxes",
    "detection_classes",
    "detection_multiclass_scores",
    "detection_scores",
    "num_detections",
    "raw_detection_boxes",
    "raw_detection_scores",
}


@pytest.fixture(scope="module")
def twice(tmp_path_factory, digits) -> list[tuple[Path, CompletedProcess[str]]]:
    """One export with everything in it, made in two processes that differ in all that must not matter."""

    def run(number: str) -> tuple[Path, CompletedProcess[str]]:
        folder = tmp_path_factory.mktemp("export")
        arguments = ["--config", digits / "tf2", "--checkpoint", digits / "tf2", "--out", f"out-{number}"]
        arguments += ["--format", ",".join(FORMATS), "--input", ",".join(INPUTS)]
        arguments += ["--labels", digits / "label_map.pbtxt"] + ["--verbose"] * (number == "2")
        return folder / f"out-{number}", visionport("export", *arguments, cwd=folder, PYTHONHASHSEED=number)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, "12"))


@pytest.fixture(scope="module")
def out(twice) -> Path:
    """Not to be changed: copy it first."""
    return twice[0][0]


@pytest.fixture(scope="module")
def manifest(out) -> dict[str, Any]:
    return json.loads((out / "manifest.json").read_text())


@pytest.fixture(scope="module")
def loaded(out) -> Any:
    import tensorflow as tf

    return tf.saved_model.load(str(out / "saved_model"))


# export


def test_two_exports_are_the_same_bytes(twice):
    first, second = (files(folder) for folder, _ in twice)
    assert sorted(first) == FILES
    assert [name for name in FILES if first[name] != second.get(name)] == []
    assert len(first) == len(second)


def test_what_an_export_prints(twice):
    (_, quiet), (_, verbose) = twice
    for process, out in ((quiet, "out-1"), (verbose, "out-2")):
        printed = done(process)
        for name in (*ARTIFACTS, "report.html"):
            assert f"{out}/{name}  " in printed
        assert "detections matched" in printed
    assert quiet.stderr == ""
    for stage in ("import TensorFlow", "read checkpoint", "write saved_model", "verify"):
        assert stage in verbose.stderr


def test_signatures_have_the_references_names_and_dtypes(loaded, manifest):
    assert set(loaded.signatures) == {"serving_default", *INPUTS}
    for name, function in loaded.signatures.items():
        how = INPUTS["image_tensor" if name == "serving_default" else name]
        ((argument, spec),) = function.structured_input_signature[1].items()
        assert (argument, spec.dtype.name, spec.shape.rank) == ("input_tensor", how.dtype, 4 if how.is_image else 1)
        assert {k: v.dtype.name for k, v in function.structured_outputs.items()} == dict.fromkeys(OUTPUTS, "float32")
    (recorded,) = (a for a in manifest["artifacts"] if a["format"] == "saved_model")
    assert {s["name"] for s in recorded["signatures"]} == set(loaded.signatures)


def run(loaded: Any, name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    import tensorflow as tf

    return {k: v.numpy() for k, v in loaded.signatures[name](input_tensor=tf.constant(value)).items()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], atol=1e-5, err_msg=name)


def test_all_input_types_give_the_same_answer(loaded):
    for picture in images.load(()).values():
        expected = run(loaded, "serving_default", picture[None])
        assert expected["num_detections"][0] >= 1
        for name in INPUTS:
            same(run(loaded, name, INPUT_TYPES[name].feed(picture[None])), expected)


def test_batches(loaded):
    """Two pictures of one size, and encoded pictures of different sizes, are as one by one."""
    whole, cut, *_ = images.load(()).values()
    assert whole.shape != cut.shape
    alone = [run(loaded, "image_tensor", p[None]) for p in (whole, whole[::-1], cut)]

    def joined(*numbers: int) -> dict[str, np.ndarray]:
        return {k: np.concatenate([alone[n][k] for n in numbers]) for k in OUTPUTS}

    same(run(loaded, "image_tensor", np.stack([whole, whole[::-1]])), joined(0, 1))
    for name in ("encoded_image_string_tensor", "tf_example"):
        both = [INPUT_TYPES[name].feed(p[None])[0] for p in (whole, cut)]
        same(run(loaded, name, np.array(both, object)), joined(0, 2))


def test_encoded_pictures_of_every_kind(loaded):
    picture = next(iter(images.load(()).values()))
    expected = run(loaded, "image_tensor", picture[None])
    for kind in ("PNG", "BMP"):
        Image.fromarray(picture).save(data := io.BytesIO(), kind)
        same(run(loaded, "encoded_image_string_tensor", np.array([data.getvalue()], object)), expected)


def test_python_api_and_overwrite(tmp_path, digits):
    """Strings are paths too; an export takes the place of an earlier one, when asked, as a whole."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "manifest.json").write_text('{"visionport": "0", "files": {"old": {}}}')
    (target / "old").write_text("old")
    how: dict[str, Any] = {"config": str(digits / "tf2"), "checkpoint": str(digits / "tf2"), "out": str(target)}
    with pytest.raises(OutputError, match="--overwrite"):
        export(Options(**how))
    assert (target / "old").exists()
    result = export(Options(**how, overwrite=True, verify=False))
    assert (result.out, result.checks, result.agrees) == (target, (), True)
    (warning,) = result.warnings
    assert warning.startswith("no label map found")
    (artifact,) = result.artifacts
    assert (artifact.format, artifact.path) == ("saved_model", "saved_model")
    assert not (target / "old").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", [n for n in INPUTS if n != "image_tensor"])
def test_snippets_of_other_inputs(tmp_path, digits, monkeypatch, capsys, name):
    target = tmp_path / "out"
    how: dict[str, Any] = {"config": digits / "tf2", "checkpoint": digits / "tf2", "inputs": (name,), "verify": False}
    export(Options(**how, out=target))
    shutil.copy(digits / "images" / "digits-0.jpg", target / "image.jpg")
    monkeypatch.chdir(target)
    content = json.loads((target / "manifest.json").read_text())
    exec(snippet(content["artifacts"][0], content), {})
    assert "0.98" in capsys.readouterr().out


def test_snippets(out, manifest, digits, tmp_path):
    """Those of report.html, as a reader runs them."""
    folder = shutil.copytree(out, tmp_path / "out")
    shutil.copy(digits / "images" / "digits-0.jpg", folder / "image.jpg")

    def run(artifact: dict[str, Any]) -> CompletedProcess[str]:
        code = snippet(artifact, manifest)
        return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=100)

    with ThreadPoolExecutor(2) as pool:
        for process in pool.map(run, manifest["artifacts"]):
            assert process.returncode == 0, process.stderr
            assert "0.98" in process.stdout


# Exit statuses


def test_boxes_that_overflow_alike_agree():
    """An infinity is the checkpoint's own answer where both have it, and no other value's twin."""
    rows = {"detection_boxes": np.zeros((0, 4)), "detection_scores": np.zeros(0), "detection_classes": np.zeros(0)}
    source, other = ({"raw_detection_boxes": np.array([[0.1, 0.5, last, 0.2]]), **rows} for last in (np.inf, 0.5))
    tolerance = SAME_OPERATIONS
    assert agree(compare_answers("saved_model", "a.jpg", source, source, tolerance=tolerance))
    assert not agree(compare_answers("saved_model", "a.jpg", source, other, tolerance=tolerance))
    assert not agree(compare_answers("saved_model", "a.jpg", other, source, tolerance=tolerance))


def test_disagreement(tmp_path, monkeypatch):
    """Another class is enough; the export is there all the same, and the status is 1."""
    source = {
        "detection_boxes": np.array([[0.1, 0.1, 0.5, 0.5]]),
        "detection_scores": np.array([0.9]),
        "detection_classes": np.array([3.0]),
    }
    other = source | {"detection_classes": np.array([4.0])}
    tolerance = SAME_OPERATIONS
    assert agree(compare_answers("saved_model", "a.jpg", source, source, tolerance=tolerance))
    checks = compare_answers("saved_model", "a.jpg", source, other, tolerance=tolerance)
    assert not agree(checks)

    def exported(options: Options, *_: object) -> exporter.Export:
        (options.out / "report.html").touch()
        return exporter.Export(
            out=options.out, artifacts=(), checks=tuple(checks), warnings=(), checkpoint="training/ckpt-5"
        )

    monkeypatch.setattr(exporter, "export", exported)
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    arguments = ["export", "--config", "c", "--checkpoint", "c", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == common.DISAGREES
    assert result.output.splitlines()[-1] == "saved_model disagrees with training/ckpt-5: detections matched"


def test_a_check_of_what_is_no_number():
    assert not Check(artifact="tflite", picture="a", what="b", measured=float("nan"), bound=1.0).ok
    assert not Check(artifact="tflite", picture="a", what="b", measured=float("nan"), bound=1.0, at_least=True).ok


def test_verify(out, tmp_path):
    """0 as exported; 1 where an artifact answers otherwise, here by a wrong normalisation; 2 where files changed."""
    wrong, changed = (shutil.copytree(out, tmp_path / name) for name in ("wrong", "changed"))
    content = json.loads((wrong / "manifest.json").read_text())
    content["preprocessing"]["mean"] = [0.0, 0.0, 0.0]
    (wrong / "manifest.json").write_text(json.dumps(content))
    with (changed / "model.tflite").open("ab") as file:
        file.write(b"x")
    good, disagrees, refused = at_once(("verify", out), ("verify", wrong, "--json"), ("verify", changed))
    assert done(good).count("detections matched") == len(FORMATS)
    assert disagrees.returncode == common.DISAGREES
    record = json.loads(disagrees.stdout)
    assert record["agrees"] is False
    assert {c["artifact"] for c in record["checks"] if not c["ok"]} == {"tflite"}
    assert refused.returncode == common.WRONG
    assert "changed: not the files that were exported" in refused.stderr
    assert "model.tflite" in refused.stderr
    assert (good.stderr, disagrees.stderr) == ("", "")


# predict


def test_predict(out, digits, tmp_path):
    """The directory and each artifact in it: the same detections, drawn on request."""
    paths = [out, *(out / name for name in ARTIFACTS)]
    pictures = [digits / "images" / "digits-0.jpg", digits / "images" / "digits-3.jpg"]
    folders = [tmp_path / str(i) for i in range(len(paths))]
    commands = [("predict", p, *pictures, "--draw-dir", f) for p, f in zip(paths, folders, strict=True)]
    answers = []
    for process, folder in zip(at_once(*commands), folders, strict=True):
        answers.append(json.loads(done(process)))
        assert process.stderr == ""
        assert sorted(p.name for p in folder.iterdir()) == ["digits-0_detections.png", "digits-3_detections.png"]
    first = answers[0]
    assert [a["image"] for a in first] == [str(p) for p in pictures]
    assert (first[0]["width"], first[0]["height"]) == Image.open(pictures[0]).size
    assert [d["label"] for d in first[0]["detections"]] == ["six", "five", "five"]
    assert all(d["score"] >= 0.3 and d["box"]["xmin"] < d["box"]["xmax"] for a in first for d in a["detections"])
    for answer in answers[1:]:
        for ours, theirs in zip(first, answer, strict=True):
            for a, b in zip(ours["detections"], theirs["detections"], strict=True):
                assert (a["class"], a["label"]) == (b["class"], b["label"])
                assert a["score"] == pytest.approx(b["score"], abs=1e-4)
                assert a["box"] == pytest.approx(b["box"], abs=0.05)


def test_predict_to_a_file_and_beside_the_picture(out, digits, tmp_path):
    picture = Path(shutil.copy(digits / "images" / "digits-0.jpg", tmp_path / "photo.jpg"))
    arguments = ("--format", "tflite", "--min-score", "0.985", "--draw", "--out", tmp_path / "answers.json")
    assert done(visionport("predict", out, picture, *arguments)) == f"{tmp_path / 'answers.json'}  1 picture\n"
    (answer,) = json.loads((tmp_path / "answers.json").read_text())
    assert [d["label"] for d in answer["detections"]] == ["six"]
    assert Path(answer["drawn"]) == tmp_path / "photo_detections.png"
    assert Image.open(answer["drawn"]).format == "PNG"


# inspect and help


def test_inspect(digits, tmp_path):
    config = tmp_path / "pipeline.config"
    config.write_text((digits / "tf2" / "pipeline.config").read_text().replace("num_classes: 10", "num_classes: 12"))
    path = digits / "tf2"
    text, as_json, fits, not_fits = at_once(
        ("inspect", path),
        ("inspect", path / "ckpt-5.index", "--json"),
        ("inspect", path, "--config", path),
        ("inspect", path, "--config", config),
    )
    assert "TF2 (object graph)" in done(text)
    assert "_box_predictor" in text.stdout
    description = json.loads(done(as_json))
    assert (description["kind"], description["step"], description["complete"]) == ("tf2", 4000, True)
    assert description["parameters"] == sum(int(np.prod(v["shape"])) for v in description["variables"])
    assert "They fit: " in done(fits)
    assert not_fits.returncode == common.DISAGREES
    assert "They do not fit: " in not_fits.stdout
    assert not_fits.stdout.count("wrong shape") == 2
    assert all(p.stderr == "" for p in (text, as_json, fits, not_fits))


def test_help_imports_nothing_heavy():
    """So that it comes at once, of every command."""
    code = """\
import sys
from visionport.cli import main
for name in ("", *main.commands):
    main([*name.split(), "--help"], standalone_mode=False)
heavy = {"tensorflow", "numpy", "PIL", "rich", "google.protobuf", "yaml"} & set(sys.modules)
print("heavy:", *heavy)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1].split() == ["heavy:"]
    assert process.stdout.count("Usage: ") == len(cli.main.commands) + 1
    assert "Exit status: 0 done and verified" in process.stdout
