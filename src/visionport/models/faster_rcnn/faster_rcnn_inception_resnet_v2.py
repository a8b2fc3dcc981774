"""Two stages over Inception-ResNet v2. Reference: faster_rcnn_inception_resnet_v2_{,keras_}feature_extractor.py."""

from visionport.config import Normalization, Resizer
from visionport.config.faster_rcnn import TwoStageExtractor
from visionport.models.backbones import inception_resnet_v2 as network
from visionport.models.faster_rcnn.faster_rcnn_resnet_v1 import FIRST, PATHS, SECOND

SCOPE = "InceptionResnetV2"


def normalization(resizer: Resizer) -> Normalization:
    return network.NORMALIZATION


def proposal_features(s, x, e: TwoStageExtractor):
    return [network.first_half(s / FIRST / SCOPE, x, output_stride=e.stride)]


def box_features(s, x, e: TwoStageExtractor):
    return network.second_half(s / SECOND / SCOPE, x, padding=e.second_stage_padding)


def names(e: TwoStageExtractor):
    return network.names(f"{FIRST}/{SCOPE}", PATHS[FIRST], network.FIRST) | network.names(
        f"{SECOND}/{SCOPE}", PATHS[SECOND], network.SECOND
    )


def unread(e: TwoStageExtractor):
    return ()
