"""The config of an SSD: single shot detectors, EfficientDet and RetinaNet of the Object Detection API among them."""

from dataclasses import dataclass

from visionport.config.detection import Anchors, BoxCoder, PostProcessing, Predictor
from visionport.config.layers import Hyperparams, Resizer


@dataclass(frozen=True, kw_only=True)
class Bifpn:
    """EfficientDet's bidirectional feature pyramid (Tan et al. 2020)."""

    min_level: int = 3
    max_level: int = 7
    num_iterations: int
    combine_method: str = "fast_attention"  # sum, weighted_sum, attention, fast_attention


@dataclass(frozen=True, kw_only=True)
class SsdFeatureExtractor:
    type: str  # as the config names it
    depth_multiplier: float = 1.0
    min_depth: int = 16
    pad_to_multiple: int = 1
    hyperparams: Hyperparams
    override_base_hyperparams: bool = False
    override_epsilon_only: bool = False  # of MobileNetV2 and V3: slim's set activation, beta and gamma themselves
    use_explicit_padding: bool = False
    use_depthwise: bool = False
    num_layers: int = 6
    fpn_min_level: int = 3
    fpn_max_level: int = 7
    fpn_depth: int = 256
    fpn_pass_smoothed: bool = True  # a level of the pyramid adds the one above as smoothed, not as summed
    bifpn: Bifpn | None = None
    spaghettinet: str = ""  # which of the SpaghettiNets


@dataclass(frozen=True, kw_only=True)
class Ssd:
    """Single shot detector (Liu et al. 2016); reference: meta_architectures/ssd_meta_arch.py."""

    num_classes: int  # without background
    add_background_class: bool = True
    explicit_background_class: bool = False
    feature_extractor: SsdFeatureExtractor
    predictor: Predictor
    anchors: Anchors
    box_coder: BoxCoder
    resizer: Resizer
    post_processing: PostProcessing

    @property
    def class_slots(self) -> int:
        """Columns of the class logits."""
        return self.num_classes + self.add_background_class

    @property
    def has_background(self) -> bool:
        """Column 0 of the class logits is the background."""
        return self.add_background_class or self.explicit_background_class
