"""What goes into a model to be converted: its inputs' shapes, pixels, examples to calibrate with and to verify on."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport import config
from visionport.errors import InputError, OptionError
from visionport.inputs import calibration
from visionport.inputs.arrays import read_arrays as read_npz
from visionport.inputs.preprocessing import describe, to_pixels
from visionport.inputs.quantization import EIGHT_BITS

# What made-up floats are, tried one after another until the source's answer is finite.
DOMAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "noise": lambda x: x,
    "noise from 0": np.abs,
    "noise from 0 to 1": lambda x: (1 / (1 + np.exp(-np.float64(x)))).astype(x.dtype),
    "noise from 1": lambda x: 1 + np.abs(x),
}
MOST_EXAMPLES = 20  # of the user's own, to compare on
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
        names = (key, node.name, *([""] if count == 1 else []))
        asked = next((shapes[name] for name in names if name in shapes), None)
        if asked is not None:
            fits = found is None or len(found) == len(asked)
            if not fits or any(a not in (-1, d) for a, d in zip(asked, found or (), strict=False) if d is not None):
                has = [("?" if d is None else d) for d in found or ()]
                raise OptionError(
                    f"--input-shape {key}={','.join(map(str, asked)) or 'scalar'} does not fit its shape, {has}."
                )
            found = [None if d < 0 else d for d in asked]
        elif found is None or any(d is None for d in found[1:]):
            known = "an unknown shape" if found is None else f"the shape {[('?' if d is None else d) for d in found]}"
            raise OptionError(
                f"the input {key} has {known}: give --input-shape {key}=1,... (-1 keeps a size open; scalar: none)."
            )
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

    def noise(self, seed: int, size: int) -> np.ndarray:
        """Always the same. size: what open sizes are, but for the batch."""
        from visionport.tflite.checks import close_shape, noise

        shape = close_shape(self.spec, size)
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
    """Examples for calibration, each a list with an array for every input; none without --calibration."""

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
        self.examples = self._open_examples() if self.path else None

    def _open_examples(self) -> calibration.Examples:
        """What the traced function takes, for the converter."""
        assert self.path
        if isinstance(self.path, calibration.Examples):
            return self.path
        (image, *_), pixels, path = self.inputs, self.network.pixels, self.path
        shades = (np.full(image.shape[-1], gray, np.uint8) for gray in (0, 255)) if self.mean and self.is_image else ()
        black_and_white = tuple(map(self.normalized, shades))
        how: dict[str, Any] = {
            "ends": black_and_white or None,
            "trace": pixels.of_normalized if pixels else None,
        }
        if path.suffix == ".npz":
            arrays = read_arrays(path, self.inputs, "--calibration")
            count = min(len(calibration.spread(range(len(a)))) for a in arrays.values())
            rows = lambda: ([batched(arrays[g.key][i], g) for g in self.inputs] for i in range(count))  # noqa: E731
            return calibration.Examples(read=rows, count=count, **how)
        if not self.is_image or -1 in image.spec[1:]:
            raise OptionError(
                f"--calibration {path}: pictures are for one input [n, height, width, 3 or 1]; here are "
                f"{', '.join(f'{g.key} {list(g.spec)}' for g in self.inputs)}. Give an .npz with an array an input."
            )
        if not self.mean and image.dtype != "uint8":
            raise OptionError(
                "--calibration with pictures needs --mean and --std, the model's own (pixel - mean) / std. " + NORMAL
            )
        preprocessing = describe_pictures(image, self.mean or (0.0,), self.std or (1.0,))
        given = {"batch": max(image.spec[0], 1), "dtype": image.dtype}
        pictures = lambda: calibration.prepare_pictures(path, preprocessing, **given)  # noqa: E731
        return calibration.Examples(read=pictures, count=calibration.count(path), **how)

    def preprocessed(self) -> Iterator[list[np.ndarray]]:
        """What the source takes."""
        return self.examples.read() if self.examples else iter(())

    def traced(self, example: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the source takes as the traced function does."""
        pixels = self.network.pixels
        return [pixels.of_normalized(v) for v in example] if pixels else list(example)

    def normalized(self, pixels: np.ndarray) -> np.ndarray:
        mean, std = (np.float32(v) for v in (self.mean, self.std))
        return ((pixels.astype(np.float32) - mean) / std).astype(np.float32)


def describe_pictures(image: Given, mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """How pictures become that input: resized (bilinear, aspect lost) and normalised."""
    _, height, width, depth = image.spec
    (r, g, b), (rs, gs, bs) = (tuple(v) * 3 if len(v) == 1 else v for v in (mean, std))
    resizer = config.FixedShape(height=height, width=width, method="bilinear", grayscale=depth == 1)
    return describe(resizer, config.Normalization(mean=(r, g, b), std=(rs, gs, bs)))


def numpy_type(name: str):
    import tensorflow as tf

    return tf.as_dtype(name).as_numpy_dtype


def batched(value: np.ndarray, given: Given) -> np.ndarray:
    """An example as the input takes it: it may be without the batch, and serves all of that."""
    if value.ndim == len(given.shape):
        return value
    return np.repeat(value[None], max(given.spec[0], 1), axis=0)


def read_arrays(path: Path, inputs: Sequence[Given], option: str) -> dict[str, np.ndarray]:
    """An .npz's arrays by the inputs' keys: [examples, ...], then as the input, with or without its first axis."""
    try:
        found = read_npz(path)
    except (OSError, ValueError) as e:
        raise InputError(f"{option} {path} is no .npz of arrays of numbers: {e}.") from None
    for g in inputs:
        if g.key not in found:
            raise InputError(f"{option} {path}: no array {g.key!r} in it. It has: {', '.join(found) or 'none'}.")
        shape = found[g.key].shape[1:]
        if not found[g.key].ndim or not (fits(shape, g.spec) or (g.spec and fits(shape, g.spec[1:]))):
            raise InputError(
                f"{option} {path}: {g.key} has {list(shape)} an example; the input takes {list(g.spec[1:])}."
            )
        if not len(found[g.key]):
            raise InputError(f"{option} {path}: {g.key} holds no examples.")
    try:
        return {g.key: found[g.key].astype(numpy_type(g.dtype)) for g in inputs}
    except (TypeError, ValueError) as e:
        raise InputError(f"{option} {path}: {e}.") from None


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted, strict=True))


def given_examples(feeds: Feeds, verify_input: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """(title, {key: array}) to compare on: the user's own, or of the calibration; none where neither is given."""
    if verify_input is not None:
        arrays = read_arrays(verify_input, feeds.inputs, "--verify-input")
        count = min(MOST_EXAMPLES, *(len(a) for a in arrays.values()))
        rows = ({g.key: batched(arrays[g.key][i], g) for g in feeds.inputs} for i in range(count))
        return [(f"{verify_input.name} {i + 1}", row) for i, row in enumerate(rows)]
    examples = itertools.islice(feeds.preprocessed(), 3)
    return [
        (f"example {i + 1}", dict(zip((g.key for g in feeds.inputs), example, strict=True)))
        for i, example in enumerate(examples)
    ]


def made_up(feeds: Feeds, domain: str, size: int) -> list[tuple[str, dict[str, Any]]]:
    """The same, made up: noise of that domain, or of pixels where mean and std are known. size: of what is open."""
    found = []
    for i, title in enumerate((domain, f"more {domain}")):
        made = {g.key: g.noise(10 * i + j, size) for j, g in enumerate(feeds.inputs)}
        if feeds.mean and feeds.is_image:
            (image,) = feeds.inputs
            random = np.random.default_rng(i)
            made = {image.key: feeds.normalized(random.integers(0, 256, made[image.key].shape))}
        else:
            made = {k: DOMAINS[domain](v) if v.dtype.kind == "f" else v for k, v in made.items()}
        found.append((title, made))
    return found
