"""RevNet of 38, 56 and 104 layers (Gomez et al. 2017): units whose input could be told from their output.

Reference: official/vision/modeling/backbones/revnet.py.
"""

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.config.backbones.revnet import RevNet as Config
from visionport.models.backbones.resnet import hyperparams, of_id
from visionport.ops import nn

# model id: is it of bottlenecks; (channels, units) of each stage
NETWORKS = {
    38: (False, ((32, 3), (64, 3), (112, 3))),
    56: (True, ((128, 2), (256, 2), (512, 3), (832, 2))),
    104: (True, ((128, 2), (256, 2), (512, 11), (832, 2))),
}
# Of the units, whatever the config says.
UNIT = Hyperparams(activation="relu", batch_norm=BatchNorm(epsilon=1e-3))


def revnet(s, x, config: Config):
    """Feature maps "2" to "4" or "5", of strides 4 to 32. x: float32 [b, h, w, 3], normalised."""
    bottlenecks, stages = of_id(config.model_id, NETWORKS)
    x = nn.layer(s / "conv1", x, hyperparams(config), kernel=7, stride=2, out=stages[0][0])
    x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    points = {}
    for i, (width, count) in enumerate(stages):
        for k in range(count):
            how = {"stride": 2 if i and not k else 1, "width": width // 2, "bottlenecks": bottlenecks}
            x = reversible(s / f"block{i + 1}" / f"unit_{k + 1}", x, normed=i > 0 and k == 0, **how)
        points[str(i + 2)] = x
    return points


def reversible(s, x, *, stride, **how):
    """Halves of the channels, each the sum of itself and what becomes of the other (eq. 6)."""
    first, second = tf.split(x, 2, -1)
    y = residual(s / "f", second, stride=stride, **how)
    first = downsample(first, y.shape[-1], stride) + y
    y = residual(s / "g", first, stride=1, **how)
    return tf.concat([first, downsample(second, y.shape[-1], stride) + y], -1)


def residual(s, x, *, stride, width, bottlenecks, normed):
    """Convolutions with batch norm and ReLU between them, before the first where it is `normed`; they widen by 4."""
    if normed:
        x = tf.nn.relu(nn.batch_norm(s / "preact", x, 1e-3))
    if not bottlenecks:
        y = nn.layer(s / "conv1", x, UNIT, kernel=3, stride=stride, out=width)
        return nn.conv(s / "conv2", y, kernel=3, out=width)
    y = nn.layer(s / "conv1", x, UNIT, kernel=1, stride=stride, out=width)
    y = nn.layer(s / "conv2", y, UNIT, kernel=3, out=width)
    return nn.conv(s / "conv3", y, kernel=1, out=4 * width)


def downsample(x, width, stride):
    """Averages of stride x stride pixels, with zeros on both sides of the channels up to the width."""
    if stride > 1:
        x = tf.nn.avg_pool2d(x, stride, stride, "VALID")
    missing = max(0, width - x.shape[-1]) // 2
    return tf.pad(x, [[0, 0], [0, 0], [0, 0], [missing, missing]]) if missing else x


def levels(config: Config) -> dict[str, int | None]:
    """The width of each level."""
    bottlenecks, stages = of_id(config.model_id, NETWORKS)
    return {str(i + 2): width * (4 if bottlenecks else 1) for i, (width, _) in enumerate(stages)}


def names(config: Config) -> dict[str, str]:
    """Canonical scope -> object path below the backbone."""
    bottlenecks, stages = of_id(config.model_id, NETWORKS)
    out = {"conv1": "layer_with_weights-0", "conv1/BatchNorm": "layer_with_weights-1"}
    units = [(i, k) for i, (_, count) in enumerate(stages) for k in range(count)]
    for index, (i, k) in enumerate(units, 2):
        for half in "fg":
            unit, path = f"block{i + 1}/unit_{k + 1}/{half}", f"layer_with_weights-{index}/_{half}"
            convs = 3 if bottlenecks else 2
            out |= {f"{unit}/conv{n}": f"{path}/_conv2d_{n}" for n in range(1, convs + 1)}
            out |= {f"{unit}/conv{n}/BatchNorm": f"{path}/_batch_norm_{n}" for n in range(1, convs)}
            if i > 0 and k == 0:
                out[f"{unit}/preact"] = f"{path}/_batch_norm_0"
    return out
