"""`visionport client`: a server asked about pictures, and its answers as `visionport predict` gives them."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visionport.client.address import Address
from visionport.client.connection import Access, Connection, Known, ServerError, said
from visionport.client.feeding import Feed, find_feed
from visionport.errors import InputError, VisionportError
from visionport.inputs import pictures
from visionport.prediction import Drawing
from visionport.tasks import TASKS, task_of
from visionport.tasks.base import Task, files_of

SHOWN = 1000  # values of an output that --raw prints


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked. kind: what is sent, see feeding.KINDS; by the metadata by default. labels: class -> name; a
    server's own by default. repeat: requests for each picture. raw: outputs as they are."""

    address: Address
    access: Access
    images: Sequence[Path]
    signature: str | None = None
    kind: str | None = None
    labels: Mapping[int, str] | None = None
    min_score: float = 0.3
    draw: bool = False
    draw_dir: Path | None = None
    overwrite: bool = False
    exif: bool = True
    raw: bool = False
    repeat: int = 1
    skip: Callable[[InputError], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """records: one a picture. seconds: of each request. signature, kind: how it was asked. note: what to know."""

    records: Sequence[Mapping[str, Any]]
    seconds: Sequence[float]
    signature: str
    kind: str
    note: str = field(default="")


def connect(address: Address, access: Access) -> Connection:
    if address.is_rest:
        from visionport.client.rest import Rest

        return Rest(address, access)
    from visionport.client.rpc import Rpc

    return Rpc(address, access)


def ask(request: Request) -> Found:
    """The answers to all pictures. Raises ServerError where the server gives none."""
    connection = connect(request.address, request.access)
    try:
        known = connection.known()
        signatures = connection.signatures()
        feed = find_feed(signatures, request.signature, request.kind, known)
        return ask_all(request, connection, feed, known)
    finally:
        connection.close()


def ask_all(request: Request, connection: Connection, feed: Feed, known: Known) -> Found:
    files = find_files(request)
    drawing = Drawing(None, files, request.draw_dir, overwrite=request.overwrite)
    records, seconds, note = [], [], ""
    for file in files:
        try:
            picture = pictures.read(file, exif=request.exif)
        except InputError as e:
            if request.skip is None:
                raise
            request.skip(e)
            continue
        feeds = feed.feeds(file, picture)
        outputs: dict[str, np.ndarray] = {}
        for _ in range(request.repeat):
            outputs, taken = connection.predict(feed.signature, feeds)
            seconds.append(taken)
        task = None if request.raw else find_task(outputs, known)
        if task is None:
            if not request.raw:
                note = (
                    f"{', '.join(map(said, outputs))} are no outputs of a task known here, and are shown as they are."
                )
            records.append({"image": str(file), "outputs": {name: shown(a) for name, a in outputs.items()}})
            continue
        labels = request.labels if request.labels is not None else known.classes
        answer = read_answer(task, outputs)
        size = (picture.shape[0], picture.shape[1])
        record = {"image": str(file), **task.record(answer, labels, size, request.min_score)}
        if request.draw or request.draw_dir:
            for ending, image in files_of(task, picture, answer, labels, request.min_score).items():
                target = drawing.write(file, ending, image)
                record["drawn" if ending == task.noun else ending] = str(target)
        records.append(record)
    return Found(records=records, seconds=seconds, signature=feed.signature.name, kind=feed.kind, note=note)


def find_files(request: Request) -> list[Path]:
    found: list[Path] = []
    for path in request.images:
        try:
            found += pictures.found_at(path)
        except InputError as e:
            if request.skip is None:
                raise
            request.skip(e)
    return list(dict.fromkeys(found))


def find_task(outputs: Mapping[str, np.ndarray], known: Known) -> Task | None:
    """The task whose outputs these are."""
    names = [known.task] if known.task in TASKS else [*TASKS]
    tasks = [task_of(name) for name in names if not hasattr(task_of(name), "read")]  # clips are not sent
    return next((task for task in tasks if set(task.outputs) <= set(outputs)), None)


def read_answer(task: Task, outputs: Mapping[str, np.ndarray]) -> Any:
    """What outputs mean, by the names that SavedModels give them. Raises ServerError for what is no answer."""
    reading = {"boxes": "scaled"} if "image_info" in outputs else {}
    try:
        answer = task.answer(outputs, reading, np.ones(2))
        wrong = next((n for n in task.outputs if not np.isfinite(np.asarray(answer[n], np.float64)).all()), "")
    except (VisionportError, ValueError, IndexError, KeyError, TypeError) as e:
        raise ServerError(f"the server's outputs are no {task.noun}: {said(str(e))}. See them with --raw.") from None
    if wrong:
        raise ServerError(f"the server answers with what is no number in {wrong}: NaN or infinite. See it with --raw.")
    return answer


def shown(array: np.ndarray) -> dict[str, Any]:
    """An output for people: its dtype, shape, and first values."""
    flat = array.reshape(-1)[:SHOWN]
    values = [text_of(v) for v in flat] if array.dtype.kind == "O" else [plain(v) for v in flat.tolist()]
    whole = nested(values, array.shape) if array.size <= SHOWN else values
    dtype = "string" if array.dtype.kind == "O" else array.dtype.name
    record: dict[str, Any] = {"dtype": dtype, "shape": [*array.shape], "values": whole}
    return record | ({"left_out": array.size - SHOWN} if array.size > SHOWN else {})


def nested(values: list[Any], shape: Sequence[int]) -> Any:
    made = np.empty(len(values), object)
    made[:] = values
    return made.reshape(shape).tolist()


def plain(value: Any) -> Any:
    """A number as JSON has it."""
    return (
        str(value) if isinstance(value, complex) or (isinstance(value, float) and not math.isfinite(value)) else value
    )


def text_of(value: Any) -> Any:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def latency_line(seconds: Sequence[float]) -> str:
    """What requests took, in milliseconds."""
    taken = np.array(seconds) * 1e3
    if len(taken) == 1:
        return f"1 request: {taken[0]:.1f} ms"
    parts = ", ".join(f"p{p} {np.percentile(taken, p):.1f}" for p in (50, 90, 99))
    return f"{len(taken)} requests: {parts}, least {taken.min():.1f}, most {taken.max():.1f} ms"
