"""What is told while a run works: pictures done, a second, errors, time left; and its end where too many fail."""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from visionport.batch import files
from visionport.batch.parts import Parts, StoppedError
from visionport.progress import CLEAR

LOOK, LOOK_FAR, TELL = 0.5, 20.0, 30.0  # seconds between two looks, at files of this machine or afar; between two lines


class Watch:
    """A thread that looks at the parts. cancel: is called once more than `max_errors` pictures have failed."""

    def __init__(self, parts: Parts, pieces: int, pictures: int | None, *, max_errors: int | None, quiet: bool):
        self._parts, self._pieces, self._pictures = parts, pieces, pictures
        self._max_errors, self._quiet = max_errors, quiet
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.cancel: Callable[[], Any] = lambda: None

    def __enter__(self) -> "Watch":
        self._begun, self._before = time.perf_counter(), self._parts.count()
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._ended.set()
        self._thread.join()
        if sys.stderr.isatty() and not self._quiet:
            print(CLEAR, end="", file=sys.stderr, flush=True)

    def _run(self) -> None:
        told, terminal = time.perf_counter(), sys.stderr.isatty()
        while not self._ended.wait(LOOK_FAR if files.scheme_of(self._parts.folder) else LOOK):
            count = self._parts.count()
            if self._max_errors is not None and count.errors > self._max_errors and not self._parts.stopped():
                self._parts.stop(
                    StoppedError(f"{count.errors:,} pictures failed, more than --max-errors {self._max_errors}.")
                )
                self.cancel()
            if self._quiet:
                continue
            if terminal:
                print(f"{CLEAR}  {self.line(count)}", end="", file=sys.stderr, flush=True)
            elif time.perf_counter() - told >= TELL:
                told = time.perf_counter()
                print(self.line(count), file=sys.stderr, flush=True)

    def tell(self, text: str) -> None:
        if not self._quiet:
            print(f"{CLEAR if sys.stderr.isatty() else ''}warning: {text}", file=sys.stderr, flush=True)

    def line(self, count) -> str:
        took = time.perf_counter() - self._begun
        new = count.pictures - self._before.pictures
        share = (count.pieces - self._before.pieces) / max(1, self._pieces - self._before.pieces)
        of = f" of {self._pictures:,}" if self._pictures is not None else ""
        rate = f", {new / took:.3g}/s" if new else ""
        left = f", {duration(took / share * (1 - share))} left" if share else ""
        return f"{count.pictures:,}{of} pictures{rate}, {count.errors:,} errors{left}"


def duration(seconds: float) -> str:
    """ "42 s", "7 min", "3 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
