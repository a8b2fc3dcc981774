"""Signals that end a command: each becomes an exception, so that what was begun is undone on the way out."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# By Ctrl-C, `kill` and a terminal that is closed.
NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SOON = 0.05  # seconds until a signal that went astray is raised again

_caught: list[int] = []


class Interrupted(BaseException):
    """A signal came. Not a KeyboardInterrupt, which others turn into something else."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = int(number)


def caught() -> int:
    """The signal that came, whatever became of its exception; 0 for none."""
    return _caught[0] if _caught else 0


def _raise(number: int, _frame=None) -> None:
    _caught[:] = [number]
    raise Interrupted(number)


def _come(number: int, _frame=None) -> None:
    """A terminal sends a signal to all of its processes, and one that waits for another passes it on: that is one."""
    now = time.monotonic()
    again, _last[number] = now - _last.get(number, -AGAIN) < AGAIN, now
    if not again:
        _raise(number)


AGAIN = 0.5  # seconds within which a signal is not another one
_last: dict[int, float] = {}


@contextmanager
def taken() -> Iterator[None]:
    """Signals raise Interrupted. One that is ignored, as below nohup, stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _caught.clear()
    _last.clear()
    before = {n: h for n in NUMBERS if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    hooks = sys.excepthook, sys.unraisablehook
    try:
        sys.excepthook, sys.unraisablehook = _tell_uncaught, _tell_unraisable
        for number in before:
            signal.signal(number, _come)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.excepthook, sys.unraisablehook = hooks


def take() -> None:
    """The same for the rest of the process, before `process` begins."""
    _for_good.append(taken())
    _for_good[-1].__enter__()


_for_good: list = []


@contextmanager
def process() -> Iterator[None]:
    """All of a program: it ends by a signal as `ending` says, and at once where it is ending already."""
    take()
    try:
        with ending():
            yield
    finally:
        for number in NUMBERS:
            if signal.getsignal(number) != signal.SIG_IGN or caught():
                signal.signal(number, signal.SIG_DFL)


def _tell_uncaught(kind, error, traceback) -> None:
    """C code prints what it cannot raise, and imports that a signal cut fail in other words."""
    if not caught():
        sys.__excepthook__(kind, error, traceback)
    elif not _endings:  # nothing is begun yet
        _say()
        os._exit(128 + caught())


def _tell_unraisable(unraisable) -> None:
    """A signal in a destructor or a callback, where no exception comes through, is raised again a little later."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)
        return
    number = unraisable.exc_value.number
    signal.signal(signal.SIGALRM, lambda *_: _raise(number))
    signal.setitimer(signal.ITIMER_REAL, SOON)


@contextmanager
def ending() -> Iterator[None]:
    """A signal ends the program with 128 and its number, and a word on standard error."""
    _endings.append(True)
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as e:
        for each in NUMBERS:  # once more would end nothing sooner
            signal.signal(each, signal.SIG_IGN)
        _say()
        sys.exit(128 + (e.number if isinstance(e, Interrupted) else signal.SIGINT))
    finally:
        _endings.pop()


_endings: list[bool] = []


def _say() -> None:
    print("interrupted: nothing half written is left.", file=sys.stderr)


@contextmanager
def deferred() -> Iterator[None]:
    """What is done inside is done whole: a signal that comes meanwhile takes effect at the end."""
    if threading.current_thread() is not threading.main_thread():  # signals raise in the main thread alone
        yield
        return
    came: list[int] = []
    before = {}
    try:
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):
                before[number] = handler
                signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            os.kill(os.getpid(), number)
