"""Freezing: equal answers, nothing left but constants, names from the signature, errors with the nearest choice."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from google.protobuf import text_format
from places import SHARED

from visionport.cli import main
from visionport.errors import InputError, MismatchError, OptionError, OutputError, UnsupportedError
from visionport.formats import frozen_graph
from visionport.graph import edit, sources, unfreeze
from visionport.graph import freeze as freezing
from visionport.inputs import pictures
from visionport.scripts import freeze_graph
from visionport.scripts.flags import parse

v1 = tf.compat.v1
METAS = sorted(SHARED.glob("real/tf1-*/*.meta"))
SAME = 1e-6
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def frozen_of(path, *, optimize=False, **how):
    return freezing.freeze(freezing.GraphRequest(source=path, **how), optimize=optimize)


def unfrozen_to(path, out, *, selection=unfreeze.NOTHING, **how):
    return unfreeze.unfreeze(freezing.GraphRequest(source=path, **how), out, selection=selection)


@pytest.fixture(scope="module", params=[False, True], ids=["references", "resources"])
def trained(request, tmp_path_factory):
    """A TF1 graph with a loop, a gather, training nodes: its folder, and what `answer` gives for X."""
    folder = tmp_path_factory.mktemp("trained")
    with tf.Graph().as_default() as graph, v1.Session() as session:
        make = lambda name, value: v1.get_variable(  # noqa: E731
            name, initializer=tf.constant(value, tf.float32), use_resource=request.param
        )
        x = v1.placeholder(tf.float32, [None, 3], "x")
        unused = v1.placeholder(tf.float32, [], "unused")
        with tf.device("/cpu:0"):
            w, table = make("layer/w", np.eye(3) * 2), make("table", [[1.0], [5.0]])
        control = v1.control_flow_v2_enabled()
        v1.disable_control_flow_v2()
        _, y = v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.matmul(y, w)), [0, x])
        if control:
            v1.enable_control_flow_v2()
        hidden = tf.identity(y, name="hidden")
        answer = tf.add(hidden, tf.gather(table, [1])[0], name="answer")
        loss = tf.reduce_mean(answer) * unused
        step = v1.get_variable("global_step", initializer=0, trainable=False, use_resource=request.param)
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(tf.reduce_mean(tf.matmul(x, w)) + loss * 0, global_step=step)
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver()
        saver.save(session, str(folder / "model.ckpt"))
        expected = session.run(answer, {x: X})
        definition = graph.as_graph_def()
    (folder / "graph.pb").write_bytes(definition.SerializeToString())
    (folder / "graph.pbtxt").write_text(text_format.MessageToString(definition))
    return folder, expected


def evaluate(graph, output, feed):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(graph, name="")
        return session.run(output, feed)


def assert_frozen(graph):
    ops = {n.op for n in graph.node}
    assert not ops & {*edit.VARIABLES, *edit.CALLS, *edit.BRANCHES, "ReadVariableOp", "Assign"}
    assert not graph.library.function


@pytest.mark.parametrize("name", ["model.ckpt.meta", "graph.pb", "graph.pbtxt"])
def test_a_graph_and_its_checkpoint(trained, name):
    folder, expected = trained
    frozen = frozen_of(folder / name, checkpoint=folder / "model.ckpt", outputs=["answer"])
    assert_frozen(frozen.graph)
    assert (frozen.inputs, frozen.outputs, frozen.variables) == (("x",), ("answer",), 2)
    assert not any(n.device for n in frozen.graph.node)
    assert not any("gradients" in n.name or "Momentum" in n.name for n in frozen.graph.node)
    np.testing.assert_allclose(evaluate(frozen.graph, "answer:0", {"x:0": X}), expected, atol=SAME)


def test_names_chosen_and_optimised(trained):
    folder, expected = trained
    how = {"checkpoint": folder / "model.ckpt", "outputs": ["answer:0"], "optimize": True}
    frozen = frozen_of(folder / "graph.pb", names={"x": "image", "answer": "scores"}, **how)
    assert (frozen.inputs, frozen.outputs) == (("image",), ("scores",))
    np.testing.assert_allclose(evaluate(frozen.graph, "scores:0", {"image:0": X}), expected, atol=SAME)


def test_an_inner_node_as_input(trained):
    folder, _ = trained
    how = {"checkpoint": folder / "model.ckpt", "outputs": ["answer"]}
    frozen = frozen_of(folder / "graph.pb", inputs=["hidden"], **how)
    assert (frozen.inputs, frozen.variables) == (("hidden",), 1)
    np.testing.assert_allclose(evaluate(frozen.graph, "answer:0", {"hidden:0": X}), X + 5, atol=SAME)


def test_unfrozen_saved_model_of_a_meta(trained, tmp_path):
    folder, expected = trained
    how = {"checkpoint": folder / "model.ckpt", "outputs": ["answer"]}
    assert unfrozen_to(folder / "model.ckpt.meta", tmp_path / "saved", **how) == 2
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert {v.name for v in loaded.variables} == {"layer/w:0", "table:0"}
    answer = loaded.signatures["serving_default"](x=tf.constant(X))["answer"]
    np.testing.assert_allclose(answer, expected, atol=SAME)
    frozen = frozen_of(tmp_path / "saved")
    np.testing.assert_allclose(evaluate(frozen.graph, "answer:0", {"x:0": X}), expected, atol=SAME)


def test_export_of_a_meta(trained, tmp_path):
    """Its own checkpoint is the default; the signature's keys are the nodes; some variables may be constants."""
    folder, expected = trained
    line = f"export --meta {folder}/model.ckpt.meta --inputs x --outputs answer --out {tmp_path}/out --freeze table"
    done = CliRunner().invoke(main, shlex.split(line))
    assert done.exit_code == 0, done.output
    loaded = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    assert [v.name for v in loaded.trainable_variables] == ["layer/w:0"]
    answer = loaded.signatures["serving_default"](x=tf.constant(X))["answer"]
    np.testing.assert_allclose(answer, expected, atol=SAME)
    for wrong, error, message in (
        (f"{line} --out {tmp_path}/new --batch 2", OptionError, "--batch: not for --meta"),
        (f"{line} --out {tmp_path}/new --outputs answr", OptionError, "nearest: answer"),
        (line, OutputError, "exists"),
        (f"export --outputs a --out {tmp_path}/new", OptionError, "--meta"),
        (f"{line.replace('.meta', '.pb')} --out {tmp_path}/new", OptionError, "Give --checkpoint"),
    ):
        with pytest.raises(error, match=message):
            main.commands["export"].main(shlex.split(wrong)[1:], standalone_mode=False)
    assert not (tmp_path / "new").exists()


class Net(tf.Module):
    def __init__(self):
        self.w = tf.Variable(tf.fill((3, 2), 0.5))
        self.b = tf.Variable(tf.constant([1.0, -1.0]))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="image")])
    def __call__(self, image):
        total = tf.matmul(image, self.w)
        for _ in tf.range(3):
            total = tf.cond(tf.reduce_sum(total) > 0, lambda t=total: t + self.b, lambda t=total: t - self.b)
        return {"scores": tf.nn.sigmoid(total), "sum": tf.reduce_sum(total)}

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="image")])
    def double(self, image):
        return {"twice": 2 * image}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A TF2 SavedModel with variables, a loop and a branch: its folder and its answers."""
    folder, net = tmp_path_factory.mktemp("saved") / "model", Net()
    tf.saved_model.save(net, str(folder), signatures={"serving_default": net.__call__, "double": net.double})
    return folder, {k: v.numpy() for k, v in net(tf.constant(X)).items()}


def test_a_tf2_saved_model(saved):
    folder, expected = saved
    frozen = frozen_of(folder)
    assert_frozen(frozen.graph)
    assert (frozen.inputs, set(frozen.outputs), frozen.variables) == (("image",), {"scores", "sum"}, 2)
    for name, value in expected.items():
        np.testing.assert_allclose(evaluate(frozen.graph, f"{name}:0", {"image:0": X}), value, atol=SAME)


def test_another_signature(saved):
    frozen = frozen_of(saved[0], signature="double")
    assert (frozen.outputs, frozen.variables) == (("twice",), 0)
    np.testing.assert_allclose(evaluate(frozen.graph, "twice:0", {"image:0": X}), 2 * X, atol=SAME)


class Layers(tf.Module):
    """Two layers, the first with a moving mean."""

    def __init__(self):
        self.first = tf.Variable(tf.fill((3, 4), 0.25), name="first/kernel")
        self.mean = tf.Variable(tf.zeros(4), trainable=False, name="first/moving_mean")
        self.second = tf.Variable(tf.fill((4, 2), 0.5), name="second/kernel")

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="image")])
    def __call__(self, image):
        return {"scores": tf.nn.tanh(image @ self.first - self.mean) @ self.second}


@pytest.mark.parametrize(
    ("options", "trainable", "count"),
    [
        ("--keep second", ["second/kernel"], 1),
        ("--freeze second", ["first/kernel"], 2),
        ("--freeze kernel --keep first", ["first/kernel"], 2),
        ("--unfrozen", ["first/kernel", "second/kernel"], 3),
    ],
)
def test_some_variables_of_a_saved_model(options, trainable, count, tmp_path):
    """What is left has its name, and can be trained through the signature; what is frozen stays."""
    net, image = Layers(), tf.constant(X)
    tf.saved_model.save(net, str(tmp_path / "model"), signatures={"predict": net.__call__})
    line = f"freeze {tmp_path}/model {options} --rename image=pixels --out {tmp_path}/part"
    done = CliRunner().invoke(main, shlex.split(line))
    assert done.exit_code == 0, done.output
    part = tf.saved_model.load(str(tmp_path / "part"))
    assert (sorted(v.name[:-2] for v in part.trainable_variables), len(part.variables)) == (trainable, count)
    predict = part.signatures["predict"]
    expected = net(image)["scores"]
    np.testing.assert_allclose(predict(pixels=image)["scores"], expected, atol=SAME)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(predict(pixels=image)["scores"] ** 2)
    for variable, gradient in zip(part.trainable_variables, tape.gradient(loss, part.trainable_variables), strict=True):
        variable.assign_sub(1e-3 * gradient)
    assert float(tf.reduce_sum(predict(pixels=image)["scores"] ** 2)) < float(loss)
    tf.saved_model.save(part, str(tmp_path / "again"), signatures=part.signatures)
    frozen = frozen_of(tmp_path / "again")
    assert_frozen(frozen.graph)
    again = evaluate(frozen.graph, "scores:0", {"pixels:0": X})
    np.testing.assert_allclose(again, predict(pixels=image)["scores"], atol=SAME)


def test_lookup_tables(tmp_path):
    """A graph cannot fill them by itself: refused, unless the node that does is kept too."""
    with tf.Graph().as_default() as graph:
        keys = tf.lookup.KeyValueTensorInitializer(["a", "b"], [10, 20])
        table = tf.lookup.StaticHashTable(keys, -1)
        tf.identity(table.lookup(v1.placeholder(tf.string, [None], "words")), "numbers")
        (fill,) = (op.name for op in v1.get_collection(v1.GraphKeys.TABLE_INITIALIZERS))
        (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    refused(UnsupportedError, "fills them", tmp_path / "graph.pb", outputs=["numbers"])
    frozen = frozen_of(tmp_path / "graph.pb", outputs=["numbers", fill])
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(frozen.graph, name="")
        session.run(fill)
        assert list(session.run("numbers:0", {"words:0": ["b", "c"]})) == [20, -1]


def test_the_digits_detector(exported):
    """All outputs of its SavedModel, from a graph that leaves no variable and no function."""
    picture = next(iter(pictures.load(()).values()))[None]
    expected = tf.saved_model.load(str(exported / "saved_model")).signatures["serving_default"](tf.constant(picture))
    frozen = frozen_of(exported / "saved_model")
    assert_frozen(frozen.graph)
    assert set(frozen.outputs) == set(expected)
    found = evaluate(frozen.graph, [f"{k}:0" for k in expected], {"input_tensor:0": picture})
    for name, value in zip(expected, found, strict=True):
        np.testing.assert_allclose(value, expected[name], atol=1e-5 if "raw" in name else SAME, rtol=SAME)


@pytest.mark.parametrize("meta", METAS, ids=lambda p: p.parent.name)
def test_real_metas_without_collections(meta, tmp_path):
    """Of the weight rule's checkpoint: every variable found by its op, the exporter's outputs without being named.

    Frozen, as a SavedModel with variables, and that frozen: the same answers.
    """
    command = [sys.executable, SHARED / "golden" / "make_checkpoint.py", meta.with_suffix(".index"), tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    checkpoint = Path(done.stdout.split()[-1])
    frozen = frozen_of(meta, checkpoint=checkpoint)
    assert_frozen(frozen.graph)
    assert frozen.inputs == ("image_tensor",)
    assert {"detection_boxes", "detection_scores", "detection_classes", "num_detections"} <= set(frozen.outputs)
    line = f"export --meta {meta} --checkpoint {checkpoint} --out {tmp_path}/out"
    done = CliRunner().invoke(main, shlex.split(line))
    assert done.exit_code == 0, done.output
    model = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    assert len(model.variables) == frozen.variables
    assert not [v for v in model.trainable_variables if "moving_" in v.name]
    picture = next(iter(pictures.load(()).values()))[None]
    expected = evaluate(frozen.graph, {n: f"{n}:0" for n in frozen.outputs}, {"image_tensor:0": picture})
    found = model.signatures["serving_default"](image_tensor=tf.constant(picture))
    again = frozen_of(tmp_path / "out" / "saved_model")
    assert_frozen(again.graph)
    third = evaluate(again.graph, {n: f"{n}:0" for n in again.outputs}, {"image_tensor:0": picture})
    assert set(found) == set(expected) == set(third)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=10 * SAME, rtol=10 * SAME)
        np.testing.assert_allclose(third[name], value, atol=10 * SAME, rtol=10 * SAME)


# --- what is wrong ---


def refused(error, message, path, **how):
    with pytest.raises(error, match=message):
        frozen_of(path, **how)


def test_errors_of_graphs(trained, saved, tmp_path):
    folder, _ = trained
    graph, checkpoint = folder / "graph.pb", folder / "model.ckpt"
    refused(OptionError, "nearest: answer", graph, checkpoint=checkpoint, outputs=["answr"])
    refused(OptionError, "nearest: hidden", graph, checkpoint=checkpoint, outputs=["answer"], inputs=["hiden"])
    refused(OptionError, "--checkpoint", graph, outputs=["answer"])
    refused(OptionError, "--output", graph, checkpoint=checkpoint)
    refused(OptionError, "only a SavedModel has tags", graph, tags=["serve"], outputs=["answer"])
    refused(InputError, "nearest: graph.pb", folder / "grap.pb")
    refused(UnsupportedError, "Keras", keras(tmp_path))
    (tmp_path / "half.pb").write_bytes(graph.read_bytes()[:-7])
    refused(InputError, "is it whole", tmp_path / "half.pb", outputs=["answer"])
    other = tmp_path / "other"
    tf.raw_ops.SaveV2(
        prefix=str(other), tensor_names=["layer/w", "tabel"], shape_and_slices=[""] * 2, tensors=[tf.zeros((2, 2)), 0.0]
    )
    with pytest.raises(MismatchError) as caught:
        frozen_of(graph, checkpoint=other, outputs=["answer"])
    kinds = {p.name: (p.kind, p.near) for p in caught.value.problems}
    assert kinds == {"layer/w": ("wrong shape", ""), "table": ("missing", "tabel")}


def keras(folder):
    path = folder / "model.keras"
    path.write_bytes(b"PK")
    return path


def test_errors_of_saved_models(saved, tmp_path):
    folder, _ = saved
    refused(OptionError, "tag sets: serve", folder, tags=["serv"])
    refused(OptionError, "nearest: double", folder, signature="doubel")
    refused(OptionError, "has its own", folder, checkpoint=tmp_path / "c")
    refused(InputError, "no SavedModel", tmp_path)


def test_what_is_written(saved, tmp_path):
    text = frozen_of(saved[0]).graph
    freezing.write_graph(text, tmp_path / "a.pbtxt")
    freezing.write_graph(text, tmp_path / "a.pb")
    assert sources.read_graph_def(tmp_path / "a.pbtxt")[0] == frozen_graph.read_graph_def(tmp_path / "a.pb")
    with pytest.raises(OutputError, match="--overwrite"):
        freezing.write_graph(text, tmp_path / "a.pb")
    with pytest.raises(OutputError, match="directory"):
        freezing.write_graph(text, tmp_path)


# --- the command, and the old script ---


def test_the_command(saved, trained, tmp_path):
    out = tmp_path / "frozen.pb"
    done = CliRunner().invoke(
        main, ["freeze", str(saved[0]), "--out", str(out), "--rename", "scores=class/scores", "-v"]
    )
    assert done.exit_code == 2
    done = CliRunner().invoke(main, ["freeze", str(saved[0]), "--out", str(out), "--rename", "scores=class/scores"])
    assert done.exit_code == 0, done.output
    assert "image -> class/scores, sum" in done.output or "image -> sum, class/scores" in done.output
    folder, _ = trained
    line = f"freeze {folder}/model.ckpt.meta --checkpoint {folder}/model.ckpt --output answer"
    line += f" --unfrozen --out {tmp_path}/s"
    assert CliRunner().invoke(main, shlex.split(line)).exit_code == 0
    assert (tmp_path / "s" / "variables" / "variables.index").is_file()
    assert CliRunner().invoke(main, shlex.split(f"{line} --optimize")).exit_code == 2


def script(line):
    freeze_graph.run(parse(freeze_graph.FLAGS, shlex.split(line)))


def test_freeze_graph(trained, saved, tmp_path):
    folder, expected = trained
    out = tmp_path / "frozen.pb"
    graph = f"--input_checkpoint={folder}/model.ckpt --output_graph={out} --output_node_names=answer"
    for source in (
        f"--input_graph={folder}/graph.pbtxt",
        f"--input_graph={folder}/graph.pb --input_binary=true --input_saver= --restore_op_name save/restore_all",
        f"--input_meta_graph {folder}/model.ckpt.meta --input_binary true --checkpoint_version 2 --noclear_devices",
    ):
        script(f"{source} {graph}")
        found = evaluate(frozen_graph.read_graph_def(out), "answer:0", {"x:0": X})
        np.testing.assert_allclose(found, expected, atol=SAME)
    script(f"--input_saved_model_dir={saved[0]} --output_graph={out} --input_binary=true")
    assert {"scores", "sum"} <= {n.name for n in frozen_graph.read_graph_def(out).node}
    with pytest.raises(OptionError, match="said to be binary, but is text: --input_binary=false"):
        script(f"--input_graph={folder}/graph.pbtxt --input_binary {graph}")
    with pytest.raises(OptionError, match="said to be text, but is binary"):
        script(f"--input_graph={folder}/graph.pb {graph}")
    with pytest.raises(OptionError, match="tag sets: serve"):
        script(f"--input_saved_model_dir={saved[0]} --output_graph={out} --saved_model_tags=serve,gpu")
    with pytest.raises(OptionError, match="output_binary=false: name the file"):
        script(f"--input_saved_model_dir={saved[0]} --output_graph={out} --output_binary=false")
    script(f"--input_saved_model_dir={saved[0]} --output_graph={out}txt --input_binary=true --output_binary=false")
    assert "scores" in Path(f"{out}txt").read_text()
    with pytest.raises(OptionError, match="one of --input_graph"):
        script(f"--output_graph={out}")


def test_freeze_graph_of_some_variables(trained, tmp_path):
    folder, _ = trained
    out = tmp_path / "frozen.pb"
    line = f"--input_meta_graph={folder}/model.ckpt.meta --input_binary=true --input_checkpoint={folder}/model.ckpt "
    line += f"--output_node_names=answer --output_graph={out}"
    for flag in ("--variable_names_denylist=table", "--variable_names_whitelist=layer/w"):
        script(f"{line} {flag}")
        assert list(edit.variables(frozen_graph.read_graph_def(out))) == ["table"]


def test_freeze_graph_of_what_initializers_give(trained, tmp_path):
    folder, expected = trained
    out = tmp_path / "frozen.pb"
    line = f"--input_graph={folder}/graph.pb --input_binary=true --output_node_names=answer --output_graph={out}"
    script(f"{line} --initializer_nodes=layer/w/Assign,table/Assign")
    np.testing.assert_allclose(evaluate(frozen_graph.read_graph_def(out), "answer:0", {"x:0": X}), expected, atol=SAME)
