"""Standard input, output and error of a process, whatever they were when it began: closed, full, or a pipe's end."""

import contextlib
import errno
import io
import os
import sys
from typing import Any

GONE = (errno.EPIPE, errno.ECONNRESET)


class StreamError(Exception):
    """Standard output cannot be written. Not an OSError, which others take for a file's or for the program's end."""

    def __init__(self, number: int | None, reason: str | None):
        super().__init__(reason)
        self.gone = number in GONE  # who reads it has read enough, as `head` does


class Output(io.FileIO):
    def write(self, data) -> int:
        try:
            return super().write(data)  # pyright: ignore[reportReturnType]
        except OSError as e:
            raise StreamError(e.errno, e.strerror) from None


class Errors(io.FileIO):
    """What cannot be told is not told, and nothing ends for it."""

    def write(self, data) -> int:
        with contextlib.suppress(OSError):
            return super().write(data)  # pyright: ignore[reportReturnType]
        return len(data)


def open_stream(raw: io.FileIO, like: Any) -> io.TextIOWrapper:
    """A text stream. Characters that its encoding does not have, and bytes of names that are no text, are escaped."""
    encoding = getattr(like, "encoding", None) or "utf-8"
    how = {"encoding": encoding, "errors": "backslashreplace", "line_buffering": raw.isatty()}
    return io.TextIOWrapper(io.BufferedWriter(raw), **how)


def open_errors(descriptor: int, like: Any) -> io.TextIOWrapper:
    """A stream for errors, shown line by line."""
    stream = open_stream(Errors(descriptor, "w"), like)
    stream.reconfigure(line_buffering=True)
    return stream


def open_standard() -> None:
    """Opens what is closed, so that no file of ours gets its number, and makes output and errors of the kinds above."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    sys.stdout = open_stream(Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = open_errors(os.dup(2), sys.stderr)


def finish() -> None:
    """Writes what waits to be written to standard output. Raises StreamError."""
    if sys.stdout:
        sys.stdout.flush()


def abandon() -> None:
    """Standard output takes nothing any more: what waits goes nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        sys.stdout.flush()
