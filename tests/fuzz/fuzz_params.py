"""Official Vision's params.yaml and what is laid over an experiment, read into a config."""

from pathlib import Path

from visionport.config import read_config
from visionport.config.official.read import read as read_experiment
from visionport.config.official.schema import experiments

SUFFIX = ".yaml"
CLASSES = {
    "retinanet": "{task: {model: {num_classes: 10}}}",
    "semantic_segmentation": "{task: {model: {num_classes: 10}}}",
    "video_classification": "{task: {train_data: {num_classes: 9}, validation_data: {num_classes: 9}}}",
}
SEEDS = [read_experiment(name, (), CLASSES.get(name, "")).text.encode() for name in experiments()]


def read(path: Path) -> None:
    read_config(path)
