"""Operations that OpenVINO's frontend is told how to convert, against TensorFlow's own answers."""

import numpy as np
import pytest

from visionport.formats.openvino import conversion

openvino = pytest.importorskip("openvino")


def answers(function, specs, *values):
    """(OpenVINO's, TensorFlow's) answers of a function of tensors, a dict."""
    import tensorflow as tf

    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    network = conversion.convert(concrete, {spec.name: spec.name for spec in specs}, "test")
    model = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    named = {spec.name: value for spec, value in zip(specs, values, strict=True)}
    found = {name: value for output, value in model(named).items() for name in output.names}
    return found, {name: value.numpy() for name, value in concrete(*map(tf.constant, values)).items()}


@pytest.mark.parametrize("columns", [1, 7])
def test_suppression_of_all_images_and_classes(columns):
    import tensorflow as tf

    from visionport.ops import portable

    random = np.random.default_rng(columns)
    corners = random.random((3, 40, columns, 2), np.float32)
    boxes = np.concatenate([corners, corners + 0.3], -1)
    scores = random.random((3, 40, 7), np.float32)
    specs = [tf.TensorSpec((None, 40, columns, 4), name="boxes"), tf.TensorSpec((None, 40, 7), name="scores")]
    found, wanted = answers(
        lambda b, s: {"selected": portable.suppress(b, s, 10, 0.4, 0.5)}, specs, boxes.astype(np.float32), scores
    )
    assert len(wanted["selected"]) > 40
    np.testing.assert_array_equal(found["selected"], wanted["selected"])


@pytest.mark.parametrize("how", [{}, {"align_corners": True}, {"half_pixel_centers": True}])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_resizing(how, channels):
    import tensorflow as tf

    def resized(x):
        return {"y": tf.raw_ops.ResizeBilinear(images=x, size=[30, 37], **how)}

    for height, width in ((48, 64), (30, 37), (97, 51), (1, 7)):
        image = np.random.default_rng(0).integers(0, 256, (2, height, width, channels), np.uint8)
        found, wanted = answers(resized, [tf.TensorSpec((None, None, None, channels), tf.uint8, "x")], image)
        # Of pictures hardly anything; where a network resizes its own maps, what rounding a place does.
        np.testing.assert_allclose(found["y"], wanted["y"], atol=1e-3 if channels <= 3 else 5e-2)


def test_the_best_of_many_are_found():
    """A large top-k is made unstable, a small one stays as it is."""
    import tensorflow as tf

    scores = np.random.default_rng(0).permutation(100_000).astype(np.float32)[None]
    same = np.array([[3, 1, 3, 2, 3]], np.float32)

    def best(x, y):
        many, few = tf.math.top_k(x, 100), tf.math.top_k(y, 4)
        return {"values": many[0], "places": many[1], "stable": few[1]}

    found, wanted = answers(
        best, [tf.TensorSpec((1, 100_000), name="x"), tf.TensorSpec((1, 5), name="y")], scores, same
    )
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    ("low", "high", "narrow"),
    [(-8, 7.9375, False), (-7.9375, 7.9375, True), (0, 15.9375, False), (0, 0, False)],
)
def test_fake_quantisation(low, high, narrow):
    """Of sums too, half of which lie exactly half way between two steps, as steps are powers of two."""
    import tensorflow as tf

    def fake_quant(x, *limits):
        return tf.quantization.fake_quant_with_min_max_vars(x, *limits, narrow_range=narrow)

    def rounded(x, y):
        a, b = fake_quant(x, low, high), fake_quant(y, low / 2, high / 2)
        return {"a": a, "b": b, "sum": fake_quant(a + b, low, high)}

    x, y = (np.random.default_rng(i).uniform(-9, 9, (1, 50, 50, 8)).astype(np.float32) for i in (0, 1))
    found, wanted = answers(rounded, [tf.TensorSpec((1, None, None, 8), name=name) for name in "xy"], x, y)
    for name in ("a", "b", "sum"):
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
        assert wanted[name].any() == (low < high)


@pytest.mark.parametrize("columns", [1, 4, 10, 16])
def test_rows_of_a_batch_of_one(columns):
    import tensorflow as tf

    random = np.random.default_rng(columns)
    rows, places = random.random((1, 900, columns), np.float32), random.permutation(900)[None, :500].astype(np.int32)
    specs = [tf.TensorSpec((1, 900, columns), name="rows"), tf.TensorSpec((1, 500), tf.int32, "places")]
    found, wanted = answers(lambda x, at: {"y": tf.gather(x, at, batch_dims=1)}, specs, rows, places)
    np.testing.assert_array_equal(found["y"], wanted["y"])


def test_outputs_that_are_one_tensor():
    """Of several names, and the input itself, which a network may hand on as it came."""
    import tensorflow as tf

    def same(x):
        y = tf.nn.relu(x)
        return {"a": y, "b": tf.identity(y), "c": tf.identity(tf.identity(y)), "x_again": tf.identity(x), "zero": 0 * y}

    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    found, wanted = answers(same, [tf.TensorSpec((None, 3), name="x")], x)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


def test_a_channel_of_each_map_and_normalised_rows():
    """Behind a convolution, of which OpenVINO transposes the maps; and means along an axis that is a scalar."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    kernel = random.normal(size=(3, 3, 4, 7)).astype(np.float32)

    def chosen(x, classes):
        maps = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), tf.range(7.0))
        rows = tf.reshape(x, [-1, 35, 4])
        mean, variance = tf.nn.moments(rows, -1, keepdims=True)
        rows = tf.nn.batch_normalization(rows, mean, variance, tf.fill([4], 2.0), tf.ones(4), 1e-6)
        return {"map": tf.gather(maps, classes, axis=3, batch_dims=1), "rows": rows}

    specs = [tf.TensorSpec((None, 5, 7, 4), name="x"), tf.TensorSpec((None,), tf.int32, "classes")]
    x, classes = random.normal(size=(3, 5, 7, 4)).astype(np.float32), np.array([6, 0, 3], np.int32)
    found, wanted = answers(chosen, specs, x, classes)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=2e-5)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("size", [64, 62, None])
def test_means_are_rounded_as_tensorflows(kept, size):
    """Of maps that are even but for a part, in which roundings do not cancel out."""
    import tensorflow as tf

    maps = np.full((2, 64, 64, 32), 0.1, np.float32)[:, :size, :size]
    maps[:, :20] = np.random.default_rng(0).random(maps[:, :20].shape, np.float32)
    spec = tf.TensorSpec((None, size, size, 32), name="x")
    found, wanted = answers(lambda x: {"y": tf.reduce_mean(x, [1, 2], keepdims=kept)}, [spec], maps)
    assert found["y"].shape == wanted["y"].shape
    np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-7 if size == 64 else 1e-4)


def test_other_means():
    import tensorflow as tf

    x = np.random.default_rng(0).random((2, 40, 40, 3), np.float32)
    specs = [tf.TensorSpec((None, 40, 40, 3), name="x")]
    found, wanted = answers(
        lambda x: {str(i): tf.reduce_mean(x, axes) for i, axes in enumerate(([3], [1, 3], [0], [-3, -2]))}, specs, x
    )
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)


def test_sizes_that_tensorflow_knows():
    import tensorflow as tf

    specs = [tf.TensorSpec((None, None, None, 3), name="x")]
    concrete = tf.function(lambda x: {"y": tf.ensure_shape(x, (None, 4, 5, 3)) + 1}).get_concrete_function(*specs)
    network = conversion.convert(concrete, {"x": "x"}, "test")
    assert str(network.output(0).get_partial_shape()) == "[?,4,5,3]"
