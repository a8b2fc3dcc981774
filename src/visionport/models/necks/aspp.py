"""Atrous spatial pyramid pooling (DeepLabv3, Chen et al. 2017), plain or of depthwise convolutions (DeepLabv3+).

Reference: official/vision/modeling/decoders/aspp.py, layers/deeplab.py (v1) and layers/nn_layers.py (v2).
"""

import tensorflow as tf

from visionport.config.decoders import Aspp
from visionport.errors import UnsupportedError, nearest
from visionport.ops import image, nn

VERSIONS = ("v1", "v2")


def aspp(s, maps: dict, config: Aspp):
    """{level: [b, h, w, num_filters]} of the backbone's map of that level, or that map alone.

    s: the decoder's scope; maps: the backbone's by level, as text.
    """
    check(config)
    level = str(config.level)
    if level not in maps:
        raise UnsupportedError(
            f"decoder.aspp.level {level}: the backbone's outputs are {', '.join(sorted(maps))}. Take one of them."
        )
    hyper = nn.norm_activation(config)
    x, out = maps[level], config.num_filters
    branches = [nn.layer(s / "conv", x, hyper, kernel=1, out=out)]
    for i, rate in enumerate(config.dilation_rates):
        branch = s / f"dilated_{i}"
        if config.use_depthwise_convolution:
            y = nn.depthwise(branch / "depthwise", x, kernel=3, rate=rate)
            branches.append(nn.layer(branch, y, hyper, kernel=1, out=out))
        else:
            branches.append(nn.layer(branch, x, hyper, kernel=3, rate=rate, out=out))
    pooled = nn.layer(s / "pool", pool(x, config), hyper, kernel=1, out=out)
    branches.append(image.resize(pooled, nn.spatial(x), half_pixel_centers=True))
    y = nn.layer(s / "projection", tf.concat(branches, -1), hyper, kernel=1, out=out)
    return y if config.output_tensor else {level: y}


def pool(x, config: Aspp):
    """The mean of the whole map, [b, 1, 1, c], or of each window of the kernel's size, without overlap."""
    size = pool_size(config)
    return tf.nn.avg_pool2d(x, size, size, "VALID") if size else nn.spatial_mean(x)


def pool_size(config: Aspp) -> list[int]:
    return [pixels // 2**config.level for pixels in config.pool_kernel_size or ()]


def check(config: Aspp) -> None:
    if config.spp_layer_version not in VERSIONS:
        known = nearest(config.spp_layer_version, VERSIONS)
        raise UnsupportedError(
            f"decoder.aspp.spp_layer_version {config.spp_layer_version!r} is unknown{known}. One of: v1, v2."
        )
    if 0 in pool_size(config):
        raise UnsupportedError(
            f"decoder.aspp.pool_kernel_size {config.pool_kernel_size}: it is in pixels of the input, of which level "
            f"{config.level} has one in {2**config.level}. Give at least {2**config.level}, or null for the whole map."
        )


def names(config: Aspp) -> dict[str, str]:
    """Canonical scope -> path below the decoder."""
    check(config)
    parts = {"v1": "layer_with_weights-{}", "v2": "{}"}[config.spp_layer_version]

    def conv_bn(scope, path, first=0):
        return {scope: f"{path}/{parts.format(first)}", f"{scope}/BatchNorm": f"{path}/{parts.format(first + 1)}"}

    out = conv_bn("conv", "aspp/aspp_layers/0")
    for i in range(len(config.dilation_rates)):
        path, deep = f"aspp/aspp_layers/{i + 1}", config.use_depthwise_convolution
        if deep:
            out[f"dilated_{i}/depthwise"] = f"{path}/{parts.format(0)}"
        out |= conv_bn(f"dilated_{i}", path, int(deep))
    path = f"aspp/aspp_layers/{len(config.dilation_rates) + 1}"
    if config.spp_layer_version == "v1":
        out |= conv_bn("pool", f"{path}/layer_with_weights-0") | conv_bn("projection", "aspp/projection")
    else:  # the pooling's own layers come first: one, or the mean and a reshape
        out |= conv_bn("pool", path, 1 if pool_size(config) else 2) | conv_bn("projection", "aspp/_projection")
    return out
