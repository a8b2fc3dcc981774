"""SpineNet-Mobile (Du et al. 2020): a network found by search whose resolution goes up and down, of inverted residuals.

Reference: official/vision/modeling/backbones/spinenet_mobile.py.
"""

from visionport.checkpoint.layers import UPSAMPLING, Layers
from visionport.config import BatchNorm
from visionport.config.backbones.spinenet_mobile import SpineNetMobile
from visionport.errors import UnsupportedError, nearest
from visionport.models.backbones import mobilenet, mobilenet_v3
from visionport.models.backbones.mobilenet_v3 import conv_bn
from visionport.models.backbones.spinenet import Block, wired
from visionport.ops import nn


def block(level, *inputs, output=False):
    return Block(level, "inverted", inputs, output)


STEM = (block(1), block(2, 0))
PERMUTED = (
    block(2, 0, 1),
    block(2, 1, 2),
    block(4, 1, 2),
    block(3, 3, 4),
    block(4, 3, 5),
    block(6, 4, 6),
    block(4, 4, 6),
    block(5, 7, 8),
    block(7, 7, 9),
    block(5, 9, 10),
    block(5, 9, 11),
    block(4, 6, 11, output=True),
    block(3, 5, 11, output=True),
    block(5, 8, 13, output=True),
    block(7, 6, 15, output=True),
    block(6, 13, 15, output=True),
)
LEVELS = (3, 7)
WIDTHS = (8, 16, 24, 40, 80, 112, 112, 112)  # of the blocks by level; 0: of the first convolution
SCALES = {"49": 1.0, "49S": 0.65, "49XS": 0.6}  # of these
ENDPOINTS = {"49": 48, "49S": 40, "49XS": 24}  # their width


def spinenet_mobile(s, x, config: SpineNetMobile) -> dict:
    """Feature maps of one width by level, "3" to "7": [b, h / 2^level, w / 2^level, c].

    s: the backbone's scope; x: float32 [b, h, w, 3], h and w multiples of 2^max_level.
    """
    check(config, nn.spatial(x))
    hyper = nn.norm_activation(config)
    x = nn.layer(s / "stem", x, hyper, kernel=3, stride=2, out=width(config, 0))
    net, level_of = {}, {}
    for i, block in network(config).items():
        scope, level_of[i] = s / f"block_{i}", block.level
        if i >= len(STEM):
            found = [resample(scope / f"from_{k}", net[k], level_of[k], block.level, config) for k in block.inputs]
            x = nn.ACTIVATIONS[hyper.activation](nn.add(found + [net[k] for k in block.more]))
        x = net[i] = inverted_residual(scope, x, block.level, 2 if i == 1 else 1, config)
    out = ENDPOINTS[config.model_id]
    return {
        str(n): nn.layer(s / f"endpoint_{n}", net[i], hyper, kernel=1, out=out) for n, i in endpoints(config).items()
    }


def inverted_residual(s, x, level, stride, config):
    shape = mobilenet_v3.Block(
        stride=stride,
        activation=config.activation,
        squeeze=0 < config.se_ratio <= 1,  # above 1 the reference has none
        expand=config.expand_ratio > 1,
        width=width(config, level),
    )
    return mobilenet_v3.inverted_residual(s, x, shape, norm(config))[0]


def resample(s, x, level, to, config):
    """A block's output brought to another level and width."""
    for i in range(to - level):
        how = {"by": nn.depthwise, "kernel": 3, "stride": 2}
        x = conv_bn(s / f"down_{i + 1}", x, norm(config), config.activation, **how)
    # Before the upsampling, unlike the reference: every pixel once, the same numbers.
    x = conv_bn(s / "project", x, norm(config), "none", kernel=1, out=width(config, to))
    return nn.upsample(x, 2 ** (level - to)) if level > to else x


def norm(config: SpineNetMobile) -> BatchNorm:
    return BatchNorm(epsilon=config.norm_epsilon)


def width(config: SpineNetMobile, level: int) -> int:
    return int(WIDTHS[level] * SCALES[config.model_id])


def check(config: SpineNetMobile, size) -> None:
    if config.model_id not in SCALES:
        raise UnsupportedError(
            f"backbone.spinenet_mobile.model_id {config.model_id!r} is unknown{nearest(config.model_id, SCALES)}. "
            f"One of: {', '.join(SCALES)}."
        )
    if not LEVELS[0] <= config.min_level <= config.max_level <= LEVELS[1]:
        raise UnsupportedError(
            f"backbone.spinenet_mobile: levels {config.min_level} to {config.max_level}. SpineNet-Mobile has levels "
            f"{LEVELS[0]} to {LEVELS[1]}."
        )
    multiple = 2**config.max_level
    if any(isinstance(d, int) and d % multiple for d in size):
        raise UnsupportedError(
            f"input size {size[0]}x{size[1]}: SpineNet-Mobile goes down to 1/{multiple} and up again, so height and "
            f"width must be multiples of {multiple}."
        )


def network(config: SpineNetMobile) -> dict[int, Block]:
    return wired(STEM, permuted(config), endpoints(config).values())


def permuted(config: SpineNetMobile) -> list[Block]:
    """No level is above max_level: the blocks that would be there are on it."""
    return [block._replace(level=min(block.level, config.max_level)) for block in PERMUTED]


def endpoints(config: SpineNetMobile) -> dict[int, int]:
    """Level -> number of the block that gives it, the last of several."""
    outputs = {b.level: i for i, b in enumerate(permuted(config), start=len(STEM)) if b.output}
    return {n: outputs[n] for n in range(config.min_level, config.max_level + 1)}


def levels(config: SpineNetMobile) -> dict[str, int | None]:
    """The width of each level."""
    return {str(n): ENDPOINTS[config.model_id] for n in range(config.min_level, config.max_level + 1)}


def names(config: SpineNetMobile) -> dict[str, str]:
    """Canonical scope -> path below the backbone."""
    check(config, ())
    layers = Layers()
    x = layers.op(layers.conv_bn("stem", "images"))
    net, level_of = {}, {}
    for i, block in network(config).items():
        level_of[i] = block.level
        if i >= len(STEM):
            found = []
            for k in block.inputs:
                scope, x = f"block_{i}/from_{k}", net[k]
                for n in range(block.level - level_of[k]):
                    x = layers.op(layers.conv_bn(f"{scope}/down_{n + 1}", x))
                if level_of[k] > block.level:
                    x = layers.op(x, count=1 if config.use_keras_upsampling_2d else UPSAMPLING)
                found.append(layers.conv_bn(f"{scope}/project", x))
            x = found[0]
            for other in (*found[1:], *(net[k] for k in block.more)):
                x = layers.op(x, other)
            x = layers.op(x)
        x = net[i] = layers.op(layers.layer(f"block_{i}", x))
    ends = [layers.op(layers.conv_bn(f"endpoint_{n}", net[i])) for n, i in endpoints(config).items()]
    paths = layers.numbered(ends)
    for i in net:
        path = paths.pop(f"block_{i}")
        paths |= {f"block_{i}/{part}": f"{path}/{layer}" for part, layer in mobilenet.INVERTED.items()}
    return paths
