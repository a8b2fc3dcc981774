"""Flexbuffers: the options of custom operations, written and read within bounds."""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport import limits

DAMAGED = (
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    struct.error,
)


def write_map(values: Mapping[str, int | float | bool]) -> bytes:
    """A flexbuffer map. Floats are stored as float32, which is how kernels read them."""
    from flatbuffers import flexbuffers

    builder: Any = flexbuffers.Builder()
    with builder.Map():
        for name, value in values.items():
            if isinstance(value, bool):
                builder.Bool(name, value)
            elif isinstance(value, int):
                builder.Int(name, value)
            else:
                builder.Float(name, float(np.float32(value)))
    return bytes(builder.Finish())


def read_map(data: bytes) -> dict[str, Any] | None:
    """The map that a flexbuffer holds; None for what is none, is damaged, or unfolds to more than options are."""
    from flatbuffers import flexbuffers

    if not 0 < len(data) <= limits.FLEXBUFFER_BYTES:
        return None
    try:
        root = flexbuffers.GetRoot(data)
        return Reader().read(root, 0) if root.IsMap else None
    except DAMAGED:
        return None


class Reader:
    """Counts the values, since vectors may be shared by others, and these by more."""

    def __init__(self):
        self.left = limits.FLEXBUFFER_VALUES

    def read(self, ref, depth: int) -> Any:
        if depth > limits.FLEXBUFFER_DEPTH:
            raise ValueError("too deep")
        self.count(1)
        if ref.IsMap:
            values = ref.AsMap
            self.count(len(values))
            return {
                key.AsKey: self.read(value, depth + 1) for key, value in zip(values.Keys, values.Values, strict=True)
            }
        if ref.IsVector:
            self.count(len(ref.AsVector))
            return [self.read(value, depth + 1) for value in ref.AsVector]
        if ref.IsTypedVector or ref.IsFixedTypedVector:
            values = ref.AsTypedVector if ref.IsTypedVector else ref.AsFixedTypedVector
            self.count(len(values))
            return values.Value
        value = ref.Value
        self.count(len(value) if isinstance(value, (bytes, str)) else 0)
        return value

    def count(self, more: int) -> None:
        self.left -= more
        if self.left < 0:
            raise ValueError("too many values")
