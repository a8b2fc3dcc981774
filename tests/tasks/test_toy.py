"""A second task, with a model and a config of its own, through everything, without a line of the package changed."""

import json

import numpy as np
import pytest
import toy

import visionport
from visionport import Options, export, reverify
from visionport.config import source
from visionport.formats import BASIC as FORMATS
from visionport.models import build
from visionport.tasks import TASKS


@pytest.fixture
def known(monkeypatch):
    """The toy in the three tables that a new task and a new architecture are entered in."""
    monkeypatch.setattr(source, "READERS", [(toy.claims, toy.read), *source.READERS])
    monkeypatch.setitem(build.FAMILIES, "toy", "toy")
    monkeypatch.setitem(TASKS, "toy", "toy")


@pytest.fixture
def training(tmp_path):
    import tensorflow as tf

    random = np.random.default_rng(3)

    def variable(*shape, scale=1.0):
        return tf.Variable(tf.constant(random.normal(size=shape) * scale, tf.float32))

    made = tf.__internal__.tracking.AutoTrackable
    model, conv, head = made(), made(), made()
    conv.kernel, conv.bias = variable(3, 3, 3, 8, scale=0.3), variable(8, scale=0.1)
    head.kernel, head.bias = variable(8, 5), variable(5, scale=0.1)
    model.conv, model.head = conv, head
    folder = tmp_path / "training"
    tf.train.Checkpoint(model=model).save(str(folder / "ckpt"))
    (folder / "pipeline.config").write_text(f"{toy.MARK} with classes: 5")
    return folder


def test_a_new_task_goes_through_everything(known, training, tmp_path, digits):
    out = tmp_path / "out"
    options = Options(
        config=training, checkpoint=training, out=out, formats=FORMATS, images=(digits / "images/digits-0.jpg",)
    )
    done = export(options)
    assert done.agrees
    assert {c.artifact for c in done.checks if c.bound is not None} == set(FORMATS)
    assert reverify.verify(out).agrees

    asked = {kind: visionport.load(out, format=kind) for kind in FORMATS}
    picture = digits / "images" / "digits-3.jpg"
    answers = {kind: predictor(picture)["probs"] for kind, predictor in asked.items()}
    for kind in FORMATS:
        np.testing.assert_allclose(answers[kind], answers["saved_model"], atol=1e-5)
        assert asked[kind].task == "toy"
        assert asked[kind].predict(picture)["kind"] == f"kind {answers['saved_model'].argmax() + 1}"
        assert asked[kind].draw(picture).size[0] > 32

    assert json.loads((out / "manifest.json").read_text())["model"]["task"] == "toy"
    page = (out / "report.html").read_text()
    assert "Kinds" in page
    assert "etection" not in page
    assert page.count("data:image/jpeg") == 1  # they agree


def test_a_batch_of_pictures_and_a_list(known, training, tmp_path, digits):
    out = tmp_path / "out"
    export(Options(config=training, checkpoint=training, out=out, formats=FORMATS, verify=False))
    random = np.random.default_rng(0)
    batch = random.integers(0, 256, (3, 40, 50, 3), np.uint8)
    for kind in FORMATS:
        predictor = visionport.load(out, format=kind)
        together = predictor(batch)
        alone = [predictor(one) for one in batch]
        assert len(together) == 3
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a["probs"], b["probs"], atol=1e-6)
