"""A SavedModel of ours, trained further or not, as a checkpoint: its variables, and the constants in its graph.

Its variables carry the canonical names, so no table of object paths is needed to read them back.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from visionport.checkpoint import dtypes, files
from visionport.checkpoint.bundle import shape_problem
from visionport.checkpoint.params import FROZEN
from visionport.checkpoint.read import VALUE, Checkpoint, Entry
from visionport.checkpoint.schema import DecodeError, message_class
from visionport.checkpoint.tensors import constant

HINT = (
    "Weights that were frozen are not among a model's variables: after training call "
    "tf.saved_model.save(model, DIR, signatures=model.signatures), and give DIR as --checkpoint."
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Tuned(Checkpoint):
    """A checkpoint by canonical names. keys: name -> the stored checkpoint's key; constants: name -> Tensor message."""

    stored: Checkpoint
    keys: Mapping[str, str]
    constants: Mapping[str, Any]

    def key_of(self, path: str) -> str | None:
        return path if path in self.entries else None

    def classify(self, key: str):
        return "model"

    def object_graph(self) -> None:
        return None

    @cached_property
    def step(self) -> None:
        return None

    def __getitem__(self, key: str) -> np.ndarray:
        if key in self.keys:
            return self.stored[self.keys[key]]
        try:
            return constant(self.constants[key])
        except ValueError as error:
            raise files.damaged(self.beside[0], f"{files.shown(key)}: {error}") from None


def wrapped(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint as it is; by canonical names where they are what it was written by."""
    keys = named(checkpoint)
    if not keys:
        return checkpoint
    graph = graph_of(checkpoint)
    found = constants_of(graph) if graph else {}
    constants = {name: tensor for name, tensor in found.items() if name not in keys}
    entries = {n: checkpoint.entries[k] for n, k in keys.items()}
    entries |= {n: entry(graph, n, t) for n, t in constants.items() if graph}
    same = {f.name: getattr(checkpoint, f.name) for f in fields(Checkpoint)}
    same |= {"kind": "named", "entries": MappingProxyType(dict(sorted(entries.items()))), "_has_graph": False}
    same |= {"hint": "" if constants else HINT, "beside": (graph,) if graph else ()}
    return Tuned(stored=checkpoint, keys=keys, constants=constants, **same)


def graph_of(checkpoint: Checkpoint) -> Path | None:
    """The saved_model.pb that a checkpoint is of."""
    graph = checkpoint.prefix.parent.parent / "saved_model.pb"
    return graph if checkpoint.prefix.parent.name == "variables" and graph.is_file() else None


def foreign(checkpoint: Checkpoint) -> bool:
    """Is it a TF2 SavedModel's, and not one of ours?"""
    return checkpoint.kind == "tf2" and graph_of(checkpoint) is not None


def named(checkpoint: Checkpoint) -> dict[str, str]:
    """Canonical name -> key, of variables that are the root's own, or those of one of its children."""
    nodes = checkpoint._graph if checkpoint.kind == "tf2" else []
    for number in (0, *nodes[0][0].values()) if nodes else ():
        below = {plain(name): nodes[child][1] for name, child in nodes[number][0].items()}
        found = {name: key for name, key in below.items() if key in checkpoint.entries and key and "/" in name}
        if found:
            return found
    return {}


def plain(name: str) -> str:
    """A name in an object graph, of which a key has "/" as ".S" and "." as ".."."""
    return re.sub(r"\.([.S])", lambda found: "/" if found[1] == "S" else ".", name)


def constants_of(path: Path) -> dict[str, Any]:
    """Name -> Tensor message, of the frozen weights in the functions of a saved_model.pb."""
    with files.opened(path) as file:
        content = file.read()
    try:
        saved = message_class("SavedModel").FromString(content)
    except DecodeError:
        return {}
    functions = [f for meta in saved.meta_graphs for f in meta.graph_def.library.function]
    nodes = [n for f in functions for n in f.node_def if n.op == "Const" and n.name.startswith(FROZEN)]
    return {n.name.removeprefix(FROZEN): n.attr["value"].tensor for n in nodes if n.attr["value"].HasField("tensor")}


def entry(path: Path, name: str, tensor) -> Entry:
    shape, dtype = tuple(d.size for d in tensor.tensor_shape.dim), dtypes.NAMES.get(tensor.dtype)
    problem = shape_problem(shape, dtype) if dtype else f"its type, {tensor.dtype}, is none that is known"
    if problem:
        raise files.damaged(path, f"{files.shown(name)}: {problem}")
    return Entry(name, shape, str(dtype), math.prod(shape) * dtypes.item_size(str(dtype)))


def object_graph(paths) -> bytes:
    """A serialized TrackableObjectGraph with a variable at each of the object paths (as in keys)."""
    graph = message_class("TrackableObjectGraph")()
    graph.nodes.add()
    numbers = {"": 0}
    for path in sorted(paths):
        here = ""
        for name in path.split("/"):
            above, here = here, f"{here}/{name}" if here else name
            if here not in numbers:
                numbers[here] = len(graph.nodes)
                graph.nodes.add()
                graph.nodes[numbers[above]].children.add(node_id=numbers[here], local_name=plain(name))
        graph.nodes[numbers[path]].attributes.add(name="VARIABLE_VALUE", full_name=path, checkpoint_key=path + VALUE)
    return graph.SerializeToString(deterministic=True)
