"""ResNet and ResNet-RS of video clips: units of a temporal and a spatial convolution, some with gates.

Du et al. 2021 (ResNet-3D-RS); self-gating: Xie et al. 2018 (S3D-G).
Reference: official/vision/modeling/backbones/resnet_3d.py.
"""

import tensorflow as tf

from visionport.config.backbones.resnet_3d import ResNet3D as Config
from visionport.config.backbones.resnet_3d import ResNet3DBlock
from visionport.errors import UnsupportedError
from visionport.models.backbones.resnet import BOTTLENECK, WIDTHS, conv_scopes, hyperparams, of_id
from visionport.models.backbones.resnet_v1 import conv_bn, gates
from visionport.ops import nn

# model id: units of the four stages
UNITS = {k: BOTTLENECK[k] for k in (50, 101, 152, 200, 270)} | {300: (4, 36, 54, 4), 350: (4, 36, 72, 4)}


def resnet_3d(s, x, config: Config):
    """Feature maps "2" to "5", of strides 4 to 32 in space. x: float32 [b, frames, h, w, 3] in [0, 1]."""
    x = stem(s, x, config)
    points = {}
    for i, (block, kernels) in enumerate(stages(config)):
        for k, kernel in enumerate(kernels):
            strides = (1, 1) if k else (block.temporal_strides, 2 if i else 1)
            gated = block.use_self_gating and k == len(kernels) - 1
            x = unit(s / f"block{i + 1}" / f"unit_{k + 1}", x, config, WIDTHS[i], kernel, strides, gated)
        points[str(i + 2)] = x
    return points


def stem(s, x, config: Config):
    hyper, stride = hyperparams(config), config.stem_conv_temporal_stride
    widths = {"v0": (64,), "v1": (32, 32, 64)}
    convs = conv_scopes(config.stem_type)
    size = 7 if len(convs) == 1 else 3
    for i, (name, width) in enumerate(zip(convs, widths[config.stem_type], strict=True)):
        how = {"kernel": (1, size, size), "stride": (1, 1, 1)}
        if i == 0:
            how = {"kernel": (config.stem_conv_temporal_kernel_size, size, size), "stride": (stride, 2, 2)}
        x = conv_bn(s / name, x, hyper, by=nn.conv3d, out=width, **how)
    stride = config.stem_pool_temporal_stride
    return nn.max_pool3d(x, (1 if stride == 1 else 3, 3, 3), (stride, 2, 2))


def unit(s, x, config: Config, width: int, kernel: int, strides: tuple[int, int], gated: bool):
    """kernel x 1 x 1, 1 x 3 x 3, 1 x 1 x 1 and the shortcut; strides: in time, in space."""
    hyper, (time, space) = hyperparams(config), strides
    y = conv_bn(s / "conv1", x, hyper, by=nn.conv3d, kernel=(kernel, 1, 1), stride=(time, 1, 1), out=width)
    y = conv_bn(s / "conv2", y, hyper, by=nn.conv3d, kernel=(1, 3, 3), stride=(1, space, space), out=width)
    y = linear(s / "conv3", y, hyper, 4 * width)
    if gated:
        gate = nn.conv3d(s / "gate", tf.reduce_mean(y, [1, 2, 3], keepdims=True), kernel=(1, 1, 1), out=4 * width)
        y = y * tf.sigmoid(nn.bias(s / "gate", gate))
    if 0 < config.se_ratio <= 1:
        mean = tf.reduce_mean(y, [1, 2, 3])
        y = y * gates(s, mean[:, None, None], config.se_ratio)[:, None]
    if x.shape[-1] != 4 * width:
        x = linear(s / "shortcut", x, hyper, 4 * width, (time, space, space))
    elif strides != (1, 1):
        x = x[:, ::time, ::space, ::space]
    return nn.ACTIVATIONS[hyper.activation](x + y)


def linear(s, x, hyper, out, stride=(1, 1, 1)):
    """A convolution of one point, without activation."""
    x = nn.conv3d(s, x, kernel=(1, 1, 1), stride=stride, out=out)
    return nn.batch_norm(s / "BatchNorm", x, hyper.batch_norm.epsilon)


def stages(config: Config) -> list[tuple[ResNet3DBlock, tuple[int, ...]]]:
    """Each stage and the temporal kernel sizes of its units."""
    counts = of_id(config.model_id, UNITS)
    if len(config.block_specs) != len(counts):
        raise UnsupportedError(f"block_specs: there should be {len(counts)}, not {len(config.block_specs)}.")
    found = []
    for i, (block, count) in enumerate(zip(config.block_specs, counts, strict=True)):
        kernels = block.temporal_kernel_sizes * (count if config.repeat_kernel_sizes else 1)
        if len(kernels) != count:
            wanted = "one" if config.repeat_kernel_sizes else f"{count}, one a unit"
            raise UnsupportedError(
                f"block_specs: temporal_kernel_sizes of stage {i + 1} of ResNet-3D-{config.model_id} are "
                f"{list(block.temporal_kernel_sizes)}, and should be {wanted}."
            )
        found.append((block, kernels))
    return found


def names(config: Config) -> dict[str, str]:
    """Canonical scope -> object path below the backbone. Each unit is one Keras layer, with parts by name."""
    scopes = [scope for conv in conv_scopes(config.stem_type) for scope in (conv, f"{conv}/BatchNorm")]
    out = {scope: f"layer_with_weights-{i}" for i, scope in enumerate(scopes)}
    convs = {"conv1": "_temporal_conv", "conv2": "_spatial_conv", "conv3": "_expand_conv", "shortcut": "_shortcut_conv"}
    norms = {"conv1": "_norm1", "conv2": "_norm2", "conv3": "_norm3", "shortcut": "_norm0"}
    index = len(scopes)
    for i, (block, kernels) in enumerate(stages(config)):
        for k in range(len(kernels)):
            s, path = f"block{i + 1}/unit_{k + 1}", f"layer_with_weights-{index}"
            parts = list(convs) if k == 0 else ["conv1", "conv2", "conv3"]
            out |= {f"{s}/{part}": f"{path}/{convs[part]}" for part in parts}
            out |= {f"{s}/{part}/BatchNorm": f"{path}/{norms[part]}" for part in parts}
            if block.use_self_gating and k == len(kernels) - 1:
                out[f"{s}/gate"] = f"{path}/_self_gating/_transformer_w"
            if 0 < config.se_ratio <= 1:
                out |= {f"{s}/{part}": f"{path}/_squeeze_excitation/_{part}" for part in ("se_reduce", "se_expand")}
            index += 1
    return out
