"""What decides a video classifier's answers, as a frozen dataclass. No TensorFlow here."""

from dataclasses import dataclass
from typing import Any

from visionport.config.layers import MiddleClip


@dataclass(frozen=True, kw_only=True)
class VideoClassifier:
    """A 3-D backbone, its maps' means, one dense layer. Reference: official/vision/serving/video_classification.py."""

    num_classes: int
    backbone: Any  # config.backbones.resnet_3d.ResNet3D
    frames: int  # of the clip that the network sees
    temporal_stride: int = 1  # between them, in frames of the video
    min_image_size: int = 256  # short side that frames are resized to, pixels
    crop_size: int = 224  # side of the middle square of that
    aggregate_endpoints: bool = False  # the means of all maps are concatenated, not the last one's alone
    require_endpoints: tuple[str, ...] = ()  # or those of these
    multilabel: bool = False  # probabilities are of each class by itself (sigmoid), not of all together (softmax)

    @property
    def resizer(self) -> MiddleClip:
        return MiddleClip(
            frames=self.frames,
            temporal_stride=self.temporal_stride,
            short_side=self.min_image_size,
            side=self.crop_size,
        )

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Of what the network sees: (frames, height, width, 3)."""
        return self.frames, self.crop_size, self.crop_size, 3
