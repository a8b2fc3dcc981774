"""Ends commands by signals at random moments, and says what was left: `python tests/fuzz/kill.py --signals 200`.

A run is a process of its own, forked from one that has imported TensorFlow. Its target must be as it was before or
whole, nothing of it may lie about, and no traceback may be shown. By SIGKILL a process can leave something, which the
next run must remove. Status 1 where that is not so.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionport import staging

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
HEADS = ("command", "runs", "as before", "complete", "half", "left", "left by SIGKILL till the next run", "tracebacks")
BEFORE, COMPLETE, HALF, LEFT, KILLED, TRACEBACK = HEADS[2:]
PATIENCE = 600  # seconds until a process that does not end is a failure


@dataclass(kw_only=True)
class Job:
    """A command that writes `target` in `place`. fill: what lies there before, made anew for each run."""

    name: str
    arguments: Sequence[object]
    place: Path
    fill: Callable[[Path], None] = lambda place: None
    program: str = ""  # in place of visionport's command line
    seconds: float = 0.0
    before: dict[str, bytes] = field(default_factory=dict)
    complete: dict[str, bytes] = field(default_factory=dict)

    def start(self) -> "Process":
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        self.fill(self.place)
        self.before = snapshot(self.place)
        return Process(self)

    def measure(self) -> None:
        """One run to its end: how long it takes, and what it writes."""
        begun = time.perf_counter()
        process = self.start()
        errors = process.wait()
        if process.status:
            raise RuntimeError(f"{self.name} itself ends with {process.status}: {errors}")
        self.seconds, self.complete = time.perf_counter() - begun, snapshot(self.place)

    def end(self, number: int, rng: random.Random) -> list[str]:
        """One run ended by that signal at a random moment, every second time while it is writing; what was found."""
        process = self.start()
        process.wait_for_handler()
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0, self.seconds))
        else:
            while process.runs() and not leftovers(self.place):
                time.sleep(0.001)
            time.sleep(rng.expovariate(20 / self.seconds))
        process.signal(number)
        errors = process.wait()
        found = [self.state()]
        if "Traceback" in errors or "visionport does not know" in errors:
            found.append(TRACEBACK)
            print(errors.strip()[-2000:], file=sys.stderr)
        if process.status not in (0, 128 + number, -number):
            found.append(f"status {process.status}: {errors.strip()[-300:]}")
        if leftovers(self.place):
            found.append(KILLED if number == signal.SIGKILL else LEFT)
            staging.remove_leftovers(self.place)
            found += [LEFT] if leftovers(self.place) else []
            found += [HALF] if self.state() == HALF and found[0] != HALF else []
        return found

    def state(self) -> str:
        """Whether each file is as it was before or as it is after a whole run."""
        now = {name: data for name, data in snapshot(self.place).items() if not is_ours(name)}
        if now == self.before:
            return BEFORE
        whole = all(data in (self.before.get(name), self.complete.get(name)) for name, data in now.items())
        folders = {name.partition("/")[0] for name in now if "/" in name}
        exports = [f for f in folders if f"{f}/manifest.json" in self.complete]  # appear and go as one
        one = all(part(now, f) in (part(self.before, f), part(self.complete, f)) for f in exports)
        return COMPLETE if whole and one and self.before.keys() <= now.keys() | self.gone() else HALF

    def gone(self) -> set[str]:
        """What a whole run removes."""
        return self.before.keys() - self.complete.keys()


class Process:
    """A job's process, forked from this one, which has imported what takes long."""

    def __init__(self, job: Job):
        self.errors, self.status = tempfile.TemporaryFile("w+"), None  # noqa: SIM115
        self.pid = os.fork()
        if not self.pid:
            self.be(job)

    def be(self, job: Job) -> None:
        """What the new process does, to its end."""
        status: Any = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
            os.chdir(job.place)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(self.errors.fileno(), 2)
            sys.argv = ["visionport", *map(str, job.arguments)]
            exec(job.program or "from visionport import __main__; __main__.run()", {})
        except SystemExit as e:
            status = e.code or 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            staging.discard_all()
            os._exit(status)

    def runs(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status is None

    def signal(self, number: int) -> None:
        if self.runs():
            os.kill(self.pid, number)

    def wait(self) -> str:
        """To its end; what it wrote to standard error."""
        end = time.monotonic() + PATIENCE
        while self.runs():
            time.sleep(0.002)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
        with self.errors as file:
            file.seek(0)
            return file.read()

    def wait_for_handler(self) -> None:
        """Until it takes signals itself: what Python says of Ctrl-C before is Python's."""
        while self.runs():
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            handled = next((line.split()[1] for line in lines if line.startswith("SigCgt")), "0")
            if int(handled, 16) & 1 << (signal.SIGTERM - 1):
                return
            time.sleep(0.001)


def part(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith(f"{folder}/")}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [str(p) for p in folder.rglob("*") if is_ours(str(p.relative_to(folder)))]


def is_ours(name: str) -> bool:
    return any(staging.OURS.fullmatch(part) for part in Path(name).parts)


# The commands


def real_jobs(folder: Path) -> list[Job]:
    """Commands of the bundled digits detector; what was written before is of another threshold, or somebody's."""
    import tensorflow as _  # noqa: F401

    from visionport.inputs.pictures import example

    digits = Path(str(example("digits")))
    given = ["--config", digits / "tf2", "--checkpoint", digits / "tf2", "--labels", digits / "label_map.pbtxt"]
    export = ["export", *given, "--no-verify", "--format", "saved_model,tflite", "--out", "out"]
    first = Job(name="", arguments=[*export, "--score-threshold", "0.5"], place=folder / "first")
    first.measure()
    earlier, pictures = folder / "first" / "out", sorted((digits / "images").glob("*.jpg"))[:3]

    def put_export(place: Path) -> None:
        shutil.copytree(earlier, place / "out")

    def put_file(place: Path) -> None:
        (place / "out").write_text("an earlier one")

    def put_pictures(place: Path) -> None:
        (place / "drawn").mkdir()
        for name in ("digits-0_detections.png", "notes.txt"):
            (place / "drawn" / name).write_text("an earlier one")

    saved, model = earlier / "saved_model", earlier / "model.tflite"
    convert = ["convert", saved, "--out", "model.tflite", "--no-verify", "--allow-select-tf-ops"]
    freeze = ["freeze", saved, "-o", "out", "--overwrite"]
    draw = ["predict", model, *pictures, "--draw-dir", "drawn", "--overwrite", "-o", "answers.json"]
    return [
        Job(name="export", arguments=export, place=folder / "export"),
        Job(name="export --overwrite", arguments=[*export, "--overwrite"], place=folder / "over", fill=put_export),
        Job(name="freeze --overwrite", arguments=freeze, place=folder / "freeze", fill=put_file),
        Job(name="convert", arguments=[*convert, "--input-shape", "1,192,192,3"], place=folder / "convert"),
        Job(name="predict --draw-dir --overwrite", arguments=draw, place=folder / "predict", fill=put_pictures),
    ]


SLOW = """
import time
from pathlib import Path
from visionport import __main__, cli, staging

@cli.main.command()
def slow():
    for round in range(3):
        with staged("out") as folder:
            for name in ("a", "b", "manifest.json"):
                (folder / name).write_text(TEXT[name])
                time.sleep(0.01)
        staging.write_file(Path("file"), (bytes(1000) for _ in range(100) if not time.sleep(0.0005)), overwrite=True)

def staged(name):
    return staging.staged(Path(name), overwrite=True)

TEXT = {"a": "new" * 1000, "b": "new", "manifest.json": '{"visionport": "0", "files": {"a": {}, "b": {}}}'}
__main__.run()
"""


def slow_job(folder: Path) -> Job:
    """An export without TensorFlow, which does nothing but write, again and again."""

    def fill(place: Path) -> None:
        (place / "out").mkdir()
        (place / "out" / "manifest.json").write_text('{"visionport": "0", "files": {"a": {}, "old": {}}}')
        (place / "out" / "a").write_text("earlier")
        (place / "out" / "old").write_text("earlier")
        (place / "file").write_text("earlier")

    return Job(name="slow writer", arguments=["slow"], place=folder / "slow", fill=fill, program=SLOW)


# The run


def run(jobs: Sequence[Job], signals: int, seed: int, tell: Callable[[str], None] = print) -> dict[str, Counter[str]]:
    """Ends the jobs in turn, each signal as often; how often each end was found, by job."""
    rng, tallies = random.Random(seed), {job.name: Counter[str]() for job in jobs}
    for job in jobs:
        job.measure()
    for i in range(signals):
        job, number = jobs[i % len(jobs)], SIGNALS[i // len(jobs) % len(SIGNALS)]
        found = job.end(number, rng)
        tallies[job.name].update(["runs", *found])
        if bad := [what for what in found if what not in (BEFORE, COMPLETE, KILLED)]:
            tell(f"{job.name}, run {i}, {signal.Signals(number).name}: {'; '.join(bad)}")
    return tallies


def wrong(tallies: dict[str, Counter[str]]) -> int:
    """How many runs ended in what must not be."""
    known = ("runs", BEFORE, COMPLETE, KILLED)
    return sum(n for counts in tallies.values() for what, n in counts.items() if what not in known)


def table(tallies: dict[str, Counter[str]]) -> str:
    """Markdown, as in docs/security.md."""
    rows = [[name, *(str(counts[head]) for head in HEADS[1:])] for name, counts in tallies.items()]
    lines = [HEADS, ["---"] + ["---:"] * (len(HEADS) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--signals", type=int, default=200, help="of all commands together; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="decides the moments; default: %(default)s")
    parser.add_argument("--slow", action="store_true", help="a program that only writes, in place of the commands")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        jobs = [slow_job(Path(folder))] if asked.slow else real_jobs(Path(folder))
        tallies = run(jobs, asked.signals, asked.seed, lambda text: print(text, file=sys.stderr, flush=True))
    print(table(tallies))
    return int(wrong(tallies) > 0)


if __name__ == "__main__":
    sys.exit(main())
