"""Arrays as a checkpoint: weights for single layers, without a file."""

from typing import Any

import numpy as np

from visionport.checkpoint.params import Params


class Tensors(dict):
    """A checkpoint of arrays: {name: array}."""

    def __init__(self, **arrays):
        super().__init__({k: np.float32(v) for k, v in arrays.items()})
        self.entries = {k: type("Entry", (), {"shape": v.shape, "dtype": "float32"}) for k, v in self.items()}

    def key_of(self, path):
        return path if path in self else None

    def classify(self, key):
        return "model"


def scope_of(arrays, quantized=False) -> Any:
    """A scope "s" whose leaves are the arrays: {leaf: array}."""
    tensors: Any = Tensors(**{f"s/{k}": v for k, v in arrays.items()})
    return Params(tensors, str, quantized=quantized).scope("s")
