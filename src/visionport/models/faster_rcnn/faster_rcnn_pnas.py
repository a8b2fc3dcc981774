"""Two stages over PNASNet-5 large, TF1's alone. Reference: faster_rcnn_pnas_feature_extractor.py."""

from visionport.config.faster_rcnn import TwoStageExtractor
from visionport.models.backbones import nasnet
from visionport.models.faster_rcnn import faster_rcnn_nas
from visionport.models.faster_rcnn.faster_rcnn_nas import names, normalization, unread

__all__ = ["box_features", "names", "normalization", "proposal_features", "unread"]


def proposal_features(s, x, e: TwoStageExtractor):
    return faster_rcnn_nas.proposal_features(s, x, e, nasnet.PNASNET)


def box_features(s, x, e: TwoStageExtractor):
    return faster_rcnn_nas.box_features(s, x, e, nasnet.PNASNET)
