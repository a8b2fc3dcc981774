"""SSD over MobileNetV2 (Sandler et al. 2018, section 6.2). Reference: ssd_mobilenet_v2_keras_feature_extractor.py."""

import dataclasses

from visionport.config import BatchNorm, Hyperparams, Normalization, SsdFeatureExtractor
from visionport.models.backbones import mobilenet_v2
from visionport.models.necks import feature_maps
from visionport.ops import nn

SCOPE = "FeatureExtractor/MobilenetV2"
PATH = "model/_feature_extractor"
NORMALIZATION = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))  # to -1 to 1

# (endpoint of the backbone or "" for an extra map, depth of the extra map)
LAYOUT = (("layer_15/expansion_output", 0), ("layer_19", 0), ("", 512), ("", 256), ("", 256), ("", 128))


def backbone_hyperparams(e: SsdFeatureExtractor) -> Hyperparams:
    if e.override_base_hyperparams and not e.override_epsilon_only:
        return e.hyperparams
    return dataclasses.replace(mobilenet_v2.HYPERPARAMS, batch_norm=backbone_norm(e))


def backbone_norm(e: SsdFeatureExtractor) -> BatchNorm:
    """The network's own, but for an epsilon that the config overrides."""
    override = e.hyperparams.batch_norm if e.override_base_hyperparams else None
    return BatchNorm(epsilon=override.epsilon) if override else BatchNorm()


def features(s, x, e: SsdFeatureExtractor):
    s = s / "MobilenetV2"
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    points = mobilenet_v2.forward(s, x, backbone_hyperparams(e), explicit_padding=e.use_explicit_padding)
    return feature_maps.multi_resolution(s, points, LAYOUT[: e.num_layers], e.hyperparams, e)


def names(e: SsdFeatureExtractor):
    generator = f"{PATH}/feature_map_generator"
    extra = feature_maps.multi_resolution_names(SCOPE, generator, LAYOUT[: e.num_layers], e.hyperparams, e)
    return mobilenet_v2.names(SCOPE, f"{PATH}/classification_backbone", backbone_hyperparams(e)) | extra
