"""A path becomes a Checkpoint."""

import os
from pathlib import Path
from types import MappingProxyType

import numpy as np

from visionport.checkpoint import files
from visionport.checkpoint.find import locate
from visionport.checkpoint.read import OBJECT_GRAPH, VALUE, Checkpoint, Entry, one_line
from visionport.checkpoint.saved_model import wrapped
from visionport.errors import CheckpointError


def open_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """The checkpoint at `path`: a prefix, a directory, or an .index, .data-*, .meta or `checkpoint` file.

    Reads the index only. A directory gives the checkpoint that its `checkpoint` file names, else its newest one;
    `Checkpoint.warnings` says which and why.
    """
    prefix, warnings = locate(path)
    reader = open_reader(prefix)
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    entries = {name: entry_of(name, shapes[name], dtypes[name]) for name in sorted(shapes) if name != OBJECT_GRAPH}
    problem = files.data_problem(prefix, entries.values())
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


def open_reader(prefix: Path):
    """TensorFlow's reader of the index (V1: of the file)."""
    import tensorflow as tf

    given = files.for_reader(prefix)
    try:
        return tf.compat.v1.train.NewCheckpointReader(given)
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        file = files.all_of(prefix)[0]
        raise CheckpointError(f"{file} is damaged, or no checkpoint ({one_line(error)}). {files.AGAIN}") from error


def entry_of(name: str, shape: list[int], dtype) -> Entry:
    size = 0 if np.dtype(dtype.as_numpy_dtype).hasobject else dtype.size
    return Entry(name, tuple(shape), dtype.base_dtype.name, size * int(np.prod(shape, dtype=np.int64)))
