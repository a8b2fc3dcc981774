"""Layers against their definitions, and each against another way to compute it."""

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from arrays import scope_of

from visionport.config import BatchNorm, Hyperparams
from visionport.ops import nn, portable

SEEDS = range(6)
CLOSE: Any = {"rtol": 1e-4, "atol": 1e-4}
SIZES = [(6, 6), (7, 5), (1, 4), (8, 3)]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def valid(x, w, stride=1, rate=1):
    """A convolution without padding, place by place."""
    reach = [rate * (k - 1) for k in w.shape[:2]]
    rows, columns = (range(0, x.shape[i + 1] - reach[i], stride) for i in (0, 1))
    out = np.zeros((len(x), len(rows), len(columns), w.shape[3]))
    for (i, y), (j, x_) in itertools.product(enumerate(rows), enumerate(columns)):
        window = x[:, y : y + reach[0] + 1 : rate, x_ : x_ + reach[1] + 1 : rate]
        out[:, i, j] = np.einsum("bijc,ijco->bo", window, w, dtype=np.float64)
    return out


def padded(x, before, after):
    return np.pad(x, [(0, 0), (before, after), (before, after), (0, 0)])


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (5, 2)])
def test_convolutions(kernel, stride):
    """Padded explicitly by the kernel alone; a depthwise one is a full one whose channels do not meet."""
    for seed, size in itertools.product(SEEDS, SIZES):
        x, w, d = normal(seed, 2, *size, 3), normal(seed + 50, kernel, kernel, 3, 4), normal(seed, kernel, kernel, 3, 1)
        s = scope_of({"weights": w, "depthwise_weights": d})
        before = (kernel - 1) // 2
        explicit = padded(x, before, kernel - 1 - before)
        how = {"kernel": kernel, "stride": stride, "explicit_padding": True}
        np.testing.assert_allclose(nn.conv(s, tf.constant(x), **how), valid(explicit, w, stride), **CLOSE)
        diagonal = d * np.eye(3, dtype=np.float32)
        np.testing.assert_allclose(nn.depthwise(s, tf.constant(x), **how), valid(explicit, diagonal, stride), **CLOSE)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_same_padding_against_explicit_padding(kernel):
    """The same with stride 1; with stride 2 explicit padding keeps every second of those, and "SAME" may be shifted."""
    for seed, size in itertools.product(SEEDS, SIZES):
        x, arrays = (
            tf.constant(normal(seed, 1, *size, 2)),
            {
                "weights": normal(seed + 9, kernel, kernel, 2, 3),
                "depthwise_weights": normal(seed + 9, kernel, kernel, 2, 1),
                "pointwise_weights": normal(seed + 8, 1, 1, 2, 3),
            },
        )
        s = scope_of(arrays)
        for layer in (nn.conv, nn.depthwise, nn.separable):
            same = layer(s, x, kernel=kernel)
            np.testing.assert_allclose(layer(s, x, kernel=kernel, explicit_padding=True), same, **CLOSE)
            strided = layer(s, x, kernel=kernel, stride=2, explicit_padding=True)
            np.testing.assert_allclose(strided, same[:, ::2, ::2], **CLOSE)
            if size[0] % 2 and size[1] % 2:
                np.testing.assert_allclose(layer(s, x, kernel=kernel, stride=2), strided, **CLOSE)


@pytest.mark.parametrize("stride", [1, 2])
def test_separable_is_depthwise_then_pointwise(stride):
    for seed in SEEDS:
        x, d, p = normal(seed, 2, 7, 6, 3), normal(seed + 1, 3, 3, 3, 1), normal(seed + 2, 1, 1, 3, 4)
        s = scope_of({"depthwise_weights": d, "pointwise_weights": p})
        found = nn.separable(s, tf.constant(x), kernel=3, stride=stride, out=4, explicit_padding=True)
        steps = nn.pointwise(s, nn.depthwise(s, tf.constant(x), stride=stride, explicit_padding=True))
        np.testing.assert_array_equal(found, steps)
        np.testing.assert_allclose(found, valid(padded(x, 1, 1), d * p[0, 0], stride), **CLOSE)


@pytest.mark.parametrize("rate", [1, 2, 3])
def test_dilation(rate):
    for seed in SEEDS:
        x, w = normal(seed, 1, 9, 8, 2), normal(seed + 1, 3, 3, 2, 3)
        found = nn.conv(scope_of({"weights": w}), tf.constant(x), rate=rate)
        np.testing.assert_allclose(found, valid(padded(x, rate, rate), w, rate=rate), **CLOSE)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("rate", [1, 2, 3])
def test_depthwise_for_other_runtimes(rate, stride):
    """The same as one operation, of pictures of any size."""
    if rate > 1 and stride > 1:
        pytest.skip("no operation has both")
    x, w, spec = normal(0, 2, 9, 8, 4), normal(1, 3, 3, 4, 1), [tf.TensorSpec((None, None, None, 4))]

    scope = scope_of({"depthwise_weights": w})

    def convolve(x):
        return nn.depthwise(scope, x, rate=rate, stride=stride)

    wanted = convolve(tf.constant(x))
    with portable.portable():
        found = tf.function(convolve, input_signature=spec).get_concrete_function()
    assert not {op.type for op in found.graph.get_operations()} & {"SpaceToBatchND", "BatchToSpaceND"}
    np.testing.assert_array_equal(found(tf.constant(x)), wanted)


@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 2), (2, 4), (2, 3), (3, 5)])
def test_transposed_convolution(stride, kernel):
    """<conv(x), y> = <x, conv_transpose(y)>, with the same weights."""
    for seed, (height, width) in itertools.product(SEEDS, [(1, 1), (3, 4)]):
        w = normal(seed, kernel, kernel, 2, 3)
        x, y = normal(seed + 1, 2, stride * height, stride * width, 2), normal(seed + 2, 2, height, width, 3)
        found = nn.conv_transpose(scope_of({"weights": w}), tf.constant(y), stride=stride)
        assert found.shape == x.shape
        there = np.sum(tf.nn.conv2d(x, w, stride, "SAME").numpy().astype(np.float64) * y)
        np.testing.assert_allclose(there, np.sum(x * found.numpy().astype(np.float64)), rtol=1e-4, atol=1e-4)


def test_dense_and_bias():
    for seed in SEEDS:
        x, w, b = normal(seed, 3, 5), normal(seed + 1, 5, 4), normal(seed + 2, 4)
        np.testing.assert_allclose(nn.dense(scope_of({"weights": w, "biases": b}), tf.constant(x)), x @ w + b, **CLOSE)
        np.testing.assert_array_equal(nn.bias(scope_of({"biases": b}), tf.zeros((1, 2, 4))), np.tile(b, (1, 2, 1)))


def moments(seed, width):
    random = np.random.default_rng(seed)
    values = [random.uniform(0.5, 2, width), *random.normal(size=(2, width)), random.uniform(0.1, 3, width)]
    return dict(zip(("gamma", "beta", "moving_mean", "moving_variance"), map(np.float32, values), strict=True))


@pytest.mark.parametrize("epsilon", [1e-3, 1e-5])
@pytest.mark.parametrize(("center", "scale"), [(True, True), (True, False), (False, True), (False, False)])
def test_batch_norm(center, scale, epsilon):
    """As it is, folded into what is before it, and kept apart for TFLite."""
    for seed in SEEDS:
        x, m = normal(seed, 2, 4, 3, 5), moments(seed, 5)
        s = scope_of(m)
        factor = (m["gamma"] if scale else 1) / np.sqrt(m["moving_variance"] + max(epsilon, nn.LEAST_EPSILON))
        expected = (x - m["moving_mean"]) * factor + (m["beta"] if center else 0)
        how = {"center": center, "scale": scale}
        np.testing.assert_allclose(nn.batch_norm(s, tf.constant(x), epsilon, **how), expected, **CLOSE)
        factor, offset = nn.folded(s, 5, BatchNorm(epsilon=epsilon, **how))
        np.testing.assert_allclose(x * factor + offset, expected, **CLOSE)
        with nn.for_tflite():
            np.testing.assert_allclose(nn.batch_norm(s, tf.constant(x), epsilon, apart=True, **how), expected, **CLOSE)


LAYERS = {
    "conv": (nn.conv, {"weights": (3, 3, 4, 6)}, {}),
    "depthwise": (nn.depthwise, {"depthwise_weights": (3, 3, 4, 1)}, {}),
    "pointwise": (nn.pointwise, {"pointwise_weights": (1, 1, 4, 6)}, {}),
    "separable": (nn.separable, {"depthwise_weights": (3, 3, 4, 1), "pointwise_weights": (1, 1, 4, 6)}, {"out": 6}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_its_batch_norm_folded(name):
    """Into the weights by hand; and by the rewrite for fake quantisation, within a few roundings of 8 bits."""
    by, shapes, how = LAYERS[name]
    norm = BatchNorm()
    hyper = Hyperparams(batch_norm=norm)
    last = list(shapes)[-1]
    width = shapes[last][2 if by is nn.depthwise else 3]
    for seed in SEEDS:
        x = tf.constant(normal(seed, 1, 6, 5, 4))
        arrays = {k: normal(seed + 1 + i, *shape) / 3 for i, (k, shape) in enumerate(shapes.items())}
        arrays |= {f"BatchNorm/{k}": v for k, v in moments(seed, width).items()}
        plain = nn.layer(scope_of(arrays), x, hyper, by, **how).numpy()
        factor, offset = nn.folded(scope_of(arrays) / "BatchNorm", width, norm)
        weights = arrays[last] * (np.reshape(factor, (-1, 1)) if by is nn.depthwise else factor)
        by_hand = by(scope_of(arrays | {last: weights}), x, **how) + offset
        np.testing.assert_allclose(tf.nn.relu6(by_hand), plain, **CLOSE)
        with nn.for_tflite():
            np.testing.assert_allclose(nn.layer(scope_of(arrays), x, hyper, by, **how), plain, **CLOSE)
        ranges = {"weights_quant": np.abs(weights).max(), "act_quant": 6.0}
        if by is nn.separable:
            ranges["separable_conv2d/weights_quant"] = np.abs(arrays["depthwise_weights"]).max()
        for place, reach in ranges.items():
            arrays |= {f"{place}/min": 0.0 if "act" in place else -reach, f"{place}/max": reach}
        quantized = nn.layer(scope_of(arrays, quantized=True), x, hyper, by, **how).numpy()
        off = np.abs(quantized - plain)
        assert 0 < off.mean() < 0.04
        assert off.max() < 0.25


@pytest.mark.parametrize("norm", [BatchNorm(), None])
@pytest.mark.parametrize("name", LAYERS)
def test_a_depthwise_layer_is_one_kernel_in_tensorflow(name, norm):
    """Which takes a bias and an activation. Converters fold batch norms by themselves."""
    by, shapes, how = LAYERS[name]
    arrays = {k: np.ones(shape, np.float32) for k, shape in shapes.items()} | {"biases": np.ones(4, np.float32)}
    s = scope_of(arrays | {f"BatchNorm/{k}": v for k, v in moments(0, 4 if by is nn.depthwise else 6).items()})
    hyper = Hyperparams(batch_norm=norm, use_bias=False)

    def ops(trace):
        with trace:
            function = tf.function(lambda x: nn.layer(s, x, hyper, by, **how), autograph=False)
            graph = function.get_concrete_function(tf.TensorSpec((1, 6, 5, 4))).graph
        return [o.type for o in graph.get_operations()]

    here = ops(contextlib.nullcontext())
    assert ("FusedBatchNormV3" in here) == (norm is not None and by is not nn.depthwise)
    assert here.count("BiasAdd") == (norm is not None and by is nn.depthwise)
    for elsewhere in (ops(nn.for_tflite()), ops(portable.portable())):
        assert ("FusedBatchNormV3" in elsewhere) == (norm is not None)


@pytest.mark.parametrize("narrow", [False, True])
def test_fake_quantisation(narrow):
    """Values become one of 256 steps (255 where narrow) from min to max, moved so that 0 is one of them.

    Jacob et al. 2018, section 3.
    """
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        low, high = np.float32(-random.uniform(0, 3)), np.float32(random.uniform(0.1, 3))
        x = random.uniform(-4, 4, 500).astype(np.float32)
        found = nn.fake_quant(scope_of({"min": low, "max": high}), tf.constant(x), narrow=narrow).numpy()
        steps = 254 if narrow else 255
        step = (high - low) / steps
        places = (np.arange(steps + 1) - np.clip(np.rint(-low / step), 0, steps)) * step
        nearest = places[np.abs(x[:, None].astype(np.float64) - places).argmin(1)]
        off = np.abs(found - nearest)
        assert np.mean(off > step / 100) < 0.01  # half-way between two steps
        assert off.max() < step * 1.01
        assert 0.0 in found or not np.any(np.abs(x) < step / 2)
        again = nn.fake_quant(scope_of({"min": low, "max": high}), tf.constant(found), narrow=narrow)
        np.testing.assert_allclose(again, found, atol=1e-6)


def test_activations():
    x = np.linspace(-8, 8, 161).astype(np.float32)
    expected = {
        "none": x,
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "swish": x / (1 + np.exp(-x)),
        "hard_swish": x * np.clip(x + 3, 0, 6) / 6,
    }
    assert set(expected) <= set(nn.ACTIVATIONS)
    for name, values in expected.items():
        np.testing.assert_allclose(nn.ACTIVATIONS[name](tf.constant(x)), values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("home", [contextlib.nullcontext, nn.for_tflite], ids=["", "for TFLite"])
def test_shapes_of_maps(home):
    """Padding to a multiple, doubling, the mean of a map: of sizes known and unknown."""
    for seed, (size, known) in enumerate(itertools.product([*SIZES, (4, 4), (12, 7)], [True, False])):
        x = normal(seed, 2, *size, 3)
        shape = x.shape if known else (None, None, None, 3)
        with home():

            def run(x):
                return nn.pad_to_multiple(x, 4), nn.pad_to_multiple(x, 1), nn.upsample2(x), nn.spatial_mean(x)

            padded_, same, double, mean = tf.function(run, [tf.TensorSpec(shape)])(x)
        height, width = (-(-d // 4) * 4 for d in size)
        expected = np.zeros((2, height, width, 3))
        expected[:, : size[0], : size[1]] = x
        np.testing.assert_array_equal(padded_, expected)
        np.testing.assert_array_equal(same, x)
        np.testing.assert_array_equal(double, x.repeat(2, 1).repeat(2, 2))
        np.testing.assert_allclose(mean, x.astype(np.float64).mean((1, 2), keepdims=True), atol=1e-6)


def test_sums():
    maps = [normal(seed, 1, 3, 3, 2) for seed in range(4)]
    np.testing.assert_allclose(nn.add([tf.constant(m) for m in maps]), np.sum(maps, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(nn.residual(scope_of({}), maps[0], maps[1]), maps[0] + maps[1])
