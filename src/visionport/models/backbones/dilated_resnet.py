"""ResNet whose last stages are dilated in place of striding (Chen et al. 2017, DeepLab v3).

Reference: official/vision/modeling/backbones/resnet_deeplab.py.
"""

import math

from visionport.config.backbones.resnet import DilatedResNet as Config
from visionport.errors import UnsupportedError
from visionport.models.backbones.resnet import BOTTLENECK, WIDTHS, block, layers, of_id, stem

UNITS = {k: v for k, v in BOTTLENECK.items() if k <= 200}
STEM = {"v0": (64,), "v1": (64, 64, 128)}


def dilated_resnet(s, x, config: Config):
    """Feature maps "2" to that of the output stride, after all dilated stages. x: float32 [b, h, w, 3], normalised."""
    x = stem(s, x, config, STEM, 64)
    points, strided, rate = {}, strided_stages(config), 1
    for i, count in enumerate(units(config)):
        if i >= strided:
            rate *= 2
        last = i >= max(strided, len(WIDTHS) - 1)
        grid = (config.multigrid if last else None) or (1,) * count
        if len(grid) != count:
            raise UnsupportedError(f"multigrid: {list(grid)} should have {count} factors, one a unit.")
        stage = {"stride": 2 if 0 < i < strided else 1, "width": WIDTHS[min(i, 3)], "rates": [rate * g for g in grid]}
        x = block(s / f"block{i + 1}", x, config, **stage)
        points[str(min(i, strided - 1) + 2)] = x
    return points


def units(config: Config) -> list[int]:
    """Of each stage, the last one as often as it is repeated."""
    counts = of_id(config.model_id, UNITS)
    stages = max(strided_stages(config), len(counts) - 1 + config.last_stage_repeats)
    return [counts[min(i, len(counts) - 1)] for i in range(stages)]


def strided_stages(config: Config) -> int:
    """How many stages are not dilated."""
    if not 4 <= config.output_stride < 64:
        raise UnsupportedError(f"output_stride: {config.output_stride} is not supported. Choose 4, 8, 16 or 32.")
    return int(math.log2(config.output_stride)) - 1


def levels(config: Config) -> dict[str, int | None]:
    """The width of each level."""
    stages, strided = len(units(config)), strided_stages(config)
    return {str(min(i, strided - 1) + 2): 4 * WIDTHS[min(i, 3)] for i in range(stages)}


def names(config: Config) -> dict[str, str]:
    """Canonical scope -> object path below the backbone."""
    return layers(config, units(config))
