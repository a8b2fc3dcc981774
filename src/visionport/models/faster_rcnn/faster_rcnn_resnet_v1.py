"""Two stages over ResNet v1: proposals from block3, boxes through block4 (He et al. 2015, appendix A).

Reference: faster_rcnn_resnet_v1_feature_extractor.py, faster_rcnn_resnet_keras_feature_extractor.py.
"""

import re

from visionport.config import Normalization, Resizer
from visionport.config.faster_rcnn import TwoStageExtractor
from visionport.models.backbones import resnet_v1

FIRST, SECOND = "FirstStageFeatureExtractor", "SecondStageFeatureExtractor"
PATHS = {
    FIRST: "model/_feature_extractor_for_proposal_features",
    SECOND: "model/_feature_extractor_for_box_classifier_features",
}


def normalization(resizer: Resizer) -> Normalization:
    """The means are of three channels: a grey image is left as it is."""
    if resizer.grayscale:
        return Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return resnet_v1.NORMALIZATION


def depth(e: TwoStageExtractor) -> int:
    return int(re.findall(r"resnet(\d+)", e.type)[0])


def backbone(e: TwoStageExtractor) -> str:
    return f"resnet_v1_{depth(e)}"


def proposal_features(s, x, e: TwoStageExtractor):
    how = {"placement": e.stride_placement, "output_stride": e.stride}
    points = resnet_v1.forward(s / FIRST / backbone(e), x, depth(e), blocks=3, **how)
    return [points["block3"]]


def box_features(s, x, e: TwoStageExtractor):
    s = s / SECOND / backbone(e) / "block4"
    stride = resnet_v1.block_stride(3, e.stride_placement)
    return resnet_v1.block(s, x, resnet_v1.UNITS[depth(e)][3], stride=stride, placement=e.stride_placement)


def names(e: TwoStageExtractor):
    first, second = (f"{stage}/{backbone(e)}" for stage in (FIRST, SECOND))
    return resnet_v1.names(first, PATHS[FIRST], depth(e), last=3) | resnet_v1.names(
        second, PATHS[SECOND], depth(e), first=4
    )


def unread(e: TwoStageExtractor):
    """TF1 trains a copy of block4 in the first stage that nothing reads."""
    return (f"{FIRST}/{backbone(e)}/block4/",)
