"""An artifact that no manifest tells of: what to feed it, as its signatures say."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from visionport.config import FixedShape, Normalization
from visionport.errors import InputError, UnsupportedError
from visionport.formats.base import Asker, Format, Reading, Runner, SignatureInfo, Tensor
from visionport.inputs import preprocessing
from visionport.inputs.types import INPUT_TYPES
from visionport.prediction import load
from visionport.tasks import TASKS, task_of
from visionport.tasks.base import Task

# What float inputs of a fixed size are taken to want. Time does not depend on it, but for NMS a little.
CENTRED = Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))


def open_foreign(fmt: Format, path: Path, threads: int | None, *, answers: bool) -> list[Asker]:
    """Askers of one runner, the likeliest first: which of them an artifact understands, a call shows.

    answers: they must be right, as far as the file itself tells how it wants its pictures.

    Raises UnsupportedError where no input is a picture's.
    """
    if answers:
        with contextlib.suppress(InputError):  # the file does not tell all; its signatures tell enough
            return [load(path, format=fmt.name, threads=threads, allow_unsafe_ops=True).asker]
    runner = fmt.open(path, Reading(input="", type=""), threads)
    found = [a for info in runner.signatures.values() for a in askers(runner, info)]
    if not found:
        inputs = [f"{t.name} {text_of(t)}" for info in runner.signatures.values() for t in info.inputs]
        raise UnsupportedError(f"{path} takes {', '.join(inputs) or 'nothing'}, and one of them must be a picture.")
    return found


def askers(runner: Runner, info: SignatureInfo) -> Iterator[Asker]:
    """Those of one signature; none where it takes more than a picture."""
    if len(info.inputs) != 1:
        return
    source, names = info.inputs[0], [t.name for t in info.outputs]
    task = task_by(names)
    size, channels = source.shape[1:3], source.shape[3:4]
    kinds, how = [name for name, kind in INPUT_TYPES.items() if fits(source, kind)], {}
    if len(source.shape) == 4 and channels in ((1,), (3,)) and size[0] and size[1]:
        how = preprocessing.describe(FixedShape(height=size[0], width=size[1], grayscale=channels == (1,)), CENTRED)
        kinds = ["preprocessed"]
    for kind in kinds:
        reading = Reading(input=source.name, type=kind, signature=info.name, outputs=tuple(names))
        yield Asker(runner=runner, reading=reading, task=task, how=how)  # type: ignore[arg-type] (of none)


def fits(source: Tensor, kind) -> bool:
    """Whether a tensor may be an input of that type."""
    shape = kind.shape(None, (None, None))
    if len(source.shape) != len(shape):
        return False
    same = all(b is None or a in (b, None) for a, b in zip(source.shape, shape, strict=True))
    return source.dtype == kind.dtype and same and not kind.more and not kind.preprocessed


def task_by(outputs: list[str]) -> Task | None:
    """The task whose outputs these are; None where there is none."""
    tasks = [task_of(name) for name in TASKS]
    return next((task for task in tasks if {*task.outputs} <= {*outputs}), None)


def text_of(tensor: Tensor) -> str:
    """ "uint8 [?, 480, 640, 3]"."""
    return f"{tensor.dtype} [{', '.join('?' if n is None else str(n) for n in tensor.shape)}]"
