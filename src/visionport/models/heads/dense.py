"""The dense heads of RetinaNet: class logits, box encodings and attributes of every anchor (Lin et al. 2017).

Reference: official/vision/modeling/heads/dense_prediction_heads.py, RetinaNetHead.
"""

import dataclasses

import tensorflow as tf

from visionport.config.retinanet import AttributeHead, RetinaNet
from visionport.errors import UnsupportedError
from visionport.ops import nn

# Canonical scope -> name of the reference's attributes: _{}_convs, _{}_norms and the last layer.
TOWERS = {"classes": ("cls", "_classifier"), "boxes": ("box", "_box_regressor")}


def dense_heads(s, maps: dict, config: RetinaNet) -> dict:
    """logits [b, n, classes], box_encodings [b, n, 4], attributes {name: [b, n, size]}: float32, level by level.

    s: the head's scope; maps: float32 [b, h, w, c] by level as text.
    """
    check(config)
    per_location = config.anchors.per_location
    logits, codes, attributes = [], [], {a.name: [] for a in config.head.attribute_heads}
    for level in levels(config):
        x = maps[level]
        seen = tower(s / "classes", x, level, config)
        logits.append(rows(last(s / "classes", seen, level, config, per_location * config.num_classes), per_location))
        boxes = tower(s / "boxes", x, level, config)
        codes.append(rows(last(s / "boxes", boxes, level, config, per_location * 4), per_location))
        for attribute in config.head.attribute_heads:
            y = seen if takes_classes(attribute, config) else attribute_tower(s, x, level, attribute, config)
            y = predict(s / "attributes" / attribute.name / "last", y, config, per_location * attribute.size)
            attributes[attribute.name].append(rows(y, per_location))
    return {
        "logits": tf.concat(logits, 1),
        "box_encodings": tf.concat(codes, 1),
        "attributes": {name: tf.concat(parts, 1) for name, parts in attributes.items()},
    }


def tower(s, x, level: str, config: RetinaNet):
    """The convolutions before the last one; batch norms are each level's own."""
    convs = s if config.head.share_level_convs else s / level
    return convolve(convs, s / level, x, config, config.head.num_convs, config.head.num_filters)


def convolve(convs, norms, x, config: RetinaNet, num_convs: int, num_filters: int):
    hyper = dataclasses.replace(nn.norm_activation(config), use_bias=True)
    by = nn.separable if config.head.use_separable_conv else nn.conv
    for i in range(num_convs):
        norm = norms / f"norm_{i}"
        x = nn.layer(convs / f"conv_{i}", x, hyper, by, norm=norm, apart=True, kernel=3, out=num_filters)
    return x


def last(s, x, level: str, config: RetinaNet, out: int):
    return predict((s if config.head.share_level_convs else s / level) / "last", x, config, out)


def predict(s, x, config: RetinaNet, out: int):
    by = nn.separable if config.head.use_separable_conv else nn.conv
    return nn.bias(s, by(s, x, kernel=3, out=out))


def rows(x, per_location: int):
    """[b, h, w, per_location * k] -> [b, h * w * per_location, k]."""
    _, height, width, depth = x.shape
    return tf.reshape(x, (-1, height * width * per_location, depth // per_location))


def attribute_tower(s, x, level: str, attribute: AttributeHead, config: RetinaNet):
    first = tower_of(attribute, config)
    scope = s / "attributes" / first.name
    return convolve(scope, scope / level, x, config, *tower_size(first, config))


def tower_of(attribute: AttributeHead, config: RetinaNet) -> AttributeHead:
    """Whose tower an attribute is predicted from: its own, or the first one's of that name."""
    name = attribute.prediction_tower_name
    same = (a for a in config.head.attribute_heads if name and a.prediction_tower_name == name)
    return next((a for a in same if not takes_classes(a, config)), attribute)


def tower_size(attribute: AttributeHead, config: RetinaNet) -> tuple[int, int]:
    return attribute.num_convs or config.head.num_convs, attribute.num_filters or config.head.num_filters


def takes_classes(attribute: AttributeHead, config: RetinaNet) -> bool:
    """Is it predicted from the tower of the class logits?"""
    return config.head.share_classification_heads and attribute.type == "classification"


def levels(config: RetinaNet) -> list[str]:
    return [str(n) for n in range(config.anchors.min_level, config.anchors.max_level + 1)]


def check(config: RetinaNet) -> None:
    """Raises UnsupportedError for attribute heads that the reference refuses."""
    head = config.head
    for attribute in head.attribute_heads:
        if head.share_classification_heads and attribute.prediction_tower_name:
            raise UnsupportedError(
                "task.model.head: share_classification_heads and the prediction_tower_name of an attribute head "
                f"({attribute.name}) exclude each other. Leave out one of them."
            )


def names(config: RetinaNet) -> dict[str, str]:
    """Canonical scope -> path below the head."""
    head, out = config.head, {}
    for scope, (short, end) in TOWERS.items():
        for k, level in enumerate(levels(config)):
            apart = not head.share_level_convs
            convs, below = (f"{scope}/{level}", f"/{k}") if apart else (scope, "")
            out[f"{convs}/last"] = f"{end}{below}"
            for i in range(head.num_convs):
                out[f"{convs}/conv_{i}"] = f"_{short}_convs{below}/{i}"
                out[f"{scope}/{level}/norm_{i}"] = f"_{short}_norms/{k}/{i}"
    for attribute in head.attribute_heads:
        name, scope = attribute.name, f"attributes/{attribute.name}"
        out[f"{scope}/last"] = f"_att_predictors/{name}"
        for i in range(tower_size(attribute, config)[0]):
            out[f"{scope}/conv_{i}"] = f"_att_convs/{name}/{i}"
            out |= {f"{scope}/{level}/norm_{i}": f"_att_norms/{name}/{k}/{i}" for k, level in enumerate(levels(config))}
    return out
