"""What decides a classifier's answers, as a frozen dataclass. No TensorFlow here."""

from dataclasses import dataclass
from typing import Any

from visionport.config.layers import CropAndResize, Normalization

# Of ImageNet, of values from 0 to 255.
IMAGENET = Normalization(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A backbone, its last map's mean, one dense layer. Reference: official/vision/serving/image_classification.py."""

    num_classes: int
    backbone: Any  # of config.backbones
    resizer: CropAndResize
    normalization: Normalization = IMAGENET
    add_head_batch_norm: bool = False  # before the mean
    norm_epsilon: float = 1e-3  # of that batch norm
    multilabel: bool = False  # probabilities are of each class by itself (sigmoid), not of all together (softmax)
