"""What Inception v2 and v3 are built of: branches of convolutions and pools side by side (Szegedy et al. 2015)."""

import tensorflow as tf

from visionport.config import Hyperparams
from visionport.ops import nn

# Layers by slim's scopes, one after the other; a tuple among them stands for layers side by side.
Branch = tuple[str | tuple[str, ...], ...]

POOLS = {"AvgPool": tf.nn.avg_pool2d, "MaxPool": tf.nn.max_pool2d}


def mixed(s, x, branches: tuple[Branch, ...], hyper: Hyperparams, padding="SAME"):
    """s / Branch_0 and so on, concatenated. padding: of the layers that stride, which slim calls "_1a_"."""
    return tf.concat([branch(s / f"Branch_{i}", x, layers, hyper, padding) for i, layers in enumerate(branches)], -1)


def branch(s, x, layers: Branch, hyper: Hyperparams, padding):
    for name in layers:
        split = (name,) if isinstance(name, str) else name
        parts = [layer(s, x, n, hyper, 2 if "_1a_" in n else 1, padding if "_1a_" in n else "SAME") for n in split]
        x = tf.concat(parts, -1) if len(parts) > 1 else parts[0]
    return x


def layer(s, x, name: str, hyper: Hyperparams, stride=1, padding="SAME"):
    """The convolution s / name, or the 3x3 pool of that name."""
    if pool := POOLS.get(name.partition("_")[0]):
        return pool(x, 3, stride, padding)
    return nn.layer(s / name, x, hyper, stride=stride, padding=padding)
