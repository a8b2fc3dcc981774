"""SSD over MobileNetV2 with MnasFPN (Chen et al. 2020). Reference: ssd_mobilenet_v2_mnasfpn_feature_extractor.py."""

from typing import NamedTuple

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams, SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.backbones import mobilenet_v2
from visionport.models.ssd.ssd_mobilenet_v2 import NORMALIZATION
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features"]

# Whatever the config's hyperparameters, which are for the predictor.
NORM = BatchNorm(epsilon=0.01)
LINEAR = Hyperparams(activation="none", batch_norm=NORM)


class Block(NamedTuple):
    inputs: tuple[int, int]  # indices into the cell's maps: its four inputs, then the blocks before
    level: int
    kernel: int


LEVELS: tuple[int, ...] = (3, 4, 5, 6)
CELL = (Block((1, 2), 4, 3), Block((0, 4), 3, 3), Block((5, 4), 4, 3), Block((4, 3), 5, 5), Block((4, 3), 6, 3))
CELLS = 4


def features(s, x, e: SsdFeatureExtractor):
    if (e.fpn_min_level, e.fpn_max_level) != (LEVELS[0], LEVELS[-1]):
        raise UnsupportedError(f"{e.type}: fpn.min_level and fpn.max_level must be {LEVELS[0]} and {LEVELS[-1]}.")
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    if any(d is None or d % 2 ** LEVELS[-1] for d in x.shape[1:3]):
        raise UnsupportedError(f"{e.type} needs an image size fixed by the config, of multiples of {2 ** LEVELS[-1]}.")
    hyper = Hyperparams(batch_norm=NORM)
    explicit = e.use_explicit_padding
    points = mobilenet_v2.forward(s / "MobilenetV2", x, hyper, explicit_padding=explicit, last=False)
    maps = [points[f"layer_{n}"] for n in (7, 14, 18)]
    s = s / "MnasFPN"
    maps.append(conv_bn(s / "C6_Conv1x1", shrink(maps[-1], 2, explicit)))
    for i in range(CELLS):
        maps = cell(s / f"cell_{i}", maps, explicit)
    return maps


def cell(s, maps, explicit):
    """Four maps from four, finest first."""
    levels, made = [*LEVELS], [*maps]
    for i, block in enumerate(CELL):
        b = s / f"block_{i}"
        found = [
            brought(b / f"input_{k}", made[n], levels[n], block.level, explicit) for k, n in enumerate(block.inputs)
        ]
        y = nn.separable(b / "SepConv", tf.nn.relu6(nn.add(found)), kernel=block.kernel, explicit_padding=explicit)
        made.append(nn.complete(b / "SepConv", y, LINEAR))
        levels.append(block.level)
    return [x + y if x.shape[1:] == y.shape[1:] else y for x, y in zip(maps, made[-len(maps) :], strict=True)]


def brought(s, x, level, to, explicit):
    """A map of one level projected and brought to another, the projection where the map is smaller."""
    if level < to:
        return conv_bn(s / "Conv1x1", shrink(x, 2 ** (to - level), explicit))
    x = conv_bn(s / "Conv1x1", x)
    for _ in range(level - to):
        x = nn.upsample2(x)
    return x


def shrink(x, stride, explicit):
    if explicit:
        return tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, stride, "VALID")
    return tf.nn.max_pool2d(x, 3, stride, "SAME")


def conv_bn(s, x):
    return nn.complete(s, nn.conv(s, x, kernel=1), LINEAR)
