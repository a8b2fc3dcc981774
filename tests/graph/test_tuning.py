"""Selective freezing: what is kept can be trained, what is frozen stays, and the result is a checkpoint again."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from places import ROOT

from visionport import Options, export, manifest, open_checkpoint
from visionport.checkpoint.read import VALUE
from visionport.checkpoint.selection import Selection
from visionport.errors import CheckpointError, MismatchError, OptionError
from visionport.inputs import pictures as images
from visionport.inputs import preprocessing

HEADS = ("logits", "box_encodings")


@pytest.mark.parametrize(
    ("freeze", "keep", "frozen"),
    [((), (), ""), (("^a",), (), "ab"), ((), ("^a",), "c"), (("a", "c"), ("b",), "ac"), ((), (".",), "")],
)
def test_which_names_are_frozen(freeze, keep, frozen):
    names = {"a": "a/x", "b": "a/b", "c": "c"}
    selection = Selection(freeze=freeze, keep=keep)
    assert "".join(k for k, name in names.items() if selection.frozen(name)) == frozen


def exported(folder, out, api="tf2", **how):
    options = Options(config=folder / api / "pipeline.config", checkpoint=folder / api, out=out, **how)
    assert export(options).agrees
    return out


@pytest.fixture(scope="module")
def tunable(digits, tmp_path_factory):
    return exported(digits, tmp_path_factory.mktemp("tunable") / "out", freeze=("FeatureExtractor",))


def batch(folder, digits, change=lambda picture: picture):
    how = manifest.read(folder)["preprocessing"]
    pictures = [images.read(digits / "images" / f"digits-{i}.jpg") for i in range(4)]
    return tf.constant(np.concatenate([preprocessing.prepare(change(p), how)[0] for p in pictures]))


def negative(picture):
    return 255 - picture


@pytest.fixture(scope="module")
def tuned(tunable, digits, tmp_path_factory):
    """(folder, losses): trained to see in negatives what it saw in pictures, and saved."""
    model = tf.saved_model.load(str(tunable / "saved_model"))
    predict = model.signatures["predict"]
    wanted, negatives = predict(images=batch(tunable, digits)), batch(tunable, digits, negative)
    losses = []
    for _ in range(25):
        with tf.GradientTape() as tape:
            heads = predict(images=negatives)
            loss = tf.add_n([tf.reduce_mean((heads[k] - wanted[k]) ** 2) for k in HEADS])
        gradients = tape.gradient(loss, model.trainable_variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            variable.assign_sub(3e-2 * gradient)
        losses.append(float(loss))
    out = tmp_path_factory.mktemp("tuned") / "model"
    tf.saved_model.save(model, str(out), signatures=model.signatures)
    return out, losses


def test_what_stays_is_trainable_and_named(tunable):
    model = tf.saved_model.load(str(tunable / "saved_model"))
    names = [v.name for v in model.trainable_variables]
    assert "WeightSharedConvolutionalBoxPredictor/BoxPredictor/biases:0" in names
    assert not [n for n in names if "moving_" in n or n.startswith("FeatureExtractor")]
    stored = open_checkpoint(tunable / "saved_model" / "variables" / "variables.index")
    frozen = set(stored) - {n.removesuffix(":0") for n in names}
    assert all(n.startswith("FeatureExtractor") or "moving_" in n for n in frozen)


def test_training_lowers_the_loss_and_leaves_the_frozen_alone(tunable, tuned, digits):
    out, losses = tuned
    assert losses[-1] < 0.8 * losses[0]
    before, after = open_checkpoint(tunable / "saved_model"), open_checkpoint(out)
    assert set(before) == set(after)
    changed = {n for n in before if before[n].tobytes() != after[n].tobytes()}
    trained = {v.name.removesuffix(":0") for v in tf.saved_model.load(str(out)).trainable_variables}
    assert changed == trained
    source = open_checkpoint(digits / "tf2")
    name, key = "FeatureExtractor/MobilenetV2/Conv/weights", "classification_backbone/layer_with_weights-0/kernel"
    np.testing.assert_array_equal(after[name], source[source.key_of(f"model/_feature_extractor/{key}") or ""])


def test_the_tuned_model_is_exported_again(tunable, tuned, digits, tmp_path):
    """To every format, each verified; its heads are those after training; its checkpoint has the original names."""
    out = tmp_path / "again"
    formats = ("saved_model", "frozen_graph", "tflite")
    config = tunable / "pipeline.config"
    assert export(Options(config=config, checkpoint=tuned[0], out=out, formats=formats, keep=(".",))).agrees
    negatives = batch(tunable, digits, negative)
    found = tf.saved_model.load(str(out / "saved_model")).signatures["predict"](images=negatives)
    expected = tf.saved_model.load(str(tuned[0])).signatures["predict"](images=negatives)
    for name in HEADS:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    again, source = open_checkpoint(out / "checkpoint"), open_checkpoint(digits / "tf2")
    weights = {k for k in source.groups()["model"] if "/_" in k}
    assert {source.key_of(k.removesuffix(VALUE)) for k in again} == weights
    assert all(again.key_of(k.removesuffix(VALUE)) == k for k in again)


def test_a_checkpoint_of_the_variables_alone(tunable, digits, tmp_path):
    """Is taken where nothing was frozen; else the error says where the rest is."""
    model = tf.saved_model.load(str(tunable / "saved_model"))
    tf.train.Checkpoint(model=model).write(str(tmp_path / "part"))
    config = tunable / "pipeline.config"
    with pytest.raises(MismatchError, match=r"signatures=model\.signatures"):
        export(Options(config=config, checkpoint=tmp_path / "part", out=tmp_path / "out"))
    whole = exported(digits, tmp_path / "whole", keep=(".",), verify=False)
    model = tf.saved_model.load(str(whole / "saved_model"))
    bias = next(v for v in model.trainable_variables if v.name.endswith("BoxPredictor/biases:0"))
    bias.assign(bias + 1)
    tf.train.Checkpoint(anything=model).write(str(tmp_path / "all"))
    out = export(Options(config=config, checkpoint=tmp_path / "all.index", out=tmp_path / "out", verify=False)).out
    np.testing.assert_array_equal(open_checkpoint(out / "saved_model")[bias.name.removesuffix(":0")], bias)


def test_tf1(digits, tmp_path):
    out = exported(digits, tmp_path / "out", api="tf1", keep=("BoxPredictor",))
    model = tf.saved_model.load(str(out / "saved_model"))
    assert model.trainable_variables
    assert all("BoxPredictor" in v.name for v in model.trainable_variables)
    again = tmp_path / "again"
    assert export(Options(config=out / "pipeline.config", checkpoint=out / "saved_model", out=again)).agrees
    before, after = (open_checkpoint(f / "model.ckpt") for f in (out, again))
    assert set(after) == set(before) - {"global_step"}
    assert all(np.array_equal(before[k], after[k]) for k in after)


def test_tf1_frozen_whole(digits, tmp_path):
    """Its .meta has no variables and no saver, and answers as it is."""
    out = exported(digits, tmp_path / "out", api="tf1", freeze=(".*",))
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        assert v1.train.import_meta_graph(str(out / "model.ckpt.meta")) is None
        assert not v1.global_variables()
        picture = np.array(Image.open(digits / "images" / "digits-0.jpg"))[None]
        assert session.run("num_detections:0", {"image_tensor:0": picture}) > 0
    assert open_checkpoint(out / "model.ckpt").entries


def test_the_meta_graph_restores_statistics(digits, tmp_path):
    """They are constants of the SavedModel, and variables here: another checkpoint has others."""
    out = exported(digits, tmp_path / "out", api="tf1", verify=False)
    picture = np.array(Image.open(digits / "images" / "digits-0.jpg"))[None]
    expected = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"](inputs=tf.constant(picture))
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(str(out / "model.ckpt.meta"))
        session.run(v1.global_variables_initializer())
        assert not any(np.any(value) for value in session.run(v1.global_variables()))
        saver.restore(session, str(out / "model.ckpt"))
        saver.save(session, str(tmp_path / "again"), write_meta_graph=False)
        variables = {v.op.name: v for v in v1.global_variables()}
        assert set(variables) == set(open_checkpoint(out / "model.ckpt")) - {"global_step"}
        statistics = [v for v in variables.values() if v.op.name.endswith(("moving_mean", "moving_variance"))]
        assert statistics
        again, first = open_checkpoint(tmp_path / "again"), open_checkpoint(out / "model.ckpt")
        assert all(np.array_equal(again[name], first[name]) for name in variables)
        assert not {v.op.name for v in statistics} & {v.op.name for v in v1.trainable_variables()}
        names = ["detection_boxes:0", "detection_scores:0"]
        boxes, scores = session.run(names, {"image_tensor:0": picture})
        np.testing.assert_allclose(boxes, expected["detection_boxes"], atol=1e-5)
        np.testing.assert_allclose(scores, expected["detection_scores"], atol=1e-5)
        for variable in statistics:
            before = session.run(["raw_detection_scores:0", variable], {"image_tensor:0": picture})
            variable.load(before[1] + 0.1, session)
            after = session.run("raw_detection_scores:0", {"image_tensor:0": picture})
            assert not np.array_equal(before[0], after), variable.op.name
            variable.load(before[1], session)


def test_what_is_wrong(digits, tunable, tmp_path):
    config = digits / "tf2" / "pipeline.config"
    how = {"config": config, "checkpoint": digits / "tf2", "out": tmp_path / "out"}
    with pytest.raises(OptionError, match="--keep 'Predictr' matches no variable"):
        export(Options(**how, keep=("Predictr",)))
    with pytest.raises(OptionError, match=r"--keep '\(' is no regular expression"):
        export(Options(**how, keep=("(",)))
    other = tf.Module()
    other.weights = tf.Variable(tf.ones((1,)))
    tf.saved_model.save(other, str(tmp_path / "other"))
    with pytest.raises(CheckpointError, match="SavedModel that visionport did not write"):
        export(Options(**how | {"checkpoint": tmp_path / "other"}))
    assert not (tmp_path / "out").exists()


def test_the_guide_runs(digits, tmp_path):
    shutil.copy(digits / "tf2" / "pipeline.config", tmp_path)
    shutil.copy(digits / "images" / "digits-0.jpg", tmp_path / "photo.jpg")
    (tmp_path / "training").symlink_to(digits / "tf2")
    text = (ROOT / "docs" / "tuning.md").read_text()
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "python", "sh"]
    for language, code in blocks:
        command = [sys.executable, "-c", code]
        if language == "sh":
            command = [sys.executable, "-m", *code.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if language == "python":
            losses = [float(line.split()[1]) for line in done.stdout.splitlines()]
            assert losses[-1] < losses[0]
    assert (tmp_path / "tuned-export" / "model.tflite").is_file()
