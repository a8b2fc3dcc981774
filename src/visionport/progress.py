"""What a long command tells while it works: its stages, how long each took, how big its files are."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Progress:
    """Tells nothing. `stage` is a context around a piece of work; it yields a function to add a remark."""

    @contextmanager
    def stage(self, name: str) -> Iterator:
        yield lambda remark: None

    def warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr)


class Stages(Progress):
    """A line a stage on standard error."""

    def __init__(self):
        self.start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator:
        begun, remarks = time.perf_counter(), []
        if sys.stderr.isatty():
            print(f"  {name} ...", end="\r", file=sys.stderr, flush=True)
        yield remarks.append
        took = time.perf_counter() - begun
        print(f"  {name:<28} {took:6.1f} s  {', '.join(remarks)}".rstrip(), file=sys.stderr, flush=True)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
