"""TensorFlow's and LiteRT's own log, which C++ writes to the process's standard error whatever its settings."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from visionport.streams import open_errors
from visionport.terminal import Guarded, guard

LEVEL = "TF_CPP_MIN_LOG_LEVEL"

_lock = threading.Lock()
_inside: list[Any] = []  # a call each; the first one's way back


@contextmanager
def muted() -> Iterator[None]:
    """What C++ writes to standard error goes nowhere; what Python prints goes where it went.

    Where TF_CPP_MIN_LOG_LEVEL is set the user has chosen, and nothing is muted.
    """
    if os.environ.get(LEVEL):
        yield
        return
    with _lock:
        _inside.append(_redirect() if not _inside else None)
    try:
        yield
    finally:
        with _lock:
            back = _inside.pop()
            if _inside and back:  # another thread's call ends later
                _inside[0] = back
            elif back:
                back()


def _redirect() -> Callable[[], None]:
    """Standard error to nowhere, and Python's beside it; gives the way back."""
    try:
        there, python = os.dup(2), sys.stderr
        same = python.fileno() == 2
    except (OSError, ValueError, AttributeError):  # closed, or a notebook's
        there, python, same = None, sys.stderr, False
    if there is None:
        return lambda: None
    if python and same:
        python.flush()
        ours = open_errors(os.dup(there), python)
        sys.stderr = guard(ours) if isinstance(python, Guarded) else ours
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)

    def back() -> None:
        if same:
            ours, sys.stderr = sys.stderr, python
            ours.close()
        os.dup2(there, 2)
        os.close(there)

    return back


def quietly(function: Callable) -> Callable:
    """The function, TensorFlow's log muted while it runs."""

    @wraps(function)
    def call(*args, **kwargs):
        with muted():
            return function(*args, **kwargs)

    return call
