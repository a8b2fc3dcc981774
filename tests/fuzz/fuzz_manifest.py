"""Manifests of exports: all that is made of one before an artifact is opened."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visionport import manifest
from visionport.errors import InputError
from visionport.inputs import preprocessing, side_inputs
from visionport.prediction import artifacts_at, choose_artifact, read_labels
from visionport.reverify import options_of, same
from visionport.staging import is_export, strangers
from visionport.tasks import task_of

SUFFIX = ".json"
TENSOR = {"name": "input_tensor", "dtype": "uint8", "shape": [-1, -1, -1, 3]}
READING = {
    "input": "input_tensor",
    "type": "image_tensor",
    "source": "image_tensor",
    "signature": "serving_default",
    "answers": {"classes_from": 1, "boxes": "picture", "drops_empty": True},
    "outputs": ["detection_boxes"],
    "probes": [],
    "dtypes": {"detection_boxes": "float32"},
}
CONTENT = {
    "visionport": "0.1.0",
    "tensorflow": "2.21.0",
    "options": {
        "tflite_nms": None,
        "max_detections": 10,
        "quantize": "none",
        "quantize_exclude": [],
        "config": "training",
        "checkpoint": "training",
        "params_override": ["a=1"],
        "formats": ["saved_model", "tflite"],
        "inputs": ["image_tensor"],
        "image_size": [192, 192],
        "batch": None,
        "score_threshold": 0.5,
        "freeze": [".*"],
        "verify": True,
    },
    "inputs": {"pipeline.config": {"size": 3697, "sha256": "0aa30762"}},
    "model": {"architecture": "ssd", "task": "detection", "api": "tf2", "num_classes": 10, "label_id_offset": 1},
    "side_inputs": [{"name": "context", "dtype": "float32", "shape": [None, 20, 7]}],
    "preprocessing": {
        "resizer": "KeepAspectRatio",
        "min_dimension": 100,
        "max_dimension": 192,
        "pad_to_max": True,
        "pad_value": [0, 0, 0.5],
        "method": "bilinear",
        "mean": [127.5, 127.5, 127.5],
        "std": [127.5, 127.5, 127.5],
        "bgr": False,
    },
    "artifacts": [
        {"format": "saved_model", "path": "saved_model", "reading": READING, "signatures": []},
        {
            "format": "tflite",
            "path": "input",
            "reading": READING | {"type": "preprocessed"},
            "signatures": [{"name": "serving_default", "inputs": [TENSOR], "outputs": [TENSOR]}],
        },
    ],
    "files": {"input": {"size": 2, "sha256": "00"}, "saved_model/saved_model.pb": {"size": 17, "sha256": "11"}},
}
SEEDS = (
    json.dumps(CONTENT, indent=1).encode(),
    json.dumps({**CONTENT, "preprocessing": {"resizer": "Identity", "mean": [0, 0, 0], "std": [1, 1, 1]}}).encode(),
    b'{"visionport": "0"}',
    b"[" * 10_000 + b"]" * 10_000,
    b'{"visionport": "0", "visionport": "1"}',
)
ODD: tuple[Any, ...] = (None, True, 0, -1, 1, 2**31, 2**53, 10**30, 0.5, -0.0, 1e308, "", "x", "..", "/", "a/../..")
ODD += (
    "\0",
    "\udcff",
    "\ud800",
    "answers",
    "saved_model",
    [],
    [None],
    [1, 2, 3],
    [[]],
    {},
    {"": None},
    {"x": {"size": 1}},
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Values, names and whole parts of the JSON changed; now and then the bytes themselves."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = {}
    if rng.random() < 0.2 or not isinstance(content, dict):
        at, length = rng.randrange(len(data) + 1), rng.choice((0, 1, 5, 100))
        return (
            data[:at]
            + rng.choice((b"", b"\xff", b'"', b"9" * 5000, b"NaN", b"{", rng.randbytes(4)))
            + data[at + length :]
        )
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = [*places_of(content)]
        if not places:
            break
        change(*rng.choice(places), rng, places)
    return json.dumps(content).encode()


def places_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each (object or list, name or index in it)."""
    names = [*value] if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from places_of(value[name])


def change(inside: Any, name: Any, rng: random.Random, places: list[tuple[Any, Any]]) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        del inside[name]
    elif kind == 1 and isinstance(inside, dict):
        inside[rng.choice(("path", "x", "", name.upper()))] = copy.deepcopy(inside[name])
    elif kind == 2:
        other, its = rng.choice(places)
        inside[name] = copy.deepcopy(other[its])
    else:
        inside[name] = copy.deepcopy(rng.choice(ODD))


def read(path: Path) -> None:
    folder = path.parent
    path.rename(folder / manifest.MANIFEST)
    (folder / "input").write_bytes(b"{}")
    if is_export(folder):
        strangers(folder)
    content = manifest.read(folder)
    task_of(content["model"].get("task", "detection"))
    preprocessing.parse(content["preprocessing"])
    side_inputs.nothing(side_inputs.of(content))
    options_of(folder, content, None)
    read_labels(folder)
    if not content["artifacts"]:
        raise InputError("nothing was exported.")
    choose_artifact(folder, folder, content, None)
    artifacts_at(folder / "input", folder, content)
    for name, record in content["files"].items():
        same(folder, name, record)
