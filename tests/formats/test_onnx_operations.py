"""Operations one by one, in ONNX Runtime, against TensorFlow's own answers."""

from typing import Any

import numpy as np
import pytest

from visionport.errors import UnsupportedError
from visionport.onnx.opsets import OPSETS


def answers(function, specs, *values, opset=17):
    """(ONNX Runtime's, TensorFlow's) answers of a function of tensors that gives one."""
    import tensorflow as tf

    from visionport.graph.function import freeze_function
    from visionport.onnx import session
    from visionport.onnx.convert import convert

    concrete = tf.function(lambda *x: {"y": tf.identity(function(*x))}, autograph=False).get_concrete_function(*specs)
    names = [spec.name for spec in specs]
    graph = freeze_function(concrete, {name: name for name in names}, lower=False)
    model = convert(graph, names, ["y"], opset=opset).SerializeToString()
    found = session.run(session.open_session(model, "y"), "y", ["y"], dict(zip(names, values, strict=True)))
    return found["y"], concrete(*map(tf.constant, values))["y"].numpy()


def picture(height, width, channels=3, dtype: Any = np.uint8):
    return np.random.default_rng(height).integers(0, 256, (2, height, width, channels)).astype(dtype)


RESIZES = {
    "ResizeBilinear": ({}, {"align_corners": True}, {"half_pixel_centers": True}),
    "ResizeNearestNeighbor": ({}, {"align_corners": True}, {"half_pixel_centers": True}),
    "ResizeBicubic": ({}, {"align_corners": True}, {"half_pixel_centers": True}),
    "ResizeArea": ({}, {"align_corners": True}),
}


@pytest.mark.parametrize(("kind", "how"), [(kind, how) for kind, hows in RESIZES.items() for how in hows])
@pytest.mark.parametrize("opened", [False, True], ids=["known", "open"])
def test_resizing_pictures(kind, how, opened):
    import tensorflow as tf

    def resized(x):
        return getattr(tf.raw_ops, kind)(images=x, size=[30, 37], **how)

    for height, width in ((48, 64), (30, 37), (97, 51), (20, 7), (60, 111)):
        image = picture(height, width)
        sides = (None, None) if opened else (height, width)
        spec = tf.TensorSpec((2, *sides, 3), tf.uint8, "x")
        found, wanted = answers(resized, [spec], image)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, atol=1e-3 if kind == "ResizeArea" else 2e-4)


def test_resizing_maps():
    """By two, as networks do it."""
    import tensorflow as tf

    for kind in ("ResizeBilinear", "ResizeNearestNeighbor"):
        for how in RESIZES[kind]:
            resize = getattr(tf.raw_ops, kind)
            spec = tf.TensorSpec((None, 9, 5, 8), tf.float32, "x")
            value = picture(9, 5, 8, np.float32)
            found, wanted = answers(lambda x, f=resize, h=how: f(images=x, size=[18, 10], **h), [spec], value)
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


# (TensorFlow, x) -> y
OPERATIONS = {
    "floor division": lambda tf, x: x // 3.0,
    "remainder": lambda tf, x: x % 3.0,
    "integers": lambda tf, x: tf.cast(tf.cast(x, tf.int32) // 3 + tf.cast(x, tf.int32) % 5, tf.float32),
    "round": lambda tf, x: tf.round(x / 2),
    "mish": lambda tf, x: x * tf.tanh(tf.nn.softplus(x)),
    "gelu": lambda tf, x: tf.nn.gelu(x),
    "about gelu": lambda tf, x: tf.nn.gelu(x, approximate=True),
    "leaky": lambda tf, x: tf.nn.leaky_relu(x, 0.1),
    "quantised": lambda tf, x: tf.quantization.fake_quant_with_min_max_vars(x, -1.3, 7.1),
    "quantised to nothing": lambda tf, x: tf.quantization.fake_quant_with_min_max_vars(x, 0.0, 0.0),
    "norm": lambda tf, x: tf.math.l2_normalize(x, -1),
    "moments": lambda tf, x: tf.concat(tf.nn.moments(x, [1, 2], keepdims=True), -1),
    "any": lambda tf, x: tf.cast(tf.reduce_any(x > 4, -1), tf.float32),
    "sorted": lambda tf, x: tf.sort(x, axis=-1, direction="DESCENDING"),
    "softmax": lambda tf, x: tf.nn.softmax(x, axis=-1),
    "argmax": lambda tf, x: tf.argmax(x, 3, tf.int32),
    "cumsum": lambda tf, x: tf.cumsum(x, 2, exclusive=True, reverse=True),
    "hot": lambda tf, x: tf.one_hot(tf.cast(x, tf.int32), 6, axis=2),
    "pieces": lambda tf, x: tf.concat(tf.split(x, [1, 3, 2], axis=3)[::-1], 3),
    "symmetric": lambda tf, x: tf.pad(x, [[0, 0], [1, 1], [1, 0], [0, 0]], "SYMMETRIC"),
    "reflected": lambda tf, x: tf.pad(x, [[0, 0], [2, 1], [1, 2], [0, 0]], "REFLECT"),
    "space to depth": lambda tf, x: tf.nn.space_to_depth(x, 2),
    "depth to space": lambda tf, x: tf.nn.depth_to_space(tf.concat([x, x], -1), 2),
    "pooled": lambda tf, x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
    "slices": lambda tf, x: x[:, ::-1, 1:-1:2][..., None, 2:5],
    "one row": lambda tf, x: x[:, 2, -1],
    "stacked": lambda tf, x: tf.stack(tf.unstack(x, axis=1)[1:3], axis=-1),
    "repeated": lambda tf, x: tf.repeat(x, 3, axis=1),
    "gathered": lambda tf, x: tf.gather(x, tf.constant([[3, 0], [1, 1]]), axis=2),
    "gathered by row": lambda tf, x: tf.gather(x, tf.cast(x[:, :, 0, :2], tf.int32) % 4, axis=3, batch_dims=2),
    "written": lambda tf, x: tf.scatter_nd([[1], [3], [1]], x[0, :3], [5, 6, 6]),
    "product": lambda tf, x: tf.matmul(x, x, transpose_b=True),
    "equation": lambda tf, x: tf.einsum("bhwc,bhvc->bhwv", x, x),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("opset", [OPSETS[0], OPSETS[-1]])
def test_operations(name, opset):
    import tensorflow as tf

    function, value = OPERATIONS[name], np.random.default_rng(1).normal(2, 3, (2, 4, 6, 6)).astype(np.float32)
    spec = tf.TensorSpec((None, 4, None, 6), tf.float32, "x")
    if name == "written" and opset < 16:
        with pytest.raises(UnsupportedError, match="take --opset 16 or more"):
            answers(lambda x: function(tf, x), [spec], value, opset=opset)
        return
    for layout in (lambda x: x, lambda x: tf.nn.max_pool2d(x, 1, 1, "SAME")):  # with channels first
        found, wanted = answers(lambda x, f=layout: function(tf, f(x)), [spec], value, opset=opset)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("size", [(25, 27), (None, None)], ids=["known", "open"])
@pytest.mark.parametrize("how", [{"padding": "SAME"}, {"padding": "VALID"}, {"padding": "SAME", "dilations": 2}])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions(size, how, stride):
    import tensorflow as tf

    if stride > 1 and "dilations" in how:
        pytest.skip("no operation has both")
    random = np.random.default_rng(0)
    kernel, depthwise = (random.normal(0, 1, (3, 3, *s)).astype(np.float32) for s in ((4, 6), (4, 2)))
    scale = random.normal(1, 0.1, 6).astype(np.float32)
    offset = random.normal(0, 1, 6).astype(np.float32)

    def network(x: Any):
        x = tf.nn.conv2d(x, kernel, stride, **how) * scale + offset
        rate, strides = how.get("dilations", 1), [1, stride, stride, 1]
        y = tf.raw_ops.DepthwiseConv2dNative(
            input=x[..., :4], filter=depthwise, strides=strides, padding=how["padding"], dilations=[1, rate, rate, 1]
        )
        return tf.nn.relu6(y)

    value = random.normal(0, 1, (2, 25, 27, 4)).astype(np.float32)
    spec = tf.TensorSpec((None, *size, 4), tf.float32, "x")
    found, wanted = answers(network, [spec], value)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (3, 1), (2, 3)])
def test_transposed_convolutions(padding, kernel, stride):
    import tensorflow as tf

    weights = np.random.default_rng(0).normal(0, 1, (kernel, kernel, 5, 3)).astype(np.float32)
    side = 6 * stride if padding == "SAME" else 5 * stride + kernel

    def network(x: Any):
        return tf.nn.conv2d_transpose(x, weights, tf.stack([tf.shape(x)[0], side, side, 5]), stride, padding)

    value = np.random.default_rng(1).normal(0, 1, (2, 6, 6, 3)).astype(np.float32)
    found, wanted = answers(network, [tf.TensorSpec((None, 6, 6, 3), tf.float32, "x")], value)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
