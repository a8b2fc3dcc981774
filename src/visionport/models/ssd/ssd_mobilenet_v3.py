"""SSD over MobileNetV3 and MobileNetEdgeTPU. Reference: ssd_mobilenet_{v3,edgetpu}_feature_extractor.py."""

from visionport.config import SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.backbones import mobilenet_v3
from visionport.models.necks import feature_maps
from visionport.models.ssd.ssd_mobilenet_v2 import NORMALIZATION, backbone_norm
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features"]

EXTRA = (("", 512), ("", 256), ("", 256), ("", 128))  # depths of the maps after the backbone's two
VARIANTS = {  # type: (network, its scope, the two endpoints)
    "ssd_mobilenet_v3_large": (mobilenet_v3.LARGE, "MobilenetV3", "layer_14/expansion_output", "layer_17"),
    "ssd_mobilenet_v3_small": (mobilenet_v3.SMALL, "MobilenetV3", "layer_10/expansion_output", "layer_13"),
    "ssd_mobilenet_edgetpu": (mobilenet_v3.EDGETPU, "MobilenetEdgeTPU", "layer_18/expansion_output", "layer_23"),
}


def features(s, x, e: SsdFeatureExtractor):
    if e.use_explicit_padding:
        raise UnsupportedError(
            f"{e.type} with use_explicit_padding is not supported: the reference's maps grow by every block."
        )
    network, scope, *endpoints = VARIANTS[e.type]
    s = s / scope
    points = mobilenet_v3.forward(s, nn.pad_to_multiple(x, e.pad_to_multiple), network, backbone_norm(e))
    layout = (*((name, 0) for name in endpoints), *EXTRA)
    return feature_maps.multi_resolution(s, points, layout, e.hyperparams, e)
