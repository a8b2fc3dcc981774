"""SSD over PNASNet-5 large (Liu et al. 2018). Reference: ssd_pnasnet_feature_extractor.py, where it is TF1's alone."""

from visionport.config import SsdFeatureExtractor
from visionport.models.backbones import nasnet
from visionport.models.backbones.nasnet import NORMALIZATION
from visionport.models.necks import feature_maps
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features"]

# (cell of the backbone or "" for an extra map, depth of the extra map)
LAYOUT = (("Cell_7", 0), ("Cell_11", 0), ("", 512), ("", 256), ("", 256), ("", 128))


def features(s, x, e: SsdFeatureExtractor):
    hyper = e.hyperparams if e.override_base_hyperparams else nn.BARE
    layers = (*nasnet.PNASNET[0], *nasnet.PNASNET[1])
    found = nasnet.forward(s, nn.pad_to_multiple(x, e.pad_to_multiple), layers, hyper)
    points = {scope.capitalize(): output for scope, output in found.items()}
    return feature_maps.multi_resolution(s / "SSD_feature_maps", points, LAYOUT[: e.num_layers], e.hyperparams, e)
