"""EfficientDet D0 to D7 (Tan et al. 2020): EfficientNet and a bidirectional feature pyramid.

Reference: ssd_efficientnet_bifpn_feature_extractor.py, where it is TF2's alone.
"""

import re

from visionport.config import Bifpn, Normalization, SsdFeatureExtractor
from visionport.config.backbones.efficientnet import EfficientNet
from visionport.errors import UnsupportedError
from visionport.models.backbones import efficientnet
from visionport.models.necks import bifpn
from visionport.ops import nn

SCOPE = "FeatureExtractor"
PATH = "model/_feature_extractor"
NORMALIZATION = Normalization(mean=(0.485 * 255, 0.456 * 255, 0.406 * 255), std=(0.229 * 255, 0.224 * 255, 0.225 * 255))
# The classifier, and from B1 on the blocks before it that no level needs.
UNREAD = (f"{PATH}/classification_backbone/",)

LEVELS = {1: "stack_0/block_0", 2: "stack_1/block_1", 3: "stack_2/block_1", 4: "stack_4/block_2", 5: "stack_6/block_0"}
ITERATIONS = (3, 4, 5, 6, 7, 7, 8, 8)  # of D0 to D7, where the config has no `bifpn`


def features(s, x, e: SsdFeatureExtractor):
    p, used = pyramid(e), levels(e)
    x = nn.pad_to_multiple(x, e.pad_to_multiple)
    for size in x.shape[1:3]:
        if size is not None and -(-size // 2**p.min_level) % 2 ** (p.max_level - p.min_level):
            raise UnsupportedError(
                f"feature_extractor.bifpn: an image size of {size} does not halve evenly from level {p.min_level} to "
                f"{p.max_level}. Use a multiple of {2**p.max_level}."
            )
    points = efficientnet.forward(s / "EfficientNet", x, backbone(e), LEVELS[used[-1]])
    return bifpn.forward(s / "bifpn", {n: points[LEVELS[n]] for n in used}, p, e.hyperparams)


def version(e: SsdFeatureExtractor) -> int:
    """7 of "ssd_efficientnet-b7_bifpn_keras"."""
    return int(re.sub(r".*-b(\d)_.*", r"\1", e.type))


def backbone(e: SsdFeatureExtractor) -> EfficientNet:
    return EfficientNet(model_id=f"b{version(e)}", se_ratio=0.25, activation="swish", se_inner_activation="swish")


def pyramid(e: SsdFeatureExtractor) -> Bifpn:
    if e.depth_multiplier != 1 or e.use_explicit_padding or e.use_depthwise:
        raise UnsupportedError(
            f"feature extractor {e.type!r} has no depth_multiplier, use_explicit_padding or use_depthwise; the "
            "reference refuses them too."
        )
    n = version(e)
    p = e.bifpn or Bifpn(num_iterations=ITERATIONS[n], combine_method="sum" if n > 5 else "fast_attention")
    if not (min(LEVELS) <= p.min_level <= max(LEVELS) < p.max_level):
        raise UnsupportedError(
            f"feature_extractor.bifpn: levels {p.min_level} to {p.max_level}. The reference builds pyramids that begin "
            f"at a level from {min(LEVELS)} to {max(LEVELS)} and end above {max(LEVELS)}."
        )
    return p


def levels(e: SsdFeatureExtractor):
    """The backbone's levels that are used."""
    return range(pyramid(e).min_level, max(LEVELS) + 1)


def names(e: SsdFeatureExtractor):
    p, used = pyramid(e), levels(e)
    return efficientnet.layer_names(
        f"{SCOPE}/EfficientNet", f"{PATH}/_efficientnet", backbone(e), LEVELS[used[-1]]
    ) | bifpn.names(f"{SCOPE}/bifpn", f"{PATH}/_bifpn_stage", p, used[-1])
