"""MobileNets as a frozen dataclass; the fields are named as TF Official Vision names them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MobileNet:
    """V1 to V4 and what was found between. Reference: official/vision/modeling/backbones/mobilenet.py.

    The activations are the network's own.
    """

    model_id: str = "MobileNetV2"
    filter_size_scale: float = 1.0  # of the channels
    output_stride: int | None = None  # past it depthwise convolutions are dilated in place of strides; None: nowhere
    output_intermediate_endpoints: bool = False  # "2/depthwise" beside "2", and so on
    norm_epsilon: float = 1e-3
