"""TFLite files as `visionport predict` reads and runs them."""

from pathlib import Path

import numpy as np
import tflite_files
from tflite_files import mutate as mutate

import visionport

SUFFIX = ".tflite"
SEEDS = (tflite_files.detector(), tflite_files.network(), tflite_files.loop())
PICTURE = np.random.default_rng(1).integers(0, 256, (12, 16, 3)).astype(np.uint8)


def read(path: Path) -> None:
    """Its answer about a picture, as JSON has it and drawn."""
    predictor = visionport.load(path)
    try:
        predictor.predict(PICTURE, min_score=0.0)
        predictor.draw(PICTURE, min_score=0.0)
    finally:
        predictor.close()
