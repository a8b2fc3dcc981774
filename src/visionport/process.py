"""A program of ours, from its first moment to its last."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from visionport import signals, streams


@contextmanager
def program() -> Iterator[None]:
    """Signals end it in documented ways, streams may be closed or full, and Python's collector walks seldom."""
    with signals.process(), collected_seldom():
        streams.open_standard()
        _programs.append(True)
        try:
            yield
        finally:
            _programs.pop()


def runs() -> bool:
    """Whether this process is a program of ours, and not another's that uses the library."""
    return bool(_programs)


_programs: list[bool] = []


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Spares walks over the million objects that TensorFlow makes to stay.

    They take a third of its import's time, and as much again at the end of the process. Memory that matters is freed
    by its count of references, without a walk.
    """
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.freeze()


SELDOM = (50_000, 20, 100)  # new objects between walks over them, and of these between walks over older ones
