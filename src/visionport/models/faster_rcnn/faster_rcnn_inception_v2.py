"""Two stages over Inception v2, TF1's alone. Reference: faster_rcnn_inception_v2_feature_extractor.py."""

from visionport.config import Normalization, Resizer
from visionport.config.faster_rcnn import TwoStageExtractor
from visionport.models.backbones import inception_v2 as network
from visionport.models.faster_rcnn.faster_rcnn_resnet_v1 import FIRST, SECOND

SCOPE = "InceptionV2"


def normalization(resizer: Resizer) -> Normalization:
    return network.NORMALIZATION


def proposal_features(s, x, e: TwoStageExtractor):
    s = s / FIRST / SCOPE
    return [network.mixed(s, network.stem(s, x), last="Mixed_4e")["Mixed_4e"]]


def box_features(s, x, e: TwoStageExtractor):
    return network.mixed(s / SECOND / SCOPE, x, first="Mixed_5a")["Mixed_5c"]


def names(e: TwoStageExtractor):
    return {}


def unread(e: TwoStageExtractor):
    return ()
