"""Convolutions, batch norm and activations over a Scope. Widths come from the weights; images are NHWC."""

import tensorflow as tf

from visionport.config import Hyperparams

ACTIVATIONS = {"none": lambda x: x, "relu": tf.nn.relu, "relu6": tf.nn.relu6, "swish": tf.nn.swish}

# cuDNN's least epsilon, to which TensorFlow's own wrapper of the fused op raises smaller ones.
LEAST_EPSILON = 1.001e-5


def conv(s, x, *, kernel=None, stride=1, out=None, explicit_padding=False):
    """A convolution with `s / weights` [kh, kw, in, out], "SAME" unless padded explicitly."""
    w = s("weights", (kernel, kernel, x.shape[-1], out))
    x, padding = _pad(x, w.shape[0], explicit_padding)
    return tf.nn.conv2d(x, w, stride, padding)


def depthwise(s, x, *, kernel=None, stride=1, explicit_padding=False):
    """A depthwise convolution with `s / depthwise_weights` [kh, kw, in, 1]."""
    w = s("depthwise_weights", (kernel, kernel, x.shape[-1], 1))
    x, padding = _pad(x, w.shape[0], explicit_padding)
    return tf.nn.depthwise_conv2d(x, w, (1, stride, stride, 1), padding)


def pointwise(s, x, *, out=None):
    """The second half of a separable convolution: `s / pointwise_weights` [1, 1, in, out]."""
    return tf.nn.conv2d(x, s("pointwise_weights", (1, 1, x.shape[-1], out)), 1, "VALID")


def separable(s, x, *, kernel=None, stride=1, out=None, explicit_padding=False):
    """A depthwise convolution, then a pointwise one, nothing between."""
    return pointwise(s, depthwise(s, x, kernel=kernel, stride=stride, explicit_padding=explicit_padding), out=out)


def bias(s, x):
    return tf.nn.bias_add(x, s("biases", (x.shape[-1],)))


def batch_norm(s, x, epsilon, *, center=True, scale=True):
    """Inference batch norm (Ioffe and Szegedy 2015) with `s / {gamma, beta, moving_mean, moving_variance}`."""
    width = (x.shape[-1],)
    mean, variance = s("moving_mean", width), s("moving_variance", width)
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=s("gamma", width) if scale else tf.ones_like(variance),
        offset=s("beta", width) if center else tf.zeros_like(mean),
        mean=mean,
        variance=variance,
        epsilon=max(epsilon, LEAST_EPSILON),
        is_training=False,
    ).y


def complete(s, x, hyper: Hyperparams, *, use_bias=None, norm=None):
    """What follows a convolution: bias, batch norm in `norm` (default `s / BatchNorm`), activation."""
    if hyper.use_bias if use_bias is None else use_bias:
        x = bias(s, x)
    if bn := hyper.batch_norm:
        x = batch_norm(norm or s / "BatchNorm", x, bn.epsilon, center=bn.center, scale=bn.scale)
    return ACTIVATIONS[hyper.activation](x)


def pad_to_multiple(x, multiple):
    """Pads bottom and right with zeros so that height and width are multiples."""
    if multiple == 1:
        return x
    size = [x.shape[i] if x.shape[i] is not None else tf.shape(x)[i] for i in (1, 2)]
    return tf.pad(x, [[0, 0], [0, -size[0] % multiple], [0, -size[1] % multiple], [0, 0]])


def upsample2(x):
    """Every pixel four times: nearest-neighbour upsampling by 2. float32 [b, h, w, c] -> [b, 2h, 2w, c]."""
    b, h, w, c = (d if d is not None else tf.shape(x)[i] for i, d in enumerate(x.shape))
    x = tf.broadcast_to(tf.reshape(x, (b, h, 1, w, 1, c)), (b, h, 2, w, 2, c))
    return tf.reshape(x, (b, 2 * h, 2 * w, c))


def _pad(x, kernel, explicit):
    """Explicit padding depends on the kernel alone, unlike "SAME": slim's fixed_padding."""
    if not explicit or kernel == 1:
        return x, "SAME"
    before = (kernel - 1) // 2
    after = kernel - 1 - before
    return tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]]), "VALID"
