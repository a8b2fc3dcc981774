"""Two stages over NASNet-A large, TF1's alone. Reference: faster_rcnn_nas_feature_extractor.py."""

import tensorflow as tf

from visionport.config import Normalization, Resizer
from visionport.config.faster_rcnn import TwoStageExtractor
from visionport.errors import UnsupportedError
from visionport.models.backbones import nasnet
from visionport.models.faster_rcnn.faster_rcnn_resnet_v1 import FIRST, SECOND

NETWORK = nasnet.NASNET


def normalization(resizer: Resizer) -> Normalization:
    return nasnet.NORMALIZATION


def proposal_features(s, x, e: TwoStageExtractor, network=NETWORK):
    """The last two cells' outputs, one after the other, for the second stage's first cell takes both."""
    if e.stride != 16:
        raise UnsupportedError(f"{e.type}: first_stage_features_stride must be 16, for the reference too.")
    *_, before, last = nasnet.forward(s / FIRST, x, network[0]).values()
    return [tf.concat([before, last], -1)]


def box_features(s, x, e: TwoStageExtractor, network=NETWORK):
    before, x = tf.split(x, 2, axis=-1)
    *_, last = nasnet.cells(s / SECOND, before, x, network[1]).values()
    return tf.nn.relu(last)


def names(e: TwoStageExtractor):
    return {}


def unread(e: TwoStageExtractor):
    return ()
