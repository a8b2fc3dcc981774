"""The SavedModel as its loaders see it: Python's, and the one that TensorFlow Serving is built on."""

import numpy as np
import pytest
import tensorflow as tf

from visionport.checkpoint.open import open_checkpoint
from visionport.checkpoint.params import is_untrained
from visionport.graph.saved_model import key_of
from visionport.inputs import pictures


@pytest.fixture(scope="module")
def picture():
    return next(iter(pictures.load(()).values()))[None]


def test_the_main_graph_restores_and_answers_as_serving_does(exported, picture):
    """The v1 loader runs the graph's own restore op, as the C++ loader does; nothing of Python's object graph."""
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    expected = loaded.signatures["serving_default"](input_tensor=tf.constant(picture))
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(exported / "saved_model"))
        signature = meta.signature_def["serving_default"]
        outputs = {k: v.name for k, v in signature.outputs.items()}
        found = session.run(outputs, {signature.inputs["input_tensor"].name: picture})
    assert set(found) == set(expected)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6)


def test_the_main_graph_saves_its_variables(exported, tmp_path):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(exported / "saved_model"))
        saver = meta.saver_def
        session.run(saver.save_tensor_name, {saver.filename_tensor_name: str(tmp_path / "again")})
    again, first = open_checkpoint(tmp_path / "again"), open_checkpoint(exported / "saved_model/variables/variables")
    variables = {name for name in first if not is_untrained(name)}
    assert set(again) == {key_of(n) for n in variables}  # values alone: which object has which is not written again
    for name in variables:
        np.testing.assert_array_equal(again[key_of(name)], first[name])


def test_the_loaded_object_lists_its_variables(exported):
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    names = [v.name.removesuffix(":0") for v in loaded.variables]
    assert "FeatureExtractor/MobilenetV2/Conv/weights" in names
    assert [v.name for v in loaded.trainable_variables] == [v.name for v in loaded.variables]
    function = loaded.signatures["serving_default"]
    assert {v.name for v in function.variables} == {v.name for v in loaded.variables}


def test_statistics_are_constants_by_name(exported, digits):
    saved, checkpoint = open_checkpoint(exported / "saved_model"), open_checkpoint(digits / "tf2")
    names = {v.name.removesuffix(":0") for v in tf.saved_model.load(str(exported / "saved_model")).variables}
    statistics = set(saved) - names
    assert len(statistics) > 20
    assert all(n.endswith(("moving_mean", "moving_variance")) for n in statistics)
    key = "model/_feature_extractor/classification_backbone/layer_with_weights-1/moving_mean"
    name = "FeatureExtractor/MobilenetV2/Conv/BatchNorm/moving_mean"
    np.testing.assert_array_equal(saved[name], checkpoint[checkpoint.key_of(key) or ""])


def test_variables_have_readable_names_and_the_checkpoints_values(exported, digits):
    saved = open_checkpoint(exported / "saved_model" / "variables" / "variables")
    name = "FeatureExtractor/MobilenetV2/Conv/weights"
    key = "model/_feature_extractor/classification_backbone/layer_with_weights-0/kernel"
    checkpoint = open_checkpoint(digits / "tf2")
    np.testing.assert_array_equal(saved[name], checkpoint[checkpoint.key_of(key) or ""])


def test_it_can_be_loaded_and_saved_again(exported, tmp_path, picture):
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    tf.saved_model.save(loaded, str(tmp_path / "again"), signatures=dict(loaded.signatures))
    again = tf.saved_model.load(str(tmp_path / "again"))
    a, b = (m.signatures["serving_default"](input_tensor=tf.constant(picture)) for m in (loaded, again))
    np.testing.assert_array_equal(a["detection_boxes"], b["detection_boxes"])
