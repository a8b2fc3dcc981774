"""TF1 (names) and TF2 (object graph) checkpoints as one lazy mapping: nothing is read before it is asked for.

A checkpoint `x/ckpt-5` is an index, `x/ckpt-5.index` (names, shapes, dtypes), and shards of data,
`x/ckpt-5.data-00000-of-00001` (values); the V1 format is one file, `x/ckpt-5`, or shards. The index alone is enough to
open it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from visionport.checkpoint import files, object_graph
from visionport.errors import CheckpointError

Kind = Literal["tf1", "tf2", "named"]  # named: a SavedModel of ours, see saved_model.py
Group = Literal["model", "slot", "average", "step"]

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/"


@dataclass(frozen=True)
class Entry:
    """What the index says of one tensor. `dtype` is TensorFlow's name for it; `nbytes` is 0 for strings."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Checkpoint(Mapping[str, np.ndarray]):
    """Every tensor by the checkpoint's own key; `checkpoint[key]` reads that tensor and nothing else."""

    prefix: Path
    kind: Kind
    entries: Mapping[str, Entry]
    warnings: tuple[str, ...]
    data_problem: str | None  # why values cannot be read (data missing, truncated, a Git LFS pointer)
    _reader: Any
    _has_graph: bool
    hint: str = ""  # where missing tensors may be
    beside: tuple[Path, ...] = ()  # files with values, besides the prefix's own

    # Mapping's own would read every tensor.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"<Checkpoint {self.prefix}: {self.kind}, {len(self)} tensors>"

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, key: object) -> bool:
        return key in self.entries

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self.entries:
            raise KeyError(key)
        return np.asarray(self._read(key))

    @property
    def paths(self) -> list[Path]:
        """The files that hold it."""
        return [*files.all_of(self.prefix), *self.beside]

    @property
    def complete(self) -> bool:
        """Whether all data is there, as far as names and sizes of files tell."""
        return self.data_problem is None

    @cached_property
    def step(self) -> int | None:
        """The training step, or None where the checkpoint or its missing data cannot tell."""
        # `global_step`: TF1 and Official Vision; `step`: OD API on TF2; the others: the optimizer's own count.
        paths = ("global_step", "step", "optimizer/iter", "optimizer/_iterations", "optimizer/ema_base_optimizer/iter")
        for path in paths:
            key = self.key_of(path) if self.complete else None
            if key and not self.entries[key].shape and self.entries[key].dtype in ("int32", "int64"):
                return int(self[key])
        return None

    def key_of(self, path: str) -> str | None:
        """The key that holds the variable at the object path `path` ("model/_box_predictor/.../gamma"), or None.

        Several paths can lead to one variable, and which of them became its key is the writer's choice: so the
        object graph is walked from its root. Without data there is no graph, and the key must be the path itself, or
        the one through the model's parts by which trainers of Official Vision save.
        Slots go by their variable's path: "model/.../gamma/.OPTIMIZER_SLOT/optimizer/momentum".
        """
        if self.kind == "tf1":
            return path if path in self.entries else None
        variable, slot, name = path.removesuffix(VALUE).partition(SLOT)
        node, value = self._graph[0] if self._graph else ({}, None)
        for local_name in variable.split("/"):
            node, value = self._graph[node[local_name]] if local_name in node else ({}, None)
        keys = [(value or variable).removesuffix(VALUE) + slot + name + VALUE]
        if not self._graph:
            keys.append(in_parts(variable) + slot + name + VALUE)
        return next((key for key in keys if key in self.entries), None)

    def classify(self, key: str) -> Group:
        """Whether `key` is a variable of the model, an optimizer slot, a moving average, or a step.

        "step" holds all that is neither of the others: counters, hyperparameters of optimizers, Keras's own notes.
        """
        return (_classify_tf1 if self.kind == "tf1" else _classify_tf2)(self.entries[key], self.entries)

    def groups(self) -> dict[Group, tuple[str, ...]]:
        """All keys, by `classify`."""
        found: dict[Group, list[str]] = {"model": [], "slot": [], "average": [], "step": []}
        for key in self.entries:
            found[self.classify(key)].append(key)
        return {group: tuple(keys) for group, keys in found.items()}

    def object_graph(self):
        """The TrackableObjectGraph of a TF2 checkpoint, a new one each time; None without one, or without data."""
        if not self._has_graph or not self.complete:
            return None
        try:
            return object_graph.parse(np.asarray(self._read(OBJECT_GRAPH), object).item(), self.entries, VALUE)
        except ValueError as error:
            problem = f"{self.prefix}: its object graph is damaged ({error}). {files.AGAIN}"
            raise CheckpointError(problem) from None

    @cached_property
    def _graph(self) -> list[tuple[dict[str, int], str | None]]:
        """For each node of the object graph its children by local name, and the key of its value."""
        graph = self.object_graph()
        return [
            (
                {escaped(child.local_name): child.node_id for child in node.children},
                next((a.checkpoint_key for a in node.attributes if a.name == "VARIABLE_VALUE"), None),
            )
            for node in (graph.nodes if graph else ())
        ]

    def _read(self, key: str):
        if self.data_problem:
            raise CheckpointError(f"{self.prefix}: cannot read {files.shown(key)}. {self.data_problem}")
        return self._reader.get_tensor(key)


# What a key is

# A TF1 optimizer names its slots after itself: X/RMSProp, X/RMSProp_1.
_TF1_SLOT = re.compile(
    r"(Momentum|RMSProp|AdamW?|AdaMax|Nadam|Adagrad|AdagradDA|ProximalAdagrad|Adadelta|Adafactor|Ftrl|LAMB\w*|LARS\w*)"
    r"(_\d+)?"
)
_TF1_STEP = re.compile(
    r"global_step|fake_quantization_step|learning_rate|(.*/)?beta[12]_power(_\d+)?"
    r"|.*quant/(min|max)/(biased|local_step)"  # debiases quantisation's moving averages
)


def _classify_tf1(entry: Entry, entries: Mapping[str, Entry]) -> Group:
    variable, _, last = entry.name.rpartition("/")
    of = entries.get(variable)  # a slot's variable is always beside it; a variable that is only named so has none
    if of and last == "ExponentialMovingAverage":
        return "average"
    if of and of.shape == entry.shape and _TF1_SLOT.fullmatch(last):
        return "slot"
    return "step" if not entry.shape and _TF1_STEP.fullmatch(entry.name) else "model"


def _classify_tf2(entry: Entry, entries: Mapping[str, Entry]) -> Group:
    if not entry.name.endswith(VALUE):
        return "step"
    path = entry.name.removesuffix(VALUE)
    if SLOT in path:
        return "average" if path.endswith("/average") else "slot"
    if path.startswith("optimizer/"):
        return "slot" if entry.shape else "step"
    return "step" if path in ("step", "global_step", "save_counter") else "model"


# Official Vision's trainer saves a model's parts beside the model; the shorter path becomes the key.
_PARTS = (
    (re.compile("model/layer_with_weights-0/"), "backbone/"),
    (re.compile(r"model/_config_dict/(\w+)/"), r"\1/0/"),  # the one head of a list of heads
    (re.compile(r"model/_?(backbone|decoder|\w*head)/"), r"\1/"),
)


def in_parts(path: str) -> str:
    """ "model/_head/conv/kernel" -> "head/conv/kernel"; what lies in none of the parts stays."""
    for inside, part in _PARTS:
        if found := inside.match(path):
            return found.expand(part) + path[found.end() :]
    return path


def escaped(name: str) -> str:
    """A name in the object graph as keys have it: tensorflow/python/checkpoint/trackable_view and util."""
    return name.replace(".", "..").replace("/", ".S")
