"""Two stages over a feature pyramid of ResNet v1 (Lin et al. 2017). Reference: faster_rcnn_resnet_v1_fpn_keras_*.py."""

import tensorflow as tf

from visionport.config import SsdFeatureExtractor
from visionport.config.faster_rcnn import TwoStageExtractor
from visionport.models.backbones import resnet_v1
from visionport.models.faster_rcnn.faster_rcnn_resnet_v1 import FIRST, PATHS, SECOND, backbone, depth, normalization
from visionport.models.necks import feature_maps
from visionport.ops import nn

__all__ = ["box_features", "names", "normalization", "proposal_features", "unread"]

LEVELS = {2: "block1", 3: "block2", 4: "block3", 5: "block4"}
FIRST_COARSE = 5  # the number in bottom_up_Conv2d_N
STEP = "layer_with_weights"


def proposal_features(s, x, e: TwoStageExtractor):
    s, p = s / FIRST / backbone(e), pyramid(e)
    x = nn.pad_to_multiple(x, p.pad_to_multiple)
    how = {"hyper": hyperparams(e), "output_activation": hyperparams(e).activation}
    points = resnet_v1.forward(s, x, depth(e), placement=e.stride_placement, **how)
    return feature_maps.fpn(s / "fpn", points, LEVELS, FIRST_COARSE, p)


def box_features(s, x, e: TwoStageExtractor):
    """Two fully connected layers of 1,024: float32 [n, 1, 1, 1024]."""
    s, bn = s / SECOND, pyramid(e).hyperparams.batch_norm
    x = tf.reshape(x, (-1, x.shape[1] * x.shape[2] * x.shape[3]))
    x = tf.nn.relu(nn.dense(s / "dense", x))[:, None, None]
    if bn:
        x = nn.batch_norm(s / "dense" / "BatchNorm", x, bn.epsilon, center=bn.center, scale=bn.scale)
    return tf.nn.relu(nn.dense(s / "dense_1", x[:, 0, 0]))[:, None, None]


def pyramid(e: TwoStageExtractor) -> SsdFeatureExtractor:
    assert e.pyramid
    return e.pyramid


def hyperparams(e: TwoStageExtractor):
    """The backbone's; its convolutions never have a bias."""
    return pyramid(e).hyperparams if pyramid(e).override_base_hyperparams else resnet_v1.HYPERPARAMS


def names(e: TwoStageExtractor):
    scope, path, p = f"{FIRST}/{backbone(e)}", PATHS[FIRST], pyramid(e)
    used, coarse = feature_maps.fpn_levels(LEVELS, p)
    second = ["dense", *["dense/BatchNorm"] * bool(p.hyperparams.batch_norm), "dense_1"]
    return (
        resnet_v1.names(scope, f"{path}/classification_backbone", depth(e), hyper=hyperparams(e))
        | feature_maps.fpn_names(f"{scope}/fpn", f"{path}/fpn_features_generator", len(used), p)
        | feature_maps.coarse_names(f"{scope}/fpn", f"{path}/coarse_feature_layers", coarse, FIRST_COARSE, p)
        | {f"{SECOND}/{name}": f"{PATHS[SECOND]}/{STEP}-{i}" for i, name in enumerate(second)}
    )


def unread(e: TwoStageExtractor):
    return ()
