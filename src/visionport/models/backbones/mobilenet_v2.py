"""MobileNetV2 (Sandler et al. 2018): inverted residuals with linear bottlenecks."""

import dataclasses

from visionport.config import Hyperparams
from visionport.ops import nn

# The network's own: bias-free convolutions, batch norm, ReLU6.
HYPERPARAMS = Hyperparams()

STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)  # of the 17 blocks; all but the first expand


def forward(s, x, hyper: Hyperparams = HYPERPARAMS, *, explicit_padding=False, last=True):
    """Feature maps by slim's endpoint names, "layer_2" to "layer_19" and "layer_N/expansion_output".

    s: the scope "MobilenetV2"; x: float32 [b, h, w, 3] in [-1, 1]; last: layer_19 too.
    """
    points = {}
    x = conv_bn(s / "Conv", x, hyper, kernel=3, stride=2, explicit_padding=explicit_padding)
    for i, stride in enumerate(STRIDES):
        name = f"layer_{i + 2}"
        block = s / (f"expanded_conv_{i}" if i else "expanded_conv")
        x, points[f"{name}/expansion_output"] = inverted_residual(block, x, hyper, stride, bool(i), explicit_padding)
        points[name] = x
    if last:
        points["layer_19"] = conv_bn(s / "Conv_1", x, hyper, kernel=1)
    return points


def inverted_residual(s, x, hyper, stride, expand, explicit_padding):
    """The block's output and its expansion."""
    wide = conv_bn(s / "expand", x, hyper, kernel=1) if expand else x
    how = {"kernel": 3, "stride": stride, "explicit_padding": explicit_padding}
    y = conv_bn(s / "depthwise", wide, hyper, by=nn.depthwise, **how)
    y = conv_bn(s / "project", y, dataclasses.replace(hyper, activation="none"), kernel=1)
    return (nn.residual(s, x, y) if stride == 1 and x.shape[-1] == y.shape[-1] else y), wide


def conv_bn(s, x, hyper, **how):
    return nn.layer(s, x, hyper, use_bias=False, **how)


def names(scope: str, path: str, hyper: Hyperparams = HYPERPARAMS) -> dict[str, str]:
    """Canonical scope -> object path, for a Keras network stored under `path`: its layers in order, by index."""
    layers = [f"{scope}/Conv"]
    for i in range(len(STRIDES)):
        block = f"{scope}/expanded_conv_{i}" if i else f"{scope}/expanded_conv"
        layers += [f"{block}/{part}" for part in ("expand", "depthwise", "project")][i == 0 :]
    layers += [f"{scope}/Conv_1"]
    both = [n for layer in layers for n in ((layer, f"{layer}/BatchNorm") if hyper.batch_norm else (layer,))]
    return {name: f"{path}/layer_with_weights-{i}" for i, name in enumerate(both)}
