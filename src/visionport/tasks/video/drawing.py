"""A clip as a strip of frames, with its best classes as bars below."""

import math
from collections.abc import Mapping

import numpy as np
from PIL import Image

from visionport.tasks.classification.drawing import bars
from visionport.tasks.drawing import LONG_SIDE, PAPER, with_bars

SHOWN = 6  # frames at most, evenly over the clip
HIGH = 240  # pixels that a frame is high in the strip
GAP = 4  # pixels between frames


def draw_clip(
    clip: np.ndarray, answer: Mapping[str, np.ndarray], labels: Mapping[int, str], min_score: float
) -> Image.Image:
    """clip: uint8 [frames, h, w, 3]. Its frames in rows of half of those shown, and its five best classes."""
    return with_bars(strip(clip), bars(answer, labels), min_score)


def strip(clip: np.ndarray) -> Image.Image:
    chosen = np.unique(np.linspace(0, len(clip) - 1, min(SHOWN, len(clip))).round().astype(int))
    columns = math.ceil(len(chosen) / (2 if len(chosen) > 3 else 1))
    height, width = clip.shape[1:3]
    scale = min(HIGH / height, (LONG_SIDE / columns - GAP) / width)
    wide, high = (max(1, round(side * scale)) for side in (width, height))
    rows = math.ceil(len(chosen) / columns)
    canvas = Image.new("RGB", (columns * (wide + GAP) - GAP, rows * (high + GAP) - GAP), PAPER)
    for i, frame in enumerate(clip[chosen]):
        place = (i % columns * (wide + GAP), i // columns * (high + GAP))
        canvas.paste(Image.fromarray(frame).resize((wide, high), Image.Resampling.BICUBIC), place)
    return canvas
