"""Beam's transforms in a pipeline of one's own. Needs Beam: tests/batch/test_in_environment.py runs it."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from places import ROOT

pytest.importorskip("apache_beam", reason="run by tests/batch/test_in_environment.py")

import apache_beam as beam  # pyright: ignore[reportMissingImports]

from visionport.batch import AnswerHandler, Detect, Predict, answering


def ask(elements, transform) -> list:
    """What the transform makes of them."""
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner  # pyright: ignore[reportMissingImports]

    found: list = []
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        _ = pipeline | beam.Create(elements) | transform | beam.Map(keep)
    found, KEPT[:] = list(KEPT), []
    return found


KEPT: list = []


def keep(row) -> None:
    KEPT.append(row)


def test_pictures_in_every_shape(detector, photos, wanted):
    """Paths, bytes, arrays, with keys or without, of three sizes, a bad one among them."""
    model = detector / "model.tflite"
    files = sorted((photos / "b").glob("*.jpg"))[:9]
    elements = [("key 0", str(files[0])), ("key 1", files[1].read_bytes()), ("key 2", np.asarray(Image.open(files[2])))]
    elements += [*map(str, files[3:]), ("key 3", b"no picture"), str(photos / "none.jpg")]
    found = ask(elements, Predict(model, batch_size=4))
    assert len(found) == len(elements)
    keyed = dict(one for one in found if isinstance(one, tuple))
    alone = {Path(one["image"]).name: one for one in found if isinstance(one, dict)}
    wanted_of = {row["image"]: row for row in wanted}
    assert keyed["key 0"] == wanted_of[str(files[0])]
    for key, file in (("key 1", files[1]), ("key 2", files[2])):
        assert keyed[key] == {k: v for k, v in wanted_of[str(file)].items() if k != "image"}
    assert keyed["key 3"]["kind"] == "not a picture"
    assert alone.pop("none.jpg")["kind"] == "no such file"
    assert alone == {f.name: wanted_of[str(f)] for f in files[3:]}


def test_a_model_is_opened_once_a_process(detector, photos, monkeypatch):
    opened = []
    monkeypatch.setattr(answering, "open_model", lambda job, call=answering.open_model: opened.append(job) or call(job))
    found = ask([str(f) for f in sorted((photos / "a").glob("*.jpg"))], Detect(detector / "model.tflite"))
    assert (len(found), len(opened)) == (25, 1)


def test_a_large_model_is_held_by_one_process_for_all(detector, photos, wanted):
    files = sorted((photos / "b").glob("*.jpg"))[:5]
    handler = AnswerHandler(detector / "model.tflite", large_model=True)
    assert handler.share_model_across_processes()
    assert not AnswerHandler(detector / "model.tflite").share_model_across_processes()
    found = ask([str(f) for f in files], Predict(detector / "model.tflite", large_model=True))
    by_path = {row["image"]: row for row in wanted}
    assert {row["image"]: row for row in found} == {str(f): by_path[str(f)] for f in files}


def test_the_example_in_the_documents(detector, photos, tmp_path):
    text = (ROOT / "docs" / "batch.md").read_text()
    codes = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert codes
    (tmp_path / "exported").symlink_to(detector)
    (tmp_path / "photos").symlink_to(photos / "b")
    for code in codes:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (out,) = tmp_path.glob("labels*")
    assert out.read_text().strip()
