"""Integers that stand for real numbers: value = (integer - zero point) * scale, of a whole tensor."""

import numpy as np

EIGHT_BITS = ("int8", "uint8")


def quantized(value: np.ndarray, dtype, scale: float, zero: int) -> np.ndarray:
    """The nearest integers of that type, clipped to its range; the values themselves where `scale` is 0."""
    if not scale or value.dtype == dtype:
        return value.astype(dtype)
    info = np.iinfo(dtype)
    return np.clip(np.rint(value / scale) + zero, info.min, info.max).astype(dtype)


def dequantized(value: np.ndarray, scale: float, zero: int) -> np.ndarray:
    """float32; the values themselves where `scale` is 0, as of tensors that are not quantised."""
    return (value.astype(np.float32) - zero) * np.float32(scale) if scale else value
