"""What stands between a backbone and the box predictors: SSD's extra maps and the feature pyramid."""

from typing import Any

from visionport.config import Hyperparams, SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.ops import nn


def multi_resolution(s, points, layout, hyper: Hyperparams, extractor: SsdFeatureExtractor):
    """SSD's feature maps (Liu et al. 2016): some from the backbone, each further one 1x1 then 3x3 stride 2.

    layout: (endpoint or "", depth) a map, and the kernel where it is not 3; s: the backbone's scope.
    Reference: models/feature_map_generators.py.
    """
    maps = []
    for i, (endpoint, *_) in enumerate(layout):
        if endpoint:
            maps.append(points[endpoint])
            continue
        first, second = extra_scopes(layout, i, extractor)
        x = nn.layer(s / first, maps[-1], hyper, kernel=1)
        how: dict[str, Any] = {
            "kernel": kernel_of(layout[i]),
            "stride": 2,
            "explicit_padding": extractor.use_explicit_padding,
        }
        if extractor.use_depthwise:
            x = nn.layer(s / f"{second}_depthwise", x, hyper, nn.depthwise, **how)
            how = {"kernel": 1}
        maps.append(nn.layer(s / second, x, hyper, **how))
    return maps


def fpn(s, points, levels: dict, first_coarse, extractor: SsdFeatureExtractor, coarse_name="bottom_up_Conv2d_"):
    """The whole pyramid over a backbone, finest level first, from fpn_min_level to fpn_max_level.

    levels: endpoint a level of the backbone; levels above are added, the first as {coarse_name}{first_coarse}.
    """
    used, coarse = fpn_levels(levels, extractor)
    maps = fpn_top_down(s, [points[levels[n]] for n in used], extractor.hyperparams, extractor)
    # The last level has been projected, so the coarse ones go on from the pyramid's top.
    return maps + fpn_coarse(s, maps[-1], coarse, first_coarse, extractor.hyperparams, extractor, coarse_name)


def fpn_levels(levels: dict, extractor: SsdFeatureExtractor):
    """The backbone's levels that are used, and how many are added above."""
    if extractor.fpn_min_level not in levels:
        raise UnsupportedError(
            f"feature_extractor.fpn: a pyramid that begins at level {extractor.fpn_min_level}. {extractor.type} has "
            f"levels {min(levels)} to {max(levels)} to begin at."
        )
    top = min(extractor.fpn_max_level, max(levels))
    return range(extractor.fpn_min_level, top + 1), extractor.fpn_max_level - top


def fpn_top_down(s, levels, hyper: Hyperparams, extractor: SsdFeatureExtractor):
    """Feature pyramid (Lin et al. 2017): projected, the upper level added upsampled, smoothed. Finest level first.

    levels: the backbone's maps, finest first; s: the scope of projection_N and smoothing_N. The paper adds the upper
    level as it is before smoothing, and so does TF1's reference; TF2's adds it smoothed.
    """
    ranges = s / "top_down"  # of fake quantisation: a scope of operations alone

    def project(i):
        name = f"projection_{i + 1}"
        return nn.layer(s / name, levels[i], nn.BIASED, ranges=ranges / name, kernel=1)

    top = project(len(levels) - 1)
    maps, above = [top], top
    for i in reversed(range(len(levels) - 1)):
        lateral = project(i)
        upper = nn.upsample2(above)
        if extractor.use_explicit_padding:
            upper = upper[:, : lateral.shape[1], : lateral.shape[2]]
        add = f"add_{len(maps) - 1}" if len(maps) > 1 else "add"
        total = nn.total(ranges / add, upper, lateral)
        name = f"smoothing_{i + 1}"
        maps.insert(0, smooth(s / name, total, hyper, extractor, ranges=ranges / name))
        above = maps[0] if extractor.fpn_pass_smoothed else total
    return maps


def fpn_coarse(s, last, count, first_index, hyper, extractor, name="bottom_up_Conv2d_"):
    """`count` levels above a pyramid, each a 3x3 convolution of stride 2; s / bottom_up_Conv2d_N."""
    maps = []
    for i in range(count):
        last = smooth(s / f"{name}{first_index + i}", last, hyper, extractor, stride=2)
        maps.append(last)
    return maps


def smooth(s, x, hyper, extractor, stride=1, ranges=None):
    by = nn.separable if extractor.use_depthwise else nn.conv
    how = {"kernel": 3, "stride": stride, "explicit_padding": extractor.use_explicit_padding}
    return nn.layer(s, x, hyper, by, ranges=ranges, **how)


def extra_scopes(layout, i, extractor):
    """The two scopes of extra map i, as slim names them: by its depths and the last endpoint used."""
    endpoint = next(e for e, *_ in reversed(layout[:i]) if e)
    half, full = (depth(extractor, d) for d in (layout[i][1] // 2, layout[i][1]))
    k = kernel_of(layout[i])
    return f"{endpoint}_1_Conv2d_{i}_1x1_{half}", f"{endpoint}_2_Conv2d_{i}_{k}x{k}_s2_{full}"


def kernel_of(entry):
    return entry[2] if len(entry) > 2 else 3


def depth(extractor: SsdFeatureExtractor, channels: int) -> int:
    return max(int(channels * extractor.depth_multiplier), extractor.min_depth)


def multi_resolution_names(scope, path, layout, hyper, extractor) -> dict[str, str]:
    """Canonical scope -> object path; Keras numbers all layers of a block, padding and activations too."""
    out = {}
    for i, (endpoint, *_) in enumerate(layout):
        if endpoint:
            continue
        first, second = (f"{scope}/{n}" for n in extra_scopes(layout, i, extractor))
        stack = [first, f"{first}/BatchNorm", ""]
        stack += [""] * extractor.use_explicit_padding
        if extractor.use_depthwise:
            stack += [f"{second}_depthwise", f"{second}_depthwise/BatchNorm", ""]
        stack += [second, f"{second}/BatchNorm", ""]
        out |= {name: f"{path}/convolutions/{i}/{k}" for k, name in enumerate(stack) if name}
    return out


def mobilenet_fpn_names(
    scope, path, levels: dict, first_coarse, extractor, coarse_name="bottom_up_Conv2d_"
) -> dict[str, str]:
    """Of the whole pyramid (see `fpn`), for an extractor stored under `path`."""
    used, coarse = fpn_levels(levels, extractor)
    top_down = fpn_names(scope, f"{path}/_fpn_features_generator", len(used), extractor)
    at = f"{path}/_coarse_feature_layers"
    return top_down | coarse_names(scope, at, coarse, first_coarse, extractor, coarse_name)


def fpn_names(scope, path, levels, extractor) -> dict[str, str]:
    out = {f"{scope}/projection_{levels}": f"{path}/top_layers/0"}
    for k, i in enumerate(reversed(range(1, levels))):
        out[f"{scope}/projection_{i}"] = f"{path}/residual_blocks/{k}/0"
        out |= _block_names(f"{scope}/smoothing_{i}", f"{path}/conv_layers/{k}", extractor)
    return out


def coarse_names(scope, path, count, first_index, extractor, name="bottom_up_Conv2d_") -> dict[str, str]:
    out = {}
    for i in range(count):
        out |= _block_names(f"{scope}/{name}{first_index + i}", f"{path}/{i}", extractor)
    return out


def _block_names(scope, path, extractor):
    k = int(extractor.use_explicit_padding)
    return {scope: f"{path}/{k}", f"{scope}/BatchNorm": f"{path}/{k + 1}"}
