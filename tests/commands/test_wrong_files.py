"""Files in the wrong place are told by what they are, before TensorFlow is imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from visionport import cli
from visionport.commands import common
from visionport.config import read_config
from visionport.errors import CheckpointError, ConfigError, InputError, OptionError, VisionportError
from visionport.options import Options
from visionport.prediction import check_order
from visionport.staging import check_target

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:6918dc53\nsize 166\n"
CHECKPOINTS = {
    "net.pt": (
        b"PK\x03\x04" + bytes(26) + b"net/data.pkl",
        "a PyTorch file",
        "visionport takes TensorFlow checkpoints",
    ),
    "net.pth": (b"x", "a PyTorch file", "visionport takes TensorFlow checkpoints"),
    "net.h5": (b"\x89HDF\r\n\x1a\n", "a Keras file (HDF5)", "tf.train.Checkpoint"),
    "net.keras": (b"PK\x03\x04", "an archive", "unpack"),
    "net.onnx": (b"x", "an exported model", "the checkpoint that it was made from"),
    "net.tar.gz": (b"\x1f\x8b", "an archive", "unpack it"),
    "notes.txt": (b"hello", "a text file", "DIR/ckpt-5"),
    "photo.jpg": (b"\xff\xd8\xff", "a picture", "give a TensorFlow checkpoint"),
    "ckpt-7": (b"<html>", "a web page (HTML)", "download the raw file"),
    "ckpt-8": (LFS, "a Git LFS pointer", "git lfs pull"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(tmp_path, digits, name):
    content, *words = CHECKPOINTS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        Options(config=digits / "tf2", checkpoint=tmp_path / name, out=tmp_path / "out").check()
    assert all(word in str(error.value) for word in [str(tmp_path / name), *words]), error.value


def test_a_missing_checkpoint_and_a_folder_without_one(tmp_path, digits):
    (tmp_path / "empty").mkdir()
    for name, words in (("absent/ckpt-1", "no such checkpoint"), ("empty", "no checkpoint in this directory")):
        with pytest.raises(CheckpointError, match=words):
            Options(config=digits / "tf2", checkpoint=tmp_path / name, out=tmp_path / "out").check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('model_checkpoint_path: "ckpt-5"\nall_model_checkpoint_paths: "ckpt-4"\n', "ckpt-5"),
        ("# model_checkpoint_path: 'a'\n model_checkpoint_path : 'b c'", "b c"),
        (r'model_checkpoint_path: "C:\\a\\ckpt-5"', "C:\\a\\ckpt-5"),
        (r'model_checkpoint_path: "\303\244"', "ä"),
        ('all_model_checkpoint_paths: "ckpt-4"', ""),
        ("model_checkpoint_path: 7", ""),
        ('model_checkpoint_path: "\\xzz"', ""),
        ("\x00\x01", ""),
    ],
)
def test_state_files(tmp_path, text, expected):
    from visionport.checkpoint.find import _named_by

    (tmp_path / "checkpoint").write_bytes(text.encode())
    assert _named_by(tmp_path / "checkpoint") == expected


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pt", b"x", "is a PyTorch file; --config takes a pipeline.config"),
        ("a.jpg", b"\xff\xd8\xff", "is a picture; --config"),
        ("ckpt-1.index", b"x", "a part of a checkpoint: give it as --checkpoint"),
        ("pipeline.config", LFS, "Git LFS pointer"),
        ("pipeline.config", b"<html>", "web page"),
    ],
)
def test_configs(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_config(tmp_path / name)


def test_swapped_arguments(tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "photo.jpg")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    with pytest.raises(
        InputError, match=r"the artifact comes first: visionport predict \S+model\.tflite \S+photo\.jpg"
    ):
        check_order(tmp_path / "photo.jpg", [tmp_path / "model.tflite"])
    with pytest.raises(InputError, match="visionport predict ARTIFACT IMAGE"):
        check_order(tmp_path / "photo.jpg", [tmp_path / "photo.jpg"])
    check_order(tmp_path / "model.tflite", [tmp_path / "photo.jpg"])


def test_overwrite_is_advised_where_it_would_work(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")

    def told(**how) -> str:
        with pytest.raises(VisionportError) as error:
            check_target(tmp_path / "out", overwrite=False, **how)
        return str(error.value)

    assert "--overwrite" not in told()
    (tmp_path / "out" / "manifest.json").write_text('{"visionport": "0"}')
    assert "--overwrite" not in told()
    (tmp_path / "out" / "manifest.json").write_text('{"visionport": "0", "files": {"notes.txt": {}}}')
    assert "--overwrite" in told()
    assert "--overwrite" not in told(inputs=[tmp_path / "out" / "notes.txt"])


def run(*arguments: object):
    return CliRunner().invoke(cli.main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def loud(monkeypatch):
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "--pipeline_config_path", "x"), ("Here it is --config.", "python -m visionport.scripts.")),
        (("export", "--trained_checkpoint_dir=x"), ("Here it is --checkpoint.",)),
        (("freeze", "m", "--output_node_names", "x"), ("Here it is --output.",)),
    ],
)
def test_old_flags(arguments, words):
    done = run(*arguments)
    assert done.exit_code == common.WRONG
    assert all(word in done.output for word in words), done.output


def test_freezing_a_checkpoint(tmp_path, digits):
    for source in (digits / "tf2", digits / "tf2" / "ckpt-5.index"):
        done = run("freeze", source, "--out", tmp_path / "f.pb")
        assert done.exit_code == common.WRONG
        assert "visionport export" in done.output


def test_another_family_is_ten_lines(tmp_path, digits):
    """The name of the model that it looks like, and seven rows."""
    config = (digits / "tf2" / "pipeline.config").read_text().replace("mobilenet_v2_fpn", "resnet50_v1_fpn")
    (tmp_path / "pipeline.config").write_text(config)
    done = run("export", "--config", tmp_path, "--checkpoint", digits / "tf2", "--out", tmp_path / "o", "--no-verify")
    assert done.exit_code == common.WRONG, done.output
    assert "looks like ssd_mobilenet_v2_fpn_keras" in done.output
    assert len([line for line in done.output.splitlines() if not line.startswith("warning")]) <= 10


def test_other_classes(tmp_path, digits):
    more = ("--config-override", "model { ssd { num_classes: 2 } }", "--no-verify")
    done = run("export", "--config", digits / "tf2", "--checkpoint", digits / "tf2", "--out", tmp_path / "o", *more)
    assert "The checkpoint has 10 classes, the config says 2." in done.output


LIGHT = """
import sys
from visionport.cli import main
try:
    main(sys.argv[1:])
except SystemExit as e:
    status = e.code
print("status", status, "tensorflow" in sys.modules)
"""


def light(*arguments: object) -> str:
    command = [sys.executable, "-c", LIGHT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_tensorflow_is_not_imported(tmp_path, digits):
    out = light("export", "--config", digits / "tf2", "--checkpoint", tmp_path / "absent", "--out", tmp_path / "o")
    assert out.strip() == "status 2 False"
    assert light("convert", digits / "label_map.pbtxt.h5", "--out", tmp_path / "o").strip() == "status 2 False"
    assert light("convert", digits / "images" / "digits-0.jpg", "--out", tmp_path / "o").strip() == "status 2 False"


def test_predict(exported, digits, tmp_path):
    """A folder with a file that is no picture: the others are answered, without TensorFlow, and the status is 1."""
    file, photos = shutil.copy(exported / "model.tflite", tmp_path), tmp_path / "photos"
    photos.mkdir()
    for name in ("digits-0.jpg", "digits-3.jpg"):
        shutil.copy(digits / "images" / name, photos)
    (photos / "bad.jpg").write_bytes(b"")
    out = light("predict", file, photos, "--out", tmp_path / "a.json")
    assert out.splitlines() == [f"{tmp_path / 'a.json'}  2 pictures", "status 1 False"]
    answers = json.loads((tmp_path / "a.json").read_text())
    assert [Path(a["image"]).name for a in answers] == ["digits-0.jpg", "digits-3.jpg"]
    assert all(a["detections"] for a in answers)
    done = run("predict", file, photos / "*.jpg")
    assert done.exit_code == common.DISAGREES
    assert json.loads(done.stdout) == answers
    assert f"skipped: {photos / 'bad.jpg'} is empty (0 bytes)" in done.stderr
    done = run("predict", file, photos / "bad.jpg")
    assert done.exit_code == common.WRONG
    assert "error: " in done.output


def test_exif_of_predict(exported, digits, tmp_path):
    """A picture that lies on its side in the file is answered as it is seen."""
    upright = Image.open(digits / "images" / "digits-0.jpg").convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.rot90(np.asarray(upright))
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    Image.fromarray(pixels).save(tmp_path / "plain.png")

    def ask(name: str, *more: str) -> object:
        done = run("predict", exported / "model.tflite", tmp_path / name, *more)
        return json.loads(done.stdout)[0]["detections"]

    assert ask("turned.png") == ask("upright.png") != ask("plain.png")
    assert ask("turned.png", "--no-exif") == ask("plain.png")


def test_score_thresholds_that_are_none(tmp_path, digits):
    for number in (-0.1, 1.0):
        with pytest.raises(OptionError, match="--score-threshold"):
            Options(config=digits, checkpoint=digits / "tf2", out=tmp_path, score_threshold=number).check()
