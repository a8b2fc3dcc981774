"""MobileNetV3 (Howard et al. 2019) and MobileNetEdgeTPU: inverted residuals, some with squeeze and excitation.

Reference: slim's nets/mobilenet/mobilenet_v3.py. Other networks have the block too: mobilenet.py, spinenet_mobile.py.
"""

from typing import NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.ops import nn


class Block(NamedTuple):
    kernel: int = 3  # of the depthwise convolution; 0: there is none
    stride: int = 1
    activation: str = "relu"
    squeeze: bool = False
    expand: bool = True
    fused: bool = False  # the expansion is a full convolution of this kernel and stride; there is no depthwise one
    residual: bool = True  # where stride and width allow it
    start: int = 0  # kernel of a depthwise convolution before the expansion; 0: there is none (MobileNetV4)
    scale: bool = False  # the residual branch ends in a learned factor per channel (MobileNetV4)
    rate: int = 1  # of the depthwise convolutions' dilation
    width: int | None = None  # channels of the output; None: the weights decide


class Network(NamedTuple):
    activation: str  # of the first and the last convolution
    blocks: tuple[Block, ...]
    last: bool = True  # the last convolution is there


def forward(s, x, network: Network, norm: BatchNorm):
    """Feature maps by slim's endpoint names, "layer_2" and on, and "layer_N/expansion_output".

    s: the network's scope; x: float32 [b, h, w, 3] in [-1, 1].
    """
    points = {}
    x = conv_bn(s / "Conv", x, norm, network.activation, kernel=3, stride=2)
    for i, block in enumerate(network.blocks):
        name = f"layer_{i + 2}"
        x, inside = inverted_residual(s / numbered("expanded_conv", i), x, block, norm)
        points[f"{name}/expansion_output"], points[name] = inside["expansion_output"], x
    if network.last:
        points[f"layer_{len(network.blocks) + 2}"] = conv_bn(s / "Conv_1", x, norm, network.activation, kernel=1)
    return points


def inverted_residual(s, x, b: Block, norm):
    """The block's output, and the maps inside by name: "expansion_output" and, where there is one, "depthwise"."""
    y, deep = x, {"by": nn.depthwise, "rate": b.rate}
    if b.start:
        y = conv_bn(s / "start", y, norm, "none", kernel=b.start, **deep)
    if b.expand:
        how = {"kernel": b.kernel, "stride": b.stride} if b.fused else {"kernel": 1}
        y = conv_bn(s / "expand", y, norm, b.activation, **how)
    inside = {"expansion_output": y}
    if b.kernel and not b.fused:
        y = conv_bn(s / "depthwise", y, norm, b.activation, kernel=b.kernel, stride=b.stride, **deep)
        inside["depthwise"] = y
    if b.squeeze:
        y = y * squeeze_excite(s / "squeeze_excite", y)
    y = conv_bn(s / "project", y, norm, "none", kernel=1, out=b.width)
    if b.scale:
        y = scaled(s / "layer_scale", y)
    return (nn.residual(s, x, y) if b.residual and b.stride == 1 and x.shape[-1] == y.shape[-1] else y), inside


def scaled(s, x):
    """x times a learned factor per channel (Touvron et al. 2021, LayerScale)."""
    return x * s("_gamma", (x.shape[-1],))


def squeeze_excite(s, x):
    """Weights of the channels, [b, 1, 1, c] (Hu et al. 2018)."""
    first, second = s / "Conv", s / "Conv_1"
    y = tf.nn.relu(nn.bias(first, nn.conv(first, nn.spatial_mean(x), kernel=1)))
    y = nn.bias(second, nn.conv(second, y, kernel=1, out=x.shape[-1]))
    return tf.nn.relu6(y + 3) * 0.16667  # not 1/6: as it was trained


def conv_bn(s, x, norm, activation, **how):
    return nn.layer(s, x, hyper(activation, norm), **how)


def hyper(activation, norm):
    return Hyperparams(activation=activation, batch_norm=norm)


def numbered(name, i):
    """slim's names of scopes: "name", "name_1" and on."""
    return f"{name}_{i}" if i else name


def multiplied(width, factor, divisor=8, protect=True):
    """The channels of a network that is `factor` times as wide: the nearest multiple of `divisor`, 8 or more.

    protect: the next multiple where the nearest is more than a tenth below.
    """
    exact = width * factor
    rounded = max(8, int(exact + divisor / 2) // divisor * divisor)
    return rounded + divisor if protect and rounded < 0.9 * exact else rounded


SWISH = Block(activation="hard_swish")
FUSED = Block(fused=True)

LARGE = Network(
    "hard_swish",
    (
        Block(expand=False),
        Block(stride=2),
        Block(),
        Block(5, 2, squeeze=True),
        *2 * [Block(5, squeeze=True)],
        SWISH._replace(stride=2),
        *3 * [SWISH],
        *2 * [SWISH._replace(squeeze=True)],
        Block(5, 2, "hard_swish", squeeze=True),
        *2 * [Block(5, 1, "hard_swish", squeeze=True)],
    ),
)
SMALL = Network(
    "hard_swish",
    (
        Block(stride=2, squeeze=True, expand=False),
        Block(stride=2),
        Block(),
        Block(5, 2, "hard_swish", squeeze=True),
        *4 * [Block(5, 1, "hard_swish", squeeze=True)],
        Block(5, 2, "hard_swish", squeeze=True),
        *2 * [Block(5, 1, "hard_swish", squeeze=True)],
    ),
)
EDGETPU = Network(
    "relu",
    (
        FUSED._replace(expand=False),
        FUSED._replace(stride=2),
        *3 * [FUSED],
        FUSED._replace(stride=2),
        *3 * [FUSED],
        Block(stride=2),
        *3 * [Block()],
        Block(residual=False),
        *3 * [Block()],
        Block(5, 2),
        *3 * [Block(5)],
        Block(),
    ),
    last=False,
)
