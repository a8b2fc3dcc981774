"""SSD over MobileNetV1 with a feature pyramid. Reference: ssd_mobilenet_v1_fpn{,_keras}_feature_extractor.py."""

from visionport.config import SsdFeatureExtractor
from visionport.models.necks import feature_maps
from visionport.models.ssd.ssd_mobilenet_v1 import NORMALIZATION, PATH, SCOPE, backbone, backbone_names

__all__ = ["NORMALIZATION", "features", "names"]

LEVELS = {2: "Conv2d_3_pointwise", 3: "Conv2d_5_pointwise", 4: "Conv2d_11_pointwise", 5: "Conv2d_13_pointwise"}
FIRST_COARSE = 14  # the number in bottom_up_Conv2d_N


def features(s, x, e: SsdFeatureExtractor):
    s = s / "MobilenetV1"
    return feature_maps.fpn(s / "fpn", backbone(s, x, e), LEVELS, FIRST_COARSE, e)


def names(e: SsdFeatureExtractor):
    return backbone_names(e) | feature_maps.mobilenet_fpn_names(f"{SCOPE}/fpn", PATH, LEVELS, FIRST_COARSE, e)
