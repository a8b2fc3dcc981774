"""SSD over ResNet v1 with a pooling pyramid (Jin et al. 2018).

Reference: ssd_resnet_v1_ppn_feature_extractor.py, where it is TF1's alone.
"""

import dataclasses

import tensorflow as tf

from visionport.config import SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.ssd.ssd_resnet_v1_fpn import NORMALIZATION, backbone, depth
from visionport.ops import nn

__all__ = ["NORMALIZATION", "UNREAD", "features"]

MAPS = 6  # whatever the config's num_layers
# Above the block that the pyramid stands on.
UNREAD = tuple(f"FeatureExtractor/resnet_v1_{n}/block4/" for n in (50, 101, 152))


def features(s, x, e: SsdFeatureExtractor):
    if e.depth_multiplier != 1:
        raise UnsupportedError(f"feature extractor {e.type!r} has no depth_multiplier; the reference refuses it too.")
    s = s / f"resnet_v1_{depth(e)}"
    # The reference loses override_base_feature_extractor_hyperparams on its way to the backbone.
    x = backbone(s, x, dataclasses.replace(e, override_base_hyperparams=False), blocks=3)["block3"]
    maps = [nn.layer(s / "Base_Conv2d_1x1_1024", x, e.hyperparams, kernel=1)]
    while len(maps) < MAPS:
        maps.append(tf.nn.max_pool2d(maps[-1], 2, 2, "SAME"))
    return maps
