"""What a file says of how it is asked, as readers of ONNX, OpenVINO and TensorFlow.js files find it."""

from pathlib import Path
from typing import Any

from visionport import manifest
from visionport.formats.base import Format, Reading

READING = Reading(input="x", type="preprocessed")
TOLD: dict[str, Any] = {
    "model": {"architecture": "ssd", "task": "detection", "api": "tf2", "num_classes": 2, "label_id_offset": 1},
    "preprocessing": {"resizer": "FixedShape", "height": 8, "width": 8, "mean": [0, 0, 0], "std": [1, 1, 1]},
    "reading": {"input": "x", "type": "preprocessed", "outputs": ["y"]},
    "side_inputs": [],
    "labels": ["one", "two"],
}


def read_told(fmt: Format, path: Path) -> None:
    told = fmt.told(path)
    if told is not None:
        manifest.check_told(told)
