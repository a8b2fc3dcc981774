"""Inputs fixed to values: branches that they decide go, and with them what trains; answers are those of the branch."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from strangers import visionport as stranger

import visionport
from visionport.errors import OptionError
from visionport.graph import decide, freeze
from visionport.graph.unfreeze import unfreeze

v1 = tf.compat.v1
X = np.arange(8, dtype=np.float32).reshape(2, 4) - 3


def train_graph(is_resource: bool, with_default: bool):
    """A TF1 training graph: batch norm and dropout as its time wrote them, a branch in a branch, a loop."""
    phase = v1.placeholder(tf.bool, [], "phase")
    if with_default:
        phase = v1.placeholder_with_default(tf.constant(True), [], "phase_default")
    keep = v1.placeholder(tf.float32, None, "keep")
    deep = v1.placeholder(tf.int32, [], "deep")
    x = v1.placeholder(tf.float32, [None, 4], "x")
    mean = v1.get_variable("mean", initializer=[1.0, 2.0, 3.0, 4.0], trainable=False, use_resource=is_resource)
    w = v1.get_variable("w", initializer=tf.eye(4) * 2, use_resource=is_resource)

    def training():
        batch = tf.reduce_mean(x, 0)
        with tf.control_dependencies([v1.assign_sub(mean, (mean - batch) * 0.1)]):
            return tf.identity(batch)

    used = tf.cond(phase, training, lambda: tf.identity(mean))
    y = tf.matmul(x - used, w)
    y = v1.nn.dropout(y, keep_prob=keep, name="new")
    y = tf.floor(keep + v1.random_uniform(tf.shape(y))) * (y / keep)
    inner = lambda: tf.cond(tf.logical_not(tf.greater(deep, 1)), lambda: y + 10.0, lambda: y + 100.0)  # noqa: E731
    y = tf.cond(deep > 0, inner, lambda: y)
    _, y = v1.while_loop(lambda i, _: i < 3, lambda i, a: (i + 1, a + tf.cond(phase, lambda: 1.0, lambda: 0.5)), [0, y])
    return tf.identity(y, "y")


@pytest.fixture(scope="module", params=["references", "resources", "v2", "default"])
def trained(request, tmp_path_factory):
    """(its folder, the name of its phase)."""
    folder = tmp_path_factory.mktemp("train")
    if request.param != "v2":
        v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph, v1.Session() as session:
            train_graph(request.param in ("resources", "v2"), request.param == "default")
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(folder / "model"))
            del graph
    finally:
        v1.enable_control_flow_v2()
    return folder, "phase_default" if request.param == "default" else "phase"


def expected(deep: int):
    y = (X - [1, 2, 3, 4]) * 2
    return y + {0: 0, 1: 10, 2: 100}[deep] + 1.5


def asked(trained, **constants):
    folder, phase = trained
    fixed = {phase: False, "keep": 1.0} | constants
    return freeze.GraphRequest(
        source=folder / "model.meta", checkpoint=folder / "model", outputs=["y"], constants=fixed
    )


@pytest.mark.parametrize("deep", [0, 1, 2])
def test_the_branch_that_is_taken_alone_is_left(trained, deep):
    found = freeze.freeze(asked(trained, deep=deep))
    assert found.inputs == ("x",)
    ops = {n.op for n in found.graph.node}
    assert not ops & {"RandomUniform", "Floor", "AssignSub", "AssignSubVariableOp", "RefSwitch", "If", "Mean"}
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(found.graph, name="")
        np.testing.assert_allclose(session.run("y:0", {"x:0": X}), expected(deep), rtol=1e-6)


def test_what_is_not_fixed_stays_an_input(trained, tmp_path):
    """A loop and a branch that the constants do not decide."""
    found = freeze.freeze(asked(trained))
    assert set(found.inputs) == {"x", "deep"}
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(found.graph, name="")
        for deep in (0, 1, 2):
            answer = session.run("y:0", {"x:0": X, "deep:0": deep})
            np.testing.assert_allclose(answer, expected(deep), rtol=1e-6)


def test_a_saved_model_with_its_variables(trained, tmp_path):
    assert unfreeze(asked(trained, deep=1), tmp_path / "saved") == 2
    answer = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"](x=tf.constant(X))
    np.testing.assert_allclose(answer["y"], expected(1), rtol=1e-6)


def test_dropout_that_drops_stays(trained):
    request = asked(trained, deep=0, keep=0.5)
    assert "RandomUniform" in {n.op for n in freeze.freeze(request).graph.node}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A TF2 SavedModel whose signature takes what decides its branches, some of them in a function of a function."""
    folder = tmp_path_factory.mktemp("saved")
    scale = tf.Variable(tf.constant(3.0))

    @tf.function
    def inner(x, training):
        return tf.cond(training, lambda: x + tf.random.normal(tf.shape(x)), lambda: x * scale)

    @tf.function
    def run(x, training, which):
        y = inner(x, training)
        return {"y": tf.switch_case(which, [lambda: y, lambda: -y, lambda: y + 1.0])}

    module = tf.Module()
    module.scale, module.run = scale, run
    specs = tf.TensorSpec([None, 4], name="x"), tf.TensorSpec([], tf.bool, "training"), tf.TensorSpec([], tf.int32, "w")
    tf.saved_model.save(module, str(folder), signatures=run.get_concrete_function(*specs))
    return folder


@pytest.mark.parametrize(("which", "answer"), [(0, 3 * X), (1, -3 * X), (2, 3 * X + 1), (9, 3 * X + 1)])
def test_branches_of_tf2(saved, tmp_path, which, answer):
    constants = {"training": False, "w": which}
    found = freeze.freeze(freeze.GraphRequest(source=saved, constants=constants))
    assert found.inputs == ("x",)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(found.graph, name="")
        np.testing.assert_allclose(session.run("y:0", {"x:0": X}), answer, rtol=1e-6)
    done = visionport.convert(saved, tmp_path / "m.tflite", constants=constants, shapes=(2, 4))
    assert done.inputs == ("x",)
    assert done.agrees
    assert not {"IF", "RANDOM_STANDARD_NORMAL"} & set(contents_ops(done.out))


def contents_ops(file):
    from visionport.tflite.contents import read_contents

    return read_contents(file.read_bytes()).ops


def test_of_a_function(tmp_path):
    def run(x, flip):
        return tf.cond(flip, lambda: -x, lambda: x + 1.0)

    f = tf.function(run).get_concrete_function(tf.TensorSpec([1, 4], name="x"), tf.TensorSpec([], tf.bool, "flip"))
    done = visionport.convert(f, tmp_path / "m.tflite", constants={"flip": True})
    assert (done.inputs, done.agrees) == (("x",), True)
    assert contents_ops(done.out) == {"NEG": 1}


def test_what_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1, 2]]))
    texts = ["phase=False", "keep=1e-3", "n=3", "sizes=[1, 2]", "more=1,2.5", f"a=@{tmp_path / 'a.npy'}", "t=hello"]
    found = decide.parse_constants(texts)
    assert found.pop("a").tolist() == [[1, 2]]
    assert found == {"phase": False, "keep": 1e-3, "n": 3, "sizes": [1, 2], "more": [1, 2.5], "t": "hello"}
    for text in ("phase", "=1", "x=", "x=@nothing.npy"):
        with pytest.raises(OptionError, match="--set"):
            decide.parse_constants([text])


@pytest.mark.parametrize(
    ("constants", "text"),
    [
        ({"phase_": False}, "--set 'phase_': no such node.*nearest: phase"),
        ({"deep": 1.5}, "deep takes int32"),
        ({"deep": [1, 2]}, r"takes the shape \(\), not \[2\]"),
        ({"keep": "no"}, "keep takes float32"),
    ],
)
def test_wrong_values_are_told(trained, constants, text):
    with pytest.raises(OptionError, match=text):
        freeze.freeze(asked(trained, **constants))


def test_inputs_are_not_fixed_too(trained):
    request = dataclasses.replace(asked(trained, x=X), inputs=["x"])
    with pytest.raises(OptionError, match="an input, and fixed by --set"):
        freeze.freeze(request)


@pytest.mark.parametrize("command", ["freeze", "convert"])
def test_a_file_of_constants_is_never_replaced(tmp_path, command):
    given = tmp_path / "x.npy"
    np.save(given, np.float32(1))
    before = given.read_bytes()
    (tmp_path / "g.pb").write_bytes(b"")
    code, printed = stranger(command, tmp_path / "g.pb", "--set", f"x=@{given}", "--out", given, "--overwrite")
    assert (code, "is an input" in printed) == (2, True)
    assert given.read_bytes() == before
