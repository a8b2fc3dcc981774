"""The heads of semantic segmenters: class logits a pixel, and how good each class's mask is.

Reference: official/vision/modeling/heads/segmentation_heads.py.
"""

import tensorflow as tf

from visionport.config.segmentation import MaskScoringHead, SegmentationHead, Segmenter
from visionport.errors import UnsupportedError, nearest
from visionport.ops import image, nn


def segmentation_head(s, backbone: dict, decoded, config: Segmenter):
    """Class logits, float32 [b, h, w, classes], of the size of the map that they are made from.

    s: the head's scope; backbone: its maps by level or endpoint; decoded: the decoder's, or one map.
    """
    head, hyper = config.head, nn.norm_activation(config)
    x = FUSIONS[check(head)](s, backbone, decoded, config)
    for i in range(head.num_convs):
        if head.use_depthwise_convolution:
            x = nn.layer(s / f"depthwise_{i}", x, hyper, nn.depthwise, kernel=3)
            x = nn.layer(s / f"conv_{i}", x, hyper, kernel=1, out=head.num_filters)
        else:
            x = nn.layer(s / f"conv_{i}", x, hyper, kernel=3, out=head.num_filters)
    if head.upsample_factor > 1:
        x = nn.upsample(x, head.upsample_factor)
    last = s / "logits"
    x = nn.bias(last, nn.conv(last, x, kernel=head.prediction_kernel_size, out=config.num_classes))
    return LOGIT_ACTIVATIONS[head.logit_activation](x)


# Feature fusions: what the head's convolutions take


def chosen(s, backbone, decoded, config: Segmenter):
    """The decoder's map of the head's level."""
    return map_of(decoded, config.head.level, "head.level", "decoder") if isinstance(decoded, dict) else decoded


def deeplab_v3_plus(s, backbone, decoded, config: Segmenter, *, summed=False):
    """That map at the size of an earlier one of the backbone, and this one beside it (DeepLabv3+, Chen et al. 2018)."""
    x = chosen(s, backbone, decoded, config)
    low = map_of(backbone, config.head.low_level, "head.low_level", "backbone")
    if summed and x.shape[-1] != config.head.low_level_num_filters:
        raise UnsupportedError(
            f"head.feature_fusion: maps of {x.shape[-1]} and {config.head.low_level_num_filters} channels cannot be "
            f"summed. Set head.low_level_num_filters: {x.shape[-1]}."
        )
    y = nn.layer(s / "low_level", low, nn.norm_activation(config), kernel=1, out=config.head.low_level_num_filters)
    x = image.resize(x, nn.spatial(y), half_pixel_centers=True)
    return x + y if summed else tf.concat([x, y], -1)


def deeplab_v3_plus_sum(s, backbone, decoded, config: Segmenter):
    return deeplab_v3_plus(s, backbone, decoded, config, summed=True)


def pyramid(s, backbone, decoded, config: Segmenter):
    """The sum of all the decoder's maps at the size of the largest."""
    names = sorted(decoded) if isinstance(decoded, dict) else []
    levels = sorted(int(n) for n in names if n.isdigit())
    if not levels or len(levels) < len(names) or str(levels[0]) != str(config.head.level):
        raise UnsupportedError(
            f"head.feature_fusion: pyramid_fusion at level {config.head.level} of the maps "
            f"{', '.join(names) or 'none'}. The reference fuses numbered maps at the lowest of them alone: set "
            "head.level to that, and output_tensor: false."
        )
    first, *others = (decoded[str(n)] for n in levels)
    size = nn.spatial(first)
    for n, x in zip(levels[1:], others, strict=True):
        enlarged = [d * 2 ** (n - levels[0]) for d in nn.spatial(x)]
        if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(enlarged, size, strict=True)):
            raise UnsupportedError(
                "head.feature_fusion: pyramid_fusion needs an input whose height and width are multiples of "
                f"{2 ** levels[-1]}, so that all maps are of one size when they are enlarged."
            )
    return nn.add([first, *(image.resize(x, size, half_pixel_centers=True) for x in others)])


def map_of(maps: dict, level, field: str, kind: str):
    if str(level) not in maps:
        raise UnsupportedError(
            f"{field} {level}: the {kind}'s outputs are {', '.join(sorted(maps))}{nearest(str(level), maps)}. Take one "
            "of them."
        )
    return maps[str(level)]


# Mask scoring


def mask_scores(s, logits, config: Segmenter):
    """An estimate of each class's intersection over union, float32 [b, classes] (Huang et al. 2019)."""
    head, hyper = config.mask_scoring_head, nn.norm_activation(config)
    assert head
    x = logits
    for i in range(head.num_convs):
        conv = s / f"conv_{i}"
        if head.use_depthwise_convolution:
            x = nn.layer(s / f"depthwise_{i}", x, hyper, nn.depthwise, kernel=3)
        kernel = 1 if head.use_depthwise_convolution else 3
        x = nn.layer(conv, x, hyper, kernel=kernel, out=head.num_filters, use_bias=True)
    x = image.resize(x, head.fc_input_size, half_pixel_centers=True)
    x = tf.reshape(x, (-1, head.fc_input_size[0] * head.fc_input_size[1] * x.shape[-1]))
    for i in range(head.num_fcs):
        fc = s / f"fc_{i}"
        x = nn.batch_norm(fc / "BatchNorm", nn.dense(fc, x, out=head.fc_dims)[:, None, None], config.norm_epsilon)
        x = nn.ACTIVATIONS[config.activation](x)[:, 0, 0]
    return nn.dense(s / "scores", x, out=config.num_classes)


def check(head: SegmentationHead) -> str | None:
    """The head's feature fusion; raises UnsupportedError for what it does not know."""
    if head.feature_fusion == "panoptic_fpn_fusion":
        raise UnsupportedError(
            "head.feature_fusion: panoptic_fpn_fusion cannot be built from a config: the reference does not hand on "
            f"its decoder_min_level and decoder_max_level, and fails. Choose one of {fusions()}."
        )
    if head.feature_fusion not in FUSIONS:
        near = nearest(str(head.feature_fusion), [f for f in FUSIONS if f])
        raise UnsupportedError(f"head.feature_fusion: {head.feature_fusion!r} is unknown{near}. One of: {fusions()}.")
    if head.logit_activation not in LOGIT_ACTIVATIONS:
        known = ", ".join(f or "null" for f in LOGIT_ACTIVATIONS)
        raise UnsupportedError(f"head.logit_activation: {head.logit_activation!r} is not supported. One of: {known}.")
    return head.feature_fusion


def fusions() -> str:
    return ", ".join(name or "null" for name in FUSIONS)


FUSIONS = {
    None: chosen,
    "deeplabv3plus": deeplab_v3_plus,
    "deeplabv3plus_sum_to_merge": deeplab_v3_plus_sum,
    "pyramid_fusion": pyramid,
}
LOGIT_ACTIVATIONS = {
    None: tf.identity,
    "linear": tf.identity,
    "sigmoid": tf.sigmoid,
    "softmax": tf.nn.softmax,
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
}


# Names


def head_names(head: SegmentationHead) -> dict[str, str]:
    """Canonical scope -> path below the head."""
    out = {"logits": "_classifier"}
    if check(head) in ("deeplabv3plus", "deeplabv3plus_sum_to_merge"):
        out |= {"low_level": "_dlv3p_conv", "low_level/BatchNorm": "_dlv3p_norm"}
    return out | conv_names(head, "_norms")


def mask_scoring_names(head: MaskScoringHead) -> dict[str, str]:
    """Canonical scope -> path below the mask scoring head."""
    out = {"scores": "_classifier"} | conv_names(head, "_conv_norms")
    for i in range(head.num_fcs):
        out |= {f"fc_{i}": f"_fcs/{i}", f"fc_{i}/BatchNorm": f"_fc_norms/{i}"}
    return out


def conv_names(head: SegmentationHead | MaskScoringHead, norms: str) -> dict[str, str]:
    parts = ("depthwise", "conv")[not head.use_depthwise_convolution :]
    scopes = [f"{part}_{i}" for i in range(head.num_convs) for part in parts]
    out = {scope: f"_convs/{i}" for i, scope in enumerate(scopes)}
    return out | {f"{scope}/BatchNorm": f"{norms}/{i}" for i, scope in enumerate(scopes)}
