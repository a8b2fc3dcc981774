"""A path becomes a Checkpoint."""

import os
from pathlib import Path
from types import MappingProxyType

from visionport import limits
from visionport.checkpoint import files
from visionport.checkpoint.bundle import Bundle
from visionport.checkpoint.find import locate
from visionport.checkpoint.read import OBJECT_GRAPH, VALUE, Checkpoint, Entry
from visionport.checkpoint.saved_model import wrapped
from visionport.checkpoint.v1 import V1
from visionport.errors import CheckpointError


def open_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """The checkpoint at `path`: a prefix, a directory, or an .index, .data-*, .meta or `checkpoint` file.

    Reads the index only. A directory gives the checkpoint that its `checkpoint` file names, else its newest one;
    `Checkpoint.warnings` says which and why.
    """
    prefix, warnings = locate(path)
    reader = open_reader(prefix)
    graph = reader.stored.get(OBJECT_GRAPH)
    if graph and ((graph.dtype, graph.shape) != ("string", ()) or graph.size > limits.OBJECT_GRAPH):
        raise files.damaged(files.all_of(prefix)[0], "its object graph is none")
    entries = {
        name: Entry(name, stored.shape, stored.dtype, stored.nbytes)
        for name, stored in sorted(reader.stored.items())
        if name != OBJECT_GRAPH
    }
    problem = files.data_problem(prefix, reader.needed, reader.shards)
    found = Checkpoint(
        prefix=prefix,
        kind="tf2" if graph or any(name.endswith(VALUE) for name in entries) else "tf1",
        entries=MappingProxyType(entries),
        warnings=(*warnings, problem) if problem else tuple(warnings),
        data_problem=problem,
        _reader=reader,
        _has_graph=graph is not None,
    )
    return wrapped(found)


def open_variables(saved_model: Path) -> Bundle | V1 | None:
    """What the variables of a SavedModel hold, checked; None where it has none.

    TensorFlow believes an index whose checksums are right, and aborts for some: so this comes before it loads one.
    """
    prefix = saved_model / "variables" / "variables"
    if not files.index(prefix).is_file():
        return None
    reader = open_reader(prefix)
    if problem := files.data_problem(prefix, reader.needed, reader.shards):
        raise CheckpointError(problem)
    return reader


def open_reader(prefix: Path) -> Bundle | V1:
    """What is in the index (V1: in the files), checked, and the values of each tensor by its name."""
    paths = files.checked(prefix)
    return Bundle(prefix) if files.index(prefix).is_file() else V1(prefix, paths)
