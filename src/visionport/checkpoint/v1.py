"""The V1 format, from before TensorFlow 1.0: tables that hold names, shapes and values alike, a table a device.

See https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/saved_tensor_slice.proto.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visionport import limits
from visionport.checkpoint import dtypes, files, slices
from visionport.checkpoint.bundle import shape_problem
from visionport.checkpoint.schema import DecodeError, message_class
from visionport.checkpoint.table import Table
from visionport.checkpoint.tensors import values_of
from visionport.errors import CheckpointError

META = b""  # its key
VERSION = 1  # of the format, versions.h: TF_CHECKPOINT_VERSION


@dataclass(frozen=True)
class Stored:
    """A tensor: its parts, mostly one that is all of it, and where each is."""

    dtype: str
    shape: tuple[int, ...]
    size: int = 0  # of its strings, which is not known before
    parts: dict[slices.Part, Table] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * dtypes.item_size(self.dtype)


class V1:
    """The checkpoint that is in these files. Raises CheckpointError for what cannot be right."""

    def __init__(self, prefix: Path, paths: Sequence[Path]):
        self.prefix = prefix
        self.stored: dict[str, Stored] = {}
        self.shards, self.needed = 0, {}  # of V2: there are no files of data
        for path in paths:
            table = Table(path)
            for tensor in self.meta_of(table).tensor:
                self.add(table, tensor)
        for name, stored in self.stored.items():
            if sum(slices.check_part(part, stored.shape) for part in stored.parts) != math.prod(stored.shape):
                raise files.damaged(paths[0], f"{files.shown(name)}: its parts do not make up the whole")

    def meta_of(self, table: Table):
        content = table.get(META)
        if content is None or len(content) > limits.CHECKPOINT_META:
            raise files.damaged(table.path, "it does not say what it holds")
        try:
            meta = message_class("SavedTensorSlices").FromString(content).meta
        except DecodeError:
            raise files.damaged(table.path, "it does not say what it holds") from None
        if meta.versions.min_consumer > VERSION or VERSION in meta.versions.bad_consumers:
            raise CheckpointError(
                f"{table.path} was written by a newer TensorFlow, in a format that visionport does not know (version "
                f"{meta.versions.producer}). Save it again by TensorFlow 2."
            )
        if len(meta.tensor) > limits.CHECKPOINT_TENSORS:
            raise files.damaged(table.path, f"it has more than {limits.CHECKPOINT_TENSORS:,} tensors")
        return meta

    def add(self, table: Table, tensor) -> None:
        def wrong(problem: str) -> CheckpointError:
            return files.damaged(table.path, f"{files.shown(tensor.name)}: {problem}")

        dtype = dtypes.NAMES.get(tensor.type)
        if dtype is None:
            raise wrong(f"its type, {tensor.type}, is none that is known")
        shape = tuple(dim.size for dim in tensor.shape.dim)
        if problem := shape_problem(shape, dtype, tensor.shape.unknown_rank):
            raise wrong(problem)
        stored = self.stored.setdefault(tensor.name, Stored(dtype, shape))
        if (stored.dtype, stored.shape) != (dtype, shape):
            raise wrong("it has another shape or type elsewhere")
        for message in tensor.slice:
            part = slices.part_of(message)
            try:
                slices.check_part(part, shape)
            except ValueError as error:
                raise wrong(str(error)) from None
            if part in stored.parts:
                raise wrong("a part of it is there twice")
            stored.parts[part] = table

    def get_tensor(self, name: str) -> np.ndarray:
        """The values of one tensor."""
        stored = self.stored[name]
        found = {part: self.read(name, part, stored) for part in stored.parts}
        if len(found) == 1:
            return next(iter(found.values())).reshape(stored.shape)
        whole, filled = np.empty(stored.shape, dtypes.numpy_dtype(stored.dtype)), np.zeros(stored.shape, bool)
        for part, values in found.items():
            place = slices.place_of(part)
            if filled[place].any():
                raise self.unreadable(name, "its parts overlap")
            whole[place] = values
            filled[place] = True
        return whole

    def read(self, name: str, part: slices.Part, stored: Stored) -> np.ndarray:
        content = stored.parts[part].get(slices.key_of(name, part))
        if content is None:
            raise self.unreadable(name, "its values are missing")
        shape = slices.size_of(part, stored.shape)
        if stored.dtype == "string" and (problem := dtypes.strings_problem(math.prod(shape), len(content))):
            raise self.unreadable(name, problem)
        try:
            data = message_class("SavedTensorSlices").FromString(content).data.data
            values = values_of(data, stored.dtype)
        except DecodeError:
            raise self.unreadable(name, "its values cannot be read") from None
        except ValueError as error:
            raise self.unreadable(name, str(error)) from None
        if len(values) != math.prod(shape):
            raise self.unreadable(name, f"it has {len(values):,} values for {math.prod(shape):,}")
        return values.reshape(shape)

    def unreadable(self, name: str, problem: str) -> CheckpointError:
        return CheckpointError(
            f"{self.prefix}: cannot read {files.shown(name)}, its data is damaged ({problem}). {files.AGAIN}"
        )
