"""TensorFlow's types of tensors: their numbers in files, their names, and what they are in NumPy."""

from functools import cache

import numpy as np

from visionport.limits import CHECKPOINT_STRINGS, CHECKPOINT_TEXT

# tensorflow/core/framework/types.proto; a resource (20) is in no file.
NAMES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    21: "variant",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    26: "float8_e4m3fnuz",
    27: "float8_e4m3b11fnuz",
    28: "float8_e5m2fnuz",
    29: "int4",
    30: "uint4",
    31: "int2",
    32: "uint2",
}
OBJECTS = ("string", "variant")  # of no fixed size


@cache
def numpy_dtype(name: str) -> np.dtype:
    """Of an element, as TensorFlow's own reader gives it: quantised numbers are plain ones."""
    if name in OBJECTS:
        return np.dtype(object)
    if name.startswith("q"):
        return np.dtype(name[1:])
    if name in ("bfloat16", "int4", "uint4", "int2", "uint2") or name.startswith("float8"):
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))
    return np.dtype(name)


def item_size(name: str) -> int:
    """Bytes of an element in a file; 0 where its own length decides."""
    return 0 if name in OBJECTS else numpy_dtype(name).itemsize


def strings_problem(count: int, size: int) -> str:
    """Why a tensor of so many strings, of so many bytes together, is not read, or ""."""
    return f"{count:,} strings of {size:,} bytes" if count > CHECKPOINT_STRINGS or size > CHECKPOINT_TEXT else ""
