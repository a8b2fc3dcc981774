"""SSD over MobileNetV2 with a feature pyramid. Reference: ssd_mobilenet_v2_fpn{,_keras}_feature_extractor.py."""

from visionport.config import SsdFeatureExtractor
from visionport.models.backbones import mobilenet_v2
from visionport.models.necks import feature_maps
from visionport.models.ssd.ssd_mobilenet_v2 import NORMALIZATION, PATH, SCOPE, backbone_hyperparams
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features", "names"]

LEVELS = {2: "layer_4", 3: "layer_7", 4: "layer_14", 5: "layer_19"}
FIRST_COARSE = 20  # the number in bottom_up_Conv2d_N


def features(s, x, e: SsdFeatureExtractor):
    s = s / "MobilenetV2"
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    points = mobilenet_v2.forward(s, x, backbone_hyperparams(e), explicit_padding=e.use_explicit_padding)
    return feature_maps.fpn(s / "fpn", points, LEVELS, FIRST_COARSE, e)


def names(e: SsdFeatureExtractor):
    backbone = mobilenet_v2.names(SCOPE, f"{PATH}/classification_backbone", backbone_hyperparams(e))
    return backbone | feature_maps.mobilenet_fpn_names(f"{SCOPE}/fpn", PATH, LEVELS, FIRST_COARSE, e)
