"""Which of many slow cases a plain run of the tests takes; `make test-all` takes them all."""

import os
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
ALL = os.environ.get("VISIONPORT_ALL") == "1"


def sampled(items: Iterable[T], keep_every: int) -> list[T]:
    """The first of them and every keep_every-th behind it, in their order; all where VISIONPORT_ALL is 1."""
    return list(items)[:: 1 if ALL else keep_every]
