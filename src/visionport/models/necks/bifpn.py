"""The bidirectional feature pyramid of EfficientDet (Tan et al. 2020, section 3).

Reference: models/bidirectional_feature_pyramid_generators.py, utils/bifpn_utils.py.
"""

import tensorflow as tf

from visionport.config import Bifpn, Hyperparams
from visionport.ops import nn


def nodes(p: Bifpn, backbone_max: int) -> list[tuple[str, int, tuple[str, ...]]]:
    """(name, level, names of the inputs) of each node, in the order in which they are computed and stored.

    Names are the reference's: ITERATION_DIRECTION_lvl_LEVEL; iteration 0 is the input, of which the levels above the
    backbone's are nodes too, with one input.
    """
    out: list[tuple[str, int, tuple[str, ...]]] = []
    out += [(f"0_up_lvl_{n}", n, (f"0_up_lvl_{n - 1}",)) for n in range(backbone_max + 1, p.max_level + 1)]
    for i in range(1, p.num_iterations + 1):
        for n in reversed(range(p.min_level, p.max_level)):
            # The lowest level has no way up.
            before = "up" if n > p.min_level or i == 1 else "dn"
            out.append((f"{i}_dn_lvl_{n}", n, (f"{i - 1}_{before}_lvl_{n}", out[-1][0])))
        for n in range(p.min_level + 1, p.max_level + 1):
            down = (f"{i}_dn_lvl_{n}",) if n < p.max_level else ()
            out.append((f"{i}_up_lvl_{n}", n, (f"{i - 1}_up_lvl_{n}", *down, out[-1][0])))
    return out


def forward(s, maps: dict, p: Bifpn, hyper: Hyperparams):
    """The pyramid, finest level first: [b, h, w, c] a level.

    s: the scope "bifpn"; maps: the backbone's maps by level, the lowest being p.min_level.
    """
    found = {f"0_up_lvl_{n}": (n, x) for n, x in maps.items()}
    backbone = set(found)
    order = nodes(p, max(maps))
    for name, level, inputs in order:
        node = s / name
        parts = []
        for source in inputs:
            n, x = found[source]
            if source in backbone:
                project = node / f"input_{source}"
                x = nn.complete(project, nn.conv(project, x, kernel=1), linear(hyper))
            parts.append(resample(x, n, level))
        x = parts[0]
        if len(parts) > 1:
            x = nn.ACTIVATIONS[hyper.activation](combine(node / "combine", parts, p.combine_method))
            x = nn.complete(node / "post_combine", nn.separable(node / "post_combine", x, kernel=3), linear(hyper))
        found[name] = level, x
    return [found[name][1] for name, *_ in order[p.min_level - p.max_level - 1 :]]


def resample(x, level, to):
    """A map brought to the next level up or down."""
    if level < to:
        return tf.nn.max_pool2d(x, 3, 2, "SAME")
    return nn.upsample2(x) if level > to else x


def combine(s, parts, method):
    """Maps of one size, weighted and added: `s / bifpn_combine_weights` [n, 1]."""
    if method == "sum":
        return nn.add(parts)
    weights = WEIGHTS[method](s("bifpn_combine_weights", (len(parts), 1)))
    return nn.add([x * w for x, w in zip(parts, tf.unstack(weights[:, 0]), strict=True)])


def fast_attention(w):
    w = tf.nn.relu(w)
    return w / (tf.reduce_sum(w) + 1e-4)


def linear(hyper: Hyperparams):
    return Hyperparams(activation="none", batch_norm=hyper.batch_norm, use_bias=hyper.use_bias)


# The reference's softmax is over the last axis, which holds one weight: all inputs count the same.
WEIGHTS = {"weighted_sum": tf.identity, "attention": tf.nn.softmax, "fast_attention": fast_attention}


def names(scope: str, path: str, p: Bifpn, backbone_max: int) -> dict[str, str]:
    """Canonical scope -> object path, for a pyramid stored under `path`."""
    out = {}
    backbone = [f"0_up_lvl_{n}" for n in range(p.min_level, backbone_max + 1)]
    for i, (name, _, inputs) in enumerate(nodes(p, backbone_max)):
        node = f"{scope}/{name}"
        for k, source in enumerate(inputs):
            if source in backbone:
                at = f"{path}/node_input_blocks/{i}/{k}/1"
                out |= {f"{node}/input_{source}": f"{at}/0", f"{node}/input_{source}/BatchNorm": f"{at}/1"}
        if len(inputs) > 1:
            at = f"{path}/node_post_combine_block/{i}"  # activation, convolution, batch norm
            out |= {f"{node}/post_combine": f"{at}/1", f"{node}/post_combine/BatchNorm": f"{at}/2"}
            out[f"{node}/combine"] = f"{path}/node_combine_op/{i}"
    return out
