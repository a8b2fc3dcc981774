"""SSD over MobileNetV1 with a pooling pyramid (Jin et al. 2018).

Reference: ssd_mobilenet_v1_ppn_feature_extractor.py.
"""

import tensorflow as tf

from visionport.config import SsdFeatureExtractor
from visionport.models.ssd.ssd_mobilenet_v1 import NORMALIZATION, backbone

__all__ = ["NORMALIZATION", "features"]

MAPS = 6  # whatever the config's num_layers


def features(s, x, e: SsdFeatureExtractor):
    maps = [backbone(s / "MobilenetV1", x, e)["Conv2d_11_pointwise"]]
    while len(maps) < MAPS:
        maps.append(tf.nn.max_pool2d(maps[-1], 2, 2, "SAME"))
    return maps
