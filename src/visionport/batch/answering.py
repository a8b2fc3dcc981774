"""Many pictures, one model: read ahead, put together by their size, answered; what fails is told for itself alone."""

import functools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from visionport import prediction
from visionport.batch import failures
from visionport.batch.failures import Failure
from visionport.batch.job import Job
from visionport.errors import OptionError
from visionport.prediction import Predictor
from visionport.progress import size_of
from visionport.tasks import task_of
from visionport.tasks.base import Answer, Labels, Task

HELD = 1 << 28  # bytes of pictures that wait for others of their size
TOGETHER = 1 << 26  # bytes of pictures that are asked about at once
READERS = 2  # threads that read pictures while the model works
LARGE = 1 << 30  # bytes of a model that is held once a machine


@dataclass(frozen=True, kw_only=True)
class About:
    """What rows are made with. batch: how many pictures a call takes; None for any."""

    path: Path
    task_name: str
    labels: Labels
    batch: int | None

    @property
    def task(self) -> Task:
        return task_of(self.task_name)


class Model:
    """An artifact, opened once a process; with a large one, once a machine, and what is called goes to that process."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor

    def about(self) -> About:
        p = self._predictor
        return About(path=p.path, task_name=p.task, labels=p.labels, batch=p.asker.batch)

    def answer(self, pictures: np.ndarray) -> list[Answer]:
        """The answers to pictures of one size, uint8 [b, h, w, 3]; an artifact's fixed batch is filled up."""
        asker, wanted = self._predictor.asker, self._predictor.asker.batch
        answers: list[Answer] = []
        step = wanted or len(pictures)
        for start in range(0, len(pictures), step):
            part = pictures[start : start + step]
            missing = step - len(part)
            outputs, extent = asker.ask(np.concatenate([part, *[part[-1:]] * missing]) if missing else part)
            answers += [asker.read(outputs, extent, row) for row in range(len(part))]
        return answers


class Answering(Protocol):
    """A Model, or what stands for one in another process."""

    def about(self) -> About: ...

    def answer(self, pictures: np.ndarray) -> list[Answer]: ...


def open_model(job: Job) -> Model:
    path = os.path.join(job.folder, job.artifact)
    sides = job.side_inputs and os.path.join(job.folder, job.side_inputs)
    return Model(prediction.load(path, format=job.format, side_inputs=sides, signature=job.signature))


def is_large(job: Job) -> bool:
    if job.large_model is None:
        return size_of(prediction.find_artifact(os.path.join(job.folder, job.artifact), job.format).path) > LARGE
    return job.large_model


class Readable(Protocol):
    """A picture that can be read: inputs.Item, transforms.Picture."""

    @property
    def name(self) -> str: ...

    def read(self, task: Task, *, exif: bool = True) -> np.ndarray | Failure: ...


@dataclass(frozen=True, kw_only=True)
class Answered:
    """item: what was asked about; number: its place among all that were."""

    number: int
    item: Any
    picture: np.ndarray
    answer: Answer


def answer_all(
    model: Answering, about: About, items: Iterable[Readable | Failure], job: Job
) -> Iterator[tuple[int, Answered | Failure]]:
    """Each item's place among them and its answer or failure, in the order in which they are found."""
    waiting: dict[tuple[int, ...], list[tuple[int, Readable, np.ndarray]]] = {}
    held = 0
    for number, item, picture in read_ahead(items, about.task, job):
        if isinstance(picture, Failure):
            yield number, picture
            continue
        group = waiting.setdefault(picture.shape, [])
        group.append((number, item, picture))
        held += picture.nbytes
        if len(group) >= job.batch_size or len(group) * picture.nbytes >= TOGETHER:
            del waiting[picture.shape]
        elif held >= HELD:
            group = waiting.pop(max(waiting, key=lambda shape: sum(p.nbytes for _, _, p in waiting[shape])))
        else:
            continue
        held -= sum(p.nbytes for _, _, p in group)
        yield from answer_group(model, about, group, job)
    for group in waiting.values():
        yield from answer_group(model, about, group, job)


def read_ahead(items: Iterable[Readable | Failure], task: Task, job: Job) -> Iterator[tuple[int, Any, Any]]:
    """(place, item, its picture or failure), in their order, while the next ones are read."""
    read = functools.partial(read_item, task=task, exif=job.exif)
    ahead: deque[tuple[int, Any, Any]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        for number, item in enumerate(items):
            ahead.append((number, item, pool.submit(read, item)))
            if len(ahead) > 2 * job.batch_size:
                first, old, picture = ahead.popleft()
                yield first, old, picture.result()
        for number, item, picture in ahead:
            yield number, item, picture.result()


def read_item(item: Readable | Failure, task: Task, exif: bool) -> np.ndarray | Failure:
    if isinstance(item, Failure):
        return item
    try:
        return item.read(task, exif=exif)
    except Exception as e:  # whatever a decoder does with a picture, it is that picture's
        return Failure(name=item.name, kind=failures.DAMAGED, error=f"{item.name}: {failures.words(e)}")


def answer_group(
    model: Answering, about: About, group: Sequence[tuple[int, Any, np.ndarray]], job: Job
) -> Iterator[tuple[int, Answered | Failure]]:
    """The answers to pictures of one size; one by one where they cannot be answered together."""
    try:
        answers = model.answer(np.stack([picture for _, _, picture in group]))
    except Exception as e:
        if len(group) > 1:
            for one in group:
                yield from answer_group(model, about, [one], job)
        else:
            ((number, item, _),) = group
            yield number, failures.unanswered(item.name, e)
        return
    check_answer(about, answers[0], job)
    for (number, item, picture), answer in zip(group, answers, strict=True):
        yield number, Answered(number=number, item=item, picture=picture, answer=answer)


def check_answer(about: About, answer: Answer, job: Job) -> None:
    """Raises OptionError for an artifact that gives only what answers are made of, unless that is asked for."""
    if not job.raw:
        prediction.check_answer(about.path, about.task, answer)
    elif not answer:
        raise OptionError(f"{about.path} gives nothing.")
