"""What a long command tells while it works: its stages, how long each took, how big its files are."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Progress:
    """Tells nothing. `stage` is a context around a piece of work; it yields a function to add a remark."""

    @contextmanager
    def stage(self, name: str) -> Iterator:
        yield lambda remark: None

    @contextmanager
    def bar(self, name: str, items: Any) -> Iterator:
        """Yields the items, which have a length, to go through once inside."""
        yield items

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

    @contextmanager
    def bar(self, name: str, items: Any) -> Iterator:
        from rich.console import Console
        from rich.progress import Progress as Bars

        console = Console(file=sys.stderr)
        if not console.is_terminal or not len(items):
            yield items
            return
        with Bars(console=console, transient=True) as bars:
            yield bars.track(items, total=len(items), description=f"  {name}")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
