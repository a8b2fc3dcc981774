"""EfficientNet B0 to B7 (Tan and Le 2019): inverted residuals with squeeze and excitation, scaled in depth and width.

Reference: official/legacy/image_classification/efficientnet/efficientnet_model.py.
"""

import math

import tensorflow as tf

from visionport.config import Hyperparams
from visionport.ops import nn

HYPERPARAMS = Hyperparams(activation="swish")
SQUEEZE = Hyperparams(activation="swish", batch_norm=None, use_bias=True)
EXCITE = Hyperparams(activation="none", batch_norm=None, use_bias=True)

# (blocks, kernel, stride) a stack of B0; all stacks but the first expand.
STACKS = ((1, 3, 1), (2, 3, 2), (2, 5, 2), (3, 3, 2), (3, 5, 1), (4, 5, 2), (1, 3, 1))
DEPTH = (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)  # by which B0 to B7 multiply the blocks


def forward(s, x, version: int, last: str):
    """Outputs of the blocks by name, "stack_N/block_M", up to `last`.

    s: the scope "EfficientNet"; x: float32 [b, h, w, 3] of ImageNet's mean and deviation.
    """
    points = {}
    x = conv_bn(s / "stem", x, HYPERPARAMS, kernel=3, stride=2)
    for name, kernel, stride, expand in blocks(version, last):
        x = points[name] = inverted_residual(s / name, x, kernel, stride, expand)
    return points


def blocks(version: int, last: str):
    """(name, kernel, stride, does it expand) of each block up to `last`."""
    out = []
    for i, (count, kernel, stride) in enumerate(STACKS):
        for k in range(math.ceil(DEPTH[version] * count)):
            out.append((f"stack_{i}/block_{k}", kernel, 1 if k else stride, i > 0))
            if out[-1][0] == last:
                return out
    raise ValueError(f"EfficientNet-B{version} has no block {last!r}.")


def inverted_residual(s, x, kernel, stride, expand):
    y = conv_bn(s / "expand", x, HYPERPARAMS, kernel=1) if expand else x
    y = nn.complete(s / "depthwise", nn.depthwise(s / "depthwise", y, kernel=kernel, stride=stride), HYPERPARAMS)
    mean = nn.spatial_mean(y)
    gate = conv_bn(s / "se_expand", conv_bn(s / "se_reduce", mean, SQUEEZE, kernel=1), EXCITE, kernel=1)
    y = conv_bn(s / "project", y * tf.sigmoid(gate), Hyperparams(activation="none"), kernel=1)
    return x + y if stride == 1 and x.shape[-1] == y.shape[-1] else y


def conv_bn(s, x, hyper, **how):
    return nn.complete(s, nn.conv(s, x, **how), hyper)


def names(scope: str, path: str, version: int, last: str) -> dict[str, str]:
    """Canonical scope -> object path, for a Keras network stored under `path`: its layers in order, by index."""
    layers = [f"{scope}/stem", f"{scope}/stem/BatchNorm"]
    for name, _, _, expand in blocks(version, last):
        s = f"{scope}/{name}"
        layers += [f"{s}/expand", f"{s}/expand/BatchNorm"] * expand
        layers += [f"{s}/depthwise", f"{s}/depthwise/BatchNorm", f"{s}/se_reduce", f"{s}/se_expand"]
        layers += [f"{s}/project", f"{s}/project/BatchNorm"]
    return {name: f"{path}/layer_with_weights-{i}" for i, name in enumerate(layers)}
