"""Inception v2 (Ioffe and Szegedy 2015): slim's inception_v2.py."""

import tensorflow as tf

from visionport.config import Hyperparams, Normalization
from visionport.models.backbones import inception
from visionport.ops import nn

# As two-stage models use it.
HYPERPARAMS = Hyperparams(activation="relu")
NORMALIZATION = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1 to 1

CONVOLUTIONS: tuple[inception.Branch, ...] = (
    ("Conv2d_0a_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"),
)
STANDARD = (*CONVOLUTIONS, ("AvgPool_0a_3x3", "Conv2d_0b_1x1"))
LAST = (*CONVOLUTIONS, ("MaxPool_0a_3x3", "Conv2d_0b_1x1"))
REDUCTION = (
    ("Conv2d_0a_1x1", "Conv2d_1a_3x3"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3"),
    ("MaxPool_1a_3x3",),
)
BLOCKS = {f"Mixed_{n}": STANDARD for n in ("3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b", "5c")} | {
    "Mixed_4a": REDUCTION,
    "Mixed_5a": REDUCTION,
    "Mixed_5c": LAST,
}


def stem(s, x, hyper: Hyperparams = HYPERPARAMS):
    """To "MaxPool_3a_3x3": float32 [b, h / 8, w / 8, 192] of images in [-1, 1]. s: the scope "InceptionV2"."""
    first = s / "Conv2d_1a_7x7"
    # The only depthwise convolution with several outputs a channel.
    w = first("depthwise_weights", (7, 7, x.shape[-1], None))
    x = nn.pointwise(first, tf.nn.depthwise_conv2d(x, w, (1, 2, 2, 1), "SAME"))
    x = tf.nn.max_pool2d(nn.complete(first, x, hyper), 3, 2, "SAME")
    x = inception.layer(s, x, "Conv2d_2b_1x1", hyper)
    x = inception.layer(s, x, "Conv2d_2c_3x3", hyper)
    return tf.nn.max_pool2d(x, 3, 2, "SAME")


def mixed(s, x, hyper: Hyperparams = HYPERPARAMS, *, first="Mixed_3b", last="Mixed_5c"):
    """The outputs of the blocks `first` to `last` by name; x: what comes before them."""
    order = list(BLOCKS)
    points = {}
    for name in order[order.index(first) : order.index(last) + 1]:
        x = points[name] = inception.mixed(s / name, x, BLOCKS[name], hyper)
    return points
