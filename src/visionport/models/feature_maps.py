"""What stands between a backbone and the box predictors: SSD's extra maps and the feature pyramid."""

from visionport.config import Hyperparams, SsdFeatureExtractor
from visionport.ops import nn


def multi_resolution(s, points, layout, hyper: Hyperparams, extractor: SsdFeatureExtractor):
    """SSD's feature maps (Liu et al. 2016): some from the backbone, each further one 1x1 then 3x3 stride 2.

    layout: (endpoint or "", depth) a map; s: the backbone's scope. Reference: models/feature_map_generators.py.
    """
    maps = []
    for i, (endpoint, _) in enumerate(layout):
        if endpoint:
            maps.append(points[endpoint])
            continue
        first, second = extra_scopes(layout, i, extractor)
        x = nn.complete(s / first, nn.conv(s / first, maps[-1], kernel=1), hyper)
        how = {"kernel": 3, "stride": 2, "explicit_padding": extractor.use_explicit_padding}
        if extractor.use_depthwise:
            deep = s / f"{second}_depthwise"
            x = nn.complete(deep, nn.depthwise(deep, x, **how), hyper)
            x = nn.conv(s / second, x, kernel=1)
        else:
            x = nn.conv(s / second, x, **how)
        maps.append(nn.complete(s / second, x, hyper))
    return maps


def fpn_top_down(s, levels, hyper: Hyperparams, extractor: SsdFeatureExtractor):
    """Feature pyramid (Lin et al. 2017): projected, the upper level added upsampled, smoothed. Finest level first.

    levels: the backbone's maps, finest first; s: the scope of projection_N and smoothing_N.
    """
    project = [s / f"projection_{i + 1}" for i in range(len(levels))]
    top = nn.bias(project[-1], nn.conv(project[-1], levels[-1], kernel=1))
    maps = [top]
    for i in reversed(range(len(levels) - 1)):
        lateral = nn.bias(project[i], nn.conv(project[i], levels[i], kernel=1))
        upper = nn.upsample2(maps[0])
        if extractor.use_explicit_padding:
            upper = upper[:, : lateral.shape[1], : lateral.shape[2]]
        maps.insert(0, smooth(s / f"smoothing_{i + 1}", upper + lateral, hyper, extractor))
    return maps


def fpn_coarse(s, last, count, first_index, hyper, extractor):
    """`count` levels above a pyramid, each a 3x3 convolution of stride 2; s / bottom_up_Conv2d_N."""
    maps = []
    for i in range(count):
        last = smooth(s / f"bottom_up_Conv2d_{first_index + i}", last, hyper, extractor, stride=2)
        maps.append(last)
    return maps


def smooth(s, x, hyper, extractor, stride=1):
    convolve = nn.separable if extractor.use_depthwise else nn.conv
    x = convolve(s, x, kernel=3, stride=stride, explicit_padding=extractor.use_explicit_padding)
    return nn.complete(s, x, hyper)


def extra_scopes(layout, i, extractor):
    """The two scopes of extra map i, as slim names them: by its depths and the last endpoint used."""
    endpoint = next(e for e, _ in reversed(layout[:i]) if e)
    half, full = (depth(extractor, d) for d in (layout[i][1] // 2, layout[i][1]))
    return f"{endpoint}_1_Conv2d_{i}_1x1_{half}", f"{endpoint}_2_Conv2d_{i}_3x3_s2_{full}"


def depth(extractor: SsdFeatureExtractor, channels: int) -> int:
    return max(int(channels * extractor.depth_multiplier), extractor.min_depth)


def multi_resolution_names(scope, path, layout, hyper, extractor) -> dict[str, str]:
    """Canonical scope -> object path; Keras numbers all layers of a block, padding and activations too."""
    out = {}
    for i, (endpoint, _) in enumerate(layout):
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


def fpn_names(scope, path, levels, extractor) -> dict[str, str]:
    out = {f"{scope}/projection_{levels}": f"{path}/top_layers/0"}
    for k, i in enumerate(reversed(range(1, levels))):
        out[f"{scope}/projection_{i}"] = f"{path}/residual_blocks/{k}/0"
        out |= _block_names(f"{scope}/smoothing_{i}", f"{path}/conv_layers/{k}", extractor)
    return out


def coarse_names(scope, path, count, first_index, extractor) -> dict[str, str]:
    out = {}
    for i in range(count):
        out |= _block_names(f"{scope}/bottom_up_Conv2d_{first_index + i}", f"{path}/{i}", extractor)
    return out


def _block_names(scope, path, extractor):
    k = int(extractor.use_explicit_padding)
    return {scope: f"{path}/{k}", f"{scope}/BatchNorm": f"{path}/{k + 1}"}
