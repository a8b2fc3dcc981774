"""SSD over MobileNetV1 (Howard et al. 2017). Reference: ssd_mobilenet_v1{,_keras}_feature_extractor.py."""

import dataclasses

from visionport.config import Hyperparams, Normalization, SsdFeatureExtractor
from visionport.models.backbones import mobilenet_v1
from visionport.models.necks import feature_maps
from visionport.ops import nn

SCOPE = "FeatureExtractor/MobilenetV1"
PATH = "model/_feature_extractor"
NORMALIZATION = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1 to 1

# (endpoint of the backbone or "" for an extra map, depth of the extra map)
LAYOUT = (("Conv2d_11_pointwise", 0), ("Conv2d_13_pointwise", 0), ("", 512), ("", 256), ("", 256), ("", 128))


def features(s, x, e: SsdFeatureExtractor):
    s = s / "MobilenetV1"
    return feature_maps.multi_resolution(s, backbone(s, x, e), LAYOUT[: e.num_layers], e.hyperparams, e)


def backbone(s, x, e: SsdFeatureExtractor):
    """MobileNetV1's endpoints, as an extractor's config asks for them."""
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    return mobilenet_v1.forward(s, x, backbone_hyperparams(e), explicit_padding=e.use_explicit_padding)


def backbone_hyperparams(e: SsdFeatureExtractor) -> Hyperparams:
    hyper = e.hyperparams if e.override_base_hyperparams else mobilenet_v1.HYPERPARAMS
    # Keras's convolutions have no bias, whatever the config; slim's have one where they have no batch norm.
    return dataclasses.replace(hyper, use_bias=False) if e.type.endswith("_keras") else hyper


def names(e: SsdFeatureExtractor):
    generator = f"{PATH}/_feature_map_generator"
    extra = feature_maps.multi_resolution_names(SCOPE, generator, LAYOUT[: e.num_layers], e.hyperparams, e)
    return backbone_names(e) | extra


def backbone_names(e: SsdFeatureExtractor):
    return mobilenet_v1.names(SCOPE, f"{PATH}/classification_backbone", backbone_hyperparams(e))
