"""Values of a Tensor message, as a V1 checkpoint and the constants of a graph hold them."""

import math

import numpy as np

from visionport.checkpoint import dtypes
from visionport.limits import CONSTANT_REPEATED

# The field that holds the values of a type; all others are in int_val.
PACKED = {
    "float32": "float_val",
    "float64": "double_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
}
NUMBERS = {"int64": "int64_val", "bool": "bool_val", "uint32": "uint32_val", "uint64": "uint64_val"}
HALVES = ("float16", "bfloat16")


def values_of(tensor, dtype: str) -> np.ndarray:
    """All values that are stored, in one dimension. Raises ValueError."""
    kind = dtypes.numpy_dtype(dtype)
    if dtype == "string":
        values = np.empty(len(tensor.string_val), object)
        values[:] = list(tensor.string_val)
        return values
    if dtype == "variant":
        raise ValueError("it holds an object (a variant), not numbers")
    if dtype in PACKED or dtype.startswith("float8") or tensor.tensor_content:
        packed = getattr(tensor, PACKED[dtype]) if dtype in PACKED else [tensor.float8_val]
        data = tensor.tensor_content or b"".join(packed)
        if len(data) % kind.itemsize:
            raise ValueError("its values end too early")
        return np.frombuffer(data, kind)
    if dtype in HALVES:
        return np.array(tensor.half_val, np.int32).astype(np.uint16).view(kind)
    if dtype in NUMBERS:
        return np.array(getattr(tensor, NUMBERS[dtype]), kind)
    return np.array(tensor.int_val, np.int32).astype(kind)


def constant(tensor) -> np.ndarray:
    """The array of a graph's constant, of which the last value stands for all that follow. Raises ValueError."""
    dtype = dtypes.NAMES.get(tensor.dtype, "variant")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    count = math.prod(shape)
    values = values_of(tensor, dtype)
    if len(values) == count:
        return values.reshape(shape).copy()
    if not 0 < len(values) < count <= CONSTANT_REPEATED or tensor.tensor_content:
        raise ValueError(f"it has {len(values):,} values for {count:,}")
    return np.concatenate([values, np.full(count - len(values), values[-1])]).reshape(shape)
