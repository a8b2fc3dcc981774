"""SSD over MobileDet's backbones (Xiong et al. 2020). Reference: ssd_mobiledet_feature_extractor.py."""

from visionport.config import SsdFeatureExtractor
from visionport.errors import UnsupportedError
from visionport.models.backbones import mobiledet
from visionport.models.necks import feature_maps
from visionport.models.ssd.ssd_mobilenet_v1 import NORMALIZATION
from visionport.ops import nn

__all__ = ["NORMALIZATION", "features"]

LAYOUT = (("C4", 0), ("C5", 0), ("", 512), ("", 256), ("", 256), ("", 128))
VARIANTS = {  # type: (backbone, its scope)
    "ssd_mobiledet_cpu": (mobiledet.CPU, "MobileDetCPU"),
    "ssd_mobiledet_dsp": (mobiledet.DSP, "MobileDetDSP"),
    "ssd_mobiledet_edgetpu": (mobiledet.EDGETPU, "MobileDetEdgeTPU"),
    "ssd_mobiledet_gpu": (mobiledet.GPU, "MobileDetGPU"),
}


def features(s, x, e: SsdFeatureExtractor):
    if e.use_explicit_padding:
        raise UnsupportedError(f"{e.type} with use_explicit_padding: the reference refuses it too.")
    backbone, scope = VARIANTS[e.type]
    s = s / scope
    points = mobiledet.forward(s, nn.pad_to_multiple(x, e.pad_to_multiple), backbone)
    return feature_maps.multi_resolution(s, points, LAYOUT, e.hyperparams, e)
