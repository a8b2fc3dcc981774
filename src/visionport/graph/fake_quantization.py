"""What FakeQuantWithMinMaxVars rounds to."""

from typing import NamedTuple

import numpy as np


class Steps(NamedTuple):
    """From `low` to `high` in steps of `scale`, float32; 0 is one of them. All three are 0 for an empty range."""

    low: np.float32
    high: np.float32
    scale: np.float32


def steps(low: float, high: float, *, bits: int, narrow_range: bool) -> Steps:
    """The limits moved until 0 is one of what the bits hold, as TensorFlow's kernel moves them."""
    if not low < high:
        return Steps(np.float32(0), np.float32(0), np.float32(0))
    least, most = int(narrow_range), 2**bits - 1
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(most - least))
    zero = least - low / scale
    zero = least if zero < least else most if zero > most else int(np.floor(zero + 0.5))
    return Steps(np.float32((least - zero) * scale), np.float32((most - zero) * scale), scale)
