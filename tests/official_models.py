"""TF Official Vision by the reference's own data: configs of experiments, variants and stored cases, their checkpoints.

In ../shared/golden/vision a folder a stored case, and in names/ the names and shapes of every experiment and variant.
"""

import functools
import importlib.util
import json
import lzma
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

from places import SHARED, TESTS

from visionport.checkpoint.names import locator
from visionport.checkpoint.params import Params
from visionport.checkpoint.read import OBJECT_GRAPH, Checkpoint, Entry
from visionport.config import Config, read_config

VISION = SHARED / "golden" / "vision"
NAMES = VISION / "names"


# Experiments, and variants of them, by their label


@cache
def variants() -> dict:
    """{label: {experiment, override, input_image_size, names, params}}."""
    return packed_json("variants.json.xz")


@cache
def trainers() -> dict:
    """{experiment: {names, optimizer}} of a trainer's checkpoints; "ema" is resnet_imagenet's with averages."""
    return packed_json("trainer.json.xz")


def packed_json(name: str) -> dict:
    file = NAMES / name
    return json.loads(lzma.decompress(file.read_bytes())) if file.exists() else {}


def labels() -> list[str]:
    """All whose names are here."""
    return [*(file.stem for file in sorted(NAMES.glob("*.json")) if file.stem != "flops"), *sorted(variants())]


def config_of(label: str, *overrides: str) -> Config:
    """overrides: more of them."""
    variant = variants().get(label)
    if not variant:
        return read_config(experiment="resnet_imagenet" if label == "ema" else label, params_override=overrides)
    height, width = variant["input_image_size"][-2:]
    override = [variant["override"], *overrides]
    return read_config(experiment=variant["experiment"], params_override=override, image_size=(height, width))


def exported_checkpoint(label: str) -> Checkpoint:
    """An export's checkpoint without values."""
    if label in variants():
        return checkpoint_of(variants()[label]["names"], packed("variants.object_graph.tar.xz", label))
    return checkpoint_of(json.loads((NAMES / f"{label}.json").read_text()), exported_graph(label))


def trained_checkpoint(label: str, *, graph: bool = True) -> Checkpoint:
    """A trainer's checkpoint without values; without its object graph too, as where its data file is missing."""
    found = packed("trainer.object_graph.tar.xz", label)
    return checkpoint_of(trainers()[label]["names"], found, missing=None if graph else "missing")


def exported_graph(label: str) -> bytes:
    return lzma.decompress((NAMES / f"{label}.object_graph.pb.xz").read_bytes())


def packed(archive: str, label: str) -> bytes:
    with tarfile.open(NAMES / archive) as t:
        member = t.extractfile(f"{label}.pb")
        assert member
        return member.read()


def checkpoint_of(names, graph: bytes = b"", *, read: Callable | None = None, missing: str | None = None) -> Checkpoint:
    """names: (key, shape, dtype) of each entry; read: a value by its key; missing: what is the matter with the data."""

    def get_tensor(key):
        if key == OBJECT_GRAPH:
            return graph
        assert read, f"{key} has no value"
        return read(key)

    return Checkpoint(
        prefix=Path("ckpt-1"),
        kind="tf2",
        entries={key: Entry(key, tuple(shape), dtype, 4) for key, shape, dtype in names},
        warnings=(),
        data_problem=missing,
        _reader=SimpleNamespace(get_tensor=get_tensor),
        _has_graph=bool(graph),
    )


# Stored cases


def cases(beginning: str = "") -> list[Path]:
    return [meta.parent for meta in sorted(VISION.glob(f"{beginning}*/meta.json"))]


def meta_of(folder: Path) -> dict:
    return json.loads((folder / "meta.json").read_text())


def config_of_case(folder: Path) -> Config:
    """By its own params.yaml, of batch 1, as the reference exported it."""
    meta = meta_of(folder)
    height, width = meta["input_image_size"][-2:]
    file = folder / "params.yaml"
    return read_config(file, experiment=meta["experiment"], image_size=(height, width), batch=1)


def checkpoint_of_case(folder: Path) -> Checkpoint:
    """Its values are made by the rule of make_checkpoint.py when they are read."""
    rules = {entry["key"]: entry for entry in json.loads((folder / "variables.json").read_text())}
    names = [(key, rule["shape"], rule["dtype"]) for key, rule in rules.items()]
    graph = (folder / "object_graph.pb").read_bytes()
    return checkpoint_of(names, graph, read=lambda key: rule_of_values().value(rules[key]))


@functools.cache
def rule_of_values() -> ModuleType:
    """make_checkpoint.py"""
    spec = importlib.util.spec_from_file_location("make_checkpoint", TESTS / "golden" / "make_checkpoint.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Names and shapes alone


def fit(architecture, model, checkpoint, shape) -> Params:
    """Fits a model's dataclass to names and shapes, as models/build.py does a whole config; raises where they do not.

    shape: of its input, without the batch.
    """
    import tensorflow as tf

    locate = locator(architecture.names(model))
    params = Params(checkpoint, locate, known_unread=architecture.known_unread(model), dry=True)
    with tf.__internal__.FuncGraph("fit").as_default():
        scope, images = params.scope(), tf.raw_ops.Placeholder(dtype=tf.float32, shape=(None, *shape))
        architecture.postprocess(model, scope, architecture.predict(model, scope, images), images)
    params.check("names", "official")
    return params
