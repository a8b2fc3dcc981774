"""Weights by canonical name: looked up by a Scope, made into variables or constants, and accounted for.

A forward function asks for `s / "conv1"` and `s("weights", shape)`. Behind it a checkpoint's tensors become variables
(or constants, where frozen), one at a time and only when asked for. In a `dry` run only names and shapes are looked at.
What was missing, of a wrong shape or dtype, or never asked for is collected and raised as one table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from visionport.checkpoint import guess
from visionport.errors import CheckpointError, MismatchError, nearest

Shape = Sequence[int | None]
RANGES = ("_quant/min", "_quant/max")  # of fake quantisation
UNTRAINED = ("moving_mean", "moving_variance", *RANGES)
SMALL = 512  # values
MOST_NEAR = 40  # problems whose nearest names are looked for, which takes milliseconds each; tables show no more
FROZEN = "frozen/"  # before the names of constants' nodes, by which a SavedModel's are found again


class Tensors(Protocol):
    """What Params needs of a checkpoint."""

    @property
    def entries(self) -> Mapping[str, Any]: ...
    def __getitem__(self, key: str) -> Any: ...
    def key_of(self, path: str) -> str | None: ...
    def classify(self, key: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Problem:
    kind: Literal["missing", "unexpected", "wrong shape", "wrong dtype"]
    name: str  # canonical, or the checkpoint's key when unexpected
    wanted: str = ""
    found: str = ""
    near: str = ""


class Params:
    """The weights of one model.

    checkpoint: where they come from. locate: canonical name -> the path the checkpoint knows it by, or None.
    frozen: which weights, by name and number of values, become constants; the others are variables.
    known_unread: is this checkpoint key one that inference does not need?
    quantized: the network was trained with fake quantisation, see ops/nn.py: layer.
    dry: make no variable, only shapes (placeholders of the graph being traced).
    """

    def __init__(
        self,
        checkpoint: Tensors,
        locate: Callable[[str], str | None],
        *,
        frozen: Callable[[str, int], bool] = lambda name, size: False,
        known_unread: Callable[[str], bool] = lambda key: False,
        quantized: bool = False,
        dry: bool = False,
    ):
        self.checkpoint = checkpoint
        self.locate = locate
        self.frozen = frozen
        self.known_unread = known_unread
        self.quantized = quantized
        self.dry = dry
        self.variables: dict[str, Any] = {}  # canonical name -> tf.Variable, in the order of first use
        self.constants: dict[str, Any] = {}  # canonical name -> array
        self.keys: dict[str, str] = {}  # canonical name -> checkpoint key
        self.problems: list[Problem] = []
        self.spoilt: list[str] = []  # keys whose values are not all finite
        self.notes: list[str] = []  # what the user should know, found while the model was built
        self._new_variable: Any = None if dry else variable_class()
        self._graph: Any = None  # the graph being traced, and what was read in it
        self._values: dict[str, Any] = {}

    def scope(self, prefix: str = "") -> "Scope":
        return Scope(self, prefix)

    def get(self, name: str, shape: Shape):
        """The tensor of that name; `shape` says what is known of it, None where the weights decide."""
        import tensorflow as tf

        if name in self.variables or name in self.constants:
            return self._read(name)
        path = self.locate(name)
        key = self.checkpoint.key_of(path) if path else None
        if key is None:
            if name not in self.keys:
                self.keys[name] = ""
                near = self._near(path or name) if len(self.problems) < MOST_NEAR else ""
                self.problems.append(Problem(kind="missing", name=name, wanted=show(shape), near=near))
            return tf.raw_ops.Placeholder(dtype=tf.float32, shape=tf.TensorShape(list(shape)))
        entry = self.checkpoint.entries[key]
        seen, self.keys[name] = name in self.keys, key
        if not fits(entry.shape, shape):
            if not seen:
                self.problems.append(
                    Problem(kind="wrong shape", name=name, wanted=show(shape), found=f"{show(entry.shape)} {key}")
                )
            return tf.raw_ops.Placeholder(dtype=tf.float32, shape=tf.TensorShape(list(shape)))
        if entry.dtype != "float32" and not seen:
            self.problems.append(Problem(kind="wrong dtype", name=name, wanted="float32", found=f"{entry.dtype} {key}"))
        if self.dry or entry.dtype != "float32":
            return tf.raw_ops.Placeholder(dtype=tf.float32, shape=tf.TensorShape(list(entry.shape)))
        value = self.checkpoint[key]
        if not np.isfinite(value).all():
            self.spoilt.append(key)
        if self.frozen(name, value.size):
            self.constants[name] = value
            return self._read(name)
        with tf.init_scope():
            self.variables[name] = self._new_variable(value, trainable=not is_untrained(name), name=name)
        return self._read(name)

    def holds(self, name: str) -> bool:
        """Whether the checkpoint has a tensor of that name."""
        path = self.locate(name)
        return path is not None and self.checkpoint.key_of(path) is not None

    def _read(self, name: str):
        """A variable's value, or a constant; once in each graph."""
        import tensorflow as tf

        def read():
            if name in self.variables:
                return self.variables[name].value()
            return tf.constant(self.constants[name], name=FROZEN + name)

        if tf.executing_eagerly():
            return read()
        graph = tf.compat.v1.get_default_graph()
        if self._graph is not graph:
            self._graph, self._values = graph, {}
        if name not in self._values:
            self._values[name] = read()
        return self._values[name]

    def _near(self, name: str) -> str:
        return nearest(name, self.model_keys(), 1).removeprefix("; nearest: ")

    def model_keys(self) -> list[str]:
        """The checkpoint's keys that belong to the model: no slots, averages or counters."""
        return [k for k in self.checkpoint.entries if self.checkpoint.classify(k) == "model"]

    def check(self, path: str, architecture: str, hint: str = "", num_classes: int = 0) -> None:
        """Raises MismatchError, with the table, unless every tensor was found, fitted and read.

        Raises CheckpointError for weights that are not finite.

        hint: where missing tensors may be. num_classes: of the config.
        """
        # The names too: where a TF1 variable's average was read, the variable itself has been accounted for.
        read = {*self.keys, *self.keys.values()}
        unexpected = [
            Problem(kind="unexpected", name=k, found=show(self.checkpoint.entries[k].shape))
            for k in self.model_keys()
            if k not in read and not self.known_unread(k)
        ]
        problems = [*self.problems, *unexpected]
        if problems:
            found = [p.kind for p in problems]
            kinds = ("missing", "wrong shape", "wrong dtype", "unexpected")
            counts = [f"{found.count(k)} {k}" for k in kinds if k in found]
            hint = hint if hint and set(found) == {"missing"} else self._guess(problems, architecture, num_classes)
            if set(found) == {"wrong dtype"}:
                hint = "Cast these tensors to float32, and save the checkpoint again."
            ranges = {p.kind for p in problems if p.name.endswith(RANGES)}
            if ranges and all(p.name.endswith(RANGES) for p in problems):
                hint = self._quantization_hint(ranges)
            raise MismatchError(
                f"{path}: the checkpoint does not fit the config ({architecture}): {', '.join(counts)}. {hint}",
                problems,
            )

        if self.spoilt:
            raise CheckpointError(
                f"{path}: {len(self.spoilt)} tensors hold NaN or infinity, the first is {self.spoilt[0]}. Training "
                "diverged: take an earlier checkpoint."
            )

    def _guess(self, problems: Sequence[Problem], architecture: str, num_classes: int) -> str:
        """What the checkpoint may be instead."""
        classes = guess.other_classes(problems, num_classes)
        if classes is not None:
            return f"The checkpoint has {classes} classes, the config says {num_classes}."
        other = guess.architecture(self.checkpoint.entries)
        if other and not architecture.endswith(other.removeprefix("center_net ")):
            return f"By its names the checkpoint looks like {other}: give the config that it was trained with."
        return "Is it the config that this checkpoint was trained with (classes, depth multiplier, extractor)?"

    def _quantization_hint(self, ranges: set[str]) -> str:
        """ranges: the kinds of the problems, all of which are ranges of fake quantisation."""
        if not self.quantized:
            return "It is quantisation-aware: its config has graph_rewriter { quantization { } }."
        if ranges == {"missing"}:
            return "Was it trained with graph_rewriter? Take this out of the config if not."
        return "It has fake quantisation in places where this network takes none here."


class Scope:
    """A prefix of canonical names: `s / "conv1"` is a scope below, `s("weights", shape)` a tensor in it."""

    __slots__ = ("params", "prefix")

    def __init__(self, params: Params, prefix: str):
        self.params = params
        self.prefix = prefix

    def __truediv__(self, name: str) -> "Scope":
        return Scope(self.params, f"{self.prefix}/{name}" if self.prefix else name)

    def __call__(self, leaf: str, shape: Shape):
        return self.params.get(f"{self.prefix}/{leaf}", shape)

    def holds(self, leaf: str) -> bool:
        return self.params.holds(f"{self.prefix}/{leaf}")


def is_untrained(name: str) -> bool:
    """Is it a statistic of batch norm, or a range of fake quantisation?"""
    return name.endswith(UNTRAINED)


def is_small_statistic(name: str, size: int) -> bool:
    """Does a constant of it load in less time than a variable, and take little of a graph?"""
    return is_untrained(name) and size <= SMALL


def variable_class():
    """The class behind tf.Variable. Called itself it escapes tf.function, which would trace once more for variables."""
    import tensorflow as tf

    return type(tf.Variable(tf.zeros(())))


def fits(found: Sequence[int], wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(w is None or w == f for f, w in zip(found, wanted, strict=True))


def show(shape: Shape) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"
