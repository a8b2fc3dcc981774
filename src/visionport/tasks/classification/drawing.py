"""A classifier's best classes as bars below the picture."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from visionport.tasks.classification.answers import best
from visionport.tasks.drawing import colour_of, enlarge, name_of, with_bars


def draw_classes(
    image: np.ndarray, answer: Mapping[str, np.ndarray], labels: Mapping[int, str], min_score: float
) -> Image.Image:
    """The picture uint8 [h, w, 3] and its five best classes; a small one comes back enlarged."""
    return with_bars(enlarge(image), bars(answer, labels), min_score)


def bars(answer: Mapping[str, np.ndarray], labels: Mapping[int, str]) -> list[tuple[str, float, tuple[int, int, int]]]:
    return [(name_of(number, labels), score, colour_of(number)) for number, score in best(answer)]
