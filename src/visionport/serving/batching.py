"""Requests of one shape answered together: one call of the runner for several, as TensorFlow Serving batches.

Pictures are of one shape where their pixels are, encoded or not, so that an answer does not depend on its neighbours.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError, OptionError
from visionport.serving.limits import picture_size
from visionport.serving.messages import message
from visionport.serving.statuses import RequestError

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Awaitable[Arrays]]


@dataclass(frozen=True, kw_only=True)
class Batching:
    """Defaults are TensorFlow Serving's, but for the time that a request waits for others.

    max_batch: rows of a call. timeout: seconds that the first request waits. max_waiting: batches that may wait before
    others are refused. threads: calls at a time. sizes: the only numbers of rows, filled up by repeating the last.
    """

    max_batch: int = 32
    timeout: float = 0.002
    max_waiting: int = 10
    threads: int = 2
    sizes: tuple[int, ...] = ()


def read_batching(path: Path) -> Batching:
    """A --batching-parameters-file: the text of TensorFlow Serving's BatchingParameters."""
    from google.protobuf import text_format

    try:
        given: Any = text_format.Parse(path.read_text("utf-8"), message("BatchingParameters")())
    except (OSError, ValueError) as e:
        raise InputError(f"{path} cannot be read: {getattr(e, 'strerror', None) or e}.") from None
    except text_format.ParseError as e:
        raise InputError(f"{path}: {e}. It holds lines such as: max_batch_size {{ value: 32 }}") from None
    default = Batching()
    sizes = tuple(given.allowed_batch_sizes)
    found = Batching(
        max_batch=_value(given, "max_batch_size", sizes[-1] if sizes else default.max_batch),
        timeout=_value(given, "batch_timeout_micros", round(default.timeout * 1e6)) / 1e6,
        max_waiting=_value(given, "max_enqueued_batches", default.max_waiting),
        threads=_value(given, "num_batch_threads", default.threads),
        sizes=sizes,
    )
    if min(found.max_batch, found.max_waiting, found.threads) < 1 or found.timeout < 0:
        raise OptionError(f"{path}: sizes and threads are 1 or more, the timeout 0 or more.")
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != found.max_batch):
        raise OptionError(
            f"{path}: allowed_batch_sizes must rise, and end in max_batch_size ({found.max_batch}), not in {sizes[-1]}."
        )
    return found


def _value(given, name: str, default: int) -> int:
    return getattr(given, name).value if given.HasField(name) else default


@dataclass
class _Waiting:
    feeds: Arrays
    rows: int
    since: float
    answer: asyncio.Future = field(repr=False)


class Batcher:
    """Of one signature of one version. run: the runner's call."""

    def __init__(self, how: Batching, run: Run):
        self._how, self._run = how, run
        self._queues: dict[tuple, deque[_Waiting]] = {}
        self._rows = 0  # that wait
        self._tasks: set[asyncio.Task] = set()
        self._slots = asyncio.Semaphore(how.threads)
        self._came = asyncio.Event()

    async def ask(self, feeds: Arrays) -> Arrays:
        """The outputs for these rows alone, whoever else they were asked with."""
        rows = rows_of(feeds)
        if rows > self._how.max_batch:
            return await self._run(feeds)
        if self._rows + rows > self._how.max_batch * self._how.max_waiting:
            raise RequestError("UNAVAILABLE", "The batch scheduling queue to which this task was submitted is full")
        loop = asyncio.get_running_loop()
        key = shape_of(feeds)
        item = _Waiting(feeds, rows, loop.time(), loop.create_future())
        self._rows += rows
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._start(self._dispatch(key, queue))
        queue.append(item)
        self._came.set()
        return await item.answer

    def _start(self, work) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self, key: tuple, queue: deque[_Waiting]) -> None:
        """Takes batches from a queue until it is empty."""
        await asyncio.sleep(0)
        while queue:
            await self._ripen(queue)
            await self._slots.acquire()
            batch = self._take(queue)
            if batch:
                self._start(self._answer(batch))
            else:
                self._slots.release()
        del self._queues[key]

    async def _ripen(self, queue: deque[_Waiting]) -> None:
        """Until a batch is full, or its first request has waited long enough."""
        loop = asyncio.get_running_loop()
        while sum(item.rows for item in queue) < self._how.max_batch:
            left = queue[0].since + self._how.timeout - loop.time()
            if left <= 0:
                return
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), left)
            except asyncio.TimeoutError:
                return

    def _take(self, queue: deque[_Waiting]) -> list[_Waiting]:
        batch, rows = [], 0
        while queue and rows + queue[0].rows <= self._how.max_batch:
            item = queue.popleft()
            self._rows -= item.rows
            if not item.answer.done():  # whoever asked has gone
                batch.append(item)
                rows += item.rows
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            if len(batch) == 1 and not self._how.sizes:
                await self._answer_alone(batch)
            else:
                await self._answer_together(batch)
        finally:
            self._slots.release()

    async def _answer_together(self, batch: list[_Waiting]) -> None:
        rows = sum(item.rows for item in batch)
        size = next((s for s in self._how.sizes if s >= rows), rows)
        feeds = {k: np.concatenate([item.feeds[k] for item in batch]) for k in batch[0].feeds}
        try:
            outputs = await self._run({k: _filled_up(v, size) for k, v in feeds.items()})
            together = all(v.ndim and len(v) == size for v in outputs.values())
        except Exception:  # of one of them: which one, asking each alone shows
            together, outputs = False, {}
        if not together:
            await self._answer_alone(batch)
            return
        start = 0
        for item in batch:
            _set(item, {k: v[start : start + item.rows] for k, v in outputs.items()})
            start += item.rows

    async def _answer_alone(self, batch: list[_Waiting]) -> None:
        for item in batch:
            try:
                _set(item, await self._run(item.feeds))
            except Exception as e:
                _set(item, e)


def _set(item: _Waiting, answer: Arrays | Exception) -> None:
    if item.answer.done():
        return
    if isinstance(answer, Exception):
        item.answer.set_exception(answer)
    else:
        item.answer.set_result(answer)


def _filled_up(array: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def rows_of(feeds: Mapping[str, np.ndarray]) -> int:
    """The first dimension that all have; 0 where they do not agree on one."""
    sizes = {len(v) if v.ndim else 0 for v in feeds.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def shape_of(feeds: Mapping[str, np.ndarray]) -> tuple:
    """What requests that go together have in common."""
    return tuple((name, v.dtype.str, v.shape[1:], _pixels(v)) for name, v in sorted(feeds.items()))


def _pixels(array: np.ndarray) -> frozenset:
    """The sizes of the encoded pictures in it."""
    return frozenset(map(picture_size, array.reshape(-1))) if array.dtype.kind == "O" else frozenset()
