"""SSD over SpaghettiNet for the Edge TPU. Reference: ssd_spaghettinet_feature_extractor.py, where it is TF1's alone.

A graph of nodes, each a few layers on what its edges bring. Grouped convolutions are fake-quantised where they meet,
in a float checkpoint too.
"""

from functools import partial

import tensorflow as tf

from visionport.config import Hyperparams, SsdFeatureExtractor
from visionport.errors import UnsupportedError, nearest
from visionport.models.ssd.ssd_mobilenet_v2 import NORMALIZATION
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features"]

# Whatever the config's hyperparameters, which are for the predictor.
HYPER, LINEAR = Hyperparams(), Hyperparams(activation="none")
# node: its inputs, as they are where there is one, and its level: 1 / 2^level of the image's size.
NODES = {
    "n0": (("s0",), 2),
    "n1": (("n0",), 3),
    "n2": (("n1",), 4),
    "n3": (("n2",), 5),
    "n4": (("n3",), 6),
    "n5": (("n4",), 7),
    "c0n0": (("n3", "n4"), 5),
    "c0n1": (("n2", "c0n0"), 4),
    "c0n2": (("c0n1", "c0n0"), 5),
    "c0n3": (("n5", "c0n0"), 6),
    "c0n4": (("n5", "c0n0"), 7),
    "c0n5": (("c0n4",), 7),
}
OUTPUTS = ("c0n1", "c0n2", "c0n3", "c0n4", "c0n5")
# Each node's layers: a(n inverted residual), t(hree groups), (four) g(roups), s(eparable). The first of n0 to n5
# strides; all but the first of a node add their input.
VARIANTS = {
    "spaghettinet_edgetpu_s": "t ggg agaa aaaa asss ss aaaa aaaa a as a ss",
    "spaghettinet_edgetpu_m": "t gggg agaa aaaa aasa ss aaaa aaaa as sss as ss",
    "spaghettinet_edgetpu_l": "t gggg aaaa aaaa aaaa as aaaa aaaa aaaa aas aa ss",
}


def features(s, x, e: SsdFeatureExtractor):
    if e.spaghettinet not in VARIANTS:
        near = nearest(e.spaghettinet, VARIANTS)
        raise UnsupportedError(f"feature_extractor.spaghettinet_arch_name {e.spaghettinet!r} is not known{near}.")
    s, explicit = s / e.spaghettinet, e.use_explicit_padding
    net = s / "spaghetti_net"
    made = {"s0": nn.layer(net / "stem_node" / "stem", x, HYPER, stride=2, explicit_padding=explicit)}
    for (name, (inputs, level)), layers in zip(NODES.items(), VARIANTS[e.spaghettinet].split(), strict=True):
        x = made[inputs[0]]
        if len(inputs) > 1:
            x = joined([edge(s / f"edge_{n}_{name}", made[n], level - NODES[n][1], explicit) for n in inputs], inputs)
        for i, kind in enumerate(layers):
            stride = 2 if i == 0 and name in ("n0", "n1", "n2", "n3", "n4", "n5") else 1
            y = LAYERS[kind](net / f"{name}_{i}", x, stride, explicit and stride > 1)
            x = x + y if i else y
        made[name] = x
    return [made[n] for n in OUTPUTS]


def edge(s, x, down: int, explicit):
    """A map projected, and brought `down` levels, or up where that is negative."""
    if down > 0:
        stride = 2**down
        padded = tf.pad(x, [[0, 0], *2 * [[stride // 2] * 2], [0, 0]]) if explicit else x
        x = tf.nn.max_pool2d(padded, stride + 1, stride, "VALID" if explicit else "SAME")
    name = "1x1_after_downsampling" if down > 0 else "1x1_before_upsample" if down else "1x1_no_resampling"
    x = nn.layer(s / name, x, LINEAR, kernel=1)
    for _ in range(-down):
        x = nn.upsample2(x)
    return x


def joined(maps, inputs):
    """Their sum, as large as the map that comes from the finest level."""
    finest = maps[min(range(len(maps)), key=lambda i: NODES[inputs[i]][1])]
    height, width = nn.spatial(finest)
    return tf.nn.relu6(nn.add([x[:, :height, :width] for x in maps]))


def inverted_residual(s, x, stride, explicit):
    x = nn.layer(s / "expansion", x, HYPER, kernel=1)
    x = nn.layer(s / "depthwise", x, HYPER, nn.depthwise, stride=stride, explicit_padding=explicit)
    return nn.layer(s / "projection", x, LINEAR, kernel=1)


def grouped(s, x, stride, explicit, groups):
    how = {"stride": stride, "explicit_padding": explicit}
    parts = [nn.layer(s / f"slice_{i}", p, HYPER, **how) for i, p in enumerate(tf.split(x, groups, -1))]
    x = tf.concat([nn.fake_quant(s / "concat", p) for p in parts], -1)
    return nn.layer(s / "projection", x, LINEAR, kernel=1)


def separable(s, x, stride, explicit):
    x = nn.layer(s / "depthwise", x, nn.BIASED, nn.depthwise, stride=stride, explicit_padding=explicit)
    return nn.layer(s / "pointwise", x, HYPER, kernel=1)


LAYERS = {"a": inverted_residual, "t": partial(grouped, groups=3), "g": partial(grouped, groups=4), "s": separable}
