"""The process that measures one artifact: python -m visionport.benchmarking.worker REQUEST

REQUEST is JSON, see Request. Prints a JSON object a line, figures of a Row, as soon as each is known: what a process
said before it crashed is not lost.
"""

import gc
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from visionport.benchmarking import machine
from visionport.benchmarking.figures import Accuracy, Calls, Cost
from visionport.benchmarking.foreign import open_foreign
from visionport.errors import VisionportError
from visionport.formats import format_of
from visionport.formats.base import Asker, Format, Runner, spent_by
from visionport.inputs import pictures
from visionport.prediction import load

WARM_UP = 0.5  # seconds of calls that do not count
FEWEST = 3  # calls, however long they take


@dataclass(frozen=True, kw_only=True)
class Request:
    """One artifact and how to measure it.

    folder: the export that it is of; None for a foreign one.
    patience: seconds of calls after which the rest of `runs` is left out.
    """

    path: str
    format: str
    folder: str | None
    images: tuple[str, ...]
    threads: int | None
    batch: int
    runs: int
    seconds: float
    patience: float
    evaluate: str | None

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "Request":
        given = json.loads(text)
        return cls(**given | {"images": tuple(given["images"])})


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # where libraries print
    try:
        for figures in measure(Request.read(sys.argv[1])):
            print(json.dumps(figures), file=answers, flush=True)
    except Exception as e:
        print(json.dumps({"error": reason_of(e)}), file=answers, flush=True)


def measure(request: Request) -> Iterator[dict[str, Any]]:
    """Fields of a Row, as they become known."""
    fmt, notes = format_of(request.format), []
    modules = [importlib.import_module(name) for name in fmt.runtime]
    bare = machine.peak_memory()
    versions = {m.__name__.partition(".")[0]: machine.version(m) for m in modules}
    yield {"bare": bare, "versions": versions | dict(fmt.versions())}

    loading, askers = timed(lambda: open_askers(fmt, request))
    yield {"load": asdict(replace(loading, cpu=loading.cpu + spent_by(askers[0].runner).cpu))}
    examples = askers[0].task.examples if askers[0].task else pictures.load
    shown = [*examples([Path(p) for p in request.images], askers[0].picture_size).values()]
    shown = shown if request.images else shown[:1]
    first, asker = call_first(askers, shown[0])
    feeds = [asker.feeds(picture[None])[0] for picture in shown]
    yield {"first": asdict(first), "input": text_of(feeds[0][asker.reading.input])}

    watch = machine.Watch(lambda: time.process_time() + spent_by(asker.runner).cpu)
    calls = call_often(asker, feeds, asker.batch or 1, request)
    yield {"calls": asdict(calls), "others": watch.others(), "memory": memory_above(bare, asker)}
    if request.batch > 1 and asker.batch is not None:
        notes.append(f"takes {asker.batch} a call, so there are no batches of {request.batch}")
    elif request.batch > 1:
        feeds = [asker.feeds(np.repeat(picture[None], request.batch, axis=0))[0] for picture in shown]
        batched = call_often(asker, feeds, request.batch, request)
        yield {"batched": asdict(batched), "batched_memory": memory_above(bare, asker)}
    if request.evaluate:
        accuracy = evaluate(asker, Path(request.evaluate))
        notes += [] if accuracy else ["gives no answers that can be evaluated"]
        yield {"accuracy": accuracy and asdict(accuracy)}
    yield {"notes": notes}
    asker.runner.close()
    del askers
    gc.collect()
    yield measure_network(fmt, asker, shown, request)


def timed(action: Callable, runner: Runner | None = None) -> tuple[Cost, Any]:
    """What an action costs, and gives. runner: whose own process counts too; asking it does not."""
    cpu = spent_by(runner).cpu + time.process_time()
    wall = time.perf_counter()
    result = action()
    wall = time.perf_counter() - wall
    return Cost(wall=wall, cpu=time.process_time() + spent_by(runner).cpu - cpu), result


def memory_above(bare: int, asker: Asker) -> int:
    """Peak bytes above those of the bare runtime, of all processes together."""
    return machine.peak_memory() - bare + spent_by(asker.runner).memory


def open_askers(fmt: Format, request: Request) -> list[Asker]:
    """Those that may understand pictures, the likeliest first; of an export the one that does."""
    if request.folder is None:
        return open_foreign(fmt, Path(request.path), request.threads, answers=bool(request.evaluate))
    # What it may run has been checked before this process began.
    return [load(request.folder, format=fmt.name, threads=request.threads, allow_unsafe_ops=True).asker]


def call_first(askers: Sequence[Asker], picture: np.ndarray) -> tuple[Cost, Asker]:
    """The first call that an artifact understands, and who made it."""
    errors: list[Exception] = []
    for asker in askers:
        try:
            feeds, _ = asker.feeds(picture[None])
            cost, _ = timed(lambda a=asker, f=feeds: a.runner.call(a.reading.signature, f), asker.runner)
            return cost, asker
        except Exception as e:
            errors.append(e)
    raise errors[0]


def call_often(asker: Asker, feeds: Sequence[Mapping[str, np.ndarray]], batch: int, request: Request) -> Calls:
    """Calls with each of the feeds in turn, as many as are asked for, after a warm-up."""
    turns, costs = itertools.cycle(feeds), []

    def call() -> float:
        """Seconds."""
        feed = next(turns)
        costs.append(timed(lambda: asker.runner.call(asker.reading.signature, feed), asker.runner)[0])
        return costs[-1].wall

    warm = call()
    while warm < WARM_UP:
        warm += call()
    costs.clear()
    took, fewest = 0.0, min(FEWEST, request.runs)
    while len(costs) < request.runs or took < request.seconds:
        took += call()
        if took > request.patience and len(costs) >= fewest:
            break
    return Calls.of(batch, costs)


def evaluate(asker: Asker, path: Path) -> Accuracy | None:
    """The task's metric on labelled pictures; None for an artifact that does not give the task's answers."""
    task, outputs = asker.task, asker.runner.signatures[asker.reading.signature].outputs
    if not task or not task.metric or not {*task.outputs} <= {t.name for t in outputs}:
        return None
    (measure,) = task.metric.evaluate({"artifact": asker}, path, asker.picture_size).values()
    return Accuracy(name=task.metric.name, value=measure.value, data=path.name, more=measure.more)


def measure_network(fmt: Format, asker: Asker, shown: Sequence[np.ndarray], request: Request) -> dict[str, Any]:
    """Its fields of a Row; {} where the artifact does not let its network be run alone."""
    network = fmt.network(Path(request.path), asker.reading, request.threads)
    if not network:
        return {}
    alone = replace(asker, runner=network.runner, reading=network.reading)
    feeds = [alone.feeds(picture[None])[0] for picture in shown]
    calls = call_often(alone, feeds, alone.batch or 1, request)
    return {"network": asdict(calls), "network_is": network.what}


def text_of(value: np.ndarray) -> str:
    """ "uint8 [1, 480, 640, 3]"; "string [1]"."""
    return f"{'string' if value.dtype == object else value.dtype} {list(value.shape)}"


def reason_of(error: Exception) -> str:
    said = " ".join(str(error).split()[:60])
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"out of memory: {said}"
    return said if isinstance(error, VisionportError) else f"{type(error).__name__}: {said}"


if __name__ == "__main__":
    main()
