"""MobileDet as a frozen dataclass; the fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MobileDet:
    """Xiong et al. 2020. Reference: official/vision/modeling/backbones/mobiledet.py.

    The activations are the network's own.
    """

    model_id: str = "MobileDetCPU"  # MobileDetCPU, MobileDetDSP, MobileDetEdgeTPU, MobileDetGPU
    filter_size_scale: float = 1.0  # of the channels
    norm_epsilon: float = 1e-3
