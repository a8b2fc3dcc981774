"""TensorFlow.js's model.json and the weights beside it, as commands read them before Node sees them."""

import json
import random
from pathlib import Path
from typing import Any

from fuzzing import mutated
from telling import READING, TOLD, read_told

from visionport.filetypes import kind_of_file
from visionport.formats import format_of
from visionport.inspection.inspect import kind_of
from visionport.inspection.tfjs import describe, render
from visionport.tfjs import contents

SUFFIX = ".json"
FORMAT = format_of("tfjs")
SHARDS = {"w.bin": bytes(range(32)), "more/v.bin": bytes(6)}  # beside every input
SUPPRESSED = TOLD | {"suppression": None, "first_label": 1}


def end(name: str, *sides: int) -> dict[str, Any]:
    dims = [{"size": str(side)} for side in sides]
    return {name: {"name": f"{name}:0", "dtype": "DT_FLOAT", "tensorShape": {"dim": dims}}}


def seed(**changes: Any) -> bytes:
    sized = {"dtype": "uint8", "original_dtype": "float32", "scale": 0.5, "min": -1.0}
    weights = [
        {"name": "w", "shape": [2, 4], "dtype": "float32"},
        {"name": "v", "shape": [6], "dtype": "float32", "quantization": sized},
    ]
    nodes = [
        {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_FLOAT"}}},
        {"name": "w", "op": "Const", "attr": {"dtype": {"type": "DT_FLOAT"}}},
        {"name": "v", "op": "Const"},
        {"name": "y", "op": "MatMul", "input": ["x", "w"], "attr": {"transpose_b": {"b": True}}},
    ]
    content = {
        "format": "graph-model",
        "generatedBy": "visionport",
        "signature": {"inputs": end("x", -1, 4), "outputs": end("y", -1, 2)},
        "userDefinedMetadata": {"visionport": SUPPRESSED},
        "modelTopology": {"node": nodes, "versions": {"producer": 1}},
        "weightsManifest": [{"paths": [*SHARDS], "weights": weights}],
    }
    return json.dumps(content | changes).encode()


SEEDS = (
    seed(),
    seed(signature=None, userDefinedMetadata={"signature": {"inputs": end("x"), "outputs": {}}}),
    seed(weightsManifest=[{"paths": ["w.bin"], "weights": [{"name": "w", "shape": [8], "dtype": "float32"}]}]),
    seed(format="layers-model", modelTopology={"model_config": {"layers": []}}),
)
ODD = [None, True, -1, 0, 1 << 31, 1 << 70, 0.5, 1e300, "", "x", "../w.bin", "/etc/passwd", "w.bin", [], {}, [[]], [0]]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Mostly still JSON: values of it replaced, left out or doubled."""
    try:
        content = json.loads(data)
    except ValueError:
        content = None
    if content is None or rng.random() < 0.2:
        return mutated(data, rng, SEEDS)
    for _ in range(rng.choice((1, 1, 2, 4))):
        change(content, rng)
    return json.dumps(content).encode()


def change(content: Any, rng: random.Random) -> None:
    """One value somewhere in lists and mappings."""
    inner = [content]
    for value in inner:
        inner += [
            v for v in (value.values() if isinstance(value, dict) else value) if isinstance(v, (dict, list)) and v
        ]
    place = rng.choice(inner)
    key = rng.choice([*place] if isinstance(place, dict) else range(len(place)))
    kind = rng.randrange(6)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, list):
        place.insert(key, place[key])
    elif kind == 2:
        other = rng.choice(inner)
        place[key] = json.loads(
            json.dumps(rng.choice([other, *(other.values() if isinstance(other, dict) else other)]))
        )
    else:
        place[key] = rng.choice(ODD)


def read(path: Path) -> None:
    for name, data in SHARDS.items():
        shard = path.parent / name
        if not shard.exists():
            shard.parent.mkdir(exist_ok=True)
            shard.write_bytes(data)
    kind_of(path)
    kind_of_file(path)
    FORMAT.recognises(path)
    contents.is_tfjs(path)
    read_told(FORMAT, path)
    render(describe(path))
    FORMAT.size(path)
    FORMAT.signatures(path, READING)
    FORMAT.check_foreign(path)
