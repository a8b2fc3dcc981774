"""The report in a browser, at the width of a desk and of a phone; and what it is made of for an export."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_report import full

from visionport.checkpoint.selection import Selection
from visionport.commands.common import flat, unique
from visionport.commands.export import export as export_command
from visionport.commands.format_options import list_fields
from visionport.config.model import Config
from visionport.manifest import options_record
from visionport.options import Options
from visionport.report import views
from visionport.report.command import command_of
from visionport.report.page import write_report
from visionport.tasks import task_of
from visionport.verification.checks import Check

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def chromium(page: Path, width: int, *arguments: str) -> str:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={width},2400", f"--user-data-dir={page.parent / 'profile'}", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(tmp_path, width):
    """Nothing is wider than the window, every picture is shown, and the script is allowed to run."""
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    write_report(page, full())
    chromium(page, width, f"--screenshot={picture}")
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape[1] == width
    edge = pixels[:, -8:].reshape(-1, 3)
    assert (edge == edge[0]).all()  # the margin is empty: nothing runs out of the page
    red = (abs(pixels - (200, 30, 30)) < 12).all(-1).sum()
    assert red > 2 * 60 * 44  # both drawings, which are 64 x 48
    shown = chromium(page, width, "--dump-dom")
    assert shown.count('class="copy"') == 2  # the program's and the command's


def options(**given) -> Options:
    return Options(**{"config": "c o.config", "checkpoint": "t/ckpt-5", "out": "exported", **given})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"formats": ("saved_model", "tflite"), "inputs": ("tf_example",), "batch": 2, "image_size": (3, 4)},
        {"verify": False, "timed": True, "labels": "l.txt", "freeze": ("a.*", "b")},
        {"images": ("a b.jpg", "c.jpg"), "config_override": "model { ssd { num_classes: 3 } }"},
        {"formats": ("tflite",), "quantize": "int8", "calibration": "p", "quantize_exclude": ("A", "B"),
         "tflite_keypoints": False, "max_detections": 7},
        {"experiment": "e", "config_files": ("a.yaml", "b.yaml"), "params_override": ("x=1", "y=2"), "ema": True},
    ],
)  # fmt: skip
def test_the_command_in_the_footer_asks_for_the_same(given):
    asked = options(**given)
    _, name, *arguments = shlex.split(command_of(json.loads(json.dumps(options_record(asked)))))
    assert name == "export"
    values = export_command.make_context("export", arguments).params
    known = {k: v for k, v in values.items() if k in Options.__dataclass_fields__}
    lists = {k: unique(flat(known.pop(k))) for k in ("formats", "inputs", *list_fields())}
    assert Options(**{**known, **lists}) == asked
    assert Selection(freeze=asked.freeze, keep=asked.keep) == Options(**{**known, **lists}).selection


def config(task: str, labels=None) -> Config:
    how = {"path": Path("c"), "family": "x", "architecture": "x", "num_classes": 3, "text": ""}
    return Config(model=None, task=task, lineage=None, labels=labels, **how)  # type: ignore[arg-type]


DETECTIONS = {
    "detection_boxes": np.tile(np.array([[0.1, 0.1, 0.5, 0.5]], np.float32), (13, 1)) + np.arange(13)[:, None] / 40,
    "detection_scores": np.linspace(0.9, 0.5, 13),
    "detection_classes": np.ones(13),
}


def test_answers_that_agree_share_a_picture_and_others_have_their_own():
    task, picture = task_of("detection"), np.zeros((64, 64, 3), np.uint8)
    other = DETECTIONS | {"detection_classes": np.full(13, 2)}
    row = {"checkpoint": DETECTIONS, "saved_model": DETECTIONS, "frozen_graph": other, "tflite": other, "onnx": {}}
    checks = [
        Check(artifact="frozen_graph", what="scores", picture="a.jpg", measured=1, bound=0),
        Check(artifact="tflite", what="scores", picture="a.jpg", measured=0, bound=1),
    ]
    view = views.view_picture("a.jpg", picture, row, checks, task, config("detection"))
    assert [column.titles for column in view.columns] == [("checkpoint", "SavedModel", "TFLite"), ("Frozen graph",)]
    assert view.columns[0].note == "3 more detections above 0.3 have a box and no name"


@pytest.mark.parametrize(
    ("task", "outputs", "picture"),
    [
        ("classification", {"probs": np.array([[0.1, 0.7, 0.2]]), "logits": np.zeros([1, 3])}, (64, 64, 3)),
        ("segmentation", {"logits": np.eye(3)[np.zeros((1, 8, 8), int)]}, (64, 64, 3)),
        ("video", {"probs": np.array([[0.1, 0.7, 0.2]]), "logits": np.zeros([1, 3])}, (4, 64, 64, 3)),
    ],
)
def test_every_task_is_drawn(task, outputs, picture):
    answer = task_of(task).answer(outputs, {}, np.ones(2))
    row = {"checkpoint": answer, "tflite": answer}
    view = views.view_picture("a", np.zeros(picture, np.uint8), row, [], task_of(task), config(task))
    assert [column.titles for column in view.columns] == [("checkpoint", "TFLite")]


def test_what_is_missing_is_said():
    found = views.Findings(answers={"a": {}})
    said = " ".join(views.missing(config("detection"), found, own=False))
    assert re.search(r"--labels.*--image", said)
    assert views.missing(config("detection", {1: "cat"}), found, own=True) == []


def test_the_bundled_pictures_are_small_and_their_licence_is_named():
    from visionport.inputs import pictures

    told = Path(str(pictures.example("SOURCES.md"))).read_text()
    for name in pictures.BUNDLED:
        path = Path(str(pictures.example(name)))
        assert path.stat().st_size < 40_000
        assert name in told or f"{Path(name).parent}/*{path.suffix}" in told
