"""SSD over ResNet v1 with a feature pyramid: RetinaNet (Lin et al. 2017).

Reference: ssd_resnet_v1_fpn{,_keras}_feature_extractor.py, which know neither depthwise convolutions nor explicit
padding in the pyramid; TF2's takes levels 3 to 7 whatever the config says.
"""

import dataclasses
import re

from visionport.config import BatchNorm, Hyperparams, SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.backbones import resnet_v1
from visionport.models.backbones.resnet_v1 import NORMALIZATION
from visionport.models.necks import feature_maps
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features", "names"]

PATH = "model/_feature_extractor"
LEVELS = {2: "block1", 3: "block2", 4: "block3", 5: "block4"}
FIRST_COARSE, COARSE = 5, "bottom_up_block"


def features(s, x, e: SsdFeatureExtractor):
    s = s / f"resnet_v1_{depth(e)}"
    points = backbone(s, x, e)
    return feature_maps.fpn(s / "fpn", points, LEVELS, FIRST_COARSE, pyramid(e), COARSE)


def backbone(s, x, e: SsdFeatureExtractor, blocks=4):
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    hyper = backbone_hyperparams(e)
    if is_keras(e):
        return resnet_v1.forward(
            s, x, depth(e), placement="first", blocks=blocks, hyper=hyper, output_activation=hyper.activation
        )
    return resnet_v1.forward(s, x, depth(e), placement="after", blocks=blocks, hyper=hyper)


def depth(e: SsdFeatureExtractor) -> int:
    """50 of "ssd_resnet50_v1_fpn"."""
    return int(re.sub(r"ssd_resnet(\d+)_.*", r"\1", e.type))


def is_keras(e: SsdFeatureExtractor) -> bool:
    return e.type.endswith("_keras")


def backbone_hyperparams(e: SsdFeatureExtractor) -> Hyperparams:
    hyper = e.hyperparams if e.override_base_hyperparams else resnet_v1.HYPERPARAMS
    if is_keras(e):
        return dataclasses.replace(hyper, use_bias=False)
    if not hyper.batch_norm:
        return hyper
    # slim's own epsilon and gamma are bound to the convolutions, where the config's do not reach.
    return dataclasses.replace(hyper, batch_norm=BatchNorm(epsilon=1e-5, center=hyper.batch_norm.center))


def pyramid(e: SsdFeatureExtractor) -> SsdFeatureExtractor:
    if e.use_explicit_padding and not is_keras(e):
        raise UnsupportedError(
            f"feature extractor {e.type!r} has no use_explicit_padding; the reference refuses it too."
        )
    e = dataclasses.replace(e, use_explicit_padding=False, use_depthwise=False)
    return dataclasses.replace(e, fpn_min_level=3, fpn_max_level=7) if is_keras(e) else e


def names(e: SsdFeatureExtractor):
    scope = f"FeatureExtractor/resnet_v1_{depth(e)}"
    layers = resnet_v1.names(scope, f"{PATH}/classification_backbone", depth(e), hyper=backbone_hyperparams(e))
    return layers | feature_maps.mobilenet_fpn_names(f"{scope}/fpn", PATH, LEVELS, FIRST_COARSE, pyramid(e), COARSE)
