"""SSD over MobileNetV1 for 256x256 pixels. Reference: embedded_ssd_mobilenet_v1_feature_extractor.py."""

import dataclasses

from visionport.config import SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.necks import feature_maps
from visionport.models.ssd.ssd_mobilenet_v1 import NORMALIZATION, backbone

__all__ = ["NORMALIZATION", "features"]

# (endpoint of the backbone or "" for an extra map, depth and kernel of the extra map)
LAYOUT = (("Conv2d_11_pointwise", 0), ("Conv2d_13_pointwise", 0), ("", 512, 3), ("", 256, 3), ("", 256, 2))
SIDE = 256


def features(s, x, e: SsdFeatureExtractor):
    if tuple(x.shape[1:3]) != (SIDE, SIDE):
        raise UnsupportedError(f"{e.type} is for images of {SIDE}x{SIDE}: set fixed_shape_resizer so.")
    s = s / "MobilenetV1"
    # The reference hands the override on in another argument's place: its network keeps its own hyperparameters.
    points = backbone(s, x, dataclasses.replace(e, override_base_hyperparams=False))
    return feature_maps.multi_resolution(s, points, LAYOUT, e.hyperparams, e)
