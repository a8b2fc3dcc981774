"""What the configs of detectors share: anchors, box coders, predictors, post-processing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from visionport.config.layers import Hyperparams


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
