"""The MobileNets of TF Official Vision, V1 to V4: one table of blocks each, a checkpoint's layer for every block.

Reference: official/vision/modeling/backbones/mobilenet.py.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm
from visionport.config.backbones.mobilenet import MobileNet
from visionport.errors import UnsupportedError, nearest
from visionport.models.backbones import mobilenet_v2, mobilenet_v3
from visionport.models.backbones.mobilenet_v3 import Block, conv_bn, inverted_residual, multiplied, numbered, scaled
from visionport.ops import nn

# Of the batch norms inside an attention, which the config's epsilon does not reach.
ATTENTION_EPSILON = 1e-3


class Convolution(NamedTuple):
    width: int
    kernel: int = 1
    stride: int = 1
    activation: str = "relu"
    norm: bool = True  # a bias in its place where there is none


class Separable(NamedTuple):
    """A depthwise convolution of 3x3 and a pointwise one (Howard et al. 2017)."""

    width: int
    stride: int = 1
    rate: int = 1  # of dilation


class Universal(Block):
    """An inverted bottleneck with a depthwise convolution before the expansion, one behind it, both or none."""


class Attention(NamedTuple):
    """Multi-query attention over all places: many heads of queries, one of keys and values (Shazeer 2019)."""

    width: int
    heads: int
    key: int  # channels of a head
    down: int = 1  # stride at which keys and values are taken
    stride: int = 1


class Pool(NamedTuple):
    """The mean over all places."""

    width: None = None
    stride: int = 1


class Network(NamedTuple):
    blocks: tuple[Any, ...]
    outputs: tuple[int, ...]  # the blocks behind which the levels from 2 on lie
    divisor: int = 8  # of the channels
    keeps_last: bool = True  # the last block does not become narrower by filter_size_scale


def mobilenet(s, x, config: MobileNet):
    """Feature maps by level, "2" and on, and "2/depthwise" if asked for; the last block's answer is one level more.

    s: the backbone's scope; x: float32 [b, h, w, 3].
    """
    norm = BatchNorm(epsilon=config.norm_epsilon)
    points, level = {}, 0
    for name, block, output in layers(config):
        x, inside = FUNCTIONS[type(block)](s / name, x, block, norm)
        if output:
            points[str(output)], level = x, output
            if config.output_intermediate_endpoints and type(block) is Block and "depthwise" in inside:
                points[f"{output}/depthwise"] = inside["depthwise"]
    points[str(level + 1)] = x
    return points


def layers(config: MobileNet) -> Iterator[tuple[str, Any, int]]:
    """(scope, block with the stride, dilation and width it has in this network, level behind it or 0) of each block."""
    network = network_of(config)
    seen: Counter[str] = Counter()
    stride, rate, level = 1, 1, 2
    for i, block in enumerate(network.blocks):
        if block.width:
            keeps = network.keeps_last and i == len(network.blocks) - 1
            factor = max(1.0, config.filter_size_scale) if keeps else config.filter_size_scale
            block = block._replace(width=multiplied(block.width, factor, network.divisor))
        if stride == config.output_stride:
            before, rate = rate, rate * block.stride
            block = dilated(block, before, rate)
        else:
            stride *= block.stride
        output = level if i in network.outputs else 0
        if output and stride != config.output_stride:
            level += 1
        scope = SCOPES[type(block)]
        yield numbered(scope, seen[scope]), block, output
        seen[scope] += 1


def dilated(block, before, rate):
    """The block where the output stride has been reached; before, rate: dilation without and with its own stride.

    As the reference has it: a full convolution keeps its stride, and only a separable one waits for the next block.
    """
    if isinstance(block, Separable):
        return block._replace(stride=1, rate=before)
    if isinstance(block, Block):
        return block._replace(stride=1, rate=before if before > 1 else rate)
    return block


def network_of(config: MobileNet) -> Network:
    """The table of the config's network; raises UnsupportedError for what the reference cannot build either."""
    if config.model_id not in NETWORKS:
        raise UnsupportedError(
            f"backbone.mobilenet.model_id: no MobileNet {config.model_id!r}{nearest(config.model_id, NETWORKS)}. "
            f"One of: {', '.join(NETWORKS)}."
        )
    if config.filter_size_scale <= 0:
        raise UnsupportedError(
            f"backbone.mobilenet.filter_size_scale: {config.filter_size_scale}. Give a number above 0."
        )
    stride = config.output_stride
    if stride is not None and config.model_id == "MobileNetV1" and stride not in (8, 16, 32):
        raise UnsupportedError(f"backbone.mobilenet.output_stride: {stride}. MobileNetV1 takes 8, 16, 32 or none.")
    if stride is not None and (stride == 0 or (stride > 1 and stride % 2)):
        raise UnsupportedError(f"backbone.mobilenet.output_stride: {stride}. Give an even number, 1 or none.")
    return NETWORKS[config.model_id]


def convolution(s, x, b: Convolution, norm):
    how: dict[str, Any] = {"kernel": b.kernel, "stride": b.stride, "out": b.width}
    if b.norm:
        return conv_bn(s, x, norm, b.activation, **how), {}
    return nn.ACTIVATIONS[b.activation](nn.bias(s, nn.conv(s, x, **how))), {}


def separable(s, x, b: Separable, norm):
    how = {"by": nn.depthwise, "kernel": 3, "stride": b.stride, "rate": b.rate}
    x = conv_bn(s / "depthwise", x, norm, "relu6", **how)
    return conv_bn(s / "pointwise", x, norm, "relu6", kernel=1, out=b.width), {}


def attention(s, x, b: Attention, norm):
    """Qin et al. 2024, section 3.2: what each place asks of all others, a smaller map of them if b.down."""
    y = nn.batch_norm(s / "input_norm", x, norm.epsilon)
    height, width = nn.spatial(y)
    query, key, value, output = kernels(s, b, x.shape[-1])
    keys, values = y, y
    if b.down > 1:
        how = {"by": nn.depthwise, "kernel": 3, "stride": b.down}
        inner = BatchNorm(epsilon=ATTENTION_EPSILON)
        keys, values = (conv_bn(s / part / "down", y, inner, "none", **how) for part in ("key", "value"))
    places = tf.math.reduce_prod(nn.spatial(keys)) if None in keys.shape[1:3] else keys.shape[1] * keys.shape[2]
    q = tf.reshape(pointwise(y, query), (-1, height * width * b.heads, b.key)) / b.key**0.5
    k = tf.reshape(pointwise(keys, key), (-1, places, b.key))
    v = tf.reshape(pointwise(values, value), (-1, places, b.key))
    y = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v)
    y = pointwise(tf.reshape(y, (-1, height, width, b.heads * b.key)), output)
    return x + scaled(s / "layer_scale", y), {}


def kernels(s, b: Attention, width):
    """The four projections as kernels of 1x1 convolutions; without `down` they are stored as matrices, a head each."""
    inner = b.heads * b.key
    if b.down > 1:
        shapes = {"query": (width, inner), "key": (width, b.key), "value": (width, b.key), "output": (inner, width)}
        return [(s / part)("weights", (1, 1, *shape)) for part, shape in shapes.items()]
    query = tf.reshape(tf.transpose(s("query", (b.heads, b.key, width)), (2, 0, 1)), (width, inner))
    output = tf.transpose(tf.reshape(s("output", (width, b.heads, b.key)), (width, inner)))
    return [w[None, None] for w in (query, s("key", (width, b.key)), s("value", (width, b.key)), output)]


def pointwise(x, kernel):
    return tf.nn.conv2d(x, kernel, 1, "VALID")


def pool(s, x, b: Pool, norm):
    return nn.spatial_mean(x), {}


FUNCTIONS = {
    Convolution: convolution,
    Separable: separable,
    Block: inverted_residual,
    Universal: inverted_residual,
    Attention: attention,
    Pool: pool,
}
SCOPES = {
    Convolution: "Conv",
    Separable: "separable_conv",
    Block: "expanded_conv",
    Universal: "universal_conv",
    Attention: "attention",
    Pool: "pool",
}


def wide(blocks, widths):
    return tuple(block._replace(width=width) for block, width in zip(blocks, widths, strict=True))


def slim(network: mobilenet_v3.Network, stem, widths, ends, outputs):
    """One of slim's networks with the classifier's convolutions, `ends`."""
    return Network((Convolution(stem, 3, 2, network.activation), *wide(network.blocks, widths), *ends), outputs)


def ends(*widths, activation="relu", norm=True):
    """The last map's convolution, its mean, and the convolution of that."""
    return (Convolution(widths[0], activation=activation), Pool(), Convolution(widths[1], 1, 1, activation, norm))


def stage(width, kernels, stride=2, activation="relu", scale=False, attention=()):
    """Universal blocks of 4, for which `kernels` has the two depthwise convolutions' sizes, or "a" for an attention."""
    out = []
    for text in kernels.split():
        if text == "a":
            out.append(Attention(width, *attention))
            continue
        start, middle = map(int, text)
        out.append(Universal(middle, stride, activation, start=start, scale=scale, width=width))
        stride = 1
    return out


V2 = mobilenet_v3.Network(
    "relu6", tuple(Block(3, n, "relu6", expand=i > 0) for i, n in enumerate(mobilenet_v2.STRIDES))
)
IB, IB5 = Block(), Block(5)
DOWN, DOWN5 = Block(stride=2), Block(5, 2)

# Discovering Multi-Hardware Mobile Models via Architecture Search (Chu et al. 2020).
MULTI_MAX = (DOWN, DOWN5, IB, IB, DOWN5, *5 * [IB], DOWN, IB5, IB, IB5)
MULTI_AVG = (DOWN, IB, DOWN5, *3 * [IB], DOWN5, *5 * [IB], DOWN, *3 * [IB5])

GELU = {"activation": "gelu", "scale": True}

NETWORKS = {
    "MobileNetV1": Network(
        (
            Convolution(32, 3, 2, "relu6"),
            Separable(64),
            *(Separable(w, n) for w in (128, 256) for n in (2, 1)),
            Separable(512, 2),
            *5 * [Separable(512)],
            Separable(1024, 2),
            Separable(1024),
        ),
        outputs=(3, 5, 11, 13),
        divisor=1,
        keeps_last=False,
    ),
    "MobileNetV2": slim(
        V2,
        32,
        (16, 24, 24, *3 * [32], *4 * [64], *3 * [96], *3 * [160], 320),
        [Convolution(1280, activation="relu6")],
        outputs=(3, 6, 13, 17),
    ),
    "MobileNetV3Large": slim(
        mobilenet_v3.LARGE,
        16,
        (16, 24, 24, *3 * [40], *4 * [80], *2 * [112], *3 * [160]),
        ends(960, 1280, activation="hard_swish", norm=False),
        outputs=(3, 6, 12, 15),
    ),
    "MobileNetV3Small": slim(
        mobilenet_v3.SMALL,
        16,
        (16, 24, 24, *3 * [40], *2 * [48], *3 * [96]),
        ends(576, 1024, activation="hard_swish", norm=False),
        outputs=(1, 3, 8, 11),
    ),
    "MobileNetV3SmallReducedFilters": slim(
        mobilenet_v3.SMALL,
        16,
        (16, 24, 24, *3 * [40], *5 * [48]),
        ends(288, 1024, activation="hard_swish", norm=False),
        outputs=(1, 3, 8, 11),
    ),
    "MobileNetV3EdgeTPU": slim(
        mobilenet_v3.EDGETPU,
        32,
        (16, *4 * [32], *4 * [48], *8 * [96], *4 * [160], 192),
        [Convolution(1280)],
        outputs=(5, 9, 17, 22),
    ),
    "MobileNetMultiMAX": Network(
        (
            Convolution(32, 3, 2),
            *wide(MULTI_MAX, (32, *3 * [64], *6 * [128], *4 * [160])),
            *ends(960, 1280),
        ),
        outputs=(1, 4, 10, 14),
    ),
    "MobileNetMultiMAXSeg": Network(
        (
            Convolution(32, 3, 2),
            *wide(MULTI_MAX, (32, *3 * [64], *6 * [128], 160, *3 * [96])),
            *ends(448, 1280),
        ),
        outputs=(1, 4, 10, 14, 15),
    ),
    "MobileNetMultiAVG": Network(
        (
            Convolution(32, 3, 2),
            *wide(MULTI_AVG, (32, 32, *4 * [64], *4 * [128], *2 * [160], *4 * [192])),
            *ends(960, 1280),
        ),
        outputs=(2, 6, 12, 16),
    ),
    "MobileNetMultiAVGSeg": Network(
        (
            Convolution(32, 3, 2),
            *wide(MULTI_AVG, (32, 32, *4 * [64], *4 * [128], *2 * [160], 192, *3 * [96])),
            *ends(448, 1280),
        ),
        outputs=(2, 6, 12, 16, 17),
    ),
    # MobileNetV4 (Qin et al. 2024).
    "MobileNetV4ConvSmall": Network(
        (
            Convolution(32, 3, 2),
            Convolution(32, 3, 2),
            Convolution(32),
            Convolution(96, 3, 2),
            Convolution(64),
            *stage(96, "55 03 03 03 03 30"),
            *stage(128, "33 55 05 05 03 03"),
            *ends(960, 1280),
        ),
        outputs=(2, 4, 10, 16),
    ),
    "MobileNetV4ConvMedium": Network(
        (
            Convolution(32, 3, 2),
            Block(3, 2, fused=True, width=48),
            *stage(80, "35 33"),
            *stage(160, "35 33 33 35 33 30 00 30"),
            *stage(256, "55 55 35 35 00 30 35 55 00 00 50"),
            *ends(960, 1280),
        ),
        outputs=(1, 3, 11, 22),
    ),
    "MobileNetV4ConvMediumSeg": Network(
        (
            Convolution(32, 3, 2, "relu6"),
            Block(3, 2, "relu6", fused=True, width=48),
            *stage(80, "35 33", activation="relu6"),
            *stage(160, "35 33 33 35 33 30 30", activation="relu6"),
            *stage(256, "55", activation="relu6"),
            *stage(128, "55 35 35 30 35 55 50", stride=1, activation="relu6"),
            *ends(448, 1280, activation="relu6"),
        ),
        outputs=(1, 3, 10, 19),
    ),
    "MobileNetV4ConvLarge": Network(
        (
            Convolution(24, 3, 2),
            Block(3, 2, fused=True, width=48),
            *stage(96, "35 33"),
            *stage(192, "35 33 33 33 35 53 53 53 53 53 30"),
            *stage(512, "55 55 55 55 50 53 50 50 53 55 50 50 50"),
            *ends(960, 1280),
        ),
        outputs=(1, 3, 14, 27),
    ),
    "MobileNetV4HybridMedium": Network(
        (
            Convolution(32, 3, 2),
            Block(3, 2, fused=True, width=48),
            *stage(80, "35 33", scale=True),
            *stage(160, "35 00 33 35 a 33 a 30 a 33 a 30", scale=True, attention=(4, 64, 2)),
            *stage(256, "55 55 35 35 00 35 00 00 a 30 a 55 a 50 a 50", scale=True, attention=(4, 64)),
            *ends(960, 1280),
        ),
        outputs=(1, 3, 15, 31),
    ),
    "MobileNetV4HybridLarge": Network(
        (
            Convolution(24, 3, 2, "gelu"),
            Block(3, 2, "gelu", fused=True, width=48),
            *stage(96, "35 33", **GELU),
            *stage(192, "35 33 33 33 35 53 53 a 53 a 53 a 53 a 30", **GELU, attention=(8, 48, 2)),
            *stage(512, "55 55 55 55 50 53 50 50 53 55 a 50 a 50 a 50 a 50", **GELU, attention=(8, 64)),
            *ends(960, 1280, activation="gelu"),
        ),
        outputs=(1, 3, 18, 36),
    ),
}


def levels(config: MobileNet) -> dict[str, int | None]:
    """The width of each level, without the last block's answer."""
    return {str(output): block.width for _, block, output in layers(config) if output}


def names(config: MobileNet) -> dict[str, str]:
    """Canonical scope -> object path below the backbone."""
    stored = [(name, PATHS[type(block)]) for name, block, _ in layers(config) if not isinstance(block, Pool)]
    return {
        f"{name}/{part}".rstrip("/"): f"layer_with_weights-{i}/{path}"
        for i, (name, paths) in enumerate(stored)
        for part, path in paths.items()
    }


INVERTED = {
    "expand": "_conv0",
    "expand/BatchNorm": "_norm0",
    "depthwise": "_conv1",
    "depthwise/BatchNorm": "_norm1",
    "squeeze_excite/Conv": "_squeeze_excitation/_se_reduce",
    "squeeze_excite/Conv_1": "_squeeze_excitation/_se_expand",
    "project": "_conv2",
    "project/BatchNorm": "_norm2",
}
PATHS = {
    Convolution: {"": "_conv0", "BatchNorm": "_norm0"},
    Separable: {
        "depthwise": "_dwconv0",
        "depthwise/BatchNorm": "_norm0",
        "pointwise": "_conv1",
        "pointwise/BatchNorm": "_norm1",
    },
    Block: INVERTED,
    Universal: {
        "start": "_start_dw_conv",
        "start/BatchNorm": "_start_dw_norm",
        "expand": "_expand_conv",
        "expand/BatchNorm": "_expand_norm",
        "depthwise": "_middle_dw_conv",
        "depthwise/BatchNorm": "_middle_dw_norm",
        "project": "_proj_conv",
        "project/BatchNorm": "_proj_norm",
        "layer_scale": "_layer_scale",
    },
    Attention: {
        "": "_multi_query_attention",
        "input_norm": "_input_norm",
        "layer_scale": "_layer_scale",
        **{part: f"_multi_query_attention/_{part}_proj" for part in ("query", "key", "value", "output")},
        **{f"{part}/down": f"_multi_query_attention/_{part}_dw_conv" for part in ("key", "value")},
        **{f"{part}/down/BatchNorm": f"_multi_query_attention/_{part}_dw_norm" for part in ("key", "value")},
    },
}
