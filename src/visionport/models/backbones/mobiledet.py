"""MobileDet's backbones (Xiong et al. 2020), found by search for one kind of hardware each.

Reference: ssd_mobiledet_feature_extractor.py; TF Official Vision: official/vision/modeling/backbones/mobiledet.py.
"""

from collections import Counter
from typing import NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.config.backbones.mobiledet import MobileDet
from visionport.errors import UnsupportedError
from visionport.models.backbones.mobilenet_v3 import multiplied, numbered
from visionport.ops import nn

NORM = BatchNorm(epsilon=0.01)


class Block(NamedTuple):
    kind: str  # a key of KINDS
    kernel: int = 3
    stride: int = 1
    residual: bool = True
    width: int | None = None  # channels of the output; None: the weights decide


class Backbone(NamedTuple):
    activation: str
    squeeze: bool  # squeeze and excitation in every block
    stages: tuple[tuple[Block, ...], ...]  # ending in C1 to C5
    stem: int | None = None  # channels of the first convolution; None: the weights decide
    norm: BatchNorm = NORM


def forward(s, x, backbone: Backbone):
    """Feature maps "C1" to "C5", of strides 2 to 32. s: the backbone's scope; x: float32 [b, h, w, 3] in [-1, 1]."""
    points = {}
    x = conv(s / "Conv", x, backbone, kernel=3, stride=2, out=backbone.stem)
    for name, block, stage in numbered_blocks(backbone):
        at = s / name
        y = KINDS[block.kind](at, x, block, backbone)
        x = points[f"C{stage}"] = nn.residual(at, x, y) if block.residual else y
    return points


def numbered_blocks(backbone: Backbone):
    """(scope, block, stage from 1) of each block."""
    seen = Counter()
    for i, stage in enumerate(backbone.stages, 1):
        for block in stage:
            yield numbered(SCOPES[block.kind], seen[block.kind]), block, i
            seen[block.kind] += 1


def inverted_bottleneck(s, x, block, backbone):
    """Wide, depthwise, narrow (Sandler et al. 2018)."""
    return narrow_bottleneck(s, conv(s / "Conv", x, backbone, kernel=1), block, backbone, "Conv_1")


def narrow_bottleneck(s, x, block, backbone, last="Conv"):
    """The same without the expansion."""
    how = {"by": nn.depthwise, "kernel": block.kernel, "stride": block.stride}
    x = conv(s / "SeparableConv2d", x, backbone, **how)
    return project(s / last, excite(s, x, backbone), block, backbone)


def fused_convolution(s, x, block, backbone):
    """A full convolution in place of the expansion and the depthwise one."""
    x = conv(s / "Conv", x, backbone, kernel=block.kernel, stride=block.stride)
    return project(s / "Conv_1", excite(s, x, backbone), block, backbone)


def tucker_convolution(s, x, block, backbone):
    """A full convolution between two 1x1 ones, narrow inside."""
    x = conv(s / "Conv", x, backbone, kernel=1)
    x = conv(s / "Conv_1", x, backbone, kernel=block.kernel, stride=block.stride)
    return project(s / "Conv_2", x, block, backbone)


def excite(s, x, backbone):
    """Squeeze and excitation (Hu et al. 2018), where the backbone has it."""
    if not backbone.squeeze:
        return x
    first, second = s / "SqueezeExcite" / "Conv", s / "SqueezeExcite" / "Conv_1"
    y = nn.bias(first, nn.conv(first, nn.spatial_mean(x), kernel=1))
    y = nn.conv(second, nn.ACTIVATIONS[backbone.activation](y), kernel=1, out=x.shape[-1])
    return x * tf.sigmoid(nn.bias(second, y))


def conv(s, x, backbone, **how):
    return nn.layer(s, x, Hyperparams(activation=backbone.activation, batch_norm=backbone.norm), **how)


def project(s, x, block, backbone):
    return nn.layer(s, x, Hyperparams(activation="none", batch_norm=backbone.norm), kernel=1, out=block.width)


def mobiledet(s, x, config: MobileDet):
    """Feature maps by level, "1" to "5". s: the backbone's scope; x: float32 [b, h, w, 3]."""
    points = forward(s, x, scaled(config))
    return {name.removeprefix("C"): point for name, point in points.items()}


def scaled(config: MobileDet) -> Backbone:
    """The config's backbone, each block with its width."""
    if config.model_id not in WIDTHS:
        raise UnsupportedError(
            f"backbone.mobiledet.model_id: no MobileDet {config.model_id!r}. One of: {', '.join(WIDTHS)}."
        )
    if config.filter_size_scale <= 0:
        raise UnsupportedError(
            f"backbone.mobiledet.filter_size_scale: {config.filter_size_scale}. Give a number above 0."
        )
    backbone, widths = WIDTHS[config.model_id]
    stem, *rest = (multiplied(width, config.filter_size_scale, protect=False) for width in widths)
    width = iter(rest)
    stages = tuple(tuple(block._replace(width=next(width)) for block in stage) for stage in backbone.stages)
    return backbone._replace(stages=stages, stem=stem, norm=BatchNorm(epsilon=config.norm_epsilon))


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

# In TF Official Vision one block more is without residual.
OFFICIAL_DSP = DSP._replace(stages=(*DSP.stages[:4], (down("ibn"), IBN, widen("fused"), TUCKER, widen("ibn"))))

# Of TF Official Vision, by model_id: the backbone, and the channels of its first convolution and of each block.
WIDTHS = {
    "MobileDetCPU": (CPU, (16, 8, 16, *4 * [32], *8 * [72], *4 * [104], 144)),
    "MobileDetDSP": (OFFICIAL_DSP, (32, 24, *4 * [32], *4 * [64], *4 * [120], *4 * [144], *4 * [160], 240)),
    "MobileDetEdgeTPU": (EDGETPU, (32, 16, *4 * [16], *4 * [40], *4 * [72], *4 * [96], *4 * [120], 384)),
    "MobileDetGPU": (GPU, (32, 16, *4 * [32], *4 * [64], *12 * [128], 384)),
}


def levels(config: MobileDet) -> dict[str, int | None]:
    """The width of each level."""
    return {str(stage): block.width for _, block, stage in numbered_blocks(scaled(config))}


def names(config: MobileDet) -> dict[str, str]:
    """Canonical scope -> object path below the backbone in TF Official Vision."""
    blocks = numbered_blocks(scaled(config))
    stored = [("Conv", {"": 0}), *((name, CONVOLUTIONS[block.kind]) for name, block, _ in blocks)]
    table = {}
    for i, (name, convolutions) in enumerate(stored):
        path = f"layer_with_weights-{i}"
        for part, n in convolutions.items():
            layer = f"{name}/{part}".rstrip("/")
            table |= {layer: f"{path}/_conv{n}", f"{layer}/BatchNorm": f"{path}/_norm{n}"}
        table[f"{name}/SqueezeExcite/Conv"] = f"{path}/_squeeze_excitation/_se_reduce"
        table[f"{name}/SqueezeExcite/Conv_1"] = f"{path}/_squeeze_excitation/_se_expand"
    return table


CONVOLUTIONS = {  # their numbers in the reference's blocks
    "ibn": {"Conv": 0, "SeparableConv2d": 1, "Conv_1": 2},
    "narrow": {"SeparableConv2d": 1, "Conv": 2},
    "fused": {"Conv": 0, "Conv_1": 2},
    "tucker": {"Conv": 0, "Conv_1": 1, "Conv_2": 2},
}
