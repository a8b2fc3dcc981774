"""What decides a CenterNet's answers (Zhou et al. 2019), as frozen dataclasses. No TensorFlow here."""

from dataclasses import dataclass

from visionport.config.detection import Nms
from visionport.config.layers import Normalization, Resizer

KEYPOINT_LABEL_MAP = "keypoint_label_map.pbtxt"  # as an export holds it

RANKING_MODES = ("min_distance", "score_distance_ratio", "score_scaled_distance_ratio", "gaussian_weighted")
ARGMAX_RANKING_MODES = ("gaussian_weighted_const",)


@dataclass(frozen=True, kw_only=True)
class Head:
    """Convolutions with ReLU, then one of 1x1; widths come from the weights, and so does a kernel of None."""

    kernel_sizes: tuple[int | None, ...] = (3,)


@dataclass(frozen=True, kw_only=True)
class ObjectCenter:
    """Where objects are: the heatmap's peaks."""

    head: Head = Head()
    max_detections: int = 100
    peak_kernel: int = 3  # a peak is the largest in a window of this size; 1: every place is one


@dataclass(frozen=True, kw_only=True)
class ObjectDetection:
    """Boxes: a size and an offset at each center."""

    scale_head: Head = Head()
    offset_head: Head = Head()


@dataclass(frozen=True, kw_only=True)
class KeypointTask:
    """Keypoints of one class: regressed from the center, then moved to the best candidate of a heatmap."""

    name: str
    class_id: int  # from 0
    indices: tuple[int, ...]  # of the keypoints among those of all tasks
    std_dev: tuple[float, ...]  # a keypoint
    heatmap_head: Head = Head()
    offset_head: Head = Head()
    regression_head: Head = Head()
    per_keypoint_offset: bool = False
    predict_depth: bool = False
    per_keypoint_depth: bool = False
    num_candidates: int = 100  # a keypoint
    candidate_threshold: float = 0.1
    peak_kernel: int = 3
    ranking_mode: str = "min_distance"  # RANKING_MODES; with argmax ARGMAX_RANKING_MODES
    argmax: bool = False  # the best place of a weighted heatmap in place of candidates
    unmatched_score: float = 0.1
    box_scale: float = 1.2  # candidates must lie in the box, enlarged by this
    search_scale: float = 0.3  # and this near to the regressed place, of the box's longer side
    score_distance_offset: float = 1.0
    score_distance_multiplier: float = 0.1
    gaussian_denom_ratio: float = 0.1
    clip_out_of_frame: bool = False
    rescore: bool = False  # detections by their keypoints' scores
    rescoring_threshold: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Masks:
    head: Head = Head()
    height: int = 256
    width: int = 256
    threshold: float = 0.5


@dataclass(frozen=True, kw_only=True)
class DensePose:
    class_id: int  # from 0
    num_parts: int = 24


@dataclass(frozen=True, kw_only=True)
class DeepMac:
    """Masks of any class, from a box and embeddings by a network of their own (Birodkar et al. 2021)."""

    network: str = "hourglass52"  # see models/center_net/deepmac.py
    instance_channels: int = 256
    pixel_channels: int = 16
    uses_instance: bool = True  # the network sees the instance's embedding too
    uses_coordinates: bool = True  # and where in the box a pixel is
    mask_size: int = 32
    channels: int = 64  # between the layers of "cond_inst"; else the weights decide
    full_resolution: bool = False  # a mask of the whole image for each box, cut afterwards
    crop_size: int = 256  # of that cut

    @property
    def conditional_widths(self) -> tuple[int, ...]:
        """Output channels of each layer of "cond_instN", which has N; empty for other networks."""
        depth = self.network.removeprefix("cond_inst")
        return (self.channels,) * (int(depth) - 1) + (1,) if depth != self.network and depth.isdigit() else ()

    @property
    def parameter_free(self) -> bool:
        """The embeddings are all that the mask is made of."""
        return self.network == "embedding_projection" or bool(self.conditional_widths)


@dataclass(frozen=True, kw_only=True)
class CenterNet:
    """Objects as points; reference: meta_architectures/center_net_meta_arch.py."""

    num_classes: int
    extractor: str  # the feature extractor's type, as the config names it
    upsampling: str = "nearest"  # nearest, bilinear: of mobilenet_v2_fpn
    normalization: Normalization  # the config's own, before the extractor's
    resizer: Resizer
    use_depthwise: bool = False  # in the heads
    center: ObjectCenter
    detection: ObjectDetection | None
    keypoints: tuple[KeypointTask, ...] = ()
    masks: Masks | None = None
    densepose: DensePose | None = None
    deepmac: DeepMac | None = None
    embedding_size: int | None = None  # of tracking
    temporal_offset: bool = False
    nms: Nms | None = None
    outputs_maps: bool = False  # all heads' maps are outputs too
    keypoint_label_map: str = ""  # the text that the keypoints were read from, for the export

    @property
    def single_class(self) -> bool:
        """Every detection has the one task's keypoints."""
        return self.num_classes == 1 and len(self.keypoints) == 1
