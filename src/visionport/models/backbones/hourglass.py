"""Stacked hourglasses (Newell et al. 2016) as CornerNet and CenterNet build them (Law and Deng 2018).

Reference: models/keras_models/hourglass_network.py. There are no TF1 names: scopes are the object graph's own.
"""

import tensorflow as tf

from visionport.ops import nn

EPSILON = 1e-5

# type: (hourglasses, residual blocks a level, the last ones between encoder and decoder)
ARCHITECTURES = {
    "hourglass_10": (1, (1, 1)),
    "hourglass_20": (1, (1, 2, 2)),
    "hourglass_32": (1, (2, 2, 2, 2)),
    "hourglass_52": (1, (2, 2, 2, 2, 2, 4)),
    "hourglass_104": (2, (2, 2, 2, 2, 2, 4)),
}


def forward(s, x, kind: str):
    """A map of stride 4 a hourglass; float32 [b, h, w, 3] -> list of [b, h / 4, w / 4, c]."""
    count, blocks = ARCHITECTURES[kind]
    x = conv_bn(s / "downsample_input" / "conv_block", x, kernel=7, stride=2)
    x = residual(s / "downsample_input" / "residual_block", x, stride=2)
    maps = []
    for i in range(count):
        y = hourglass(s / "hourglass_network" / str(i), x, blocks)
        maps.append(conv_bn(s / "output_conv" / str(i), y, kernel=3))
        if i + 1 < count:
            y = conv_bn(s / "intermediate_conv2" / str(i), maps[-1], kernel=1, relu=False)
            x = tf.nn.relu(conv_bn(s / "intermediate_conv1" / str(i), x, kernel=1, relu=False) + y)
            x = residual(s / "intermediate_residual" / str(i), x)
    return maps


def small(s, x, blocks, *, shrinks=True, shortcut=True):
    """One hourglass for small maps, which starts without a stride: float32 [b, h, w, c] -> [b, h, w, c']."""
    x = conv_bn(s / "conv_input" / "conv_block", x, kernel=3)
    x = residual(s / "conv_input" / "residual_block", x)
    x = hourglass(s / "hourglass_network" / "0", x, blocks, shrinks=shrinks, shortcut=shortcut)
    return conv_bn(s / "output_conv" / "0", x, kernel=3)


def hourglass(s, x, blocks, *, shrinks=True, shortcut=True):
    """Down by 2, the smaller hourglass inside, up by 2, added to what went straight on.

    shrinks: False leaves out both steps of 2; shortcut: False leaves out what goes straight on.
    """
    straight = residuals(s / "encoder_block1", x, blocks[0]) if shortcut else None
    low = residuals(s / "encoder_block2", x, blocks[0], stride=2 if shrinks else 1)
    if len(blocks) > 2:
        low = hourglass(s / "inner_block" / "0", low, blocks[1:], shrinks=shrinks, shortcut=shortcut)
    else:
        low = residuals(s / "inner_block", low, blocks[1])
    low = residuals(s / "decoder_block", low, blocks[0])
    low = nn.upsample2(low) if shrinks else low
    return low if straight is None else straight + low


def residuals(s, x, count, stride=1):
    for i in range(count):
        x = residual(s / str(i), x, stride if i == 0 else 1)
    return x


def residual(s, x, stride=1):
    y = conv_bn(s / "conv_block", x, kernel=3, stride=stride)
    y = conv_bn(s, y, kernel=3, relu=False)
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        x = conv_bn(s / "skip", x, kernel=1, stride=stride, relu=False)
    return tf.nn.relu(x + y)


def conv_bn(s, x, *, kernel, stride=1, relu=True):
    x = nn.conv(s / "conv", x, kernel=kernel, stride=stride, explicit_padding=True)
    x = nn.batch_norm(s / "norm", x, EPSILON)
    return tf.nn.relu(x) if relu else x


def multiple(kind: str) -> int:
    """Height and width must be multiples of this, or the maps that are added differ in size."""
    _, blocks = ARCHITECTURES[kind]
    return 4 * 2 ** (len(blocks) - 1)


def names(scope: str, path: str) -> dict[str, str]:
    """Canonical scope -> object path: the same below `scope` and `path`."""
    return {f"{scope}/**": path}
