"""ResNet, ResNet-D and ResNet-RS of 10 to 420 layers, as TF Official Vision builds them of resnet_v1's units.

He et al. 2015 and 2018, Bello et al. 2021. Reference: official/vision/modeling/backbones/resnet.py.
"""

import functools
from collections.abc import Sequence

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams
from visionport.config.backbones.resnet import DilatedResNet
from visionport.config.backbones.resnet import ResNet as Config
from visionport.errors import UnsupportedError, nearest
from visionport.models.backbones import resnet_v1
from visionport.ops import nn

# model id: units of the four stages
BASIC = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 26: (3, 3, 3, 3), 34: (3, 4, 6, 3)}
BOTTLENECK = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    270: (4, 29, 53, 4),
    350: (4, 36, 72, 4),
    420: (4, 44, 87, 4),
}
UNITS = BASIC | BOTTLENECK

WIDTHS = (64, 128, 256, 512)  # of the stages' 3x3 convolutions


def resnet(s, x, config: Config):
    """Feature maps "2" to "5", of strides 4 to 32. x: float32 [b, h, w, 3], normalised."""
    counts = of_id(config.model_id, UNITS)
    scale = config.depth_multiplier
    width = int(64 * (scale if config.scale_stem else 1))
    half = int(32 * (scale if config.scale_stem else 1))
    x = stem(s, x, config, {"v0": (width,), "v1": (half, half, width)}, int(64 * scale))
    points = {}
    for i, (count, width) in enumerate(zip(counts, WIDTHS, strict=True)):
        stage = {"stride": 1 if i == 0 else 2, "width": int(width * scale), "rates": [1] * count}
        x = points[str(i + 2)] = block(s / f"block{i + 1}", x, config, **stage)
    return points


def stem(s, x, config: Config | DilatedResNet, widths: dict[str, tuple[int, ...]], pool_width: int):
    """A convolution of 7x7 or three of 3x3 (ResNet-D), then a pooling, or a convolution in place of it.

    widths: of the convolutions, by stem type.
    """
    convs = conv_scopes(config.stem_type)
    kernel = 7 if len(convs) == 1 else 3
    conv = functools.partial(resnet_v1.conv_bn, hyper=hyperparams(config))
    for i, (name, width) in enumerate(zip(convs, widths[config.stem_type], strict=True)):
        x = conv(s / name, x, kernel=kernel, stride=1 if i else 2, out=width)
    if config.replace_stem_max_pool:
        return conv(s / "pool1", x, kernel=3, stride=2, out=pool_width)
    return tf.nn.max_pool2d(x, 3, 2, "SAME")


def block(s, x, config: Config | DilatedResNet, *, stride: int, width: int, rates: Sequence[int]):
    """As many units as there are rates of dilation; the first one strides, in its first 3x3 convolution."""
    hyper = hyperparams(config)
    for i, rate in enumerate(rates):
        at, step = s / f"unit_{i + 1}" / unit_scope(config.model_id), 1 if i else stride
        how = {"output_activation": hyper.activation, "width": width, "se_ratio": config.se_ratio}
        if config.model_id in BASIC:
            x = resnet_v1.basic(at, x, hyper, step, projects=i == 0, **how)
        else:
            how |= {"project": "no" if i else "always", "pooled": config.resnetd_shortcut}
            x = resnet_v1.bottleneck(at, x, hyper, (1, step), rate=rate, padding="same", **how)
    return x


def hyperparams(config) -> Hyperparams:
    """Of a backbone's config, its activation and epsilon."""
    if config.activation not in nn.ACTIVATIONS:
        raise UnsupportedError(
            f"norm_activation.activation: {config.activation!r} is not supported here"
            f"{nearest(config.activation, nn.ACTIVATIONS)}. Supported: {', '.join(nn.ACTIVATIONS)}."
        )
    if config.activation == "gelu" and not (isinstance(config, Config) and config.model_id in BOTTLENECK):
        raise UnsupportedError(
            "norm_activation.activation: gelu is not supported in this network, where the reference approximates it "
            "in some layers. Supported: ResNets of 50 and more layers."
        )
    return Hyperparams(activation=config.activation, batch_norm=BatchNorm(epsilon=config.norm_epsilon))


def of_id(model_id, table: dict):
    """The table's entry of that model id."""
    if model_id not in table:
        choices = ", ".join(map(str, table))
        raise UnsupportedError(f"model_id: {model_id!r} is not a network of this kind. Choose one of {choices}.")
    return table[model_id]


def unit_scope(model_id: int) -> str:
    return "basic_v1" if model_id in BASIC else "bottleneck_v1"


def conv_scopes(stem_type: str) -> list[str]:
    """The stem's convolutions."""
    scopes = {"v0": ["conv1"], "v1": ["conv1_1", "conv1_2", "conv1_3"]}
    if stem_type not in scopes:
        raise UnsupportedError(f"stem_type: {stem_type!r} is not supported, nor by the reference. Choose v0 or v1.")
    return scopes[stem_type]


def levels(config: Config) -> dict[str, int | None]:
    """The width of each level."""
    of_id(config.model_id, UNITS)
    widen = 1 if config.model_id in BASIC else 4
    return {str(i + 2): widen * int(width * config.depth_multiplier) for i, width in enumerate(WIDTHS)}


def names(config: Config) -> dict[str, str]:
    """Canonical scope -> object path below the backbone."""
    return layers(config, of_id(config.model_id, UNITS))


def layers(config: Config | DilatedResNet, counts: Sequence[int]) -> dict[str, str]:
    """The same, for stages of so many units. Each unit is one Keras layer, with parts by name."""
    convs = [*conv_scopes(config.stem_type), *["pool1"] * config.replace_stem_max_pool]
    scopes = [scope for conv in convs for scope in (conv, f"{conv}/BatchNorm")]
    out = {scope: f"layer_with_weights-{i}" for i, scope in enumerate(scopes)}
    index = len(scopes)
    basic = config.model_id in BASIC
    shortcut = "_shortcut1" if config.resnetd_shortcut and not basic else "_shortcut"
    for b, count in enumerate(counts):
        for i in range(count):
            unit, path = f"block{b + 1}/unit_{i + 1}/{unit_scope(config.model_id)}", f"layer_with_weights-{index}"
            for k in range(1, 3 if basic else 4):
                out |= {f"{unit}/conv{k}": f"{path}/_conv{k}", f"{unit}/conv{k}/BatchNorm": f"{path}/_norm{k}"}
            if i == 0:
                out |= {f"{unit}/shortcut": f"{path}/{shortcut}", f"{unit}/shortcut/BatchNorm": f"{path}/_norm0"}
            if 0 < config.se_ratio <= 1:
                out |= {f"{unit}/{part}": f"{path}/_squeeze_excitation/_{part}" for part in ("se_reduce", "se_expand")}
            index += 1
    return out
