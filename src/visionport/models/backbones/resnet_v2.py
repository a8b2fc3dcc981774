"""ResNet v2 (He et al. 2016, identity mappings) as Keras builds it, and the basic blocks of 18 and 34 layers.

Reference: keras.applications.resnet_v2; models/keras_models/resnet_v1.py, whose 18 and 34 layers are "v1" by name only:
they too activate before they convolve.
"""

import tensorflow as tf

from visionport.ops import nn

EPSILON = 1.001e-5


def forward(s, x, kind: str):
    """Feature maps "block1" to "block4"; x: float32 [b, h, w, 3]."""
    unit, units, strides = ARCHITECTURES[kind]
    x = nn.bias(s / "conv1", nn.conv(s / "conv1", x, kernel=7, stride=2, explicit_padding=True))
    x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    points = {}
    for i, (count, stride) in enumerate(zip(units, strides, strict=True), 1):
        for k in range(count):
            at = s / f"block{i}" / f"unit_{k + 1}" / "bottleneck_v2"
            x = unit(at, x, stride if k + 1 == count else 1, project=k == 0)
        points[f"block{i}"] = x
    return points


def bottleneck(s, x, stride, *, project):
    """1x1, 3x3, 1x1, each after batch norm and ReLU."""
    y = normed(s / "preact", x)
    shortcut = biased(s / "shortcut", y, stride) if project else subsample(x, stride)
    y = normed(s / "conv1" / "BatchNorm", nn.conv(s / "conv1", y, kernel=1))
    y = normed(s / "conv2" / "BatchNorm", nn.conv(s / "conv2", y, kernel=3, stride=stride, explicit_padding=True))
    return shortcut + biased(s / "conv3", y)


def basic(s, x, stride, *, project):
    """3x3 and 3x3; the sum is of what the last ReLU gives."""
    y = normed(s / "preact", x)
    shortcut = biased(s / "shortcut", y) if project else subsample(x, stride)
    y = normed(s / "conv1" / "BatchNorm", nn.conv(s / "conv1", y, kernel=3))
    y = normed(s / "conv2" / "BatchNorm", nn.conv(s / "conv2", y, kernel=3, stride=stride, explicit_padding=True))
    return shortcut + y


def normed(s, x):
    return tf.nn.relu(nn.batch_norm(s, x, EPSILON))


def biased(s, x, stride=1):
    return nn.bias(s, nn.conv(s, x, kernel=1, stride=stride))


def subsample(x, stride):
    return x if stride == 1 else x[:, ::stride, ::stride]


# type: (unit, units a block, strides of the blocks' last units)
ARCHITECTURES = {
    "resnet_v1_18": (basic, (2, 2, 2, 2), (1, 2, 2, 2)),
    "resnet_v1_34": (basic, (3, 4, 6, 3), (1, 2, 2, 2)),
    "resnet_v2_50": (bottleneck, (3, 4, 6, 3), (2, 2, 2, 1)),
    "resnet_v2_101": (bottleneck, (3, 4, 23, 3), (2, 2, 2, 1)),
}


def names(scope: str, path: str, kind: str) -> dict[str, str]:
    """Canonical scope -> object path of a Keras network under `path`, the last batch norm ("postnorm") included."""
    unit, units, _ = ARCHITECTURES[kind]
    scopes = ["conv1", *layers(unit, units), "postnorm"]
    return {f"{scope}/{name}": f"{path}/layer_with_weights-{i}" for i, name in enumerate(scopes)}


def layers(unit, units) -> list[str]:
    """The scopes of blocks, in the order of a Keras network's layers."""
    found = []
    for i, count in enumerate(units, 1):
        for k in range(count):
            parts = ["preact", "conv1", "conv1/BatchNorm", "conv2", "conv2/BatchNorm"]
            parts += ["shortcut"] * (k == 0) + ["conv3"] * (unit is bottleneck)
            found += [f"block{i}/unit_{k + 1}/bottleneck_v2/{part}" for part in parts]
    return found
