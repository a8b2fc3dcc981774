"""Inputs of a model besides the image, as Context R-CNN's: what they are, as a user asks for them, what feeds them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.config import SideInput
from visionport.errors import InputError, OptionError, nearest
from visionport.inputs.arrays import read_arrays

# What people write -> the dtype; the old scripts' words among them.
DTYPES = dict.fromkeys(("float32", "float", "tf.float32"), "float32") | dict.fromkeys(
    ("int32", "int", "integer", "tf.int32"), "int32"
)
UNKNOWN = ("-1", "?", "None")
FREE = 16  # what an axis of any size gets where we choose


def parse(text: str) -> SideInput:
    """`name:dtype:shape`, such as context_features:float32:1,2000,2057; -1 for any size."""
    parts = text.split(":")
    if len(parts) != 3 or not parts[0]:
        raise OptionError(f"--side-input {text!r}: name:dtype:shape, such as context_features:float32:1,2000,2057.")
    name, dtype, sizes = (p.strip() for p in parts)
    if dtype not in DTYPES:
        raise OptionError(f"--side-input {text!r}: the dtype is float32 or int32, not {dtype!r}.")
    try:
        shape = tuple(None if s.strip() in UNKNOWN else int(s) for s in sizes.strip("[]").split(",") if s.strip())
    except ValueError:
        raise OptionError(f"--side-input {text!r}: the shape is numbers such as 1,2000,2057, -1 for any.") from None
    if any(d is not None and d < 1 for d in shape):
        raise OptionError(f"--side-input {text!r}: sizes are from 1, or -1 for any.")
    return SideInput(name=name, dtype=DTYPES[dtype], shape=shape)


def choose(default: Sequence[SideInput], asked: Sequence[SideInput], batch: int | None) -> tuple[SideInput, ...]:
    """A model's own side inputs, in shapes that the user asked for. Raises OptionError for what does not fit them."""
    known = {i.name: i for i in default}
    for given in asked:
        if not known:
            raise OptionError(f"--side-input {given.name}: this model takes the image alone. Leave it out.")
        if given.name not in known:
            raise OptionError(
                f"--side-input {given.name} is unknown{nearest(given.name, known)}. The model's: {', '.join(known)}."
            )
        own = known[given.name]
        if (given.dtype, len(given.shape)) != (own.dtype, len(own.shape)):
            raise OptionError(f"--side-input {given.name}: the model takes {in_words(own)}, not {in_words(given)}.")
        if given.shape[0] not in (None, 1, batch):
            raise OptionError(f"--side-input {given.name}: {given.shape[0]} in a batch, but --batch is {batch}.")
        known[given.name] = given
    return tuple(dataclasses.replace(i, shape=(i.shape[0] or batch, *i.shape[1:])) for i in known.values())


def in_words(i: SideInput) -> str:
    return f"{i.dtype} [{', '.join('any' if d is None else str(d) for d in i.shape)}]"


def of(manifest: Mapping[str, Any] | None) -> tuple[SideInput, ...]:
    """The side inputs of the artifacts that a manifest describes."""
    found = (manifest or {}).get("side_inputs", ())
    return tuple(SideInput(name=i["name"], dtype=i["dtype"], shape=tuple(i["shape"])) for i in found)


def nothing(inputs: Sequence[SideInput]) -> dict[str, np.ndarray]:
    """Zeros: no context."""
    return {i.name: np.zeros([d or 1 for d in i.shape], i.dtype) for i in inputs}


def snippet(i: SideInput) -> str:
    """The line of Python that makes such zeros."""
    return f"{i.name} = np.zeros({[d or 1 for d in i.shape]}, np.{i.dtype})  # zeros: no context"


def example(inputs: Sequence[SideInput]) -> dict[str, np.ndarray]:
    """What to verify with: features of a fixed seed, of which the first half counts."""
    random = np.random.Generator(np.random.PCG64(5))
    values, held = {}, FREE
    for i in inputs:
        shape = (i.shape[0] or 1, *(d or FREE for d in i.shape[1:]))
        if i.dtype == "float32":
            values[i.name] = np.maximum(random.standard_normal(shape), 0).astype(np.float32)
            held = shape[1]
        else:
            values[i.name] = np.full(shape, max(1, held // 2), i.dtype)
    return values


def read(path: Path, inputs: Sequence[SideInput]) -> dict[str, np.ndarray]:
    """The arrays of an .npz by the inputs' names, with or without the axis of the batch. Raises InputError."""
    if not inputs:
        raise InputError(f"{path}: this model takes the image alone, no side inputs.")
    try:
        found = read_arrays(path)
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read as an .npz of arrays: {e}.") from None
    wanted = [i.name for i in inputs]
    if set(found) != set(wanted):
        raise InputError(f"{path} holds {', '.join(found) or 'nothing'}; the model takes {', '.join(wanted)}.")
    return {i.name: _fitted(path, i, found[i.name]) for i in inputs}


def _fitted(path: Path, i: SideInput, value: np.ndarray) -> np.ndarray:
    value = value[None] if value.ndim == len(i.shape) - 1 else value
    fits = value.ndim == len(i.shape) and all(w in (None, d) for w, d in zip(i.shape, value.shape, strict=True))
    if not fits or value.dtype.kind not in "iuf":
        raise InputError(f"{path}: {i.name} is {value.dtype} {list(value.shape)}; the model takes {in_words(i)}.")
    return value.astype(i.dtype)
