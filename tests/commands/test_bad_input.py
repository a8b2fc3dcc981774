"""What users get wrong: exit status 2 and one paragraph that says what, where and what next; nothing is lost."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from visionport import cli
from visionport.commands import common
from visionport.config import FixedShape, Normalization
from visionport.inputs import preprocessing

INDEX, DATA, CONFIG, STATE = "ckpt-5.index", "ckpt-5.data-00000-of-00001", "pipeline.config", "checkpoint"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:6918dc53\nsize 166\n"
FIRST_KERNEL = "model/_feature_extractor/classification_backbone/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"

Change = Callable[[Path], object]
Invoke = Callable[..., Result]


@pytest.fixture
def training(tmp_path, digits) -> Path:
    """A copy of the digits detector's training folder, to be damaged."""
    return Path(shutil.copytree(digits / "tf2", tmp_path / "training"))


@pytest.fixture
def invoke(monkeypatch):
    """Runs a command in this process: TensorFlow is imported once for all of them."""
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)
    terminate = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(cli.main, [str(a) for a in arguments])
    signal.signal(signal.SIGTERM, terminate)


def export_arguments(training: Path, *more: object) -> list[object]:
    out = training.parent / "out"
    return ["export", "--config", training / CONFIG, "--checkpoint", training, "--out", out, "--no-verify", *more]


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder in it, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def says(result: Result, *words: str) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == common.WRONG, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output


def refused(invoke: Invoke, training: Path, *words: str, more: tuple[object, ...] = ()) -> None:
    """The export is refused in one paragraph with these words, and every file around it is as it was."""
    before = snapshot(training.parent)
    result = invoke(*export_arguments(training, *more))
    says(result, "error: ", *words)
    assert result.output.count("\n") == 1
    assert snapshot(training.parent) == before


def put(name: str, content: bytes) -> Change:
    return lambda training: (training / name).write_bytes(content)


def remove(name: str) -> Change:
    return lambda training: (training / name).unlink()


def halve(name: str) -> Change:
    return lambda training: os.truncate(training / name, (training / name).stat().st_size // 2)


def flip(training: Path) -> None:
    (training / DATA).write_bytes(bytes(byte ^ 1 for byte in (training / DATA).read_bytes()))


def replace(old: str, new: str) -> Change:
    def change(training: Path) -> None:
        text = (training / CONFIG).read_text()
        assert old in text
        (training / CONFIG).write_text(text.replace(old, new))

    return change


def without_checkpoint(training: Path) -> None:
    for name in (INDEX, DATA, STATE):
        (training / name).unlink()


def save(prefix: Path, tensors: dict) -> None:
    import tensorflow as tf

    names = sorted(tensors)
    data = [tf.convert_to_tensor(tensors[n]) for n in names]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=data)


def as_tf1(training: Path) -> None:
    without_checkpoint(training)
    (training / STATE).write_text('model_checkpoint_path: "model.ckpt-7"\n')
    save(training / "model.ckpt-7", {"FeatureExtractor/Conv/weights": [1.0], "global_step": 7})


def cast(dtype: str, *only: str) -> Change:
    """Every float32 tensor of the checkpoint, or only some, become another dtype."""

    def change(training: Path) -> None:
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(training / "ckpt-5"))
        tensors = {n: tf.convert_to_tensor(reader.get_tensor(n)) for n in reader.get_variable_to_shape_map()}
        chosen = only or [n for n, t in tensors.items() if t.dtype == tf.float32]
        save(training / "ckpt-5", tensors | {n: tf.cast(tensors[n], dtype) for n in chosen})

    return change


def spoilt(training: Path) -> None:
    """Two of the checkpoint's kernels are as after training that diverged."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(training / "ckpt-5"))
    tensors = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    kernels = [n for n in tensors if "_feature_extractor" in n and n.endswith("/kernel/.ATTRIBUTES/VARIABLE_VALUE")]
    for name, value in zip(sorted(kernels), ("nan", "inf"), strict=False):
        tensors[name] = tensors[name].copy()
        tensors[name].flat[3] = float(value)
    save(training / "ckpt-5", tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (halve(DATA), (DATA, "is truncated", "Copy it again")),
        (spoilt, ("2 tensors hold NaN or infinity", "earlier checkpoint")),
        (put(DATA, b""), (DATA, "is truncated: 0 bytes")),
        (flip, ("ckpt-5", "data is damaged", "Copy it again")),
        (remove(DATA), (DATA, "is missing", INDEX, "Copy it")),
        (put(DATA, LFS), (DATA, "Git LFS pointer", "git lfs pull")),
        (remove(INDEX), (f"{DATA} is there without {INDEX}", "Copy")),
        (put(INDEX, LFS), (INDEX, "Git LFS pointer", "git lfs pull")),
        (put(INDEX, bytes(3000)), (INDEX, "zeros", "Copy it again")),
        (put(INDEX, b""), (f"{INDEX} is empty", "Copy it again")),
        (halve(INDEX), (INDEX, "damaged", "Copy it again")),
        (without_checkpoint, ("no checkpoint in this directory", "it holds pipeline.config", "ckpt-5.index")),
        (put(CONFIG, LFS), (CONFIG, "Git LFS pointer", "git lfs pull")),
        (put(CONFIG, b""), (CONFIG, "empty", "Copy it again")),
        (put(CONFIG, bytes(100)), (CONFIG, "binary")),
        (remove(CONFIG), (CONFIG, "no such config")),
        (replace("iou_threshold: 0.6", "iou_treshold: 0.6"), (f"{CONFIG}:", "iou_treshold", "nearest: iou_threshold")),
        (as_tf1, (CONFIG, "ssd_mobilenet_v2_fpn_keras", "model.ckpt-7 is a TF1 checkpoint", "Give the config")),
        (replace("fpn_keras", "fpn"), (CONFIG, "ssd_mobilenet_v2_fpn ", "ckpt-5 is a TF2 checkpoint")),
        (replace("v2_fpn_keras", "v9_keras"), (CONFIG, "'ssd_mobilenet_v9_keras' is not supported", "Supported: ssd_")),
        (replace("model {", "model { yolo { } "), (CONFIG, 'no field "yolo"', "faster_rcnn")),
    ],
)
def test_damaged_and_wrong_files(invoke, training, change, words):
    change(training)
    refused(invoke, training, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace("num_classes: 10", "num_classes: 12"), ("2 wrong shape", "[1, 1, 64, 26]", "[1, 1, 64, 22]")),
        (replace("before_predictor: 2", "before_predictor: 3"), (" missing. Is it the config", "pointwise_weights")),
        (cast("float16", FIRST_KERNEL), ("1 wrong dtype", "MobilenetV2/Conv/weights", "float32", "float16", "Cast")),
        (cast("bfloat16"), ("312 wrong dtype", "bfloat16", "and 305 more")),
        (cast("int32"), ("312 wrong dtype", "int32")),
    ],
    ids=["classes", "layers", "half", "bfloat16", "int32"],
)
def test_what_does_not_fit_is_a_table(invoke, training, change, words):
    """The paragraph, and below it a row a tensor; `inspect --config` says the same from the index alone."""
    change(training)
    before = snapshot(training.parent)
    result = invoke(*export_arguments(training))
    says(result, "does not fit the config", "problem ", "wanted", "found", *words)
    assert snapshot(training.parent) == before
    found = invoke("inspect", training, "--config", training, "--json")
    assert found.exit_code == common.DISAGREES
    assert len(json.loads(found.stdout)["problems"]) >= 1


def test_several_configs(invoke, training):
    (training / CONFIG).rename(training / "a.config")
    shutil.copy(training / "a.config", training / "b.config")
    refused(invoke, training, "several configs", "Name one: a.config, b.config", more=("--config", training))


def test_checkpoint_that_is_none(invoke, training, tmp_path):
    saved = tmp_path / "saved_model"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"x")
    (tmp_path / "model.tflite").write_bytes(b"x")
    cases = {
        saved: "an exported model: give the checkpoint that it was made from",
        saved / "saved_model.pb": "a graph: give the checkpoint",
        tmp_path / "model.tflite": "an exported model, not a checkpoint",
        training / CONFIG: "give it as --config",
        tmp_path / "trainin": "no such checkpoint",
        training / "ckpt-6": "nearest: ckpt-5",
    }
    for path, words in cases.items():
        refused(invoke, training, str(path), words, more=("--checkpoint", path))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--format", "tflit"), ("--format 'tflit'", "nearest: tflite", "One of: saved_model")),
        (("--format", ""), ("--format is empty", "One or more of: saved_model")),
        (("--input", "image_tensors"), ("--input 'image_tensors'", "nearest: image_tensor")),
        (("--freeze", "(Mobile"), ("--freeze '(Mobile'", "no regular expression", "position 0")),
        (("--freeze", "MobileNet"), ("--freeze 'MobileNet' matches no variable", "FeatureExtractor/MobilenetV2/")),
        (("--batch", "0"), ("--batch 0", "from 1 to 65,536 (pictures)")),
        (("--image-size", "100000,100000"), ("--image-size (100000, 100000)", "from 1 to 16,384 (pixels)")),
        (("--image-size", "16384,16384"), ("268,435,456 pixels", "at most 67,108,864")),
        (("--image-size", "0,5"), ("--image-size (0, 5)", "from 1")),
        (("--max-detections", "5"), ("--max-detections", "add --format tflite")),
        (("--max-detections", "0", "--format", "tflite"), ("--max-detections 0", "from 1 to 100,000 (detections)")),
        (("--format", "tflite", "--batch", "4"), ("a batch of 4", "leave out --batch")),
        (
            ("--config-override", "model { ssd { num_clases: 3 } }"),
            ("--config-override, line 1", "nearest: num_classes"),
        ),
        (("--config-override", "model { ssd {"), ("--config-override, line 1", 'is a "}" missing?')),
        (("--labels", "absent.pbtxt"), ("absent.pbtxt", "no such label map")),
        (("--image", "absent.jpg"), ("absent.jpg", "no such image")),
        (("--checkpoint", "absent/ckpt-1"), ("absent/ckpt-1", "no such checkpoint")),
        (("--config", "absent/pipeline.config"), ("absent/pipeline.config", "no such config")),
    ],
)
def test_options(invoke, training, more, words):
    refused(invoke, training, *words, more=more)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--batch", "-1"), ("'-1' is neither a number nor 'dynamic'",)),
        (("--batch", "²"), ("neither a number nor 'dynamic'",)),
        (("--image-size", "300"), ("'300' is not H,W such as 480,640",)),
        (("--image-size", "a,b"), ("'a,b' is not H,W",)),
        (("--tflite-nms", "fats"), ("'fats' is not one of", "'regular'", "'fast'")),
        (("--formt", "tflite"), ("No such option", "--format")),
        (("first", "surplus"), ("unexpected extra argument", "surplus")),
    ],
)
def test_usage(invoke, training, more, words):
    result = invoke(*export_arguments(training, *more))
    says(result, "error: ", "See `visionport export --help`.", *words)
    assert len(result.output.splitlines()) == 1
    assert not (training.parent / "out").exists()


def test_missing_option_and_unknown_command(invoke):
    says(invoke("export"), "Missing option '--config'")
    says(invoke("exprot"), "No such command 'exprot'")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe\x00\x01", "not UTF-8"),
        (b"item { id: 1 nam: 'x' }", "nearest: name"),
        (b"item { id: 1 name: 'x'", "missing"),
        (b"", "empty"),
    ],
)
def test_label_maps(invoke, training, content, words):
    path = training / "labels.pbtxt"
    path.write_bytes(content)
    refused(invoke, training, str(path), words, more=("--labels", path))


def test_images(invoke, training, digits):
    whole = (digits / "images" / "digits-0.jpg").read_bytes()
    cases = {"text.jpg": (b"hello", "not an image"), "empty.jpg": (b"", "is empty (0 bytes)")}
    cases |= {"half.jpg": (whole[: len(whole) // 2], "truncated"), "whole.jpg": (whole, "192,192, but --image-size")}
    for name, (content, words) in cases.items():
        (training / name).write_bytes(content)
        refused(invoke, training, name, words, more=("--image", training / name, "--image-size", "300,400"))
    refused(invoke, training, "is a directory", more=("--image", training))


# What is there already


def test_target_that_is_taken(invoke, training):
    out = training.parent / "out"
    out.write_text("mine")
    refused(invoke, training, "out exists and is not a directory", "--out", more=("--overwrite",))
    below = out / "below" / "it"
    refused(invoke, training, str(below), "out is not a directory", "--out", more=("--out", below))
    out.unlink()
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    refused(invoke, training, "exists and is not empty. Name another --out.")
    refused(invoke, training, "not an export", "manifest.json", "Move it away", more=("--overwrite",))
    for manifest in ('{"name": "a web app"}', "[]", "", "not JSON"):
        (out / "manifest.json").write_text(manifest)
        refused(invoke, training, "not an export", more=("--overwrite",))


def test_overwrite_never_takes_an_input(invoke, training, digits):
    """An export that holds what the next one reads: the checkpoint, by a link too, the labels, a picture."""
    out, link = training.parent / "out", training.parent / "link"
    shutil.copytree(training, out / "checkpoint")
    (out / "manifest.json").write_text('{"visionport": "0"}')
    link.symlink_to(out / "checkpoint")
    (out / "labels.txt").write_text("one\n")
    shutil.copy(digits / "images" / "digits-0.jpg", out)
    for option, path in (
        ("--checkpoint", out / "checkpoint"),
        ("--checkpoint", link),
        ("--config", out / "checkpoint" / CONFIG),
        ("--labels", out / "labels.txt"),
        ("--image", out / "digits-0.jpg"),
    ):
        more = ("--overwrite", option, path)
        refused(invoke, training, str(path), "lies in", "--overwrite would replace", more=more)


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is writable for root")
def test_unwritable_target(invoke, training):
    locked = training.parent / "locked"
    locked.mkdir(0o500)
    refused(invoke, training, "locked is not writable", "--out", more=("--out", locked / "out"))


def test_state_file_that_is_stale_or_a_pointer(invoke, training):
    """The checkpoint that is there is taken, with a warning."""
    (training / STATE).write_text('model_checkpoint_path: "ckpt-77"\n')
    result = invoke(*export_arguments(training))
    assert result.exit_code == common.DONE
    assert "warning: " in result.output
    assert "checkpoint names ckpt-77, which is not there: took ckpt-5" in result.output
    (training / STATE).write_bytes(LFS)
    result = invoke("inspect", training, "--config", training, "--json")
    assert result.exit_code == common.DONE
    (warning,) = (w for w in json.loads(result.stdout)["warnings"] if "git lfs pull" in w)
    assert "took ckpt-5" in warning


# predict and verify


def test_predict_and_verify_want_an_export(invoke, digits, tmp_path):
    picture, foreign = digits / "images" / "digits-0.jpg", tmp_path / "foreign.pb"
    foreign.write_bytes(b"x")
    (tmp_path / "foreign.tflite").write_bytes(b"x")
    says(invoke("predict", foreign, picture), "foreign.pb: no manifest.json", "Give an export directory")
    says(invoke("predict", tmp_path / "foreign.tflite", picture), "foreign.tflite is no TFLite file")
    (tmp_path / "manifest.json").write_text('{"name": "a web app"}')
    says(invoke("predict", foreign, picture), "foreign.pb: no manifest.json", "Give an export directory")
    says(invoke("predict", tmp_path / "absent", picture), "absent: no such artifact")
    says(invoke("verify", tmp_path), "manifest.json is another program's", "not an export")
    says(invoke("verify", tmp_path / "absent"), "absent is not an export of visionport: no manifest.json")


def test_an_export_that_lost_an_artifact(invoke, digits, tmp_path):
    reading = {"input": "x", "type": "preprocessed"}
    signature = {"name": "serving_default", "inputs": [], "outputs": []}
    artifact = {"format": "tflite", "path": "model.tflite", "reading": reading, "signatures": [signature]}
    picture = digits / "images" / "digits-0.jpg"
    content = {
        "visionport": "0",
        "options": {"checkpoint": "ckpt-1"},
        "model": {"architecture": "ssd", "api": "tf2"},
        "artifacts": [artifact],
        "files": {},
        "preprocessing": preprocessing.describe(
            FixedShape(height=8, width=8), Normalization(mean=(0, 0, 0), std=(1, 1, 1))
        ),
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    (tmp_path / "other.pb").write_bytes(b"x")
    says(invoke("predict", tmp_path, picture), "model.tflite is named by", "is not there", "Export again")
    says(invoke("predict", tmp_path, picture, "--format", "saved_model"), "--format saved_model", "has tflite")
    (tmp_path / "model.tflite").write_bytes(b"y")
    says(invoke("predict", tmp_path / "other.pb", picture), "not an artifact of", "There: model.tflite")
    says(invoke("predict", tmp_path / "model.tflite", picture), "model.tflite: not a TFLite file")
    del content["artifacts"][0]["reading"]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    says(invoke("predict", tmp_path / "model.tflite", picture), "earlier version", "Export again")


def test_predict_cannot_write(invoke, digits, tmp_path, monkeypatch):
    from visionport import prediction

    monkeypatch.setattr(prediction, "predict", lambda *_, **__: [])
    (tmp_path / "file").write_text("mine")
    below, picture, export = tmp_path / "file" / "answers.json", digits / "images" / "digits-0.jpg", tmp_path / "export"
    export.mkdir()
    says(invoke("predict", export, picture, "--out", below), f"error: {below}: {tmp_path / 'file'} is not a directory.")
    says(invoke("predict", export, picture, "--out", tmp_path / "file"), "file exists. Name another", "--overwrite")
    assert invoke("predict", export, picture, "--out", tmp_path / "file", "--overwrite").exit_code == common.DONE
    assert (tmp_path / "file").read_text() == "[]\n"
