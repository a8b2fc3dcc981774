"""MobileNetV3 (Howard et al. 2019) and MobileNetEdgeTPU: inverted residuals, some with squeeze and excitation.

Reference: slim's nets/mobilenet/mobilenet_v3.py.
"""

from typing import NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.ops import nn


class Block(NamedTuple):
    kernel: int = 3
    stride: int = 1
    activation: str = "relu"
    squeeze: bool = False
    expand: bool = True
    fused: bool = False  # the expansion is a full convolution of this kernel and stride; there is no depthwise one
    residual: bool = True  # where stride and width allow it


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
        x, points[f"{name}/expansion_output"] = inverted_residual(s / numbered("expanded_conv", i), x, block, norm)
        points[name] = x
    if network.last:
        points[f"layer_{len(network.blocks) + 2}"] = conv_bn(s / "Conv_1", x, norm, network.activation, kernel=1)
    return points


def inverted_residual(s, x, b: Block, norm):
    """The block's output and its expansion."""
    wide = x
    if b.expand:
        how = {"kernel": b.kernel, "stride": b.stride} if b.fused else {"kernel": 1}
        wide = conv_bn(s / "expand", x, norm, b.activation, **how)
    y = wide
    if not b.fused:
        y = conv_bn(s / "depthwise", y, norm, b.activation, by=nn.depthwise, kernel=b.kernel, stride=b.stride)
    if b.squeeze:
        y = y * squeeze_excite(s / "squeeze_excite", y)
    y = conv_bn(s / "project", y, norm, "none", kernel=1)
    return (nn.residual(s, x, y) if b.residual and b.stride == 1 and x.shape[-1] == y.shape[-1] else y), wide


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
