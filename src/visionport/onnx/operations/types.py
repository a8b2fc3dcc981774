"""Types of elements."""

import numpy as np

from visionport.errors import UnsupportedError

FLOAT, UINT8, INT64, BOOL = 1, 2, 7, 9  # TensorProto.DataType
ELEMENT_TYPES = {
    "float32": FLOAT,
    "uint8": UINT8,
    "int8": 3,
    "int32": INT64,
    "int64": INT64,
    "bool": BOOL,
    "float64": 11,
}


def element_type(tensor) -> int:
    if tensor.dtype.name not in ELEMENT_TYPES:
        raise UnsupportedError(f"{tensor.op.name} is of {tensor.dtype.name}, which ONNX does not calculate with.")
    return ELEMENT_TYPES[tensor.dtype.name]


def array_type(tensor):
    return {"int32": np.int64, "bool": np.bool_}.get(tensor.dtype.name, tensor.dtype.as_numpy_dtype)
