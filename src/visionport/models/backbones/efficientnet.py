"""EfficientNet B0 to B7 (Tan and Le 2019): inverted residuals with squeeze and excitation, scaled in depth and width.

Reference: official/legacy/image_classification/efficientnet/efficientnet_model.py; TF Official Vision:
official/vision/modeling/backbones/efficientnet.py.
"""

import dataclasses
import math

import tensorflow as tf

from visionport.config import Hyperparams
from visionport.config.backbones.efficientnet import EfficientNet
from visionport.errors import UnsupportedError
from visionport.models.backbones.mobilenet_v3 import multiplied
from visionport.ops import nn

# (blocks, kernel, stride) a stack of B0; all stacks but the first expand.
STACKS = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
# By which the blocks are multiplied.
DEPTH = {"b0": 1.0, "b1": 1.1, "b2": 1.2, "b3": 1.4, "b4": 1.8, "b5": 2.2, "b6": 2.6, "b7": 3.1}
WIDTH = {"b0": 1.0, "b1": 1.0, "b2": 1.1, "b3": 1.2, "b4": 1.4, "b5": 1.6, "b6": 1.8, "b7": 2.0}  # of the channels
WIDTHS = (16, 24, 40, 80, 112, 192, 320)  # of B0's stacks
LEVELS = {1: 2, 2: 3, 4: 4, 6: 5}  # stack: the level of its last block


def efficientnet(s, x, config: EfficientNet):
    """Feature maps by level, "2" to "5"; "6" is what the classifier's convolution makes of the last.

    s: the backbone's scope; x: float32 [b, h, w, 3] of ImageNet's mean and deviation.
    """
    blocks = forward(s, x, config)
    points = {str(level): blocks[f"stack_{i}/block_{repeats(config, i) - 1}"] for i, level in LEVELS.items()}
    return points | {"6": conv_bn(s / "top", points["5"], ends(config), kernel=1)}


def forward(s, x, config: EfficientNet, last: str | None = None):
    """Outputs of the blocks by name, "stack_N/block_M", up to `last`.

    s: the scope "EfficientNet"; x: float32 [b, h, w, 3] of ImageNet's mean and deviation.
    """
    points = {}
    x = conv_bn(s / "stem", x, ends(config), kernel=3, stride=2)
    for name, kernel, stride, expand in blocks(config, last):
        x = points[name] = inverted_residual(s / name, x, kernel, stride, expand, config)
    return points


def blocks(config: EfficientNet, last: str | None = None):
    """(name, kernel, stride, does it expand) of each block up to `last`."""
    out = []
    for i, (_, kernel, stride) in enumerate(STACKS):
        for k in range(repeats(config, i)):
            out.append((f"stack_{i}/block_{k}", kernel, 1 if k else stride, i > 0))
            if out[-1][0] == last:
                return out
    if last:
        raise ValueError(f"EfficientNet-{config.model_id} has no block {last!r}.")
    return out


def repeats(config: EfficientNet, stack: int) -> int:
    if config.model_id not in DEPTH:
        raise UnsupportedError(
            f"backbone.efficientnet.model_id: no EfficientNet {config.model_id!r}. One of: {', '.join(DEPTH)}."
        )
    return math.ceil(DEPTH[config.model_id] * STACKS[stack][0])


def inverted_residual(s, x, kernel, stride, expand, config):
    y = conv_bn(s / "expand", x, hyper(config), kernel=1) if expand else x
    y = nn.complete(s / "depthwise", nn.depthwise(s / "depthwise", y, kernel=kernel, stride=stride), hyper(config))
    if 0 < config.se_ratio <= 1:  # above 1 the reference has none
        y = y * excitation(s, y, config)
    y = conv_bn(s / "project", y, hyper(config, activation="none"), kernel=1)
    return x + y if stride == 1 and x.shape[-1] == y.shape[-1] else y


def excitation(s, x, config):
    """Weights of the channels, [b, 1, 1, c] (Hu et al. 2018)."""
    how = {"batch_norm": None, "use_bias": True}
    y = conv_bn(
        s / "se_reduce", nn.spatial_mean(x), Hyperparams(activation=config.se_inner_activation, **how), kernel=1
    )
    return tf.sigmoid(conv_bn(s / "se_expand", y, Hyperparams(activation="none", **how), kernel=1))


def conv_bn(s, x, hyper, **how):
    return nn.complete(s, nn.conv(s, x, **how), hyper)


def hyper(config, activation=None):
    found = nn.norm_activation(config)
    return dataclasses.replace(found, activation=activation) if activation else found


def ends(config):
    """What completes the first and the last convolution: GELU is tanh's there, and exact inside, in the reference."""
    return hyper(config, "gelu_tanh" if config.activation == "gelu" else None)


def levels(config: EfficientNet) -> dict[str, int | None]:
    """The width of each level, without the last convolution's answer."""
    repeats(config, 0)  # the model id is known
    return {str(level): multiplied(WIDTHS[i], WIDTH[config.model_id]) for i, level in LEVELS.items()}


def names(config: EfficientNet) -> dict[str, str]:
    """Canonical scope -> object path below the backbone in TF Official Vision: a layer for each block."""
    parts = {
        "expand": "_conv0",
        "expand/BatchNorm": "_norm0",
        "depthwise": "_conv1",
        "depthwise/BatchNorm": "_norm1",
        "se_reduce": "_squeeze_excitation/_se_reduce",
        "se_expand": "_squeeze_excitation/_se_expand",
        "project": "_conv2",
        "project/BatchNorm": "_norm2",
    }
    whole = ["stem", "stem/BatchNorm", *(name for name, *_ in blocks(config)), "top", "top/BatchNorm"]
    paths = {name: f"layer_with_weights-{i}" for i, name in enumerate(whole)}
    for name, *_ in blocks(config):
        path = paths.pop(name)
        paths |= {f"{name}/{part}": f"{path}/{layer}" for part, layer in parts.items()}
    return paths


def layer_names(scope: str, path: str, config: EfficientNet, last: str) -> dict[str, str]:
    """Canonical scope -> object path, for a Keras network stored under `path`: its layers in order, by index."""
    layers = [f"{scope}/stem", f"{scope}/stem/BatchNorm"]
    for name, _, _, expand in blocks(config, last):
        s = f"{scope}/{name}"
        layers += [f"{s}/expand", f"{s}/expand/BatchNorm"] * expand
        layers += [f"{s}/depthwise", f"{s}/depthwise/BatchNorm", f"{s}/se_reduce", f"{s}/se_expand"]
        layers += [f"{s}/project", f"{s}/project/BatchNorm"]
    return {name: f"{path}/layer_with_weights-{i}" for i, name in enumerate(layers)}
