"""NAS-FPN (Ghiasi et al. 2019): a feature pyramid found by search, repeated.

Reference: official/vision/modeling/decoders/nasfpn.py.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import tensorflow as tf

from visionport.checkpoint.layers import OPS, UPSAMPLING, Layers
from visionport.config import Hyperparams
from visionport.config.decoders import NasFpn
from visionport.errors import UnsupportedError
from visionport.models.necks.fpn import top_level
from visionport.ops import nn


class Cell(NamedTuple):
    level: int
    combine: str  # sum; attention: of the coarser map on the finer
    inputs: tuple[int, int]  # numbers of maps: the five levels first, then the cells
    output: bool = True
    more: tuple[int, ...] = ()  # maps of its own level that no other takes


CELLS = (
    Cell(4, "attention", (1, 3), False),
    Cell(4, "sum", (1, 5), False),
    Cell(3, "sum", (0, 6)),
    Cell(4, "sum", (6, 7)),
    Cell(5, "attention", (7, 8)),
    Cell(7, "attention", (6, 9)),
    Cell(6, "attention", (9, 10)),
)
LEVELS = range(3, 8)
# The reference resamples maps inside the pyramid to this width, whatever num_filters says.
INNER_WIDTH = 256


def nas_fpn(s, maps: dict, config: NasFpn) -> dict:
    """The pyramid by level, "3" to "7": [b, h / 2^level, w / 2^level, num_filters].

    s: the decoder's scope; maps: the backbone's by level, as text.
    """
    top = check(config, maps)
    check_sizes({n: nn.spatial(maps[str(n)]) for n in range(LEVELS[0], top + 1)})
    norm = nn.norm_activation(config)
    hyper = Hyperparams(activation="none", batch_norm=norm.batch_norm, use_bias=True)
    by = nn.separable if config.use_separable_conv else nn.conv

    def conv_bn(s, x, kernel, out):
        return nn.layer(s, x, hyper, by, kernel=kernel, out=out)

    def resample(s, x, level, to):
        if x.shape[-1] != INNER_WIDTH:
            x = conv_bn(s, x, 1, INNER_WIDTH)
        if level < to:
            stride = 2 ** (to - level)
            return tf.nn.max_pool2d(x, stride, stride, "SAME")
        return nn.upsample(x, 2 ** (level - to)) if level > to else x

    nodes = []
    for n in LEVELS:
        if n <= top:
            x = maps[str(n)]
            nodes.append(
                x if x.shape[-1] == config.num_filters else conv_bn(s / f"input_{n}", x, 1, config.num_filters)
            )
        else:  # the reference would resample to num_filters, which these have
            nodes.append(tf.nn.max_pool2d(nodes[-1], 2, 2, "SAME"))
    for i in range(config.num_repeats):
        for k, cell in enumerate(cells()):
            scope = s / f"pyramid_{i}" / f"cell_{k}"
            levels = [level_of(j) for j in cell.inputs]
            pairs = zip(cell.inputs, levels, strict=True)
            a, b = (resample(scope / f"from_{j}", nodes[j], level, cell.level) for j, level in pairs)
            if cell.combine == "attention":
                coarse, fine = (a, b) if levels[0] >= levels[1] else (b, a)
                a, b = coarse, fine * tf.sigmoid(tf.reduce_max(coarse, [1, 2], keepdims=True))
            x = nn.add([a, b] + [resample(scope / f"from_{j}", nodes[j], cell.level, cell.level) for j in cell.more])
            x = nn.ACTIVATIONS[norm.activation](x)
            nodes.append(conv_bn(scope, x, 3, config.num_filters))
        nodes = [nodes[j] for j in outputs()]
    return {str(n): x for n, x in zip(LEVELS, nodes, strict=True)}


def level_of(node: int) -> int:
    return LEVELS[node] if node < len(LEVELS) else CELLS[node - len(LEVELS)].level


def cells() -> list[Cell]:
    """Each cell with all that it takes."""
    out, taken = [], set()
    for i, cell in enumerate(CELLS):
        taken.update(cell.inputs)
        if cell.output:
            free = (j for j in range(len(LEVELS) + i) if j not in taken and level_of(j) == cell.level)
            cell = cell._replace(more=tuple(free))
            taken.update(cell.more)
        out.append(cell)
    return out


def outputs() -> list[int]:
    """The node of each level, from the lowest."""
    found = {cell.level: len(LEVELS) + i for i, cell in enumerate(CELLS) if cell.output}
    return [found[n] for n in LEVELS]


def check(config: NasFpn, backbone: Iterable[str]) -> int:
    """The highest of the backbone's levels that is used."""
    if (config.min_level, config.max_level) != (LEVELS[0], LEVELS[-1]):
        raise UnsupportedError(
            f"decoder.nasfpn: levels {config.min_level} to {config.max_level}. NAS-FPN was found for levels 3 to 7, "
            "and the reference builds no others: set min_level: 3 and max_level: 7."
        )
    if config.num_repeats < 1:
        raise UnsupportedError(f"decoder.nasfpn.num_repeats {config.num_repeats}: at least 1 is needed.")
    return top_level("decoder.nasfpn", backbone, LEVELS[0], LEVELS[-1])


def check_sizes(sizes: dict) -> None:
    """sizes: (height, width) of the levels that are used."""
    lowest = sizes[LEVELS[0]]
    for n, size in sizes.items():
        wanted = [d // 2 ** (n - LEVELS[0]) for d in lowest if isinstance(d, int) and d % 16 == 0]
        if all(isinstance(d, int) for d in (*lowest, *size)) and wanted != list(size):
            raise UnsupportedError(
                f"decoder.nasfpn: level {n} is {size[0]}x{size[1]} where level 3 is {lowest[0]}x{lowest[1]}. Take an "
                "input size that is a multiple of 128, and a backbone whose levels halve (output_stride 32)."
            )


def names(config: NasFpn, backbone: Mapping[str, int | None]) -> dict[str, str]:
    """Canonical scope -> path below the decoder.

    backbone: the width of its levels, None where it is not known and is taken to differ from `num_filters`.
    """
    top = check(config, backbone)
    layers = Layers()

    def resample(name, x, width, level, to):
        if width != INNER_WIDTH:
            x = layers.conv_bn(name, x)
        return layers.op(x, count=UPSAMPLING if level > to else int(level < to))

    nodes = []
    for n in LEVELS:
        if n > top:
            nodes.append(layers.op(nodes[-1]))
        elif backbone[str(n)] == config.num_filters:
            nodes.append(f"level_{n}")
        else:
            nodes.append(layers.conv_bn(f"input_{n}", f"level_{n}"))
    for i in range(config.num_repeats):
        for k, cell in enumerate(cells()):
            scope = f"pyramid_{i}/cell_{k}"
            levels = [level_of(j) for j in cell.inputs]
            pairs = zip(cell.inputs, levels, strict=True)
            a, b = (
                resample(f"{scope}/from_{j}", nodes[j], config.num_filters, level, cell.level) for j, level in pairs
            )
            if cell.combine == "attention":
                coarse, fine = (a, b) if levels[0] >= levels[1] else (b, a)
                a, b = coarse, layers.op(fine, layers.op(coarse, count=2))
            x = layers.op(a, b)
            for j in cell.more:
                more = resample(f"{scope}/from_{j}", nodes[j], config.num_filters, cell.level, cell.level)
                x = layers.op(x, more)
            x = layers.op(x, count=OPS.get(config.activation, 1))
            nodes.append(layers.conv_bn(scope, x))
        nodes = [nodes[j] for j in outputs()]
    return layers.numbered(nodes)
