"""What goes into a model to be converted: its inputs' shapes, examples to calibrate with, and inputs to verify on."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport import calibration, config
from visionport.errors import InputError, OptionError


@dataclass(frozen=True, kw_only=True)
class Given:
    """An input: its key, its node, its type, and its shape with None where it stays open."""

    key: str
    node: str
    dtype: str
    shape: tuple[int | None, ...]

    @classmethod
    def of(cls, node, key: str, shapes: Mapping[str, tuple[int, ...]], count: int):
        """From a placeholder. An open batch becomes 1; any other open size must be given."""
        import tensorflow as tf

        own = node.attr["shape"].shape
        found = None if own.unknown_rank else [None if d.size < 0 else d.size for d in own.dim]
        asked = shapes.get(key) or shapes.get(node.name) or (shapes.get("") if count == 1 else None)
        if asked is not None:
            fits = found is None or len(found) == len(asked)
            if not fits or any(a not in (-1, d) for a, d in zip(asked, found or (), strict=False) if d is not None):
                has = [("?" if d is None else d) for d in found or ()]
                raise OptionError(f"--input-shape {key}={','.join(map(str, asked))} does not fit its shape, {has}.")
            found = [None if d < 0 else d for d in asked]
        elif found is None or any(d is None for d in found[1:]):
            known = "an unknown shape" if found is None else f"the shape {[('?' if d is None else d) for d in found]}"
            raise OptionError(f"the input {key} has {known}: give --input-shape {key}=1,... (-1 keeps a size open).")
        elif found and found[0] is None:
            found[0] = 1
        return cls(key=key, node=node.name, dtype=tf.as_dtype(node.attr["dtype"].type).name, shape=tuple(found))

    @property
    def spec(self) -> tuple[int, ...]:
        """The shape with -1 where it stays open."""
        return tuple(-1 if d is None else d for d in self.shape)


class Feeds:
    """Examples for calibration, each a list with an array an input; none without --calibration."""

    def __init__(self, inputs: Sequence[Given], request):
        self.inputs, self.path = inputs, request.calibration
        self.mean, self.std = request.mean, request.std
        if self.path is None:
            return
        self.arrays = read_arrays(self.path, inputs) if self.path.suffix == ".npz" else None
        if self.arrays is None:
            self._check_pictures()

    def _check_pictures(self) -> None:
        (image, *more) = self.inputs
        shape = image.spec
        if more or len(shape) != 4 or shape[3] not in (1, 3) or -1 in shape[1:]:
            raise OptionError(
                f"--calibration {self.path}: pictures are for one input [n, height, width, 3 or 1]; here are "
                f"{', '.join(f'{g.key} {list(g.spec)}' for g in self.inputs)}. Give an .npz with an array an input."
            )
        if not self.mean and image.dtype != "uint8":
            raise OptionError(
                "--calibration with pictures needs --mean and --std, the model's own (pixel - mean) / std. "
                "For -1 to 1: --mean 127.5 --std 127.5; for 0 to 1: --mean 0 --std 255. A wrong one spoils the file."
            )
        calibration.sources(self.path)

    def examples(self):
        """With a length, for a progress bar."""
        return () if self.path is None else _Examples(self)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        if self.path is None:
            return
        if self.arrays is not None:
            for i in range(self.count()):
                yield [self.arrays[g.key][i][None] for g in self.inputs]
            return
        (image,) = self.inputs
        for picture in calibration.load(self.path):
            yield [self.prepared(picture, image)]

    def prepared(self, picture: np.ndarray, image: Given) -> np.ndarray:
        """Resized (bilinear, aspect lost) and normalised."""
        from visionport.preprocessing import describe, prepare

        _, height, width, channels = image.spec
        mean, std = self.mean or (0.0,), self.std or (1.0,)
        (r, g, b), (rs, gs, bs) = (v * 3 if len(v) == 1 else v for v in (mean, std))
        resizer = config.FixedShape(height=height, width=width, method="bilinear", grayscale=channels == 1)
        value, _ = prepare(picture, describe(resizer, config.Normalization(mean=(r, g, b), std=(rs, gs, bs))))
        return np.rint(value).astype(image.dtype) if image.dtype != "float32" else value

    def count(self) -> int:
        if self.arrays is not None:
            return min(len(calibration.spread(range(len(a)))) for a in self.arrays.values())
        return calibration.count(Path(str(self.path)))


class _Examples:
    def __init__(self, feeds: Feeds):
        self.feeds = feeds

    def __len__(self):
        return self.feeds.count()

    def __iter__(self):
        return iter(self.feeds)


def read_arrays(path: Path, inputs: Sequence[Given]) -> dict[str, np.ndarray]:
    """An .npz's arrays by the inputs' keys: [examples, ...], as the input but for its first axis."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {k: file[k] for k in file.files}
    except (OSError, ValueError, KeyError) as e:
        raise InputError(f"--calibration {path} is no .npz of arrays: {e}.") from None
    for g in inputs:
        if g.key not in found:
            raise InputError(f"--calibration {path}: no array {g.key!r} in it. It has: {', '.join(found) or 'none'}.")
        shape, wanted = found[g.key].shape[1:], g.spec[1:]
        if len(shape) != len(wanted) or any(w not in (-1, s) for s, w in zip(shape, wanted, strict=True)):
            raise InputError(
                f"--calibration {path}: {g.key} has {list(shape)} an example; the input takes {list(wanted)}."
            )
    return {g.key: found[g.key].astype(g.dtype) for g in inputs}


def example_inputs(inputs: Sequence[Given], feeds: Feeds) -> Iterator[tuple[str, dict[str, Any]]]:
    """(title, {key: array}) to compare on: examples of the calibration, else noise, of pixels where mean is known."""
    from visionport.formats.tflite_checks import noise

    if any(d is None for g in inputs for d in g.shape):
        return
    if feeds.path is not None:
        for i, example in enumerate(itertools.islice(feeds, 3)):
            yield f"example {i + 1}", dict(zip((g.key for g in inputs), example, strict=True))
        return
    for i, title in enumerate(("noise", "more noise")):
        made = {g.key: noise(g.shape, g.dtype, 10 * i + j) for j, g in enumerate(inputs)}
        for g in inputs:
            if feeds.mean and g.dtype == "float32":
                pixels = noise(g.shape, "uint8", i).astype(np.float32)
                made[g.key] = ((pixels - np.float32(feeds.mean)) / np.float32(feeds.std)).astype(np.float32)
        yield title, made
