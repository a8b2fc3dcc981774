"""How TensorFlow rounds the mean of a map, for runtimes that are to round it the same way.

It adds every fourth place of a map up, one after another, and then these four sums. In an even area, as padding is,
each addition is rounded the same way, and of 65,536 places that is a quarter of a thousandth, which
squeeze-and-excitation hands on to everything behind it.
"""

import math
from collections.abc import Sequence

SUMS = 4  # that TensorFlow has at a time
LARGE = 1024  # places of a map below which no rounding shows


def is_large(shape: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether a mean is of all places of each channel, of so many that their order shows. 0: an open size."""
    rank = len(shape)
    if rank < 3 or 0 in shape[1:] or sorted(a % rank for a in axes) != [*range(1, rank - 1)]:
        return False
    places = math.prod(shape[1:-1])
    return places >= LARGE and places % SUMS == 0
