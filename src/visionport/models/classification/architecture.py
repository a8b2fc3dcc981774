"""A classifier: a backbone, the mean of its last map, one dense layer.

Reference: official/vision/modeling/classification_model.py, official/vision/serving/image_classification.py.
"""

import tensorflow as tf

from visionport import config
from visionport.config.classification import Classifier
from visionport.models import backbones
from visionport.models.classification.preprocessing import preprocess  # noqa: F401 (of this meta-architecture)
from visionport.ops import nn


def normalization(model: Classifier) -> config.Normalization:
    return model.normalization


def predict(model: Classifier, s, images, true_shapes=None) -> dict:
    """The backbone's feature maps by endpoint, and logits float32 [b, classes].

    images: float32 [b, H, W, 3], preprocessed.
    """
    points = backbones.backbone(s / "backbone", images, model.backbone)
    logits = nn.dense(s / "head" / "logits", feature_vector(model, s, points), out=model.num_classes)
    return {"feature_maps": points, "logits": logits}


def feature_vector(model: Classifier, s, points: dict):
    """What the dense layer takes, float32 [b, c]: the mean of the backbone's last map."""
    # The last as text: transformers' "pre_logits", otherwise the deepest level.
    x = points[max(points)]
    while x.shape.rank < 4:  # tokens, or the one of them, are a row of pixels
        x = x[:, None]
    if model.add_head_batch_norm:
        x = nn.batch_norm(s / "head" / "BatchNorm", x, model.norm_epsilon)
    return tf.squeeze(nn.spatial_mean(x), [1, 2])


def postprocess(model: Classifier, s, prediction: dict, images=None, true_shapes=None) -> dict:
    """logits, and probs by softmax or sigmoid: float32 [b, classes] both."""
    logits = prediction["logits"]
    return {"logits": logits, "probs": tf.sigmoid(logits) if model.multilabel else tf.nn.softmax(logits)}


def exported(whole: config.Config, outputs: dict) -> dict:
    """The outputs of an export."""
    return outputs


def reading(whole: config.Config) -> dict:
    """The first class has the number that labels give it."""
    return {"classes_from": whole.label_offset}


def names(model: Classifier) -> dict[str, str]:
    """Canonical scope -> object path: the layers that have weights, by number."""
    root = "model/layer_with_weights"
    out = {f"backbone/{name}": f"{root}-0/{path}" for name, path in backbones.names(model.backbone).items()}
    if model.add_head_batch_norm:
        out["head/BatchNorm"] = f"{root}-1"
    out["head/logits"] = f"{root}-{1 + model.add_head_batch_norm}"
    return out


def known_unread(model: Classifier):
    """Is this checkpoint key one that inference does not need?"""
    return lambda key: False
