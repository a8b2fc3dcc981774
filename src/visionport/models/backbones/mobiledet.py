"""MobileDet's backbones (Xiong et al. 2020), found by search for one kind of hardware each.

Reference: ssd_mobiledet_feature_extractor.py.
"""

from collections import Counter
from typing import NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.models.backbones.mobilenet_v3 import numbered
from visionport.ops import nn

NORM = BatchNorm(epsilon=0.01)


class Block(NamedTuple):
    kind: str  # a key of KINDS
    kernel: int = 3
    stride: int = 1
    residual: bool = True


class Backbone(NamedTuple):
    activation: str
    squeeze: bool  # squeeze and excitation in every block
    stages: tuple[tuple[Block, ...], ...]  # ending in C1 to C5


def forward(s, x, backbone: Backbone):
    """Feature maps "C1" to "C5", of strides 2 to 32. s: the backbone's scope; x: float32 [b, h, w, 3] in [-1, 1]."""
    points, seen = {}, Counter()
    x = conv(s / "Conv", x, backbone.activation, kernel=3, stride=2)
    for i, stage in enumerate(backbone.stages, 1):
        for block in stage:
            kind = KINDS[block.kind]
            at = s / numbered(SCOPES[block.kind], seen[block.kind])
            y = kind(at, x, block, backbone)
            seen[block.kind] += 1
            x = nn.residual(at, x, y) if block.residual else y
        points[f"C{i}"] = x
    return points


def inverted_bottleneck(s, x, block, backbone):
    """Wide, depthwise, narrow (Sandler et al. 2018)."""
    return narrow_bottleneck(s, conv(s / "Conv", x, backbone.activation, kernel=1), block, backbone, "Conv_1")


def narrow_bottleneck(s, x, block, backbone, project="Conv"):
    """The same without the expansion."""
    how = {"by": nn.depthwise, "kernel": block.kernel, "stride": block.stride}
    x = conv(s / "SeparableConv2d", x, backbone.activation, **how)
    return conv(s / project, excite(s, x, backbone), "none", kernel=1)


def fused_convolution(s, x, block, backbone):
    """A full convolution in place of the expansion and the depthwise one."""
    x = conv(s / "Conv", x, backbone.activation, kernel=block.kernel, stride=block.stride)
    return conv(s / "Conv_1", excite(s, x, backbone), "none", kernel=1)


def tucker_convolution(s, x, block, backbone):
    """A full convolution between two 1x1 ones, narrow inside."""
    x = conv(s / "Conv", x, backbone.activation, kernel=1)
    x = conv(s / "Conv_1", x, backbone.activation, kernel=block.kernel, stride=block.stride)
    return conv(s / "Conv_2", x, "none", kernel=1)


def excite(s, x, backbone):
    """Squeeze and excitation (Hu et al. 2018), where the backbone has it."""
    if not backbone.squeeze:
        return x
    first, second = s / "SqueezeExcite" / "Conv", s / "SqueezeExcite" / "Conv_1"
    y = nn.bias(first, nn.conv(first, nn.spatial_mean(x), kernel=1))
    y = nn.conv(second, nn.ACTIVATIONS[backbone.activation](y), kernel=1, out=x.shape[-1])
    return x * tf.sigmoid(nn.bias(second, y))


def conv(s, x, activation, **how):
    return nn.layer(s, x, hyper(activation), **how)


def hyper(activation):
    return Hyperparams(activation=activation, batch_norm=NORM)


def down(kind, kernel=3):
    return Block(kind, kernel, 2, False)


def widen(kind, kernel=3):
    return Block(kind, kernel, 1, False)


KINDS = {
    "ibn": inverted_bottleneck,
    "narrow": narrow_bottleneck,
    "fused": fused_convolution,
    "tucker": tucker_convolution,
}
SCOPES = {"ibn": "IBN", "narrow": "IBNNoExpansion", "fused": "FusedConv", "tucker": "TuckerConv"}

IBN, IBN5, FUSED, TUCKER = Block("ibn"), Block("ibn", 5), Block("fused"), Block("tucker")

CPU = Backbone(
    "hard_swish",
    True,
    (
        (widen("narrow"),),
        (down("ibn"),),
        (down("ibn"), IBN, IBN, IBN),
        (down("ibn", 5), IBN, IBN5, IBN, widen("ibn"), IBN, IBN, IBN),
        (down("ibn", 5), IBN5, IBN5, IBN, widen("ibn")),
    ),
)
DSP = Backbone(
    "relu6",
    False,
    (
        (widen("narrow"),),
        (down("fused"), FUSED, IBN, TUCKER),
        (down("fused"), IBN, FUSED, FUSED),
        (down("fused"), IBN, IBN, IBN, widen("fused"), IBN, IBN, IBN),
        (down("ibn"), IBN, FUSED, TUCKER, widen("ibn")),
    ),
)
EDGETPU = Backbone(
    "relu6",
    False,
    (
        (widen("tucker"),),
        (down("fused"), FUSED, FUSED, FUSED),
        (down("fused", 5), FUSED, FUSED, FUSED),
        (down("ibn"), IBN, FUSED, FUSED, widen("ibn", 5), IBN5, IBN, IBN),
        (down("ibn", 5), IBN, IBN5, IBN, widen("ibn", 5)),
    ),
)
GPU = Backbone(
    "relu6",
    False,
    (
        (widen("tucker"),),
        (down("fused"), TUCKER, TUCKER, TUCKER),
        (down("fused"), FUSED, FUSED, FUSED),
        (down("fused"), FUSED, FUSED, FUSED, widen("fused"), FUSED, FUSED, FUSED),
        (down("fused"), FUSED, FUSED, FUSED, widen("ibn")),
    ),
)
