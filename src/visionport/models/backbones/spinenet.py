"""SpineNet (Du et al. 2020): a network found by search whose resolution goes up and down.

Reference: official/vision/modeling/backbones/spinenet.py.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import tensorflow as tf

from visionport.checkpoint.layers import UPSAMPLING, Layers
from visionport.config import Hyperparams
from visionport.config.backbones.spinenet import SpineNet
from visionport.errors import UnsupportedError, nearest
from visionport.models.backbones import resnet_v1
from visionport.ops import nn


class Block(NamedTuple):
    level: int
    kind: Literal["bottleneck", "residual", "inverted"]
    inputs: tuple[int, ...]  # numbers of the blocks it takes, resampled; 0 and 1 are the stem's
    output: bool = False  # of its level
    more: tuple[int, ...] = ()  # blocks of its own level and width that no other takes, added as they are


STEM = (Block(2, "bottleneck", ()), Block(2, "bottleneck", (0,)))
PERMUTED = (
    Block(2, "bottleneck", (0, 1)),
    Block(4, "residual", (0, 1)),
    Block(3, "bottleneck", (2, 3)),
    Block(4, "bottleneck", (2, 4)),
    Block(6, "residual", (3, 5)),
    Block(4, "bottleneck", (3, 5)),
    Block(5, "residual", (6, 7)),
    Block(7, "residual", (6, 8)),
    Block(5, "bottleneck", (8, 9)),
    Block(5, "bottleneck", (8, 10)),
    Block(4, "bottleneck", (5, 10), True),
    Block(3, "bottleneck", (4, 10), True),
    Block(5, "bottleneck", (7, 12), True),
    Block(7, "bottleneck", (5, 14), True),
    Block(6, "bottleneck", (12, 14), True),
    Block(2, "bottleneck", (2, 13), True),
)
REPEATS = {"49S": 1, "49": 1, "96": 2, "143": 3, "143L": 3, "190": 4}
WIDTHS = {"49S": 128, "49": 256, "96": 256, "143": 256, "143L": 256, "190": 512}  # of the endpoints
ACTIVATIONS = ("relu", "swish")


def spinenet(s, x, config: SpineNet) -> dict:
    """Feature maps of one width by level, "3" to "7": [b, h / 2^level, w / 2^level, c].

    s: the backbone's scope; x: float32 [b, h, w, 3], h and w multiples of 128.
    """
    check(config, nn.spatial(x))
    hyper = nn.norm_activation(config)
    x = nn.layer(s / "stem", x, hyper, kernel=7, stride=2)
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    net, blocks = {}, network(config)
    for i, block in blocks.items():
        scope = s / f"block_{i}"
        if i >= len(STEM):
            levels = {k: blocks[k].level for k in block.inputs}
            found = [resample(scope / f"from_{k}", net[k], n, block.level, hyper) for k, n in levels.items()]
            x = nn.ACTIVATIONS[hyper.activation](nn.add(found + [net[k] for k in block.more]))
        x = net[i] = group(scope, x, block.kind, REPEATS[config.model_id], hyper, project=i == 0)
    ends, width = endpoints(config), WIDTHS[config.model_id]
    return {str(n): nn.layer(s / f"endpoint_{n}", net[i], hyper, kernel=1, out=width) for n, i in ends.items()}


def group(s, x, kind, repeats, hyper, *, project):
    """`repeats` blocks under s / unit_1 and so on; project: the shortcut of the first."""
    for i in range(repeats):
        unit, projects = s / f"unit_{i + 1}", project and i == 0
        if kind == "residual":
            x = resnet_v1.basic(unit, x, hyper, 1, projects=projects, output_activation=hyper.activation)
        else:
            how = {"project": "always" if projects else "no", "output_activation": hyper.activation}
            x = resnet_v1.bottleneck(unit, x, hyper, (1, 1), **how)
    return x


def resample(s, x, level, to, hyper):
    """A block's output brought to another level and width."""
    x = nn.layer(s / "reduce", x, hyper, kernel=1)
    if level < to:
        x = nn.layer(s / "downsample", x, hyper, kernel=3, stride=2)
        for _ in range(to - level - 1):
            x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    elif level > to:
        x = nn.upsample(x, 2 ** (level - to))
    return nn.layer(s / "expand", x, linear(hyper), kernel=1)


def linear(hyper: Hyperparams) -> Hyperparams:
    return Hyperparams(activation="none", batch_norm=hyper.batch_norm)


def check(config: SpineNet, size) -> None:
    if config.model_id not in REPEATS:
        raise UnsupportedError(
            f"backbone.spinenet.model_id {config.model_id!r} is unknown{nearest(config.model_id, REPEATS)}. "
            f"One of: {', '.join(REPEATS)}."
        )
    if config.activation not in ACTIVATIONS:
        raise UnsupportedError(
            f"norm_activation.activation {config.activation!r}: SpineNet is built with {' or '.join(ACTIVATIONS)}."
        )
    if not 2 <= config.min_level <= config.max_level <= 7:
        raise UnsupportedError(
            f"backbone.spinenet: levels {config.min_level} to {config.max_level}. SpineNet has levels 2 to 7."
        )
    if any(isinstance(d, int) and d % 128 for d in size):
        raise UnsupportedError(
            f"input size {size[0]}x{size[1]}: SpineNet goes down to 1/128 and up again, so height and width must be "
            "multiples of 128."
        )


def network(config: SpineNet) -> dict[int, Block]:
    return wired(STEM, PERMUTED, endpoints(config).values())


def wired(stem: Iterable[Block], permuted: Iterable[Block], ends: Iterable[int]) -> dict[int, Block]:
    """The blocks that endpoints need, by number, each with all that it takes.

    ends: the numbers of the blocks that give the endpoints.
    """
    blocks = list(stem)
    taken: set[int] = set()
    for block in permuted:
        taken.update(block.inputs)
        if block.output:
            same = [i for i, b in enumerate(blocks) if (b.level, b.kind) == (block.level, block.kind)]
            block = block._replace(more=tuple(i for i in same if i not in taken))
            taken.update(block.more)
        blocks.append(block)
    needed = set(ends)
    for i, block in reversed(list(enumerate(blocks))):
        if i in needed:
            needed.update(block.inputs, block.more)
    return {i: block for i, block in enumerate(blocks) if i in needed}


def endpoints(config: SpineNet) -> dict[int, int]:
    """Level -> number of the block that gives it."""
    outputs = {b.level: i for i, b in enumerate(PERMUTED, start=len(STEM)) if b.output}
    return {n: outputs[n] for n in range(config.min_level, config.max_level + 1)}


def levels(config: SpineNet) -> dict[str, int | None]:
    """The width of each level."""
    return {str(n): WIDTHS[config.model_id] for n in range(config.min_level, config.max_level + 1)}


def names(config: SpineNet) -> dict[str, str]:
    """Canonical scope -> path below the backbone."""
    check(config, ())
    layers, act = Layers(), config.activation
    x = layers.op(layers.conv_bn("stem", "images", act))
    net: dict[int, str] = {}
    blocks = network(config)
    units: dict[str, dict[str, str]] = {}
    for i, block in blocks.items():
        if i >= len(STEM):
            found = []
            for k in block.inputs:
                source = blocks[k]
                scope = f"block_{i}/from_{k}"
                x = layers.conv_bn(f"{scope}/reduce", net[k], act)
                if source.level < block.level:
                    x = layers.conv_bn(f"{scope}/downsample", x, act)
                    x = layers.op(x, count=block.level - source.level - 1)
                elif source.level > block.level:
                    x = layers.op(x, count=UPSAMPLING)
                found.append(layers.conv_bn(f"{scope}/expand", x))
            x = layers.op(*found, *(net[k] for k in block.more), count=2)  # the sum and the activation
        for n in range(REPEATS[config.model_id]):
            x = layers.layer(f"block_{i}/unit_{n + 1}", x)
            units[x] = unit_names(block.kind, project=i == n == 0)
        x = net[i] = layers.op(x)
    ends = [layers.conv_bn(f"endpoint_{n}", net[i], act) for n, i in endpoints(config).items()]
    out = {}
    for name, path in layers.numbered(ends).items():
        if name in units:
            out |= {f"{name}/{scope}": f"{path}/{attribute}" for scope, attribute in units[name].items()}
        else:
            out[name] = path
    return out


def unit_names(kind, *, project) -> dict[str, str]:
    """Canonical scope -> attribute of the reference's block."""
    parts = {f"conv{n}": n for n in range(1, 3 if kind == "residual" else 4)}
    out = {}
    for scope, n in parts.items():
        out |= {scope: f"_conv{n}", f"{scope}/BatchNorm": f"_norm{n}"}
    return out | ({"shortcut": "_shortcut", "shortcut/BatchNorm": "_norm0"} if project else {})
