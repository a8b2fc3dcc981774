"""What decides a model's answers, as frozen dataclasses, whatever file it was read from. No TensorFlow here.

The values are the inference half of the Object Detection API's configs; training-only fields have no place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

# ---------------------------------------------------------------- image resizers


@dataclass(frozen=True, kw_only=True)
class FixedShape:
    """Resize to height x width, aspect lost."""

    height: int
    width: int
    method: str = "bilinear"  # bilinear, nearest, bicubic, area
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class KeepAspectRatio:
    """Resize so that the short side is min_dimension, unless the long one would exceed max_dimension."""

    min_dimension: int
    max_dimension: int
    pad_to_max: bool = False
    pad_value: tuple[float, ...] = (0.0, 0.0, 0.0)  # in normalised space
    method: str = "bilinear"
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class ConditionalShape:
    """Resize only images whose long side is greater (or short side smaller) than the threshold, to the threshold."""

    condition: Literal["greater", "smaller"]
    threshold: int
    method: str = "bilinear"
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class PadToMultiple:
    """Pad bottom and right with zeros to a multiple."""

    multiple: int
    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Leave the image as it is."""

    grayscale: bool = False


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """(x - mean) / std a channel, of RGB values from 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    bgr: bool = False  # channels are reversed first; mean and std are of blue, green, red
    pads_first: bool = False  # the resizer's padding is normalised too


Resizer = FixedShape | KeepAspectRatio | ConditionalShape | PadToMultiple | Identity

# ---------------------------------------------------------------- convolutions


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    epsilon: float = 1e-3
    center: bool = True  # beta is there
    scale: bool = True  # gamma is there


@dataclass(frozen=True, kw_only=True)
class Hyperparams:
    """How a convolution is completed: bias or batch norm, then the activation."""

    activation: str = "relu6"  # none, relu, relu6, swish
    batch_norm: BatchNorm | None = BatchNorm()
    use_bias: bool = False
    force_use_bias: bool = False  # where batch norm alone would decide


# ---------------------------------------------------------------- anchors, boxes, predictors


@dataclass(frozen=True, kw_only=True)
class SsdAnchors:
    """Pairs of scale and aspect ratio, a list a feature map (Liu et al. 2016); strides and offsets in pixels."""

    num_layers: int
    min_scale: float
    max_scale: float
    scales: tuple[float, ...] = ()
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 3.0, 1 / 2, 1 / 3)
    interpolated_scale_aspect_ratio: float = 1.0
    base_anchor_size: tuple[float, float] = (1.0, 1.0)
    strides: tuple[tuple[int, int], ...] = ()
    offsets: tuple[tuple[int, int], ...] = ()
    reduce_boxes_in_lowest_layer: bool = True


@dataclass(frozen=True, kw_only=True)
class MultiscaleAnchors:
    """Anchors of 2^level x anchor_scale pixels, `scales_per_octave` sizes (Lin et al. 2017, RetinaNet)."""

    min_level: int
    max_level: int
    anchor_scale: float
    aspect_ratios: tuple[float, ...]
    scales_per_octave: int
    normalize: bool = True


@dataclass(frozen=True, kw_only=True)
class GridAnchors:
    """One grid: every scale with every aspect ratio, in pixels."""

    scales: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    base_anchor_size: tuple[float, float]
    stride: tuple[float, float]
    offset: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class FlexibleGridAnchors:
    """One grid a feature map with its own (size, aspect ratio) pairs, stride and offset, in pixels."""

    base_sizes: tuple[tuple[float, ...], ...]
    aspect_ratios: tuple[tuple[float, ...], ...]
    strides: tuple[tuple[float, float], ...]
    offsets: tuple[tuple[float, float], ...]
    normalize: bool = True


Anchors = SsdAnchors | MultiscaleAnchors | GridAnchors | FlexibleGridAnchors


@dataclass(frozen=True, kw_only=True)
class BoxCoder:
    kind: Literal["faster_rcnn", "keypoint", "mean_stddev", "square"] = "faster_rcnn"
    scales: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)  # y, x, height, width; square: y, x, length
    num_keypoints: int = 0
    stddev: float = 0.01

    @property
    def code_size(self) -> int:
        return {"square": 3, "keypoint": 4 + 2 * self.num_keypoints}.get(self.kind, 4)


@dataclass(frozen=True, kw_only=True)
class ConvolutionalPredictor:
    """One pair of heads a feature map, with layers of its own before them (Liu et al. 2016)."""

    hyperparams: Hyperparams
    kernel_size: int = 1
    num_layers: int = 0
    min_depth: int = 0
    max_depth: int = 0
    use_depthwise: bool = False
    use_dropout: bool = False  # changes the layers' indices in a TF2 checkpoint, nothing else
    box_code_size: int = 4
    clip_range: tuple[float, float] | None = None
    apply_sigmoid_to_scores: bool = False  # TF1 only


@dataclass(frozen=True, kw_only=True)
class WeightSharedPredictor:
    """One pair of heads and towers for all feature maps, batch norms apart (Lin et al. 2017, RetinaNet)."""

    hyperparams: Hyperparams
    depth: int
    kernel_size: int = 3
    num_layers: int = 0
    use_depthwise: bool = False
    use_dropout: bool = False
    share_tower: bool = False
    box_code_size: int = 4
    clip_range: tuple[float, float] | None = None
    score_converter: str = "identity"  # identity, sigmoid: applied to the logits inside the predictor


Predictor = ConvolutionalPredictor | WeightSharedPredictor

# ---------------------------------------------------------------- post-processing


@dataclass(frozen=True, kw_only=True)
class Nms:
    score_threshold: float = 0.0
    iou_threshold: float = 0.6
    max_per_class: int = 100
    max_total: int = 100
    soft_sigma: float = 0.0  # 0: hard NMS
    class_agnostic: bool = False
    combined: bool = False  # tf.image.combined_non_max_suppression: no anchor indices, no multiclass scores
    change_coordinate_frame: bool = False


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Scores (or, for the temperature, logits) mapped once more."""

    temperature: float | None = None
    curve: tuple[tuple[float, float], ...] = ()  # (x, y) of a piecewise linear function
    class_curves: Mapping[int, tuple[tuple[float, float], ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    nms: Nms = Nms()
    score_converter: str = "identity"  # identity, sigmoid, softmax
    logit_scale: float = 1.0
    calibration: Calibration | None = None


# ---------------------------------------------------------------- models


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


if TYPE_CHECKING:
    from visionport.config_center_net import CenterNet
    from visionport.config_faster_rcnn import FasterRcnn

Model: TypeAlias = "Ssd | CenterNet | FasterRcnn"


@dataclass(frozen=True, kw_only=True)
class Config:
    """A model to build, and where it was read from."""

    path: Path
    model: Model
    architecture: str  # what the config calls it: "ssd_mobilenet_v2_keras"
    api: Literal["tf1", "tf2"]  # which of the reference's two trained it, as the config declares
    moving_averages: bool = False  # TF1: the averages are what is exported
    quantized: bool = False  # TF1: trained with fake quantisation to 8 bits
    text: str  # the whole config as it is exported
    labels: Mapping[int, str] | None = None  # class id (from 1) to name
    warnings: tuple[str, ...] = ()
    source: Any = None  # the parsed file


def read_config(path, override: str = "", labels=None, keypoint_label_map=None) -> Config:
    """The config in a file or folder; `override` is merged into it; `labels` names a label map.

    keypoint_label_map: the label map with the keypoints of a CenterNet, in place of the one that the config names.

    Raises ConfigError (unreadable, misspelt, contradictory) and UnsupportedError (cannot be built).
    """
    from visionport.configs import pipeline

    return pipeline.read(path, override, labels, keypoint_label_map)
