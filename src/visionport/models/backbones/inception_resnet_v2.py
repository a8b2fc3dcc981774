"""Inception-ResNet v2 (Szegedy et al. 2016) as two-stage models use it, in two halves: slim's inception_resnet_v2.py.

A layer is (scope, options of its convolution), a branch a list of layers, a block a list of branches side by side.
"""

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams, Normalization
from visionport.ops import nn

HYPERPARAMS = Hyperparams(activation="relu", batch_norm=BatchNorm(scale=False))
NORMALIZATION = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1 to 1

STEM = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "MaxPool", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "MaxPool")
MIXED_5B = (
    ("Conv2d_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_5x5"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"),
    ("AvgPool", "Conv2d_0b_1x1"),
)
# "Conv2d_1a" is where a block strides.
MIXED_6A = (("Conv2d_1a_3x3",), ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3"), ("MaxPool",))
MIXED_7A = (
    ("Conv2d_0a_1x1", "Conv2d_1a_3x3"),
    ("Conv2d_0a_1x1", "Conv2d_1a_3x3"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_1a_3x3"),
    ("MaxPool",),
)
BLOCK35 = (
    ("Conv2d_1x1",),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3"),
    ("Conv2d_0a_1x1", "Conv2d_0b_3x3", "Conv2d_0c_3x3"),
)
BLOCK17 = (("Conv2d_1x1",), ("Conv2d_0a_1x1", "Conv2d_0b_1x7", "Conv2d_0c_7x1"))
BLOCK8 = (("Conv2d_1x1",), ("Conv2d_0a_1x1", "Conv2d_0b_1x3", "Conv2d_0c_3x1"))
UP = "Conv2d_1x1"  # after a residual block's branches: back to its width, with a bias

# (scope, branches) of each half, in order; blocks named "blockN_i" are residual.
FIRST = (
    ("Mixed_5b", MIXED_5B),
    *((f"Repeat/block35_{i}", BLOCK35) for i in range(1, 11)),
    ("Mixed_6a", MIXED_6A),
    *((f"Repeat_1/block17_{i}", BLOCK17) for i in range(1, 21)),
)
SECOND = (
    ("Mixed_7a", MIXED_7A),
    *((f"Repeat/block8_{i}", BLOCK8) for i in range(1, 10)),
    ("Block8", BLOCK8),
)
LAST = "Conv2d_7b_1x1"


def first_half(s, x, *, output_stride: int):
    """To the end of the 17x17 blocks ("PreAuxLogits"): float32 [b, h, w, 1088] of images in [-1, 1].

    output_stride: 16, or 8: Mixed_6a does not stride then, and what follows is dilated.
    """
    stride = output_stride // 8
    for layer in STEM:
        x = max_pool(x, 2) if layer == "MaxPool" else conv(s / layer, x, stride=2 if "_1a" in layer else 1)
    for scope, branches in FIRST:
        if scope.startswith("Mixed"):
            x = mixed(s / scope, x, branches, stride=stride)
        else:
            small = scope.startswith("Repeat/")
            x = residual(s / scope, x, branches, 0.17 if small else 0.1, rate=1 if small else 2 // stride)
    return x


def second_half(s, x, *, padding: str):
    """From there on: float32 [n, h, w, 1536]. padding: of the layers that stride, "VALID" in slim, "SAME" in Keras."""
    for scope, branches in SECOND:
        if scope.startswith("Mixed"):
            x = mixed(s / scope, x, branches, stride=2, padding=padding)
        else:
            last = scope == "Block8"
            x = residual(s / scope, x, branches, 1.0 if last else 0.2, activation="none" if last else "relu")
    return conv(s / LAST, x)


def mixed(s, x, branches, *, stride, padding="SAME", rate=1):
    """Branches side by side."""
    return tf.concat(
        [branch(s / f"Branch_{i}", x, layers, stride, padding, rate) for i, layers in enumerate(branches)], -1
    )


def branch(s, x, layers, stride, padding, rate):
    for layer in layers:
        if layer == "MaxPool":
            x = max_pool(x, stride, padding)
        elif layer == "AvgPool":
            x = tf.nn.avg_pool2d(x, 3, 1, "SAME")
        elif "_1a" in layer:
            x = conv(s / layer, x, stride=stride, padding=padding)
        else:
            x = conv(s / layer, x, rate=rate)
    return x


def residual(s, x, branches, scale, *, activation="relu", rate=1):
    y = mixed(s, x, branches, stride=1, rate=rate)
    y = nn.bias(s / UP, nn.conv(s / UP, y, kernel=1, out=x.shape[-1]))
    return nn.ACTIVATIONS[activation](x + scale * y)


def conv(s, x, **how):
    return nn.complete(s, nn.conv(s, x, **how), HYPERPARAMS)


def max_pool(x, stride, padding="SAME"):
    return tf.nn.max_pool2d(x, 3, stride, padding)


def names(scope: str, path: str, half) -> dict[str, str]:
    """Canonical scope -> object path of a Keras network under `path`: FIRST with its stem, or SECOND with its end."""
    layers = [n for layer in STEM if layer != "MaxPool" for n in parts(layer)] if half is FIRST else []
    for block, branches in half:
        layers += side_by_side([[f"{block}/Branch_{i}/{n}" for n in names] for i, names in enumerate(branches)])
        layers += [] if block.startswith("Mixed") else [f"{block}/{UP}"]
    layers += parts(LAST) if half is SECOND else []
    return {f"{scope}/{name}": f"{path}/layer_with_weights-{i}" for i, name in enumerate(filter(None, layers))}


def parts(layer: str) -> list[str]:
    """A convolution, its batch norm and its activation; a pool is one layer without weights."""
    return [""] if layer.endswith("Pool") else [layer, f"{layer}/BatchNorm", ""]


def side_by_side(branches: list[list[str]]) -> list[str]:
    """Keras numbers layers by their distance from the output, then by branch."""
    flat = [[part for layer in layers for part in parts(layer)] for layers in branches]
    longest = max(map(len, flat))
    padded = [[""] * (longest - len(layers)) + layers for layers in flat]
    return [name for row in zip(*padded, strict=True) for name in row if name]
