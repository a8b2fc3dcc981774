"""SSD over MobileNetV2 with a feature pyramid. Reference: ssd_mobilenet_v2_fpn_keras_feature_extractor.py."""

from visionport.config import SsdFeatureExtractor
from visionport.models import feature_maps, mobilenet_v2
from visionport.models.ssd_mobilenet_v2 import NORMALIZATION, PATH, SCOPE, backbone_hyperparams
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features", "names"]

LEVELS = {2: "layer_4", 3: "layer_7", 4: "layer_14", 5: "layer_19"}
HIGHEST = 5  # of the backbone; above it the pyramid goes on by strided convolutions
FIRST_COARSE = 20  # the number in bottom_up_Conv2d_N


def features(s, x, e: SsdFeatureExtractor):
    s = s / "MobilenetV2"
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    points = mobilenet_v2.forward(s, x, backbone_hyperparams(e), explicit_padding=e.use_explicit_padding)
    used, coarse = levels(e)
    maps = feature_maps.fpn_top_down(s / "fpn", [points[LEVELS[n]] for n in used], e.hyperparams, e)
    # The last level has been projected, so the coarse ones go on from the pyramid's top.
    return maps + feature_maps.fpn_coarse(s / "fpn", maps[-1], coarse, FIRST_COARSE, e.hyperparams, e)


def levels(e: SsdFeatureExtractor):
    """The backbone's levels that are used, and how many are added above."""
    top = min(e.fpn_max_level, HIGHEST)
    return range(e.fpn_min_level, top + 1), e.fpn_max_level - top


def names(e: SsdFeatureExtractor):
    used, coarse = levels(e)
    fpn = f"{SCOPE}/fpn"
    return (
        mobilenet_v2.names(SCOPE, f"{PATH}/classification_backbone", backbone_hyperparams(e))
        | feature_maps.fpn_names(fpn, f"{PATH}/_fpn_features_generator", len(used), e)
        | feature_maps.coarse_names(fpn, f"{PATH}/_coarse_feature_layers", coarse, FIRST_COARSE, e)
    )
