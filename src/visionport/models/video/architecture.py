"""A video classifier: a 3-D backbone, the means of its maps, one dense layer.

Reference: official/vision/modeling/video_classification_model.py, official/vision/serving/video_classification.py.
"""

import tensorflow as tf

from visionport import config
from visionport.config.video import VideoClassifier
from visionport.errors import UnsupportedError
from visionport.models import backbones
from visionport.models.classification.architecture import (  # noqa: F401 (of a clip the same)
    exported,
    known_unread,
    postprocess,
    reading,
)
from visionport.models.video.preprocessing import preprocess  # noqa: F401 (of this meta-architecture)
from visionport.ops import nn

# Frames are scaled to [0, 1].
NORMALIZATION = config.Normalization(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))


def normalization(model: VideoClassifier) -> config.Normalization:
    return NORMALIZATION


def predict(model: VideoClassifier, s, clips, true_shapes=None) -> dict:
    """The backbone's feature maps by level, and logits float32 [b, classes].

    clips: float32 [b, frames, h, w, 3] in [0, 1].
    """
    points = backbones.backbone(s / "backbone", clips, model.backbone)
    means = [tf.reduce_mean(points[level], [1, 2, 3]) for level in levels(model, list(points))]
    logits = nn.dense(s / "head" / "logits", tf.concat(means, 1), out=model.num_classes)
    return {"feature_maps": points, "logits": logits}


def levels(model: VideoClassifier, known: list[str]) -> list[str]:
    """Those whose means are classified."""
    if model.aggregate_endpoints:
        return known
    for level in model.require_endpoints:
        if level not in known:
            raise UnsupportedError(f"require_endpoints: no endpoint {level!r}. There are {', '.join(known)}.")
    return list(model.require_endpoints) or [max(known)]


def input_size(model: VideoClassifier) -> tuple[int, ...]:
    """Of what `predict` takes, without the batch."""
    return model.clip_shape


def names(model: VideoClassifier) -> dict[str, str]:
    """Canonical scope -> object path: the layers that have weights, by number."""
    root = "model/layer_with_weights"
    out = {f"backbone/{name}": f"{root}-0/{path}" for name, path in backbones.names(model.backbone).items()}
    return out | {"head/logits": f"{root}-1"}
