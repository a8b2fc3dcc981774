"""The Object Detection API's pipeline.config."""

from pathlib import Path

from places import TESTS

from visionport.config import read_config

SUFFIX = ".config"
MODELS = ("golden", "golden_options")
SEEDS = sorted(path for folder in MODELS for path in TESTS.glob(f"{folder}/*/pipeline.config"))


def read(path: Path) -> None:
    read_config(path)
