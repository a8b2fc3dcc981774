"""ONNX Runtime: a file opened and asked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.graph.edit import first_line

QUIET = 4  # of its log, errors are raised all the same
DTYPES = {"float": "float32", "double": "float64", "string": "string", "bool": "bool"}
SIZE = 64  # of a side of pictures that a file leaves open


def open_session(file: bytes | Path, name: str, threads: int | None = None):
    """An onnxruntime.InferenceSession on the CPU. Raises ArtifactError for what it does not take."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if threads is not None:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    try:
        given = file if isinstance(file, bytes) else str(file)
        return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # its own kinds, of which there is no common one
        raise ArtifactError(f"{name}: ONNX Runtime does not take the file: {first_line(e)}.") from None


def run(session, name: str, outputs: Sequence[str], feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    try:
        found = session.run(list(outputs), {k: np.ascontiguousarray(v) for k, v in feeds.items()})
    except Exception as e:
        raise ArtifactError(f"{name} fails when it is run: {first_line(e)}.") from None
    return dict(zip(outputs, found, strict=True))


def dtype_of(kind: str) -> str:
    """ "tensor(float)" -> "float32"."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return DTYPES.get(inner, inner)


def shape_of(shape: Sequence[Any]) -> tuple[int | None, ...]:
    return tuple(d if isinstance(d, int) else None for d in shape)


def noise(session) -> dict[str, np.ndarray]:
    """Something to feed it; what is open is of one picture, its sides of SIZE."""
    random, feeds = np.random.default_rng(0), {}
    for one in session.get_inputs():
        shape = [d if isinstance(d, int) else SIZE if i else 1 for i, d in enumerate(one.shape)]
        dtype = dtype_of(one.type)
        values = random.uniform(0, 255, shape) if dtype == "uint8" else random.uniform(-1, 1, shape)
        feeds[one.name] = np.asarray(values).astype(object if dtype == "string" else dtype)
    return feeds
