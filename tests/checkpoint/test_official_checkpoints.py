"""Checkpoints of Official Vision: a trainer's, with averages or without, and the one beside an export."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from official_models import exported_checkpoint, exported_graph, trained_checkpoint, trainers
from places import SHARED

from visionport.checkpoint import write
from visionport.checkpoint.averages import NOTE, choose_weights
from visionport.checkpoint.names import locator
from visionport.checkpoint.open import open_checkpoint
from visionport.checkpoint.params import Params
from visionport.checkpoint.read import OBJECT_GRAPH, SLOT, VALUE
from visionport.config.lineage import OFFICIAL
from visionport.config.official.read import read
from visionport.errors import CheckpointError

DIGITS = SHARED / "demo" / "vision"
STEPS = {"classifier": 8000, "segmenter": 2400, "detector": 3600}

# "ema" is resnet_imagenet with averages.
EXPERIMENTS = [name for name in trainers() if name != "ema"]

digits = pytest.mark.skipif(not DIGITS.is_dir(), reason="the digits models are not here")


def architecture(name):
    from visionport.models.classification import architecture as classification
    from visionport.models.segmentation import architecture as segmentation

    return {"classifier": classification, "segmenter": segmentation}[name]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_trainers_keys_are_told_apart(experiment):
    checkpoint = trained_checkpoint(experiment)
    groups = checkpoint.groups()
    assert len(groups["model"]) == len(exported_checkpoint(experiment).entries)
    assert all(SLOT not in key and not key.startswith("optimizer/") for key in groups["model"])
    assert all(not checkpoint.entries[key].shape for key in groups["step"])
    assert {f"{name}{VALUE}" for name in ("global_step", "save_counter")} <= {*groups["step"]}
    averaged = trainers()[experiment]["optimizer"] == "ExponentialMovingAverage"
    assert bool(groups["average"]) == averaged


@pytest.mark.parametrize("graph", [True, False], ids=["graph", "index alone"])
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_trainers_variables_are_found_by_an_exports_keys(experiment, graph):
    checkpoint = trained_checkpoint(experiment, graph=graph)
    shapes = {key: entry.shape for key, entry in exported_checkpoint(experiment).entries.items()}
    found = {path: checkpoint.key_of(path.removesuffix(VALUE)) or "" for path in shapes}
    assert {*found.values()} == {*checkpoint.groups()["model"]}
    assert all(checkpoint.entries[found[path]].shape == shape for path, shape in shapes.items())


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_graph_beside_an_export_is_the_references(experiment):
    graph = write.pruned(trained_checkpoint(experiment).object_graph())
    del graph.nodes[0].children[1:]  # save_counter, which this reference was written without
    del graph.nodes[2]
    for node in graph.nodes:
        for child in node.children:
            child.node_id -= child.node_id > 2
    keys = write.rename(graph)
    assert {*keys.values()} == {*exported_checkpoint(experiment).entries}
    assert write.serialized(graph) == exported_graph(experiment)


@digits
@pytest.mark.parametrize("name", STEPS)
def test_a_run_is_opened_by_its_folder(name, tmp_path):
    assert open_checkpoint(DIGITS / name).step == STEPS[name]
    copy = shutil.copytree(DIGITS / name, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint"))
    checkpoint = open_checkpoint(copy)
    assert (checkpoint.prefix.name, checkpoint.step) == (f"ckpt-{STEPS[name]}", STEPS[name])
    assert "no `checkpoint` file" in checkpoint.warnings[0]


@digits
@pytest.mark.parametrize("name", ["classifier", "segmenter"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "index alone"])
def test_a_run_fits_its_own_config(name, whole, tmp_path):
    copy = shutil.copytree(DIGITS / name, tmp_path / "run")
    if not whole:
        next(copy.glob("*.data-*")).unlink()
    params = fitted(name, open_checkpoint(copy), dry=True)
    assert set(params.keys.values()) == set(open_checkpoint(DIGITS / name).groups()["model"])


def fitted(name, checkpoint, dry=False):
    import tensorflow as tf

    meta, model = architecture(name), read(None, [DIGITS / name]).model
    params = Params(checkpoint, locator(meta.names(model)), known_unread=meta.known_unread(model), dry=dry)
    images = tf.zeros((1, model.resizer.height, model.resizer.width, 3))
    if dry:
        with tf.__internal__.FuncGraph("fit").as_default():
            meta.predict(model, params.scope(), tf.raw_ops.Placeholder(dtype=tf.float32, shape=images.shape), None)
    else:
        meta.predict(model, params.scope(), images, None)
    params.check("digits", name)
    return params


@digits
def test_averages_are_taken_on_request():
    raw = open_checkpoint(DIGITS / "classifier")
    assert choose_weights(raw).warnings == (NOTE,)
    averaged = choose_weights(raw, ema=True)
    assert not averaged.warnings
    kernel = raw.key_of("model/layer_with_weights-0/layer_with_weights-0/kernel")
    assert kernel
    slot = f"{kernel.removesuffix(VALUE)}{SLOT}optimizer/average{VALUE}"
    assert np.array_equal(averaged[kernel], raw[slot])
    assert not np.array_equal(averaged[kernel], raw[kernel])
    model = raw.groups()["model"]
    changed = [key for key in model if not np.array_equal(averaged[key], raw[key])]
    assert len(changed) == len(raw.groups()["average"]) == 41
    assert not any("moving_" in key for key in changed)  # trainable_weights_only
    assert max(np.abs(averaged[key] - raw[key]).max() for key in model) == pytest.approx(0.0032, abs=1e-4)


@digits
def test_averages_are_refused_where_there_are_none():
    with pytest.raises(CheckpointError, match="holds none: it was trained without"):
        choose_weights(open_checkpoint(DIGITS / "segmenter"), ema=True)
    assert choose_weights(open_checkpoint(DIGITS / "segmenter")).warnings == ()


@digits
@pytest.mark.parametrize("name", ["average_weights-8000", "best_ckpt-8000"])
def test_averages_that_are_the_weights_stay_so(name, tmp_path):
    """The trainer saves such checkpoints with the two swapped."""
    for file in (DIGITS / "classifier").glob("ckpt-8000.*"):
        shutil.copy(file, tmp_path / file.name.replace("ckpt-8000", name))
    checkpoint = open_checkpoint(tmp_path)
    assert NOTE not in choose_weights(checkpoint).warnings
    with pytest.raises(CheckpointError, match="Leave --ema out"):
        choose_weights(checkpoint, ema=True)


@digits
@pytest.mark.parametrize("ema", [False, True], ids=["raw", "ema"])
def test_the_checkpoint_beside_an_export(tmp_path, ema):
    source = choose_weights(open_checkpoint(DIGITS / "classifier"), ema)
    model = SimpleNamespace(
        config=SimpleNamespace(lineage=OFFICIAL), params=fitted("classifier", source), meta=architecture("classifier")
    )
    prefix = write.write(source, model, tmp_path)
    assert prefix == tmp_path / "checkpoint" / "ckpt-1"
    state = 'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "ckpt-1"\n'
    assert (tmp_path / "checkpoint" / "checkpoint").read_text() == state

    written = open_checkpoint(tmp_path / "checkpoint")
    groups = written.groups()
    assert all(key.startswith("model/layer_with_weights-") for key in groups["model"])
    assert groups["step"] == (f"save_counter{VALUE}",)
    assert written[groups["step"][0]] == 1
    assert not groups["slot"]
    assert not groups["average"]
    assert len(groups["model"]) == 67
    for key in groups["model"]:
        theirs = source.key_of(key)
        assert theirs
        assert np.array_equal(written[key], source[theirs])
    assert fitted("classifier", written).keys  # and it is read back


def test_a_counter_is_made_where_there_was_none():
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    graph = TrackableObjectGraph()
    graph.nodes.add().children.add(node_id=1, local_name="model")
    graph.nodes.add().children.add(node_id=2, local_name="a/b.c")
    graph.nodes.add().attributes.add(name="VARIABLE_VALUE", full_name="v", checkpoint_key=f"backbone/v{VALUE}")
    write.add_counter(graph)
    graph = write.pruned(graph)
    assert [child.local_name for child in graph.nodes[0].children] == ["model", "save_counter"]
    assert write.rename(graph) == {
        f"save_counter{VALUE}": f"save_counter{VALUE}",
        f"backbone/v{VALUE}": f"model/a.Sb..c{VALUE}",
    }
    assert OBJECT_GRAPH not in write.rename(graph)
