"""The heads of TF Official Vision's R-CNNs: what proposes regions, and what looks at each of them.

Reference: official/vision/modeling/heads/dense_prediction_heads.py (RPNHead), instance_heads.py.
"""

import tensorflow as tf

from visionport.config import Hyperparams
from visionport.config.mask_rcnn import DetectionHead, MaskHead, RpnHead
from visionport.ops import nn

SCORES, BOXES, MASKS = "scores", "boxes", "masks"


def rpn_head(s, maps: dict, head: RpnHead, hyper: Hyperparams, per_location: int):
    """How likely each anchor holds an object, and where: logits [b, h, w, a] and codes [b, h, w, 4 a], by level.

    Levels share the convolutions; each has batch norms of its own.
    """
    scores, boxes = {}, {}
    for level, x in maps.items():
        for i in range(head.num_convs):
            x = conv(s / f"conv_{i}", x, head, hyper, norm=s / f"norm_{level}_{i}")
        scores[level] = conv(s / SCORES, x, head, kernel=1, out=per_location)
        boxes[level] = conv(s / BOXES, x, head, kernel=1, out=4 * per_location)
    return scores, boxes


def detection_head(s, x, head: DetectionHead, hyper: Hyperparams, num_classes: int):
    """What a region holds, and where: logits [n, classes] and codes [n, 4] or [n, 4 classes].

    x: float32 [n, h, w, c], the regions' crops.
    """
    for i in range(head.num_convs):
        x = conv(s / f"conv_{i}", x, head, hyper)
    height, width = nn.spatial(x)
    x = tf.reshape(x, (-1, height * width * x.shape[-1]))
    for i in range(head.num_fcs):
        fc = s / f"fc_{i}"
        x = nn.complete(fc, nn.dense(fc, x, out=head.fc_dims)[:, None, None], hyper)[:, 0, 0]
    boxes = 1 if head.class_agnostic_bbox_pred else num_classes
    return nn.dense(s / SCORES, x, out=num_classes), nn.dense(s / BOXES, x, out=4 * boxes)


def mask_head(s, x, head: MaskHead, hyper: Hyperparams, num_classes: int):
    """Mask logits [n, factor h, factor w, classes or 1] of crops float32 [n, h, w, c]."""
    for i in range(head.num_convs):
        x = conv(s / f"conv_{i}", x, head, hyper)
    up = s / "upsampling"
    x = nn.conv_transpose(up, x, kernel=head.upsample_factor, stride=head.upsample_factor)
    x = nn.complete(up, x, hyper, use_bias=True)
    return conv(s / MASKS, x, head, kernel=1, out=1 if head.class_agnostic else num_classes)


def conv(s, x, head, hyper: Hyperparams = nn.BIASED, *, kernel=3, out=None, norm=None):
    """A biased convolution, separable where the head's are, and what completes it."""
    by = nn.separable if head.use_separable_conv else nn.conv
    return nn.layer(s, x, hyper, by, use_bias=True, norm=norm, kernel=kernel, out=out or head.num_filters)


def rpn_names(head: RpnHead, levels) -> dict[str, str]:
    """Canonical scope -> path below the head; levels: of its maps, in order."""
    out = {SCORES: "_classifier", BOXES: "_box_regressor"}
    for i in range(head.num_convs):
        out[f"conv_{i}"] = f"_convs/{i}"
        out |= {f"norm_{level}_{i}": f"_norms/{n}/{i}" for n, level in enumerate(levels)}
    return out


def detection_names(head: DetectionHead) -> dict[str, str]:
    """Canonical scope -> path below the head."""
    out = {SCORES: "_classifier", BOXES: "_box_regressor"} | conv_names(head)
    for i in range(head.num_fcs):
        out |= {f"fc_{i}": f"_fcs/{i}", f"fc_{i}/BatchNorm": f"_fc_norms/{i}"}
    return out


def mask_names(head: MaskHead) -> dict[str, str]:
    """Canonical scope -> path below the head."""
    up = {"upsampling": "_deconv", "upsampling/BatchNorm": "_deconv_bn"}
    return {MASKS: "_mask_regressor"} | up | conv_names(head)


def conv_names(head: DetectionHead | MaskHead) -> dict[str, str]:
    out = {f"conv_{i}": f"_convs/{i}" for i in range(head.num_convs)}
    return out | {f"{scope}/BatchNorm": f"_conv_norms/{i}" for i, scope in enumerate(list(out))}
