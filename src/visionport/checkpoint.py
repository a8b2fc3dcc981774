"""TF1 (names) and TF2 (object graph) checkpoints as one lazy mapping: nothing is read before it is asked for.

A checkpoint `x/ckpt-5` is an index, `x/ckpt-5.index` (names, shapes, dtypes), and shards of data,
`x/ckpt-5.data-00000-of-00001` (values); the V1 format is one file, `x/ckpt-5`, or shards. The index alone is enough to
open it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from visionport import checkpoint_files as files
from visionport.errors import CheckpointError, nearest

Kind = Literal["tf1", "tf2", "named"]  # named: a SavedModel of ours, see tuned.py
Group = Literal["model", "slot", "average", "step"]

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/"


def open_checkpoint(path: str | os.PathLike) -> "Checkpoint":
    """The checkpoint at `path`: a prefix, a directory, or an .index, .data-*, .meta or `checkpoint` file.

    Reads the index only. A directory gives the checkpoint that its `checkpoint` file names, else its newest one;
    `Checkpoint.warnings` says which and why.
    """
    prefix, warnings = _locate(path)
    reader = _open_reader(prefix)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    entries = {name: _entry(name, shapes[name], dtypes[name]) for name in sorted(shapes) if name != OBJECT_GRAPH}
    problem = files.data_problem(prefix, entries.values())
    from visionport.tuned import wrapped

    found = Checkpoint(
        prefix=prefix,
        kind="tf2" if OBJECT_GRAPH in shapes or any(name.endswith(VALUE) for name in shapes) else "tf1",
        entries=MappingProxyType(entries),
        warnings=(*warnings, problem) if problem else tuple(warnings),
        data_problem=problem,
        _reader=reader,
        _has_graph=OBJECT_GRAPH in shapes,
    )
    return wrapped(found)


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
        for path in ("global_step", "step", "optimizer/iter", "optimizer/_iterations"):
            key = self.key_of(path) if self.complete else None
            if key and not self.entries[key].shape:
                return int(self[key])
        return None

    def key_of(self, path: str) -> str | None:
        """The key that holds the variable at the object path `path` ("model/_box_predictor/.../gamma"), or None.

        Several paths can lead to one variable, and which of them became its key is the writer's choice: so the
        object graph is walked from its root. Without data there is no graph, and the key must be the path itself.
        Slots go by their variable's path: "model/.../gamma/.OPTIMIZER_SLOT/optimizer/momentum".
        """
        if self.kind == "tf1":
            return path if path in self.entries else None
        variable, slot, name = path.removesuffix(VALUE).partition(SLOT)
        node, value = self._graph[0] if self._graph else ({}, None)
        for local_name in variable.split("/"):
            node, value = self._graph[node[local_name]] if local_name in node else ({}, None)
        key = (value or variable).removesuffix(VALUE) + slot + name + VALUE
        return key if key in self.entries else None

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

    def object_graph(self) -> bytes | None:
        """The serialized TrackableObjectGraph of a TF2 checkpoint; None without one, or without data."""
        return self._read(OBJECT_GRAPH) if self._has_graph and self.complete else None

    @cached_property
    def _graph(self) -> list[tuple[dict[str, int], str | None]]:
        """For each node of the object graph its children by local name, and the key of its value."""
        serialized = self.object_graph()
        if serialized is None:
            return []
        from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

        # Names are escaped as in keys: tensorflow/python/checkpoint/trackable_view and util.
        return [
            (
                {child.local_name.replace(".", "..").replace("/", ".S"): child.node_id for child in node.children},
                next((a.checkpoint_key for a in node.attributes if a.name == "VARIABLE_VALUE"), None),
            )
            for node in TrackableObjectGraph.FromString(serialized).nodes
        ]

    def _read(self, key: str):
        import tensorflow as tf

        if self.data_problem:
            raise CheckpointError(f"{self.prefix}: cannot read {key!r}. {self.data_problem}")
        try:
            return self._reader.get_tensor(key)
        except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
            problem = f"its data is damaged ({_one_line(error)}). {files.AGAIN}"
            raise CheckpointError(f"{self.prefix}: cannot read {key!r}, {problem}") from error


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


# Finding the checkpoint

_NUMBERED = re.compile(r"ckpt-(\d+)$")

_NOT_CHECKPOINTS = {
    (".pb", ".pbtxt"): "a graph: give the checkpoint that it was made from, or take `visionport freeze`.",
    (".config", ".yaml"): "a config, not a checkpoint: give it as --config.",
    (".h5", ".keras"): "a Keras file: load it in Keras and save a checkpoint with `tf.train.Checkpoint`.",
    (".gz", ".tgz", ".tar", ".zip"): "an archive: unpack it, then give the checkpoint inside.",
    (".tflite", ".onnx"): "an exported model, not a checkpoint: give the checkpoint that it was made from.",
}


def _locate(given: str | os.PathLike) -> tuple[Path, list[str]]:
    """The prefix of the checkpoint that is meant, and what to say about the choice."""
    path = Path(given).expanduser()
    if path.name == "checkpoint" and path.is_file():
        path = path.parent
    if (path / "saved_model.pb").is_file() and files.index(path / "variables" / "variables").is_file():
        path = path / "variables" / "variables"
    if path.is_dir():
        if not files.index(path).is_file() or os.fspath(given).endswith(("/", os.sep)):
            return _in_folder(path)
        return path, [f"{path} is a directory and also a checkpoint's prefix: took {path}.index, not {path}/"]
    for suffixes, what in _NOT_CHECKPOINTS.items():
        if path.is_file() and path.suffix in suffixes:
            raise CheckpointError(f"{path} is {what}")
    prefix = files.prefix_of(path)
    if files.exists(prefix):
        return prefix, []
    if path.is_file() or files.shards(prefix):
        raise CheckpointError(
            f"{path}: there is no {prefix.name}.index beside it, without which a checkpoint cannot be read. "
            f"Copy {prefix.name}.index and {prefix.name}.data-* together from where it was trained."
        )
    raise _missing(path)


def _in_folder(folder: Path) -> tuple[Path, list[str]]:
    prefix, reason = _from_state(folder)
    if prefix:
        return prefix, [reason] if reason else []
    found = files.prefixes(folder)
    if found:
        best = max(map(_rank, found))
        newest = [prefix for prefix in found if _rank(prefix) == best]
        if len(newest) > 1:
            names = ", ".join(prefix.name for prefix in newest)
            raise CheckpointError(f"{reason}, and nothing says which of {names} is meant. Give one: {newest[0]}")
        why = "the only one there" if len(found) == 1 else f"the newest{' complete' if best[0] else ''} of {len(found)}"
        return newest[0], [f"{reason}: took {newest[0].name}, {why}"]
    if (folder / "checkpoint").is_dir():
        prefix, warnings = _in_folder(folder / "checkpoint")
        return prefix, [f"{folder} has no checkpoint itself: took {prefix}", *warnings]
    raise _no_checkpoint(folder)


def _from_state(folder: Path) -> tuple[Path | None, str]:
    """The checkpoint that the folder's `checkpoint` file names, if it is there, and what the user should know."""
    state = folder / "checkpoint"
    if not state.is_file():
        return None, f"{folder} has no `checkpoint` file"
    if files.is_lfs_pointer(state):
        return None, f"{state} is a Git LFS pointer (`git lfs pull` gets the file)"
    from google.protobuf import text_format
    from tensorflow.python.training.checkpoint_state_pb2 import CheckpointState

    try:
        named = text_format.Parse(state.read_text("utf-8"), CheckpointState()).model_checkpoint_path
    except (text_format.ParseError, UnicodeDecodeError):
        named = ""
    if not named:
        return None, f"{state} names no checkpoint"
    stated = files.prefix_of(folder / named)  # as TensorFlow reads it: an absolute path stays as it is
    beside = files.prefix_of(folder / PureWindowsPath(named).name)  # takes both kinds of slash
    order = (beside, stated) if Path(named).is_absolute() else (stated, beside)
    prefix = next(filter(files.exists, order), None)
    if not prefix:
        return None, f"{state} names {named}, which is not there"
    surprising = prefix != order[0] or (files.exists(stated) and stated.resolve() != prefix.resolve())
    return prefix, f"{state} names {named}: took {prefix}" if surprising else ""


def _rank(prefix: Path) -> tuple[bool, int, int]:
    """Orders checkpoints of a folder: complete, then numbered, then model.ckpt, then any."""
    complete = not (files.is_lfs_pointer(files.index(prefix)) or files.data_problem(prefix))
    number = _NUMBERED.search(prefix.name)
    return (complete, 2, int(number[1])) if number else (complete, int(bool(files.V1_NAME.fullmatch(prefix.name))), 0)


def _missing(path: Path) -> CheckpointError:
    name, folder = path.name, path.parent
    while not folder.is_dir():
        name, folder = folder.name, folder.parent
    near = nearest(files.PART.sub("", name), {files.PART.sub("", p.name) for p in folder.iterdir()})
    return CheckpointError(
        f"{path}: no such checkpoint. {folder.resolve()} has no {name!r}{near}. "
        "Give a prefix such as DIR/ckpt-5, its .index file, or the directory."
    )


def _no_checkpoint(folder: Path) -> CheckpointError:
    where = f"{folder}: no checkpoint in this directory"
    names = sorted(path.name for path in folder.iterdir())
    shards = [name for name in names if files.PART.search(name)]
    inside = sorted({path.parent for path in folder.glob("*/*.index")})
    if shards:
        index = files.PART.sub(".index", shards[0])
        return CheckpointError(f"{where}: {shards[0]} is there without {index}. Copy {index} beside it.")
    if {"saved_model", "saved_model.pb", "frozen_inference_graph.pb"} & set(names):
        what = "give the checkpoint that it was made from, or take `visionport freeze`."
        return CheckpointError(f"{where}, which is an exported model: {what}")
    if inside:
        return CheckpointError(f"{where}, but in its folders: give one of {', '.join(map(str, inside[:5]))}")
    holds = f"it holds {', '.join(names[:5])}" if names else "it is empty"
    return CheckpointError(f"{where} ({holds}). It should hold files such as ckpt-5.index and ckpt-5.data-*.")


# Reading


def _open_reader(prefix: Path):
    """TensorFlow's reader of the index (V1: of the file)."""
    import tensorflow as tf

    given = files.for_reader(prefix)
    try:
        return tf.compat.v1.train.NewCheckpointReader(given)
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        file = files.all_of(prefix)[0]
        raise CheckpointError(f"{file} is damaged, or no checkpoint ({_one_line(error)}). {files.AGAIN}") from error


def _entry(name: str, shape: list[int], dtype) -> Entry:
    size = 0 if np.dtype(dtype.as_numpy_dtype).hasobject else dtype.size
    return Entry(name, tuple(shape), dtype.base_dtype.name, size * int(np.prod(shape, dtype=np.int64)))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
