"""SSD over Inception v2. Reference: ssd_inception_v2_feature_extractor.py, where it is TF1's alone."""

from visionport.config import SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.backbones import inception_v2
from visionport.models.backbones.inception_v2 import NORMALIZATION
from visionport.models.necks import feature_maps
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features"]

# (endpoint of the backbone or "" for an extra map, depth of the extra map)
LAYOUT = (("Mixed_4c", 0), ("Mixed_5c", 0), ("", 512), ("", 256), ("", 256), ("", 128))


def features(s, x, e: SsdFeatureExtractor):
    s, x = s / "InceptionV2", prepare(x, e)
    points = inception_v2.mixed(s, inception_v2.stem(s, x, e.hyperparams), e.hyperparams)
    return feature_maps.multi_resolution(s, points, LAYOUT[: e.num_layers], e.hyperparams, e)


def prepare(x, e: SsdFeatureExtractor):
    if not e.override_base_hyperparams:
        raise UnsupportedError(
            f"feature extractor {e.type!r} needs override_base_feature_extractor_hyperparams: true, for the reference "
            "too: it has no settings of its own."
        )
    return nn.pad_to_multiple(x, e.pad_to_multiple)
