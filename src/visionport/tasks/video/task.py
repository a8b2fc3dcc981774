"""Video classification: a score for each class of a clip."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visionport.tasks.base import Answer, Labels, Metric
from visionport.tasks.classification.task import Classification
from visionport.tasks.video import clips
from visionport.tasks.video.metric import TopOneOfClips


@dataclass(frozen=True, kw_only=True)
class Video(Classification):
    """See tasks/base.py. What it calls a picture there is a clip here, uint8 [frames, h, w, 3]."""

    name: str = "video"
    metric: Metric = field(default_factory=TopOneOfClips)

    def examples(self, paths, size):
        return clips.load(paths, size)

    def read(self, path: Path) -> np.ndarray:
        return clips.read(path)

    def draw(self, picture: np.ndarray, answer: Answer, labels: Labels, min_score: float):
        from visionport.tasks.video.drawing import draw_clip

        return draw_clip(picture, answer, labels, min_score)


TASK = Video()
