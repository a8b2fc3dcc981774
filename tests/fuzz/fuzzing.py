"""Feeds mutated files to the project's readers, each in a child process, and says how each input ended.

A reader is a module `fuzz_NAME.py` beside this one:

- SEEDS: what inputs are made from, as bytes or as paths; files in corpus/NAME/ are seeds too
- SUFFIX: of the file that an input is written to
- read(path): reads it as the commands do, and raises visionport's own errors only
- mutate(data, rng): optional; without it `mutated` is taken, which knows bytes and words

An input depends on the reader's name, the seed and its number alone. Those below the number of seeds are seeds as they
are. The file is the child's program too: it is asked in lines of JSON on standard input, see `main`.
"""

import contextlib
import faulthandler
import importlib
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py")))

CPU = 10  # seconds of the processor after which an input hangs
WALL = 60  # seconds in which nothing is heard of an input after which it hangs, on a busy machine too
WARM = 300  # seconds for imports and the first seed
MEMORY = 4 << 30  # bytes that a child may take
MOST_CHANGES = 8  # of a seed in one input

REFUSED, READ, TRACEBACK, CRASH, HANG = "refused", "read", "traceback", "crash", "hang"
FOUND = (TRACEBACK, CRASH, HANG)
HEADS = ("reader", "inputs", "refused", "read", "tracebacks", "crashes", "hangs")


# Inputs


def reader(name: str) -> ModuleType:
    for folder in (HERE.parent, HERE):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    return importlib.import_module(f"fuzz_{name}")


def seeds(name: str) -> list[bytes]:
    """The reader's own, and those of its corpus, each once."""
    given = [seed if isinstance(seed, bytes) else Path(seed).read_bytes() for seed in reader(name).SEEDS]
    corpus = [path.read_bytes() for path in sorted(HERE.glob(f"corpus/{name}/*")) if path.is_file()]
    return [*dict.fromkeys((*given, *corpus))]


def make_input(name: str, seed: int, number: int, known: Sequence[bytes]) -> bytes:
    """known: the reader's seeds."""
    if number < len(known):
        return known[number]
    rng = random.Random(f"{name} {seed} {number}")
    data = rng.choice(known)
    own = getattr(reader(name), "mutate", None)
    return own(data, rng) if own else mutated(data, rng, known)


def mutated(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """The data changed in one to a few places; text mostly by words. others: what pieces may be taken from."""
    change = mutate_words if is_text(data) and rng.random() < 0.8 else mutate_bytes
    for _ in range(min(MOST_CHANGES, 1 + int(rng.expovariate(0.7)))):
        data = change(data, rng, others)
    return data


def is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


# Words that readers of text trip over.
WORDS = [
    "",
    " ",
    "\n",
    "\t",
    "\r",
    "\x1b[2J",
    "\x07",
    "\u202e",
    "\ufeff",
    "\u2028",
    "\0",
    "\udc80",
    "<script>",
    "[red]",
]
WORDS += (HERE / "words.txt").read_text().split()
REPEATED = ("[", "{", "<", "(", "- ", "\n", "a: {", "a { ", "1", "9", "#", '"', ":", ",", "[" * 20 + "]" * 20, "é")


def mutate_words(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Text with a word replaced, doubled, left out, moved, repeated very often, or taken from another seed."""
    words = re.findall(r"\w+|\s+|[^\w\s]", data.decode("utf-8", "surrogateescape")) or [""]
    i, j = sorted((rng.randrange(len(words)), rng.randrange(len(words))))
    kind = rng.randrange(9)
    if kind < 3:
        words[i] = rng.choice(WORDS)
    elif kind == 3:
        words.insert(i, rng.choice(WORDS))
    elif kind == 4:
        del words[i : min(j, i + rng.choice((1, 3, 20))) + 1]
    elif kind == 5:
        words[j:j] = words[i : i + rng.choice((1, 5, 40))] * rng.choice((1, 1, 3, 50))
    elif kind == 6:
        words[i] = rng.choice((words[i] or "1", *REPEATED)) * rng.choice((5, 200, 10_000))
    elif kind == 7:
        words[i], words[j] = words[j], words[i]
    else:
        taken = re.findall(r"\w+|\s+|[^\w\s]", rng.choice([*others, data]).decode("utf-8", "replace")) or [""]
        at = rng.randrange(len(taken))
        words[i : i + rng.randrange(20)] = taken[at : at + rng.randrange(30)]
    return "".join(words).encode("utf-8", "surrogateescape" if "\udc80" in words else "surrogatepass")


def mutate_bytes(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Bytes flipped, cut, inserted, repeated, moved, taken from another seed, or a number replaced by an odd one."""
    out = bytearray(data)
    at, length = rng.randrange(len(out) + 1), rng.choice((1, 2, 4, 8, 30, 300))
    kind = rng.randrange(9)
    if kind == 0 and out:
        out[at % len(out)] ^= 1 << rng.randrange(8)
    elif kind == 1 and out:
        out[at % len(out)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
    elif kind in (2, 3):
        size = rng.choice((1, 2, 4, 8))
        odd = rng.choice((0, 1, 2, 1 << 31, (1 << 31) - 1, (1 << 63) - 1, -1, len(out), len(out) + 1, 1 << 16, 1 << 40))
        out[at : at + size] = (odd % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "little", "big")))
    elif kind == 4:
        del out[at : at + length]
    elif kind == 5:
        out[at:at] = rng.randbytes(length)
    elif kind == 6:
        out[at:at] = out[at : at + length] * rng.choice((1, 2, 100))
    elif kind == 7:
        other = rng.choice([*others, data])
        start = rng.randrange(len(other) + 1)
        out[at : at + length] = other[start : start + length]
    else:
        del out[at:]
    return bytes(out)


# The run


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An input that ended in what must not be. words: the kind of error and its place, below it its message."""

    kind: str
    number: int
    words: str
    file: Path

    def __str__(self) -> str:
        return f"{self.kind} of input {self.number}, kept as {self.file}\n{self.words}"


@dataclass(kw_only=True)
class Tally:
    """How a reader's inputs ended. findings: the first of each place in the code."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def row(self) -> list[str]:
        ends = (self.counts[end] for end in (REFUSED, READ, TRACEBACK, CRASH, HANG))
        return [self.name, *(f"{n:,}" for n in (self.counts.total(), *ends))]


class Child:
    """A process that reads inputs; after a crash or a hang another takes its place, at the next input."""

    def __init__(self, kept: Path, cpu: float = CPU):
        """kept: the folder for inputs that are findings. cpu: seconds after which an input hangs."""
        self.kept, self.cpu = kept, cpu
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz"))

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, name: str, inputs: int, seed: int, seconds: float = float("inf")) -> Tally:
        """Reads the inputs 0 to `inputs` of a reader; those that are left after `seconds` are not begun."""
        tally, end = Tally(name=name), None
        number = 0
        while number < inputs and (end is None or time.monotonic() < end):
            for ended in self.ask(name, range(number, inputs), seed):
                if ended is None:  # warm
                    end = end or time.monotonic() + seconds
                    continue
                self.count(tally, seed, number, *ended)
                number += 1
                if time.monotonic() > (end or 0):
                    self.stop()
                    break
        return tally

    def ask(self, name: str, numbers: range, seed: int) -> Iterator[tuple[str, str] | None]:
        """None once the reader is warm, then (how it ended, words) of each input, up to the one that ends the child."""
        process = self.start()
        assert process.stdin
        request = {"name": name, "first": numbers.start, "stop": numbers.stop, "seed": seed, "cpu": self.cpu}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        for i in range(len(numbers) + 1):
            line = self.line(WALL if i else WARM)
            if line is None:
                hung = process.poll() is None or process.poll() == -signal.SIGPROF
                self.stop()
                if not i:
                    raise RuntimeError(f"fuzz_{name}: the first seed cannot be read.\n{self.log()}")
                yield (HANG, "") if hung else (CRASH, f"status {process.returncode}\n{self.log()}")
                return
            yield tuple(json.loads(line)) if i else None

    def count(self, tally: Tally, seed: int, number: int, end: str, words: str) -> None:
        tally.counts[end] += 1
        known = {finding.words.partition("\n")[0] for finding in tally.findings if finding.kind == TRACEBACK}
        known |= {finding.words for finding in tally.findings if finding.kind == CRASH}
        if end not in FOUND or not known.isdisjoint((words, words.partition("\n")[0])):
            return
        self.kept.mkdir(parents=True, exist_ok=True)
        file = self.kept / f"{tally.name}-{end}-{seed}-{number}{reader(tally.name).SUFFIX}"
        file.write_bytes(make_input(tally.name, seed, number, seeds(tally.name)))
        tally.findings.append(Finding(kind=end, number=number, words=words, file=file))

    def start(self) -> "subprocess.Popen[bytes]":
        if self.process is None or self.process.poll() is not None:
            heard, told = os.pipe()
            command = [sys.executable, __file__, str(told), str(self.folder)]
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, pass_fds=[told], start_new_session=True
                )
            os.close(told)
            self.heard, self.unread = heard, b""
        return self.process

    def stop(self) -> None:
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            os.close(self.heard)
            assert self.process.stdin
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process = None

    def line(self, seconds: float) -> bytes | None:
        """The next line that the child tells; None where it is dead or silent."""
        end = time.monotonic() + seconds
        while b"\n" not in self.unread:
            if not select.select([self.heard], [], [], max(0, end - time.monotonic()))[0]:
                return None
            more = os.read(self.heard, 1 << 16)
            if not more:
                assert self.process
                self.process.wait(WALL)
                return None
            self.unread += more
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def log(self) -> str:
        """The end of what the child wrote, without what differs from one process to another."""
        text = (self.folder / "log").read_bytes()[-2000:].decode("utf-8", "replace").strip()
        return re.sub(r"0x[0-9a-f]{6,}", "0x...", text)


def table(tallies: Sequence[Tally]) -> str:
    """Markdown, as in docs/security.md."""
    return "\n".join(map(line, (HEADS, ["---"] + ["---:"] * (len(HEADS) - 1), *(tally.row() for tally in tallies))))


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def filled(text: str, tallies: Sequence[Tally]) -> str:
    """A document with these readers' rows in its table, in place of what it had of them; rows are sorted."""
    found = re.search(rf"({re.escape(line(HEADS))}\n\|[^\n]*\n)((?:\|[^\n]*\n)*)", text)
    assert found, "the document has no such table"
    rows = {row.split(" | ")[0].removeprefix("| "): row for row in found[2].splitlines()}
    rows |= {tally.name: line(tally.row()) for tally in tallies}
    body = "".join(f"{rows[name]}\n" for name in sorted(rows))
    return text[: found.end(1)] + body + text[found.end() :]


# The child


def main(told: int, folder: Path) -> None:
    """Answers a line {name, first, stop, seed, cpu} on standard input: "warm", then [how it ended, words] an input."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, whatever code it is in
    for line in sys.stdin.buffer:
        request = json.loads(line)
        name, seed = request["name"], request["seed"]
        known = seeds(name)
        read(name, known[0], folder / "work")
        tell(told, "warm")
        for number in range(request["first"], request["stop"]):
            data = make_input(name, seed, number, known)
            os.ftruncate(2, 0)
            signal.setitimer(signal.ITIMER_PROF, request["cpu"])
            ended = read(name, data, folder / "work")
            signal.setitimer(signal.ITIMER_PROF, 0)
            tell(told, ended)


def tell(told: int, what: Any) -> None:
    os.write(told, json.dumps(what).encode() + b"\n")


def read(name: str, data: bytes, folder: Path) -> tuple[str, str]:
    """How the reader ends with that input, as a file of a folder of its own; of a traceback its end."""
    from visionport.errors import VisionportError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / f"input{reader(name).SUFFIX}"
    path.write_bytes(data)
    try:
        reader(name).read(path)
    except VisionportError:
        return REFUSED, ""
    except BaseException as error:
        return TRACEBACK, ends_of(error)
    return READ, ""


def ends_of(error: BaseException) -> str:
    """The kind of an error and where it was raised: the last places in the project's code, and the very last."""
    places = traceback.extract_tb(error.__traceback__)
    ours = [place for place in places if "visionport" in Path(place.filename).parts]
    shown = dict.fromkeys(f"{Path(p.filename).name}:{p.lineno} {p.name}" for p in (*ours[-3:], places[-1]))
    return f"{type(error).__name__} at {' > '.join(shown)}\n{str(error)[:200]!r}"


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
