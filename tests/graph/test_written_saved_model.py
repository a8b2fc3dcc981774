"""SavedModels that are written without tf.saved_model.save: what every loader makes of them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from visionport.graph import function_calls
from visionport.graph.saved_model import write

WEIGHTS, OFFSET = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([10.0, 20.0], np.float32)
X = np.array([[1.0, 1.0], [0.0, 2.0]], np.float32)
CONSTANT = 0.5


def make(folder):
    """y = x w + b + c + x, with calls that nest and a loop; the weights are variables, c is captured as it is."""
    variables = {
        "dense/weights": tf.Variable(tf.constant(WEIGHTS), name="w"),
        "dense/biases": tf.Variable(tf.constant(OFFSET), trainable=False),
    }
    constant = tf.constant(CONSTANT)

    @tf.function(autograph=False)
    def twice(x):
        return x + x

    @tf.function(autograph=False)
    def dense(x):
        tf.debugging.assert_greater(tf.size(x), 0)  # runs although nothing reads it
        return tf.matmul(x, variables["dense/weights"]) + variables["dense/biases"] + constant

    def run(x):
        rows = tf.map_fn(lambda row: twice(row) - twice(row) + row, x)
        return {"b": dense(x) + rows, "a": tf.reduce_sum(x)}

    def double(x):
        return {"y": twice(x)}

    def mixed(z, b, a):
        return {"sum": tf.cast(z, tf.float32) + tf.reduce_sum(b) * variables["dense/biases"], "a": a[0]}

    spec = tf.TensorSpec([None, 2], tf.float32, "x")
    specs = [
        tf.TensorSpec([], tf.int32, "z"),
        tf.TensorSpec([2, 2], tf.float32, "b"),
        tf.TensorSpec([1], tf.string, "a"),
    ]
    three = tf.function(mixed, autograph=False).get_concrete_function(*specs)
    one, two = (tf.function(f, autograph=False).get_concrete_function(spec) for f in (run, double))
    write(folder, {"serving_default": one, "again": one, "double": two, "mixed": three}, variables, alias="tpu")
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return make(tmp_path_factory.mktemp("written") / "model")


EXPECTED = X @ WEIGHTS + OFFSET + CONSTANT + X


def test_python_loads_it_by_signature_and_by_object(written):
    loaded = tf.saved_model.load(str(written))
    found = loaded.signatures["serving_default"](x=tf.constant(X))
    np.testing.assert_allclose(found["b"], EXPECTED)
    assert found["a"] == X.sum()
    np.testing.assert_allclose(loaded.signatures["again"](x=tf.constant(X))["b"], EXPECTED)
    np.testing.assert_allclose(loaded.signatures["double"](x=tf.constant(X))["y"], X + X)
    given = {"z": tf.constant(3), "a": tf.constant(["text"]), "b": tf.constant(X)}
    found = loaded.signatures["mixed"](**given)
    np.testing.assert_allclose(found["sum"], 3 + X.sum() * OFFSET)
    assert found["a"] == b"text"
    assert [v.name for v in loaded.variables] == ["dense/weights:0", "dense/biases:0"]
    assert [v.name for v in loaded.trainable_variables] == ["dense/weights:0"]


def test_what_is_trained_counts(written):
    loaded = tf.saved_model.load(str(written))
    (weights,) = loaded.trainable_variables
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(loaded.signatures["serving_default"](x=tf.constant(X))["b"])
    np.testing.assert_allclose(tape.gradient(total, weights), np.repeat(X.sum(0)[:, None], 2, 1))
    weights.assign(2 * WEIGHTS)
    found = loaded.signatures["serving_default"](x=tf.constant(X))["b"]
    np.testing.assert_allclose(found, EXPECTED + X @ WEIGHTS)


def test_a_session_loads_it_and_saves_it(written, tmp_path):
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(written))
        signature = meta.signature_def["serving_default"]
        feeds = {signature.inputs["x"].name: X}
        np.testing.assert_allclose(session.run(signature.outputs["b"].name, feeds), EXPECTED)
        session.run(meta.saver_def.save_tensor_name, {meta.saver_def.filename_tensor_name: str(tmp_path / "ckpt")})
        mixed = meta.signature_def["mixed"]
        feeds = {mixed.inputs["z"].name: 3, mixed.inputs["a"].name: ["text"], mixed.inputs["b"].name: X}
        np.testing.assert_allclose(session.run(mixed.outputs["sum"].name, feeds), 3 + X.sum() * OFFSET)
        feeds = {signature.inputs["x"].name: X}
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(signature.outputs["b"].name, {signature.inputs["x"].name: X[:0]})
    reader = tf.train.load_checkpoint(str(tmp_path / "ckpt"))
    np.testing.assert_array_equal(reader.get_tensor("dense.Sweights/.ATTRIBUTES/VARIABLE_VALUE"), WEIGHTS)


def test_one_without_variables_is_loaded(tmp_path):
    """As a model whose variables are all frozen."""
    spec = tf.TensorSpec([None, 2], tf.float32, "x")
    function = tf.function(lambda x: {"b": tf.matmul(x, WEIGHTS)}, autograph=False).get_concrete_function(spec)
    write(tmp_path / "model", {"serving_default": function}, {})
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    assert [*loaded.variables] == []
    np.testing.assert_allclose(loaded.signatures["serving_default"](x=tf.constant(X))["b"], X @ WEIGHTS)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path / "model"))
        signature = meta.signature_def["serving_default"]
        found = session.run(signature.outputs["b"].name, {signature.inputs["x"].name: X})
        np.testing.assert_allclose(found, X @ WEIGHTS)


def test_assertions_are_kept_where_calls_are_replaced(written):
    loaded = tf.saved_model.load(str(written))
    with pytest.raises(tf.errors.InvalidArgumentError):
        loaded.signatures["serving_default"](x=tf.constant(X[:0]))


def test_what_one_call_names_stands_in_its_place(written):
    saved = saved_model_pb2.SavedModel.FromString((written / "saved_model.pb").read_bytes())
    meta = saved.meta_graphs[0]
    names = {f.signature.name.rpartition("_")[0] for f in meta.graph_def.library.function}
    assert {"__inference_run", "__inference_double", "__inference_twice"} < names
    assert "__inference_dense" not in names
    assert {*meta.meta_info_def.function_aliases.values()} == {"tpu"}
    assert len(meta.meta_info_def.function_aliases) == 3


def test_tensorflow_saves_and_converts_it(written, tmp_path):
    loaded = tf.saved_model.load(str(written))
    tf.saved_model.save(loaded, str(tmp_path / "again"), signatures=dict(loaded.signatures))
    again = tf.saved_model.load(str(tmp_path / "again"))
    np.testing.assert_allclose(again.signatures["serving_default"](x=tf.constant(X))["b"], EXPECTED)
    file = tf.lite.TFLiteConverter.from_saved_model(str(written), signature_keys=["double"]).convert()
    assert file[4:8] == b"TFL3"


def test_constants_that_are_alike_are_one(tmp_path):
    """But not those of other types, shapes or signs of 0, nor large ones, which are not looked at."""

    def run(x):
        values = [1.0, 1.0, np.float64(1), [1.0], 0.0, -0.0, np.ones(1000, np.float32), np.ones(1000, np.float32)]
        ends = {f"y{i}": x * tf.cast(tf.constant(v), tf.float32) for i, v in enumerate(values)}
        return ends | {"a": tf.constant(1.0), "b": tf.constant(1.0), "c": 1 / (x * tf.constant(-0.0))}

    function = tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec([], tf.float32, "x"))
    write(tmp_path / "model", {"serving_default": function}, {})
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "model" / "saved_model.pb").read_bytes())
    (definition,) = saved.meta_graphs[0].graph_def.library.function
    assert sum(node.op == "Const" for node in definition.node_def) == 7
    found = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"](x=tf.constant(2.0))
    for name, value in function(tf.constant(2.0)).items():
        np.testing.assert_array_equal(found[name], value)
    assert found["c"] == -np.inf


def test_the_same_bytes_each_time(written, tmp_path):
    from visionport.graph.saved_model import FILE

    again = make(tmp_path / "again")
    data = "variables/variables.data-00000-of-00001"
    assert (again / data).read_bytes() == (written / data).read_bytes()
    first, second = ((d / FILE).stat().st_size for d in (written, again))
    assert abs(first - second) < 100  # functions are numbered over the whole process


def test_what_must_run_keeps_its_order_where_a_call_is_put_in():
    """A protobuf's map has another order in each process, and so would the file's bytes."""
    variables = [tf.Variable(tf.constant(float(i))) for i in range(200)]

    @tf.function
    def inner(x):
        return sum((v.read_value() for v in variables), x)

    outer = tf.function(lambda x: inner(x) * 2.0).get_concrete_function(tf.TensorSpec([], tf.float32))
    functions = {f.signature.name: f for f in outer.graph.as_graph_def().library.function}
    (called,) = functions.values()
    order = [called.control_ret[key] for key in called.signature.control_output]
    assert len(order) == 200
    whole = outer.function_def
    functions[whole.signature.name] = whole
    function_calls.inline_once(functions, [whole.signature.name])
    assert [whole.control_ret[key] for key in whole.signature.control_output] == order
