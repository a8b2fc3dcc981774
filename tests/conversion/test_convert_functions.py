"""`visionport.convert`: functions and Keras models of the user's, and what their graphs hold."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from visionport import convert
from visionport.errors import InputError, OptionError, UnsupportedError
from visionport.tflite.contents import read_contents


@pytest.fixture(scope="module")
def weights():
    import tensorflow as tf

    return tf.Variable(tf.constant(np.random.default_rng(0).normal(size=(8, 8)) / 3, tf.float32))


def concrete(function, *specs):
    import tensorflow as tf

    return tf.function(function).get_concrete_function(*(tf.TensorSpec(*s) for s in specs))


def names(file: Path):
    graph = read_contents(file.read_bytes())
    return [t.name for t in graph.inputs], [t.name for t in graph.outputs]


def test_a_functions_arguments_and_keys_are_names_in_its_order(weights, tmp_path):
    def f(zebra, apple):
        return {"wide": zebra @ weights, "high": apple + 1.0, "nested": {"one": apple}}

    done = convert(concrete(f, [[None, 8]], [[1, 3]]), tmp_path / "m.tflite", shapes={"zebra": (2, 8)})
    assert done.agrees
    assert names(done.out) == (["zebra", "apple"], ["high", "nested/one", "wide"])
    assert [t.shape for t in read_contents(done.out.read_bytes()).outputs] == [(1, 3), (1, 3), (2, 8)]
    assert all(c.bound for c in done.checks)


def test_a_tf_function_with_a_signature(weights, tmp_path):
    import tensorflow as tf

    with_one = tf.function(lambda x: (x @ weights, x), input_signature=[tf.TensorSpec([None, 8], name="x")])
    done = convert(with_one, tmp_path / "m.tflite")
    assert done.agrees
    assert names(done.out) == (["x"], ["output_0", "output_1"])
    with pytest.raises(OptionError, match="get_concrete_function"):
        convert(tf.function(lambda x: x), tmp_path / "n.tflite")


def test_a_keras_model(tmp_path):
    import keras

    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, {"scores": keras.layers.Dense(2)(x), "features": x})
    done = convert(model, tmp_path / "m.tflite", output_arrays="scores")
    assert done.agrees
    assert names(done.out) == (["image"], ["scores"])
    with pytest.raises(UnsupportedError, match="Is it built"):
        convert(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "n.tflite")


def test_tensors_within_a_function(weights, tmp_path):
    import tensorflow as tf

    f = concrete(lambda x: tf.nn.relu(tf.matmul(x, weights, name="product"), name="end"), [[1, 8]])
    done = convert(f, tmp_path / "m.tflite", output_arrays=("end", "product"))
    assert done.agrees
    assert names(done.out)[1] == ["end", "product"]
    assert convert(f, tmp_path / "n.tflite", input_arrays="product").inputs == ("product",)


def loop(x, w):
    import tensorflow as tf

    steps = tf.constant(0)
    while tf.reduce_sum(x) < 1e4 and steps < 5:
        x = x * 2.0 + tf.nn.tanh(x @ w)
        steps += 1
    return {"x": x, "steps": steps}


def collected(x, w):
    import tensorflow as tf

    rows, state = tf.TensorArray(tf.float32, 4), tf.zeros_like(x[:, 0])
    for i in tf.range(4):
        state = tf.nn.tanh(state @ w + x[:, i])
        rows = rows.write(i, state)
    return rows.stack()


def branch(x, w):
    import tensorflow as tf

    return x @ w if tf.reduce_sum(x) > 0 else x - 1.0


@pytest.mark.parametrize(("function", "shape"), [(loop, [1, 8]), (collected, [1, 4, 8]), (branch, [1, 8])])
def test_loops_and_branches(weights, tmp_path, function, shape):
    """Of a function and of a SavedModel, whose loops read variables."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = weights  # pyright: ignore[reportAttributeAccessIssue]
    made = concrete(lambda x: function(x, module.weights), [shape])  # pyright: ignore[reportAttributeAccessIssue]
    assert convert(made, tmp_path / "m.tflite").agrees
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=made)
    assert convert(tmp_path / "saved", tmp_path / "n.tflite").agrees


def test_rows_of_an_open_shape_are_refused(weights, tmp_path):
    with pytest.raises(UnsupportedError, match="fixed batch"):
        convert(concrete(lambda x: collected(x, weights), [[None, 4, 8]]), tmp_path / "m.tflite")


def test_a_recurrent_layer_whose_batch_was_open(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((6, 4)), keras.layers.LSTM(5)])
    assert convert(model, tmp_path / "m.tflite").agrees
    arrays: Any = {model.inputs[0].name: np.zeros((3, 6, 4))}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UnsupportedError, match="LSTM"):  # TensorFlow's calibrator crashes
        convert(model, tmp_path / "n.tflite", quantize="int8", calibration=tmp_path / "x.npz")


def test_lists_that_no_output_needs_are_no_obstacle(weights, tmp_path):
    f = concrete(lambda x: {"rows": collected(x, weights), "plain": x[:, 0] @ weights}, [[1, 4, 8]])
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(5, 4, 8)))
    how: dict[str, Any] = {"quantize": "int8", "calibration": tmp_path / "x.npz"}
    assert max(c.measured for c in convert(f, tmp_path / "m.tflite", output_arrays="plain", **how).checks) < 0.1


def test_a_loop_of_tf1(tmp_path):
    import tensorflow as tf

    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, [None, 3], name="x")
            _, y = v1.while_loop(lambda i, _: i < 3, lambda i, a: (i + 1, tf.nn.tanh(a * 2.0)), [0, x])
            tf.identity(y, "y")
    finally:
        v1.enable_control_flow_v2()
    (tmp_path / "loop.pb").write_bytes(graph.as_graph_def().SerializeToString())
    assert convert(tmp_path / "loop.pb", tmp_path / "m.tflite", output_arrays="y").agrees


def test_outputs_that_repeat_or_are_inputs(weights, tmp_path):
    def f(x):
        y = x @ weights
        return {"a": y, "b": y, "same": x}

    done = convert(concrete(f, [[None, 8]]), tmp_path / "m.tflite")
    assert done.agrees
    assert names(done.out) == (["x"], ["a", "b", "same"])
    with pytest.raises(UnsupportedError, match="open size"):
        convert(concrete(lambda x: x, [[None, None]]), tmp_path / "n.tflite", shapes=(-1, -1))


def test_open_sizes_are_compared_too(weights, tmp_path):
    done = convert(concrete(lambda x: x @ weights, [[None, 8]]), tmp_path / "m.tflite", shapes=(-1, 8))
    assert done.agrees
    assert done.checks
    assert read_contents(done.out.read_bytes()).inputs[0].shape == (-1, 8)


def test_what_the_source_draws_is_not_judged(tmp_path):
    import tensorflow as tf

    done = convert(concrete(lambda x: x + tf.random.normal([1, 50]), [[1, 50]]), tmp_path / "m.tflite")
    assert done.agrees
    assert {c.notes for c in done.checks} == {"the source itself answers otherwise each time"}


def test_no_number_on_both_sides_agrees(tmp_path):
    import tensorflow as tf

    assert convert(concrete(tf.math.log, [[1, 8]]), tmp_path / "m.tflite").agrees


def refusals():
    import tensorflow as tf

    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2]), 0)
    count = tf.Variable(tf.zeros([]))
    return {
        "lookup table": concrete(table.lookup, [[3], tf.int32]),
        "changes a variable": concrete(lambda x: x + count.assign_add(1.0), [[1, 8]]),
        "RaggedTensor; TFLite has dense": concrete(tf.RaggedTensor.from_tensor, [[1, 8]]),
        "gives nothing": concrete(lambda x: None, [[1, 8]]),
        "depend on no input": concrete(lambda x: {"c": tf.constant([1.0])}, [[1, 8]]),
        "it computes in float64": concrete(tf.sin, [[1, 8], tf.float64]),
        "not list": [1],
    }


def test_what_is_refused(tmp_path):
    for text, source in refusals().items():
        with pytest.raises((OptionError, UnsupportedError), match=text):
            convert(source, tmp_path / "m.tflite")
    with pytest.raises(InputError, match="variables that are gone"):
        convert(without_its_variable(), tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def without_its_variable():
    import tensorflow as tf

    lost = tf.Variable(tf.ones([8, 8]))
    return concrete(lambda x: x @ lost, [[1, 8]])


def test_the_snippet_in_the_documents(tmp_path):
    text = (ROOT / "docs" / "cli.md").read_text()
    code = text.partition("\n## `visionport convert`\n")[2].partition("```python\n")[2].partition("```")[0]
    assert "visionport.convert(" in code
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "True" in done.stdout
    assert (tmp_path / "model.tflite").is_file()
