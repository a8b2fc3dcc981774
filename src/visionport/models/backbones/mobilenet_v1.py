"""MobileNetV1 (Howard et al. 2017): depthwise separable convolutions."""

from visionport.config import Hyperparams
from visionport.ops import nn

# The network's own: bias-free convolutions, batch norm, ReLU6.
HYPERPARAMS = Hyperparams()

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)  # of the 13 separable convolutions


def forward(s, x, hyper: Hyperparams = HYPERPARAMS, *, explicit_padding=False):
    """Feature maps by slim's endpoint names, "Conv2d_1_pointwise" to "Conv2d_13_pointwise".

    s: the scope "MobilenetV1"; x: float32 [b, h, w, 3] in [-1, 1].
    """
    points = {}
    x = conv_bn(s, "Conv2d_0", x, hyper, kernel=3, stride=2, explicit_padding=explicit_padding)
    for i, stride in enumerate(STRIDES, 1):
        deep = f"Conv2d_{i}_depthwise"
        x = conv_bn(s, deep, x, hyper, by=nn.depthwise, kernel=3, stride=stride, explicit_padding=explicit_padding)
        x = points[f"Conv2d_{i}_pointwise"] = conv_bn(s, f"Conv2d_{i}_pointwise", x, hyper, kernel=1)
    return points


def conv_bn(s, name, x, hyper, **how):
    # slim enters its scope twice, which shows in the names of operations, and so of what the quantiser made of them.
    return nn.layer(s / name, x, hyper, ranges=s / "MobilenetV1" / name, **how)


def names(scope: str, path: str, hyper: Hyperparams = HYPERPARAMS) -> dict[str, str]:
    """Canonical scope -> object path, for a Keras network stored under `path`: its layers in order, by index."""
    layers = [f"{scope}/Conv2d_0"]
    for i in range(1, len(STRIDES) + 1):
        layers += [f"{scope}/Conv2d_{i}_{part}" for part in ("depthwise", "pointwise")]
    both = [n for layer in layers for n in ((layer, f"{layer}/BatchNorm") if hyper.batch_norm else (layer,))]
    return {name: f"{path}/layer_with_weights-{i}" for i, name in enumerate(both)}
