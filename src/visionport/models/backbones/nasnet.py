"""NASNet-A large (Zoph et al. 2018) and PNASNet-5 large (Liu et al. 2018): slim's nets/nasnet.

A cell takes the outputs of two cells before it, and makes five new states, each the sum of two operations on earlier
states; what no operation used is its output.
"""

from typing import NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams, Normalization
from visionport.ops import nn

NORMALIZATION = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1 to 1
NORM = BatchNorm()  # in a scope of its own beside the convolution

Operation = tuple[str, int]  # its name and the state that it takes: 0 the cell's input, 1 the one before, 2 and on new


class Cell(NamedTuple):
    blocks: tuple[tuple[Operation, Operation], ...]
    first: int  # of the states that are the cell's output, to the last


class Layer(NamedTuple):
    scope: str
    cell: Cell
    stride: int = 1
    back: int = 2  # the cell's second input is the output of the cell so many before it


NORMAL = Cell(
    (
        (("separable_5x5", 0), ("separable_3x3", 1)),
        (("separable_5x5", 1), ("separable_3x3", 1)),
        (("avg_3x3", 0), ("none", 1)),
        (("avg_3x3", 1), ("avg_3x3", 1)),
        (("separable_3x3", 0), ("none", 0)),
    ),
    first=1,
)
REDUCTION = Cell(
    (
        (("separable_5x5", 0), ("separable_7x7", 1)),
        (("max_3x3", 0), ("separable_7x7", 1)),
        (("avg_3x3", 0), ("separable_5x5", 1)),
        (("none", 3), ("avg_3x3", 2)),
        (("separable_3x3", 2), ("max_3x3", 0)),
    ),
    first=3,
)
PROGRESSIVE = Cell(
    (
        (("separable_5x5", 1), ("max_3x3", 1)),
        (("separable_7x7", 0), ("max_3x3", 0)),
        (("separable_5x5", 0), ("separable_3x3", 0)),
        (("separable_3x3", 4), ("max_3x3", 0)),
        (("separable_3x3", 1), ("none", 0)),
    ),
    first=2,
)


def forward(s, x, layers: tuple[Layer, ...], hyper: Hyperparams = nn.BARE):
    """The outputs of the cells by their scopes. s: the scope of conv0; x: float32 [b, h, w, 3] in [-1, 1]."""
    x = convolve(s / "conv0", x, hyper, kernel=3, stride=2, padding="VALID")
    return cells(s, None, norm(s / "conv0_bn", x, hyper), layers, hyper)


def cells(s, before, x, layers: tuple[Layer, ...], hyper: Hyperparams = nn.BARE):
    """The same from the outputs of the two cells before the first of `layers`."""
    outputs, points = [before, x], {}
    halved = False  # the last output has half the size of those before it
    for layer in layers:
        before = outputs[-layer.back]
        outputs.append(cell(s / layer.scope, outputs[-1], before, halved, layer, hyper))
        points[layer.scope] = outputs[-1]
        halved = layer.stride == 2
    return points


def cell(s, x, before, halved: bool, layer: Layer, hyper):
    first = norm(s / "beginning_bn", convolve(s / "1x1", tf.nn.relu(x), hyper, kernel=1), hyper)
    width = first.shape[-1]
    states = [first, x if before is None else fitted(s, before, width, halved, hyper)]
    for i, block in enumerate(layer.cell.blocks):
        sides = zip(("left", "right"), block, strict=True)
        states.append(
            nn.add(
                [
                    operate(s / f"comb_iter_{i}" / side, name, states[k], layer.stride if k < 2 else 1, width, hyper)
                    for side, (name, k) in sides
                ]
            )
        )
    return tf.concat(states[layer.cell.first :], -1)


def fitted(s, x, width, halved: bool, hyper):
    """The second input, brought to the size and the width of the first."""
    if halved:
        # Every second pixel, from the first on and from the second on.
        x = tf.nn.relu(x)
        shifted = tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:]
        paths = [p[:, ::2, ::2] for p in (x, shifted)]
        halves = [convolve(s / f"path{i}_conv", p, hyper, kernel=1) for i, p in enumerate(paths, 1)]
        return norm(s / "final_path_bn", tf.concat(halves, -1), hyper)
    if x.shape[-1] != width:
        return norm(s / "prev_bn", convolve(s / "prev_1x1", tf.nn.relu(x), hyper, kernel=1), hyper)
    return x


def operate(s, name: str, x, stride, width, hyper):
    kind, _, size = name.partition("_")
    if kind == "separable":
        for i in (1, 2):
            layer = f"separable_{size}_{i}"
            how = {"kernel": int(size[0]), "stride": stride if i == 1 else 1}
            x = nn.layer(s / layer, tf.nn.relu(x), hyper, nn.separable, use_bias=False, **how)
            x = norm(s / f"bn_sep_{size}_{i}", x, hyper)
        return x
    if kind == "none":
        if stride == 1 and x.shape[-1] == width:
            return x
        return norm(s / "bn_1", convolve(s / "1x1", tf.nn.relu(x), hyper, kernel=1, stride=stride), hyper)
    x = {"avg": tf.nn.avg_pool2d, "max": tf.nn.max_pool2d}[kind](x, int(size[0]), stride, "SAME")
    return x if x.shape[-1] == width else norm(s / "bn_1", convolve(s / "1x1", x, hyper, kernel=1), hyper)


def convolve(s, x, hyper, **how):
    return nn.layer(s, x, hyper, use_bias=False, **how)


def norm(s, x, hyper):
    bn = hyper.batch_norm or NORM
    return nn.batch_norm(s, x, bn.epsilon, center=bn.center, scale=bn.scale)


def stem(cell: Cell) -> tuple[Layer, ...]:
    return tuple(Layer(f"cell_stem_{i}", cell, stride=2) for i in range(2))


def nasnet_cells(first: int, last: int):
    """Cells of NASNet-A large, a reduction before the 6th and the 12th; the next one looks past it."""
    for i in range(first, last + 1):
        if i % 6 == 0 and i:
            yield Layer(f"reduction_cell_{i // 6 - 1}", REDUCTION, stride=2)
        yield Layer(f"cell_{i}", NORMAL, back=3 if i % 6 == 0 and i else 2)


def pnasnet_cells(first: int, last: int):
    """Cells of PNASNet-5 large, of which the 4th and the 8th reduce."""
    for i in range(first, last + 1):
        yield Layer(f"cell_{i}", PROGRESSIVE, stride=2 if i in (4, 8) else 1)


# To the map that proposals come from, which is its last two cells' outputs; and the rest.
NASNET = ((*stem(REDUCTION), *nasnet_cells(0, 11)), tuple(nasnet_cells(12, 17)))
PNASNET = ((*stem(PROGRESSIVE), *pnasnet_cells(0, 7)), tuple(pnasnet_cells(8, 11)))
