"""CenterNet's feature extractors: a backbone and, but for the hourglasses, a way up to stride 4.

Reference: models/center_net_*_feature_extractor.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from visionport.config import BatchNorm, Hyperparams, Normalization
from visionport.config.center_net import CenterNet
from visionport.errors import UnsupportedError, nearest
from visionport.models.backbones import hourglass, mobilenet_v2, resnet_v1, resnet_v2
from visionport.ops import nn

SCOPE = "FeatureExtractor"
PATH = "model/_feature_extractor"
STRIDE = 4
NECK = Hyperparams(activation="relu", batch_norm=BatchNorm(epsilon=1e-3), use_bias=True)
RESNET_V1 = Hyperparams(activation="relu", batch_norm=BatchNorm(epsilon=1.001e-5), use_bias=True)
STEPS = 3  # upsamplings, from stride 32 to 4

NONE = Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
UNIT = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1 to 1
CAFFE = Normalization(mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), bgr=True)


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """features: scope, images [b, H, W, 3] and the model's config -> list of maps [b, H / 4, W / 4, c].

    names: -> canonical scope -> object path. normalization: its own, after the config's. stacks: how many maps, of
    which the last counts. multiple: of the sides of the image. unread: scopes of `names` that are not reached.
    """

    features: Callable
    names: Callable[[], dict[str, str]]
    normalization: Normalization
    stacks: int = 1
    multiple: int = 1
    unread: tuple[str, ...] = ()


def extractor(c: CenterNet) -> Extractor:
    if c.extractor not in EXTRACTORS:
        raise UnsupportedError(
            f"feature extractor {c.extractor!r} is not supported{nearest(c.extractor, EXTRACTORS)}. Supported: "
            f"{', '.join(EXTRACTORS)}; see docs/support.md."
        )
    return EXTRACTORS[c.extractor]


# Ways up


def fpn(s, points, upsampling="nearest"):
    """Top-down additions (Lin et al. 2016), from the last of `points` to the first."""
    x = nn.bias(s / "top", nn.conv(s / "top", points[-1], kernel=1))
    for i, lateral in enumerate(reversed(points[:-1])):
        side, smooth = s / f"lateral_{i}", s / f"smooth_{i}"
        x = UPSAMPLING[upsampling](x) + nn.bias(side, nn.conv(side, lateral, kernel=1))
        # The published mobilenet_v2_fpn_sep_conv is separable, what today's reference builds for that name is not.
        conv = nn.separable if smooth.holds("depthwise_weights") else nn.conv
        x = nn.complete(smooth, conv(smooth, x, kernel=3), NECK)
    return [x]


def fpn_names():
    layers = ["top"]
    for i in range(STEPS):
        layers += [f"lateral_{i}", f"smooth_{i}", f"smooth_{i}/BatchNorm"]
    return numbered("fpn", f"{PATH}/_feature_extractor_model", layers)


def deconvolutions(s, x, kernel):
    """Convolution and strided transposed convolution, three times (Xiao et al. 2018)."""
    for i in range(STEPS):
        conv, up = s / f"conv_{i}", s / f"deconv_{i}"
        x = nn.complete(conv, nn.conv(conv, x, kernel=kernel), NECK)
        x = nn.complete(up, nn.conv_transpose(up, x, kernel=3, stride=2), NECK)
    return [x]


def deconvolution_names(path):
    layers = [n for i in range(STEPS) for k in ("conv", "deconv") for n in (f"{k}_{i}", f"{k}_{i}/BatchNorm")]
    return numbered("decoder", path, layers)


def numbered(scope, path, layers):
    """Layers of a Keras model whose first (0) is the backbone."""
    return {f"{SCOPE}/{scope}/{n}": f"{path}/layer_with_weights-{i}" for i, n in enumerate(layers, 1)}


def bilinear2(x):
    size = [2 * (x.shape[i] if x.shape[i] is not None else tf.shape(x)[i]) for i in (1, 2)]
    return tf.raw_ops.ResizeBilinear(images=x, size=tf.stack(size), half_pixel_centers=True)


UPSAMPLING = {"nearest": nn.upsample2, "bilinear": bilinear2}


# Families


def hourglasses(kind: str) -> Extractor:
    return Extractor(
        features=lambda s, x, c: hourglass.forward(s / "Hourglass", x, kind),
        names=lambda: hourglass.names(f"{SCOPE}/Hourglass", f"{PATH}/_network"),
        normalization=NONE,
        stacks=hourglass.ARCHITECTURES[kind][0],
        multiple=hourglass.multiple(kind),
    )


def resnet_v1_fpn(depth: int) -> Extractor:
    kind = f"resnet_v1_{depth}"

    def features(s, x, c):
        points = resnet_v1.forward(s / kind, x, depth, placement="first", hyper=RESNET_V1, pool_padding="explicit")
        return fpn(s / "fpn", list(points.values()))

    def names():
        return resnet_v1.names(f"{SCOPE}/{kind}", f"{PATH}/_base_model", depth, hyper=RESNET_V1) | fpn_names()

    return Extractor(features=features, names=names, normalization=CAFFE, multiple=32)


def basic_fpn(depth: int) -> Extractor:
    kind = f"resnet_v1_{depth}"
    return Extractor(
        features=lambda s, x, c: fpn(s / "fpn", list(resnet_v2.forward(s / kind, x, kind).values())),
        names=lambda: resnet_v2.names(f"{SCOPE}/{kind}", f"{PATH}/_base_model", kind) | fpn_names(),
        normalization=CAFFE,
        multiple=32,
        unread=(f"{SCOPE}/{kind}/postnorm",),
    )


def resnet_v2_deconvolutions(depth: int) -> Extractor:
    kind = f"resnet_v2_{depth}"
    model = f"{PATH}/_feature_extractor_model"

    def features(s, x, c):
        return deconvolutions(s / "decoder", resnet_v2.forward(s / kind, x, kind)["block4"], kernel=3)

    return Extractor(
        features=features,
        names=lambda: resnet_v2.names(f"{SCOPE}/{kind}", f"{PATH}/_base_model", kind) | deconvolution_names(model),
        normalization=UNIT,
        unread=(f"{SCOPE}/{kind}/postnorm",),
    )


def mobilenet_fpn() -> Extractor:
    def features(s, x, c):
        points = mobilenet_v2.forward(s / "MobilenetV2", x)
        if c.upsampling not in UPSAMPLING:
            raise UnsupportedError(f"upsampling_interpolation {c.upsampling!r}; supported: {', '.join(UPSAMPLING)}.")
        # Keras's block_2_add, block_5_add, block_9_add, out_relu.
        return fpn(s / "fpn", [points[f"layer_{n}"] for n in (4, 7, 11, 19)], c.upsampling)

    return Extractor(
        features=features,
        names=lambda: mobilenet_v2.names(f"{SCOPE}/MobilenetV2", f"{PATH}/_base_model") | fpn_names(),
        normalization=UNIT,
        multiple=32,
    )


def mobilenet_deconvolutions() -> Extractor:
    network = f"{PATH}/_network"

    def features(s, x, c):
        x = mobilenet_v2.forward(s / "MobilenetV2", x)["layer_19"]
        return deconvolutions(s / "decoder", x, kernel=1)

    return Extractor(
        features=features,
        names=lambda: (
            mobilenet_v2.names(f"{SCOPE}/MobilenetV2", f"{network}/layer_with_weights-0") | deconvolution_names(network)
        ),
        normalization=UNIT,
    )


EXTRACTORS = {kind: hourglasses(kind) for kind in hourglass.ARCHITECTURES} | {
    "resnet_v1_18_fpn": basic_fpn(18),
    "resnet_v1_34_fpn": basic_fpn(34),
    "resnet_v1_50_fpn": resnet_v1_fpn(50),
    "resnet_v1_101_fpn": resnet_v1_fpn(101),
    "resnet_v2_50": resnet_v2_deconvolutions(50),
    "resnet_v2_101": resnet_v2_deconvolutions(101),
    "mobilenet_v2": mobilenet_deconvolutions(),
    "mobilenet_v2_fpn": mobilenet_fpn(),
    "mobilenet_v2_fpn_sep_conv": mobilenet_fpn(),
}
