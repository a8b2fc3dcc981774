"""What a long command tells while it works: its stages, how long each took, how big its files are."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visionport.terminal import console_of, one_line, paragraph, unguarded

CLEAR = "\r\x1b[K"  # to the line's beginning, and nothing behind it
WAIT = 1.0  # seconds after which a stage counts aloud


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
        print(f"warning: {paragraph(text)}", file=sys.stderr)


class Stages(Progress):
    """A line a stage on standard error; on a terminal the seconds run while it works.

    lasting: the lines stay. Otherwise each goes when its stage ends, for commands whose answer is all that counts.
    """

    def __init__(self, *, lasting: bool = True):
        self.lasting, self.terminal = lasting, sys.stderr.isatty()
        self._paused = threading.Event()
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator:
        begun, remarks, done = time.perf_counter(), [], threading.Event()
        counter = threading.Thread(target=self._count, args=(name, begun, done), daemon=True)
        if self.terminal:
            self._show(f"  {name} ...")
            counter.start()
        try:
            yield remarks.append
        finally:
            done.set()
            if counter.ident:
                counter.join()
            self._show("")
        took = time.perf_counter() - begun
        if self.lasting:
            text = f"  {name:<28} {took:6.1f} s  {', '.join(remarks)}".rstrip()
            print(one_line(text), file=sys.stderr, flush=True)

    def _count(self, name: str, begun: float, done: threading.Event) -> None:
        while not done.wait(WAIT):
            if not self._paused.is_set():
                self._show(f"  {name} ... {time.perf_counter() - begun:.0f} s")

    def _show(self, text: str) -> None:
        """In place of what the terminal's last line says."""
        if self.terminal:
            with self._lock:
                print(f"{CLEAR}{one_line(text)}", end="", file=unguarded(sys.stderr), flush=True)

    @contextmanager
    def bar(self, name: str, items: Any) -> Iterator:
        from rich.markup import escape
        from rich.progress import Progress as Bars

        console = console_of(sys.stderr)
        if not console.is_terminal or not len(items):
            yield items
            return
        self._paused.set()
        self._show("")
        try:
            with Bars(console=console, transient=True) as bars:
                yield bars.track(items, total=len(items), description=f"  {escape(name)}")
        finally:
            self._paused.clear()

    def warn(self, text: str) -> None:
        self._show("")
        super().warn(text)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def size_text(size: float) -> str:
    """Three figures, in thousands: 999 bytes, 4.1 kB, 4.61 MB, 2.5 GB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def time_text(seconds: float) -> str:
    """Three figures: 0.85 ms, 12.3 ms, 1.2 s."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
