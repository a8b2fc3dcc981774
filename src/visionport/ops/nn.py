"""Convolutions, batch norm and activations over a Scope. Widths come from the weights; images are NHWC, clips NDHWC.

Nodes are called as their scopes, which is how layers are named wherever a graph is shown.
"""

import contextlib
import contextvars
import functools
from typing import Any

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.errors import UnsupportedError, nearest
from visionport.ops import portable

ACTIVATIONS = {
    "none": lambda x: x,
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "swish": tf.nn.swish,
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3) * (1 / 6),
    "gelu": tf.nn.gelu,
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
    "mish": lambda x: x * tf.tanh(tf.nn.softplus(x)),
    "elu": tf.nn.elu,
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
}

# cuDNN's least epsilon, to which TensorFlow's own wrapper of the fused op raises smaller ones.
LEAST_EPSILON = 1.001e-5

# A convolution and nothing else; a convolution and a bias.
BARE = Hyperparams(activation="none", batch_norm=None)
BIASED = Hyperparams(activation="none", batch_norm=None, use_bias=True)

# What slim calls the inside of a separable convolution.
SEPARABLE = "separable_conv2d"

# What is being traced goes to the TFLite converter (see `for_tflite`).
FOR_TFLITE = contextvars.ContextVar("for_tflite", default=False)


def layer(s, x, hyper: Hyperparams, by=None, *, use_bias=None, norm=None, apart=False, ranges=None, shared=None, **how):
    """A convolution and what completes it (see `complete`).

    by: `conv` (the default), `depthwise`, `separable` or `pointwise`, to which `how` goes.

    In a network trained with fake quantisation (Jacob et al. 2018) this stands where TensorFlow 1's rewrite put it
    (contrib/quantize): the batch norm is folded into the weights, `weights_quant` rounds these, `act_quant` what the
    activation gives. ranges: their scope, where it is not s. shared: that of weights which several layers use as they
    are, so that only the first of them rounds.
    """
    by = by or conv
    bn, biased = hyper.batch_norm, hyper.use_bias if use_bias is None else use_bias
    if not s.params.quantized:
        if by is not depthwise or biased or not bn or FOR_TFLITE.get() or portable.PORTABLE.get():
            return complete(s, by(s, x, **how), hyper, use_bias=use_bias, norm=norm, apart=apart)
        # TensorFlow has one kernel for a depthwise convolution, a bias and an activation, but none with a batch norm.
        factor, offset = folded(norm or s / "BatchNorm", x.shape[-1], bn)
        x = tf.nn.bias_add(depthwise(s, x, prepare=lambda w: w * factor[:, None], **how), offset)
        return ACTIVATIONS[hyper.activation](x)
    ranges = ranges or s
    shared = shared or ranges
    if by is separable:
        out = how.pop("out", None)
        x = layer(s, x, BARE, depthwise, ranges=ranges / SEPARABLE, shared=shared / SEPARABLE, **how)
        by, how = pointwise, {"out": out}
    if bn and biased:
        raise UnsupportedError("graph_rewriter: batch norm behind a bias is not folded. Unset force_use_bias.")
    offset: Any = None

    def prepare(w):
        nonlocal offset
        if bn:
            factor, offset = folded(norm or s / "BatchNorm", x.shape[-1] if by is depthwise else w.shape[-1], bn)
            w *= factor[:, None] if by is depthwise else factor
        return fake_quant((ranges if bn else shared) / "weights_quant", w, narrow=True)

    x = by(s, x, prepare=prepare, **how)
    if bn:
        x += offset
    elif biased:
        x = bias(s, x)
    return rounded(ranges / "act_quant", ACTIVATIONS[hyper.activation](x))


def conv(s, x, *, kernel=None, stride=1, out=None, explicit_padding=False, rate=1, padding: Any = "SAME", prepare=None):
    """A convolution with `s / weights` [kh, kw, in, out], padded as `padding` says or explicitly.

    rate: of dilation. prepare: done to the weights first, here and below.
    """
    w = prepared(s("weights", (kernel, kernel, x.shape[-1], out)), prepare)
    if explicit_padding:
        x, padding = _pad(x, w.shape[0], explicit_padding)
    return tf.nn.conv2d(x, w, stride, padding, dilations=rate, name=s.prefix)


def depthwise(s, x, *, kernel=None, stride=1, explicit_padding=False, rate=1, prepare=None):
    """A depthwise convolution with `s / depthwise_weights` [kh, kw, in, 1]."""
    w = prepared(s("depthwise_weights", (kernel, kernel, x.shape[-1], 1)), prepare)
    x, padding = _pad(x, w.shape[0], explicit_padding)
    strides, rates = (1, stride, stride, 1), (1, rate, rate, 1)
    if portable.PORTABLE.get():  # tf.nn cuts the picture into every n-th pixel, which takes its size to be known
        return tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=w, strides=strides, padding=padding, dilations=rates, name=s.prefix
        )
    dilations = None if rate == 1 else rates[1:3]
    return tf.nn.depthwise_conv2d(x, w, strides, padding, dilations=dilations, name=s.prefix)


def pointwise(s, x, *, out=None, prepare=None):
    """The second half of a separable convolution: `s / pointwise_weights` [1, 1, in, out]."""
    w = prepared(s("pointwise_weights", (1, 1, x.shape[-1], out)), prepare)
    return tf.nn.conv2d(x, w, 1, "VALID", name=s.prefix)


def separable(s, x, *, kernel=None, stride=1, out=None, explicit_padding=False):
    """A depthwise convolution, then a pointwise one, nothing between."""
    return pointwise(s, depthwise(s, x, kernel=kernel, stride=stride, explicit_padding=explicit_padding), out=out)


def conv3d(s, x, *, kernel=(None, None, None), stride=(1, 1, 1), out=None):
    """A "SAME" convolution of [b, frames, h, w, c] with `s / weights` [kt, kh, kw, in, out]."""
    w = s("weights", (*kernel, x.shape[-1], out))
    return tf.nn.conv3d(x, w, (1, *stride, 1), "SAME", name=s.prefix)


def max_pool3d(x, kernel: tuple[int, int, int], stride: tuple[int, int, int]):
    """The largest of each "SAME" window of [b, frames, h, w, c]; frames, h, w are known."""
    if not FOR_TFLITE.get():
        return tf.nn.max_pool3d(x, kernel, stride, "SAME")
    # TFLite pools pictures alone: each frame, then each pixel over time.
    _, frames, height, width, channels = x.shape
    x = tf.nn.max_pool2d(tf.reshape(x, (-1, height, width, channels)), kernel[1:], stride[1:], "SAME")
    _, height, width, _ = x.shape
    x = tf.reshape(x, (-1, frames, height * width, channels))
    x = tf.nn.max_pool2d(x, (kernel[0], 1), (stride[0], 1), "SAME")
    return tf.reshape(x, (-1, x.shape[1], height, width, channels))


def conv_transpose(s, x, *, kernel=None, stride=2):
    """A "SAME" convolution's transpose with `s / weights` [kh, kw, out, in]: [b, h, w, in] -> [b, stride h, ...]."""
    w = s("weights", (kernel, kernel, None, x.shape[-1]))
    b, height, width = (d if d is not None else tf.shape(x)[i] for i, d in enumerate(x.shape[:3]))
    out = w.shape[2] if w.shape[2] is not None else tf.shape(w)[2]
    return tf.nn.conv2d_transpose(x, w, tf.stack([b, stride * height, stride * width, out]), stride, name=s.prefix)


def dense(s, x, *, out=None):
    """A fully connected layer with `s / weights` [in, out] and `s / biases`: float32 [n, in] -> [n, out]."""
    return bias(s, tf.matmul(x, s("weights", (x.shape[-1], out)), name=s.prefix))


def bias(s, x):
    return tf.nn.bias_add(x, s("biases", (x.shape[-1],)))


def batch_norm(s, x, epsilon, *, center=True, scale=True, apart=False):
    """Inference batch norm (Ioffe and Szegedy 2015) with `s / {gamma, beta, moving_mean, moving_variance}`.

    apart: not to be folded into the convolution before, whose weights others share.
    """
    width = (x.shape[-1],)
    mean, variance = s("moving_mean", width), s("moving_variance", width)
    if apart and FOR_TFLITE.get():
        factor, offset = folded(s, x.shape[-1], BatchNorm(epsilon=epsilon, center=center, scale=scale))
        return tf.nn.depthwise_conv2d(x, factor[None, None, :, None], (1, 1, 1, 1), "SAME") + offset
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=s("gamma", width) if scale else tf.ones_like(variance),
        offset=s("beta", width) if center else tf.zeros_like(mean),
        mean=mean,
        variance=variance,
        epsilon=max(epsilon, LEAST_EPSILON),
        data_format="NDHWC" if x.shape.rank == 5 else "NHWC",
        is_training=False,
    ).y


def folded(s, width, norm: BatchNorm):
    """Batch norm as what the weights before it are multiplied by, and what is added behind them: two [width]."""
    mean, variance = s("moving_mean", (width,)), s("moving_variance", (width,))
    factor = tf.math.rsqrt(variance + max(norm.epsilon, LEAST_EPSILON)) * (s("gamma", (width,)) if norm.scale else 1.0)
    return factor, (s("beta", (width,)) if norm.center else 0.0) - mean * factor


def fake_quant(s, x, *, narrow=False):
    """x rounded as 8 bits hold what lies between `s / min` and `s / max`; narrow: without their lowest value."""
    return tf.quantization.fake_quant_with_min_max_vars(x, s("min", ()), s("max", ()), narrow_range=narrow)


def rounded(s, x):
    """x after `fake_quant`, where the checkpoint says that one stands there."""
    return fake_quant(s, x) if s.params.quantized and s.holds("min") else x


def residual(s, x, y):
    """The sum of a block's input and what its layers made of it; s: the block's scope, for fake quantisation."""
    return rounded(s / "post_activation_bypass_quant", x + y)


def total(s, x, y):
    """The sum of two maps; s: the scope of that operation, for fake quantisation. TensorFlow 1.15 called it AddV2."""
    return rounded(s / "activation_Add_quant", rounded(s / "activation_AddV2_quant", x + y))


def add(maps):
    """The sum of maps of one shape, one by one: TFLite's op for all at once, ADD_N, has no 8 bits."""
    return functools.reduce(tf.add, maps)


def prepared(w, prepare):
    return prepare(w) if prepare else w


def complete(s, x, hyper: Hyperparams, *, use_bias=None, norm=None, apart=False):
    """What follows a convolution: bias, batch norm in `norm` (default `s / BatchNorm`; see there), activation."""
    if hyper.use_bias if use_bias is None else use_bias:
        x = bias(s, x)
    if bn := hyper.batch_norm:
        norm = norm or s / "BatchNorm"
        x = batch_norm(norm, x, bn.epsilon, center=bn.center, scale=bn.scale, apart=apart)
    return ACTIVATIONS[hyper.activation](x)


def norm_activation(config) -> Hyperparams:
    """Bias-free convolutions with a config's `activation` and a batch norm of its `norm_epsilon`."""
    if config.activation not in ACTIVATIONS:
        raise UnsupportedError(
            f"norm_activation.activation: {config.activation!r} is not supported here"
            f"{nearest(config.activation, ACTIVATIONS)}. Supported: {', '.join(ACTIVATIONS)}."
        )
    return Hyperparams(activation=config.activation, batch_norm=BatchNorm(epsilon=config.norm_epsilon))


def pad_to_multiple(x, multiple):
    """Pads bottom and right with zeros so that height and width are multiples."""
    if multiple == 1:
        return x
    height, width = spatial(x)
    return tf.pad(x, [[0, 0], [0, -height % multiple], [0, -width % multiple], [0, 0]])


def spatial(x):
    """(height, width) of [b, h, w, c]: integers where known, else scalar tensors."""
    return tuple(x.shape[i] if x.shape[i] is not None else tf.shape(x)[i] for i in (1, 2))


def spatial_mean(x):
    """The mean over height and width: float32 [b, h, w, c] -> [b, 1, 1, c]."""
    _, h, w, c = x.shape
    if FOR_TFLITE.get() and None not in (h, w) and h * w % 4 == 0:
        mean = tf.reduce_mean(tf.reduce_mean(tf.reshape(x, (-1, h * w // 4, 4, c)), 1), 1)
        return tf.reshape(mean, (-1, 1, 1, c))
    return tf.reduce_mean(x, [1, 2], keepdims=True)


@contextlib.contextmanager
def for_tflite():
    """What is traced herein is written so that TFLite gives TensorFlow's answers, in a file of the weights' size.

    Means add up as TensorFlow's do, in four sums of every fourth number: TFLite keeps one sum, which loses up to four
    digits over 65,536 numbers. Batch norms over shared weights stay apart: the converter would fold each into a copy.
    """
    token = FOR_TFLITE.set(True)
    try:
        yield
    finally:
        FOR_TFLITE.reset(token)


def upsample2(x):
    """Every pixel four times. float32 [b, h, w, c] -> [b, 2h, 2w, c]."""
    return upsample(x, 2)


def upsample(x, factor: int):
    """Nearest-neighbour upsampling: float32 [b, h, w, c] -> [b, factor h, factor w, c]."""
    # TFLite's BROADCAST_TO takes forty times as long, and is no op of accelerators.
    if FOR_TFLITE.get() or portable.PORTABLE.get():
        return tf.raw_ops.ResizeNearestNeighbor(images=x, size=factor * tf.shape(x)[1:3])
    b, h, w, c = (d if d is not None else tf.shape(x)[i] for i, d in enumerate(x.shape))
    x = tf.broadcast_to(tf.reshape(x, (b, h, 1, w, 1, c)), (b, h, factor, w, factor, c))
    return tf.reshape(x, (b, factor * h, factor * w, c))


def _pad(x, kernel, explicit):
    """Explicit padding depends on the kernel alone, unlike "SAME": slim's fixed_padding."""
    if not explicit or kernel == 1:
        return x, "SAME"
    before = (kernel - 1) // 2
    after = kernel - 1 - before
    return tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]]), "VALID"
