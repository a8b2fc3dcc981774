"""SSD over Inception v3. Reference: ssd_inception_v3_feature_extractor.py, where it is TF1's alone."""

from visionport.config import SsdFeatureExtractor
from visionport.models.backbones import inception_v3
from visionport.models.backbones.inception_v2 import NORMALIZATION
from visionport.models.necks import feature_maps
from visionport.models.ssd.ssd_inception_v2 import prepare

__all__ = ["NORMALIZATION", "features"]

# (endpoint of the backbone or "" for an extra map, depth of the extra map)
LAYOUT = (("Mixed_5d", 0), ("Mixed_6e", 0), ("Mixed_7c", 0), ("", 512), ("", 256), ("", 128))


def features(s, x, e: SsdFeatureExtractor):
    s = s / "InceptionV3"
    points = inception_v3.forward(s, prepare(x, e), e.hyperparams)
    return feature_maps.multi_resolution(s, points, LAYOUT[: e.num_layers], e.hyperparams, e)
