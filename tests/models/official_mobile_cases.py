"""Small mobile backbones of TF Official Vision, of which tests/golden_official/mobile holds what the reference answers.

There: names.json.xz, {case: {"names": [[object path, shape], ...] of the reference's checkpoint, "maps": {endpoint:
[shape, standard deviation]}}}, and samples.npz, {case: SAMPLES places of every endpoint, in the order of their names}.
The reference's own builder made each; the weights are those of make_checkpoint.py's rule, keys below "backbone/"; the
picture is `picture`.
"""

import numpy as np

from visionport.config.backbones.efficientnet import EfficientNet
from visionport.config.backbones.mobiledet import MobileDet
from visionport.config.backbones.mobilenet import MobileNet
from visionport.config.backbones.spinenet_mobile import SpineNetMobile

SAMPLES = 48

# case: (backbone, height and width of the picture)
CASES = {
    "v1": (MobileNet(model_id="MobileNetV1", filter_size_scale=0.5), (64, 65)),
    "v1_stride8": (MobileNet(model_id="MobileNetV1", filter_size_scale=0.25, output_stride=8), (65, 65)),
    "v2": (MobileNet(output_intermediate_endpoints=True, norm_epsilon=0.01), (65, 96)),
    "v2_stride8": (MobileNet(filter_size_scale=0.35, output_stride=8, output_intermediate_endpoints=True), (65, 97)),
    "v2_stride16_wide": (MobileNet(filter_size_scale=1.4, output_stride=16), (64, 64)),
    "v2_stride4": (MobileNet(filter_size_scale=0.5, output_stride=4), (64, 64)),
    "v2_stride1": (MobileNet(filter_size_scale=0.5, output_stride=1, output_intermediate_endpoints=True), (64, 64)),
    "v3_large": (
        MobileNet(model_id="MobileNetV3Large", filter_size_scale=0.75, output_intermediate_endpoints=True),
        (64, 64),
    ),
    "v3_small": (MobileNet(model_id="MobileNetV3Small", output_stride=16), (64, 64)),
    "v3_reduced": (MobileNet(model_id="MobileNetV3SmallReducedFilters"), (64, 64)),
    "edgetpu": (
        MobileNet(model_id="MobileNetV3EdgeTPU", output_stride=8, output_intermediate_endpoints=True),
        (64, 64),
    ),
    "multi_max": (MobileNet(model_id="MobileNetMultiMAX", filter_size_scale=0.5, output_stride=8), (64, 64)),
    "multi_avg": (MobileNet(model_id="MobileNetMultiAVG", filter_size_scale=0.5), (64, 64)),
    "multi_max_seg": (MobileNet(model_id="MobileNetMultiMAXSeg", filter_size_scale=0.5), (64, 64)),
    "multi_avg_seg": (MobileNet(model_id="MobileNetMultiAVGSeg", filter_size_scale=0.5, output_stride=16), (64, 64)),
    "v4_small": (MobileNet(model_id="MobileNetV4ConvSmall"), (64, 64)),
    "v4_small_stride8": (
        MobileNet(model_id="MobileNetV4ConvSmall", filter_size_scale=0.5, output_stride=8),
        (64, 64),
    ),
    "v4_medium": (
        MobileNet(
            model_id="MobileNetV4ConvMedium",
            filter_size_scale=0.5,
            output_stride=16,
            output_intermediate_endpoints=True,
        ),
        (64, 64),
    ),
    "v4_medium_seg": (MobileNet(model_id="MobileNetV4ConvMediumSeg", filter_size_scale=0.5), (64, 64)),
    "v4_large": (MobileNet(model_id="MobileNetV4ConvLarge", filter_size_scale=0.25), (64, 64)),
    "v4_hybrid_medium": (
        MobileNet(model_id="MobileNetV4HybridMedium", filter_size_scale=0.5, norm_epsilon=0.01),
        (96, 96),
    ),
    "v4_hybrid_medium_stride16": (
        MobileNet(model_id="MobileNetV4HybridMedium", filter_size_scale=0.25, output_stride=16),
        (64, 64),
    ),
    "v4_hybrid_large": (MobileNet(model_id="MobileNetV4HybridLarge", filter_size_scale=0.25), (64, 64)),
    "mobiledet_cpu": (MobileDet(norm_epsilon=0.01), (64, 64)),
    "mobiledet_cpu_half": (MobileDet(filter_size_scale=0.5), (64, 64)),
    "mobiledet_dsp": (MobileDet(model_id="MobileDetDSP", filter_size_scale=0.5), (64, 64)),
    "mobiledet_edgetpu": (MobileDet(model_id="MobileDetEdgeTPU", filter_size_scale=0.35), (64, 64)),
    "mobiledet_gpu": (MobileDet(model_id="MobileDetGPU", filter_size_scale=0.5), (64, 64)),
    "efficientnet_b0": (EfficientNet(activation="swish"), (64, 65)),
    "efficientnet_b1": (EfficientNet(model_id="b1"), (64, 64)),
    "efficientnet_b3": (
        EfficientNet(model_id="b3", se_ratio=0.25, activation="swish", norm_epsilon=0.01),
        (64, 64),
    ),
    "spinenet_49s": (SpineNetMobile(model_id="49S", activation="swish"), (128, 256)),
    "spinenet_49xs_4to6": (
        SpineNetMobile(model_id="49XS", min_level=4, max_level=6, se_ratio=0.0, expand_ratio=4),
        (128, 128),
    ),
    "spinenet_49": (
        SpineNetMobile(use_keras_upsampling_2d=True, expand_ratio=1, activation="swish", norm_epsilon=0.01),
        (128, 128),
    ),
    "spinenet_49s_3to5": (SpineNetMobile(model_id="49S", max_level=5, activation="swish"), (64, 64)),
    "spinenet_49s_5to7": (
        SpineNetMobile(model_id="49S", min_level=5, use_keras_upsampling_2d=True, activation="swish"),
        (128, 128),
    ),
}


def picture(size) -> np.ndarray:
    """float32 [1, h, w, 3], noise of deviation 1."""
    return np.random.Generator(np.random.PCG64(7)).standard_normal((1, *size, 3)).astype(np.float32)


def thinned(feature_map: np.ndarray) -> np.ndarray:
    """SAMPLES values of it, evenly spread over the flat array."""
    return feature_map.reshape(-1)[np.linspace(0, feature_map.size - 1, SAMPLES).astype(np.int64)]
