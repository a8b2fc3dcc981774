"""ResNet v1 of 50, 101 and 152 layers (He et al. 2015): slim's resnet_v1.py and the Object Detection API's Keras one.

They differ in where a block strides: Keras in the first unit's first convolution, slim in the last unit's second, or,
where a feature pyramid wants every block's full-sized map, after the block.
"""

from typing import Literal

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams, Normalization
from visionport.ops import nn

# The network's own: bias-free convolutions, batch norm, ReLU.
HYPERPARAMS = Hyperparams(activation="relu", batch_norm=BatchNorm(epsilon=1e-5))
NORMALIZATION = Normalization(mean=(123.68, 116.779, 103.939), std=(1.0, 1.0, 1.0))

# depth: units of block1 to block4
UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

Placement = Literal["first", "last", "after"]


def forward(
    s,
    x,
    depth: int,
    *,
    placement: Placement,
    blocks: int = 4,
    output_stride: int = 32,
    hyper: Hyperparams = HYPERPARAMS,
    output_activation: str = "relu",
    pool_padding: Literal["same", "explicit"] = "same",
):
    """Feature maps "block1" to "block4" (or to block `blocks`).

    s: the scope of conv1 and the blocks; x: float32 [b, h, w, 3], means subtracted. placement: of the strides, "first"
    for Keras. output_stride: past it convolutions are dilated in place of strides (8, 16 or 32; slim alone).
    output_activation: of a unit's sum; Keras takes the hyperparameters' there, slim always relu.
    """
    points = {}
    x = conv_bn(s / "conv1", x, hyper, kernel=7, stride=2, explicit_padding=True)
    if pool_padding == "explicit":  # keras.applications
        x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    else:
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    stride, rate = 4, 1
    for i, units in enumerate(UNITS[depth][:blocks]):
        wanted = block_stride(i, placement)
        step = wanted if stride * wanted <= output_stride else 1
        out = {"hyper": hyper, "rate": rate, "output_activation": output_activation}
        x = block(s / f"block{i + 1}", x, units, stride=step, placement=placement, **out)
        points[f"block{i + 1}"] = x
        if placement == "after" and step > 1:
            x = subsample(x, step)
        stride, rate = stride * step, rate * (wanted // step)
    return points


def block_stride(index: int, placement: Placement) -> int:
    """Of block `index` from 0: slim's blocks reduce what they leave behind, Keras's what they find."""
    return 1 if index == (0 if placement == "first" else 3) else 2


def block(s, x, units, *, stride, placement, hyper=HYPERPARAMS, rate=1, output_activation="relu"):
    """`units` bottlenecks under s / unit_1 and so on."""
    at = {"first": 0, "last": units - 1, "after": -1}[placement]
    for i in range(units):
        unit = s / f"unit_{i + 1}" / "bottleneck_v1"
        step = stride if i == at else 1
        strides = (step, 1) if placement == "first" else (1, step)
        project = "no" if i else "always" if placement == "first" else "widening"
        x = bottleneck(unit, x, hyper, strides, project=project, rate=rate, output_activation=output_activation)
    return x


def bottleneck(
    s,
    x,
    hyper,
    strides,
    *,
    project,
    rate=1,
    output_activation="relu",
    padding: Literal["same", "explicit"] = "explicit",
    width=None,
    se_ratio=0.0,
    pooled=False,
):
    """1x1, 3x3, 1x1 and the shortcut; strides: of the first two.

    project: the shortcut too; "widening": where the width changes, which a depth multiplier of 1/4 prevents in slim.
    padding: of the 3x3 where it strides. width: channels of the first two, a fourth of the last's; None: the weights
    decide. se_ratio: see `squeeze_excite`. pooled: the shortcut convolves averages (ResNet-D, He et al. 2018).
    """
    step = strides[0] * strides[1]
    wide = width and 4 * width
    explicit = padding == "explicit" and strides[1] > 1
    y = conv_bn(s / "conv1", x, hyper, kernel=1, stride=strides[0], out=width)
    y = conv_bn(s / "conv2", y, hyper, kernel=3, stride=strides[1], rate=rate, explicit_padding=explicit, out=width)
    y = squeeze_excite(s, linear(s / "conv3", y, hyper, out=wide), se_ratio)
    projects = project == "always" or (project == "widening" and x.shape[-1] != y.shape[-1])
    if projects and pooled:
        x, step = tf.nn.avg_pool2d(x, 2, step, "SAME"), 1
    shortcut = linear(s / "shortcut", x, hyper, stride=step, out=wide) if projects else subsample(x, step)
    return nn.ACTIVATIONS[output_activation](shortcut + y)


def basic(s, x, hyper, stride, *, projects, output_activation="relu", width=None, se_ratio=0.0):
    """3x3, 3x3 and the shortcut (18 and 34 layers); projects: the shortcut too. The rest is as for `bottleneck`."""
    y = conv_bn(s / "conv1", x, hyper, kernel=3, stride=stride, out=width)
    y = squeeze_excite(s, linear(s / "conv2", y, hyper, kernel=3, out=width), se_ratio)
    shortcut = linear(s / "shortcut", x, hyper, stride=stride, out=width) if projects else subsample(x, stride)
    return nn.ACTIVATIONS[output_activation](shortcut + y)


def squeeze_excite(s, x, ratio: float):
    """x with its channels weighted by what is in all of it (Hu et al. 2018); ratio: see `gates`."""
    return x * gates(s, nn.spatial_mean(x), ratio) if 0 < ratio <= 1 else x


def gates(s, mean, ratio: float):
    """Weights of the channels from their means, both [b, 1, 1, c]; ratio: of the channels between, to all."""
    reduce, expand, channels = s / "se_reduce", s / "se_expand", mean.shape[-1]
    y = nn.bias(reduce, nn.conv(reduce, mean, kernel=1, out=max(1, int(channels * ratio))))
    return tf.sigmoid(nn.bias(expand, nn.conv(expand, tf.nn.relu(y), kernel=1, out=channels)))


def conv_bn(s, x, hyper, **how):
    return nn.layer(s, x, hyper, **how)


def linear(s, x, hyper, stride=1, kernel=1, out=None):
    """A convolution without activation."""
    x = nn.conv(s, x, kernel=kernel, stride=stride, out=out)
    if hyper.use_bias:
        x = nn.bias(s, x)
    if bn := hyper.batch_norm:
        x = nn.batch_norm(s / "BatchNorm", x, bn.epsilon, center=bn.center, scale=bn.scale)
    return x


def subsample(x, stride):
    return x if stride == 1 else x[:, ::stride, ::stride]


def names(scope: str, path: str, depth: int, *, first=0, last=4, hyper: Hyperparams = HYPERPARAMS) -> dict[str, str]:
    """Canonical scope -> object path of a Keras network under `path` with the blocks `first` (0: conv1) to `last`.

    Keras numbers layers by their distance from the output: a unit's projection comes after its second convolution.
    """
    layers: list[str] = []
    if first == 0:
        layers += both(f"{scope}/conv1", hyper)
    for b in range(max(first, 1), last + 1):
        for i in range(UNITS[depth][b - 1]):
            unit = f"{scope}/block{b}/unit_{i + 1}/bottleneck_v1"
            layers += [n for part in ("conv1", "conv2") for n in both(f"{unit}/{part}", hyper)]
            ends = [both(f"{unit}/{part}", hyper) for part in ("shortcut", "conv3")[i > 0 :]]
            layers += [n for pair in zip(*ends, strict=True) for n in pair]
    return {name: f"{path}/layer_with_weights-{i}" for i, name in enumerate(layers)}


def both(layer: str, hyper: Hyperparams) -> list[str]:
    """A convolution and, where there is one, its batch norm."""
    return [layer, f"{layer}/BatchNorm"] if hyper.batch_norm else [layer]
