"""Artifact formats: one file each, found by its name.

NAME: the artifact's file or folder in an export directory.
check(model_config, options): raises early where the format cannot hold the model.
write(model, signatures, options, folder, progress) -> path: the artifact, in an export directory.
load(path, manifest) -> run: image uint8 [h, w, 3] -> answer, in the artifact's own runtime. Where the model has side
    inputs (side_inputs.py), run takes `side` too: {name: array}, zeros by default. Its boxes are as the artifact gives
    them, a TFLite file's of the image.
signatures(path) -> list of report.SignatureView-like tuples (name, inputs, outputs).
SNIPPET: how to load and run it, a format string of {path}.

An answer is a dict of numpy arrays: detection_boxes [m, 4] (clipped to the image), detection_scores [m],
detection_classes [m] (ids from 1), and raw heads where the artifact shows them; a TFLite file without the detection op
gives those alone.
"""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

HOMES = {"tflite": "tflite.ssd"}  # where the module is called otherwise


def format_module(name: str) -> ModuleType:
    return importlib.import_module(f"visionport.formats.{HOMES.get(name, name)}")


def load(name: str, path: Path, manifest: Mapping[str, Any]) -> Callable:
    """run(image) of an artifact of that format, its boxes always of the image."""
    from visionport.tasks.detection.answers import of_image

    run = format_module(name).load(path, manifest)
    return run if name == "tflite" else of_image(run, manifest)
