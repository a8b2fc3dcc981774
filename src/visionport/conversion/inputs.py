"""What goes into a model to be converted: its inputs' shapes, pixels, examples to calibrate with and to verify on."""

import itertools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport import config
from visionport.errors import InputError, OptionError
from visionport.inputs import calibration
from visionport.inputs.preprocessing import describe, prepare, to_pixels
from visionport.inputs.quantization import EIGHT_BITS

OPEN = (2, 64)  # a batch, and any other size, to verify a file on whose sizes are open
NORMAL = "For -1 to 1: --mean 127.5 --std 127.5; for 0 to 1: --mean 0 --std 255. A wrong one spoils the file."


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
        if 0 in found:
            raise OptionError(f"the input {key} has the shape {found}: nothing goes in. Give another --input-shape.")
        return cls(key=key, node=node.name, dtype=tf.as_dtype(node.attr["dtype"].type).name, shape=tuple(found))

    @property
    def spec(self) -> tuple[int, ...]:
        """The shape with -1 where it stays open."""
        return tuple(-1 if d is None else d for d in self.shape)

    @property
    def is_image(self) -> bool:
        """[n, height, width, 3 or 1]"""
        return len(self.shape) == 4 and self.shape[3] in (1, 3) and self.dtype in ("float32", "uint8")

    def noise(self, seed: int) -> np.ndarray:
        """Always the same; open sizes are those of OPEN."""
        from visionport.tflite.checks import noise

        shape = [(OPEN[i > 0] if d is None else d) for i, d in enumerate(self.shape)]
        return np.full(shape, b"a", object) if self.dtype == "string" else noise(shape, numpy_type(self.dtype), seed)


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What a file does to its image before the graph: (pixel - mean) / std, with a number each a channel.

    dtype: of the image that is traced; float32 where the converter makes uint8 of it.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: str

    @classmethod
    def of(cls, inputs: Sequence[Given], request) -> "Pixels | None":
        """None where pixels are not asked for, the graph takes them itself, or the input's scale does it all."""
        if "uint8" not in (request.input_type, request.integer) or all(g.dtype == "uint8" for g in inputs):
            return None
        whole = request.quantize in EIGHT_BITS
        if whole and len(set(request.mean)) < 2 and len(set(request.std)) < 2:
            return None
        if len(inputs) > 1 or not inputs[0].is_image or not request.mean:
            raise OptionError(
                "--input-type uint8 puts the normalisation of pixels into the file: it takes one input [n, height, "
                f"width, 3 or 1] of float32, and --mean and --std, the model's own. {NORMAL}"
            )
        mean, std = channels(inputs[0], request.mean), channels(inputs[0], request.std)
        return cls(mean=mean, std=std, dtype="float32" if whole else "uint8")

    def normalized(self, image):
        """A tensor of pixels as the graph takes it."""
        import tensorflow as tf

        return (tf.cast(image, tf.float32) - tf.constant(self.mean)) / tf.constant(self.std)

    def of_normalized(self, value: np.ndarray) -> np.ndarray:
        """The pixels of what the graph takes, in the type that is traced."""
        return to_pixels(value, {"mean": self.mean, "std": self.std}).astype(self.dtype)


def channels(image: Given, values: tuple[float, ...]) -> tuple[float, ...]:
    """A number a channel."""
    return values * (image.shape[3] or 1) if len(values) == 1 else values


class Feeds:
    """Examples for calibration, each a list with an array an input; none without --calibration."""

    def __init__(self, network, request):
        self.network, self.inputs, self.path = network, network.inputs, request.calibration
        self.mean, self.std = request.mean, request.std
        (image, *more) = self.inputs
        self.is_image = image.is_image and not more
        if self.mean and not self.is_image and (self.path or request.quantize != "uint8"):
            raise OptionError("--mean and --std are of pictures: they go with one input [n, height, width, 3 or 1].")
        if self.mean and self.is_image and image.dtype == "uint8":
            raise OptionError(f"--mean and --std: the input {image.key} takes pixels as they are. Leave them out.")
        if len(self.mean) == 3 and self.is_image and image.shape[3] != 3:
            raise OptionError(f"--mean and --std: the input {image.key} has one channel. Give one number.")
        if self.path is None:
            return
        self.arrays = read_arrays(self.path, self.inputs) if self.path.suffix == ".npz" else None
        if self.arrays is None:
            self._check_pictures()

    def _check_pictures(self) -> None:
        image = self.inputs[0]
        if not self.is_image or -1 in image.spec[1:]:
            raise OptionError(
                f"--calibration {self.path}: pictures are for one input [n, height, width, 3 or 1]; here are "
                f"{', '.join(f'{g.key} {list(g.spec)}' for g in self.inputs)}. Give an .npz with an array an input."
            )
        if not self.mean and image.dtype != "uint8":
            raise OptionError(
                "--calibration with pictures needs --mean and --std, the model's own (pixel - mean) / std. " + NORMAL
            )
        calibration.sources(self.path)

    def examples(self):
        """What the traced function takes, for the converter. With a length, for a progress bar.

        Two corner pixels of the first are black and white, so that the scale and zero point of the input are the
        normalisation's own, and not the pictures'.
        """
        return () if self.path is None else _Examples(self)

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """What the source takes."""
        if self.path is None:
            return
        if self.arrays is not None:
            for i in range(self.count()):
                yield [batched(self.arrays[g.key][i], g) for g in self.inputs]
            return
        (image,) = self.inputs
        for picture in calibration.load(self.path):
            yield [batched(self.prepared(picture, image)[0], image)]

    def traced(self, example: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the source takes as the traced function does."""
        pixels = self.network.pixels
        return [pixels.of_normalized(v) for v in example] if pixels else list(example)

    def prepared(self, picture: np.ndarray, image: Given) -> np.ndarray:
        """Resized (bilinear, aspect lost) and normalised."""
        _, height, width, depth = image.spec
        mean, std = self.mean or (0.0,), self.std or (1.0,)
        (r, g, b), (rs, gs, bs) = (v * 3 if len(v) == 1 else v for v in (mean, std))
        resizer = config.FixedShape(height=height, width=width, method="bilinear", grayscale=depth == 1)
        value, _ = prepare(picture, describe(resizer, config.Normalization(mean=(r, g, b), std=(rs, gs, bs))))
        return np.rint(value).astype(image.dtype) if image.dtype != "float32" else value

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        mean, std = (np.float32(v) for v in (self.mean, self.std))
        return ((pixels.astype(np.float32) - mean) / std).astype(np.float32)

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
        for i, example in enumerate(self.feeds):
            if i == 0 and self.feeds.mean and self.feeds.is_image:
                for x, gray in ((0, 0), (-1, 255)):
                    example[0][0, 0, x] = self.feeds.normalized(np.full(example[0].shape[-1], gray, np.uint8))
            yield self.feeds.traced(example)


def numpy_type(name: str):
    import tensorflow as tf

    return tf.as_dtype(name).as_numpy_dtype


def batched(value: np.ndarray, given: Given) -> np.ndarray:
    """An example as the input takes it: it may be without the batch, and serves all of that."""
    if value.ndim == len(given.shape):
        return value
    return np.repeat(value[None], max(given.spec[0], 1), axis=0)


def read_arrays(path: Path, inputs: Sequence[Given]) -> dict[str, np.ndarray]:
    """An .npz's arrays by the inputs' keys: [examples, ...], then as the input, with or without its first axis."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {k: file[k] for k in file.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise InputError(f"--calibration {path} is no .npz of arrays of numbers.") from None
    for g in inputs:
        if g.key not in found:
            raise InputError(f"--calibration {path}: no array {g.key!r} in it. It has: {', '.join(found) or 'none'}.")
        shape = found[g.key].shape[1:]
        if not found[g.key].ndim or not (fits(shape, g.spec) or (g.spec and fits(shape, g.spec[1:]))):
            raise InputError(
                f"--calibration {path}: {g.key} has {list(shape)} an example; the input takes {list(g.spec[1:])}."
            )
        if not len(found[g.key]):
            raise InputError(f"--calibration {path}: {g.key} holds no examples.")
    try:
        return {g.key: found[g.key].astype(numpy_type(g.dtype)) for g in inputs}
    except (TypeError, ValueError) as e:
        raise InputError(f"--calibration {path}: {e}.") from None


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted, strict=True))


def example_inputs(feeds: Feeds) -> Iterator[tuple[str, dict[str, Any]]]:
    """(title, {key: array}) to compare on: examples of the calibration, else noise, of pixels where mean is known."""
    inputs = feeds.inputs
    if feeds.path is not None:
        for i, example in enumerate(itertools.islice(feeds, 3)):
            yield f"example {i + 1}", dict(zip((g.key for g in inputs), example, strict=True))
        return
    for i, title in enumerate(("noise", "more noise")):
        made = {g.key: g.noise(10 * i + j) for j, g in enumerate(inputs)}
        if feeds.mean and feeds.is_image:
            (image,) = inputs
            random = np.random.default_rng(i)
            made = {image.key: feeds.normalized(random.integers(0, 256, made[image.key].shape))}
        yield title, made
