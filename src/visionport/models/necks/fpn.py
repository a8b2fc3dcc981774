"""The feature pyramid of TF Official Vision (Lin et al. 2017).

Beside the Object Detection API's (feature_maps.py) every level is smoothed, the highest too, by a bare convolution, and
batch norm comes last, where no level builds on another any more. Reference: official/vision/modeling/decoders/fpn.py.
"""

from collections.abc import Iterable

import tensorflow as tf

from visionport.checkpoint.layers import OPS, UPSAMPLING, Layers
from visionport.config.decoders import Fpn
from visionport.errors import UnsupportedError, nearest
from visionport.ops import nn

FUSIONS = ("sum", "concat")


def fpn(s, maps: dict, config: Fpn) -> dict:
    """The pyramid by level: [b, h / 2^level, w / 2^level, num_filters].

    s: the decoder's scope; maps: the backbone's by level, as text.
    """
    levels, coarse = levels_of(config, maps)
    activation = nn.ACTIVATIONS[nn.norm_activation(config).activation]
    lateral = {n: conv(s / f"lateral_{n}", maps[str(n)], config, kernel=1) for n in levels}
    merged = {levels[-1]: lateral[levels[-1]]}
    for n in reversed(levels[:-1]):
        above = nn.upsample2(merged[n + 1])
        check_sizes(nn.spatial(above), nn.spatial(lateral[n]), n)
        merged[n] = above + lateral[n] if config.fusion_type == "sum" else tf.concat([above, lateral[n]], -1)
    out = {n: conv(s / f"post_hoc_{n}", x, config) for n, x in sorted(merged.items())}
    for n in coarse:
        below = out[n - 1] if n == coarse[0] else activation(out[n - 1])
        out[n] = conv(s / f"coarser_{n}", below, config, stride=2)
    return {str(n): nn.batch_norm(s / f"norm_{n}", x, config.norm_epsilon) for n, x in out.items()}


def conv(s, x, config: Fpn, *, kernel=3, stride=1):
    by = nn.separable if config.use_separable_conv else nn.conv
    return nn.bias(s, by(s, x, kernel=kernel, stride=stride, out=config.num_filters))


def levels_of(config: Fpn, backbone: Iterable[str]) -> tuple[list[int], list[int]]:
    """The backbone's levels that are used, and those that are added above."""
    if config.fusion_type not in FUSIONS:
        raise UnsupportedError(
            f"decoder.fpn.fusion_type {config.fusion_type!r} is unknown{nearest(config.fusion_type, FUSIONS)}. "
            f"One of: {', '.join(FUSIONS)}."
        )
    low, high = config.min_level, config.max_level
    top = top_level("decoder.fpn", backbone, low, high)
    return list(range(low, top + 1)), list(range(top + 1, high + 1))


def top_level(decoder: str, backbone: Iterable[str], min_level: int, max_level: int) -> int:
    """The highest of the backbone's levels that a pyramid uses, all of them from `min_level` being there."""
    found = sorted(backbone)
    top = min(int(found[-1]), max_level) if found and all(n.isdigit() for n in found) else -1
    if top < min_level or not {str(n) for n in range(min_level, top + 1)} <= set(found):
        raise UnsupportedError(
            f"{decoder}: a pyramid of levels {min_level} to {max_level} cannot stand on a backbone whose outputs are "
            f"{', '.join(found) or 'none'}: it wants numbered levels without a gap. Change min_level, max_level or the "
            "backbone."
        )
    return top


def check_sizes(above, size, level: int) -> None:
    if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(above, size, strict=True)):
        raise UnsupportedError(
            f"a feature pyramid cannot join level {level + 1}, {above[0]}x{above[1]} when it is doubled, and level "
            f"{level}, {size[0]}x{size[1]}. Take an input size that is a multiple of {2 ** (level + 1)}, and a "
            "backbone whose levels halve (output_stride 32)."
        )


def names(config: Fpn, backbone: Iterable[str]) -> dict[str, str]:
    """Canonical scope -> path below the decoder; backbone: its levels."""
    levels, coarse = levels_of(config, backbone)
    layers = Layers()
    lateral = {n: layers.layer(f"lateral_{n}", f"input_{n}") for n in levels}
    merged = {levels[-1]: lateral[levels[-1]]}
    for n in reversed(levels[:-1]):
        above = layers.op(merged[n + 1], count=1 if config.use_keras_layer else UPSAMPLING)
        merged[n] = layers.op(above, lateral[n])
    out = {n: layers.layer(f"post_hoc_{n}", merged[n]) for n in levels}
    for n in coarse:
        below = out[n - 1] if n == coarse[0] else layers.op(out[n - 1], count=OPS.get(config.activation, 1))
        out[n] = layers.layer(f"coarser_{n}", below)
    ends = [layers.layer(f"norm_{n}", x) for n, x in sorted(out.items(), key=lambda item: str(item[0]))]
    return layers.numbered(ends)
