"""TensorFlow Serving's messages and services, in a descriptor pool of our own, and arrays to and from tensors.

The pool is private, so that tensorflow-serving-api or any other build of the same messages may be loaded beside it.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from visionport.serving.statuses import invalid

PACKAGE = "tensorflow.serving"
SERVICES = (f"{PACKAGE}.PredictionService", f"{PACKAGE}.ModelService")

# NumPy's name -> TensorFlow's, and the field of a TensorProto that holds its values one by one.
DTYPES = {
    "float32": ("DT_FLOAT", "float_val"),
    "float64": ("DT_DOUBLE", "double_val"),
    "int32": ("DT_INT32", "int_val"),
    "uint8": ("DT_UINT8", "int_val"),
    "int16": ("DT_INT16", "int_val"),
    "int8": ("DT_INT8", "int_val"),
    "string": ("DT_STRING", "string_val"),
    "complex64": ("DT_COMPLEX64", "scomplex_val"),
    "int64": ("DT_INT64", "int64_val"),
    "bool": ("DT_BOOL", "bool_val"),
    "uint16": ("DT_UINT16", "int_val"),
    "complex128": ("DT_COMPLEX128", "dcomplex_val"),
    "float16": ("DT_HALF", "half_val"),
    "bfloat16": ("DT_BFLOAT16", "half_val"),
    "uint32": ("DT_UINT32", "uint32_val"),
    "uint64": ("DT_UINT64", "uint64_val"),
}
LARGEST = 1 << 30  # bytes of an array that a request may ask for with few of its own


@cache
def files() -> list[bytes]:
    """The schemas, each as a FileDescriptorProto, after what it imports."""
    compiled = Path(__file__).parent / "schema" / "serving.binpb"
    found = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes())
    return [file.SerializeToString() for file in found.file]


@cache
def pool() -> descriptor_pool.DescriptorPool:
    found = descriptor_pool.DescriptorPool()
    for file in files():
        found.AddSerializedFile(file)
    return found


@cache
def message(name: str) -> Any:
    """The class of a message: "tensorflow.TensorProto"; without a package, TensorFlow Serving's own."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name if "." in name else f"{PACKAGE}.{name}"))


@cache
def methods(service: str) -> dict[str, tuple[str, Any, Any]]:
    """Method -> (path of the call, class of the request, class of the response), of one of SERVICES."""
    found = pool().FindServiceByName(service)
    kinds = [(m.name, m.input_type.full_name, m.output_type.full_name) for m in found.methods]
    return {name: (f"/{service}/{name}", message(request), message(response)) for name, request, response in kinds}


@cache
def number_of(dtype: str) -> int:
    """TensorFlow's number of a dtype by its NumPy name."""
    return pool().FindEnumTypeByName("tensorflow.DataType").values_by_name[DTYPES[dtype][0]].number


@cache
def names() -> dict[int, str]:
    """The other way round."""
    return {number_of(name): name for name in DTYPES}


def numpy_type(name: str) -> np.dtype:
    if name == "string":
        return np.dtype(object)
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def name_of(array: np.ndarray) -> str:
    """What an array's dtype is called here: "string" for strings."""
    return "string" if array.dtype.kind in "OSU" else array.dtype.name


def to_tensor(array: np.ndarray) -> Any:
    """A TensorProto of an array."""
    proto = message("tensorflow.TensorProto")()
    name = name_of(array)
    proto.dtype = number_of(name)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if name == "string":
        proto.string_val.extend(v if isinstance(v, bytes) else str(v).encode() for v in array.reshape(-1))
    else:
        proto.tensor_content = np.ascontiguousarray(array).tobytes()
    return proto


def to_array(proto, largest: int = LARGEST) -> np.ndarray:
    """The array of a TensorProto. Raises RequestError for what is none, or would take more than `largest` bytes."""
    name = names().get(proto.dtype)
    if name is None:
        raise invalid(f"a tensor has the dtype {proto.dtype}, which is not served.")
    shape = [d.size for d in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"a tensor has the shape {shape or '[?]'}: every size must be known.")
    kind = numpy_type(name)
    count = math.prod(shape)
    if count * kind.itemsize > largest:
        raise invalid(f"a tensor of the shape {shape} is larger than this server takes ({largest:,} bytes).")
    if name == "string":
        return _filled(list(proto.string_val), count, kind, shape, b"")
    content = proto.tensor_content  # each look at it is a copy
    if content:
        if len(content) != count * kind.itemsize:
            raise invalid(
                f"a tensor of the shape {shape} and dtype {name} takes {count * kind.itemsize:,} bytes, but its "
                f"tensor_content has {len(content):,}."
            )
        return np.frombuffer(content, kind).reshape(shape)
    values = getattr(proto, DTYPES[name][1])
    if name in ("float16", "bfloat16"):
        return _filled(np.array(values, np.uint16).view(kind), count, kind, shape, 0)
    if kind.kind == "c":
        parts = np.array(values, np.float64)
        return _filled((parts[0::2] + 1j * parts[1::2]) if len(parts) % 2 == 0 else parts, count, kind, shape, 0)
    return _filled(values, count, kind, shape, 0)


def _filled(values, count: int, kind: np.dtype, shape: list[int], empty) -> np.ndarray:
    """Fewer values than the shape has stand for more of the last one."""
    if len(values) > count:
        raise invalid(f"a tensor of the shape {shape} has {len(values):,} values.")
    array = np.full(count, values[-1] if len(values) else empty, kind)
    if kind.kind == "O":
        for i, value in enumerate(values):
            array[i] = value
    else:
        with np.errstate(all="ignore"):
            array[: len(values)] = np.array(values).astype(kind)
    return array.reshape(shape)
