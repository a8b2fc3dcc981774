"""The network in 8 bits, by NNCF, measured on pictures; what decodes and suppresses boxes stays in float32."""

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from visionport.formats.openvino.conversion import each_operation, number_operations
from visionport.inputs import calibration
from visionport.inputs.preprocessing import describe, prepare
from visionport.inputs.types import INPUT_TYPES
from visionport.progress import Progress

WEIGHTED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")
CHOOSING = ("NonMaxSuppression", "TopK")  # whose answers a rounding turns into others


def quantize(network, model, signature, path: Path, progress: Progress | None):
    """The network with its layers quantised as they are on the pictures at `path`."""
    # NNCF tells its makers that it was called, unless it takes itself for a test of theirs.
    os.environ.setdefault("NNCF_CI", "1")
    import nncf  # pyright: ignore[reportMissingImports] (an extra)

    progress = progress or Progress()
    count = calibration.count(path)
    if told := calibration.few(count, "int8"):
        progress.warn(told.replace("--quantize", "--openvino-precision"))
    logging.getLogger("nncf").setLevel(logging.ERROR)
    name_tensors(network)
    name = signature.input_name
    shape = signature.function.inputs[0].shape
    followed = progress.bar("calibrate", Pictures(model, signature, path, count, shape))
    with followed as pictures, contextlib.redirect_stdout(io.StringIO()):  # where it draws bars of its own
        made = nncf.quantize(
            network,
            nncf.Dataset(pictures, lambda value: {name: value}),
            subset_size=count,
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=list_exact(network)),
        )
    number_operations(made)
    del made.rt_info["nncf"]  # a list of all that was left as it is
    return made


def name_tensors(network) -> None:
    """Gives every tensor a name: by it NNCF finds what goes into a branch."""
    for node in each_operation(network):
        for number, output in enumerate(node.outputs()):
            if not output.get_names():
                output.set_names({f"{node.get_friendly_name()}:{number}"})


class Pictures:
    """The calibration pictures as the network takes them; read anew each time."""

    def __init__(self, model, signature, path: Path, count: int, shape):
        self._model, self._kind, self._path, self._count = model, INPUT_TYPES[signature.kind], path, count
        self._batch = shape[0] or 1
        self._size = None if self._kind.preprocessed else tuple(shape[-3:-1])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        for picture in calibration.load(self._path):
            yield np.repeat(self._prepared(picture), self._batch, axis=0)

    def _prepared(self, picture: np.ndarray) -> np.ndarray:
        config = self._model.config.model
        if self._size is None:
            return prepare(picture, describe(config.resizer, self._model.meta.normalization(config)))[0]
        return self._kind.feed(fitted(picture, self._size)[None])


def fitted(picture: np.ndarray, size: tuple[int | None, ...]) -> np.ndarray:
    """A picture of the only (height, width) that is taken, if there is one."""
    from PIL import Image

    height, width = (wanted or own for wanted, own in zip(size, picture.shape, strict=False))
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def list_exact(network) -> list[str]:
    """The operations that are not rounded: before the first layer, and what follows the last one without another.

    The last one before detections, or before proposals are chosen, is meant.
    """
    ordered: list[Any] = network.get_ordered_ops()
    begun: set[str] = set()  # behind a layer
    for node in ordered:
        sources = {value.get_node().get_friendly_name() for value in node.input_values()}
        if node.get_type_name() in WEIGHTED or sources & begun:
            begun.add(node.get_friendly_name())
    last: set[str] = set()  # from which an end is reached without another layer
    for node in reversed(ordered):
        kind, name = node.get_type_name(), node.get_friendly_name()
        readers = {t.get_node() for output in node.outputs() for t in output.get_target_inputs()}
        reached = any(r.get_friendly_name() in last and r.get_type_name() not in WEIGHTED for r in readers)
        if kind in ("Result", *CHOOSING) or reached:
            last.add(name)
    exact = [n for n in ordered if n.get_type_name() not in ("Constant", "Parameter", "Result", *WEIGHTED)]
    names = [n.get_friendly_name() for n in exact]
    return [name for name in names if name in last or name not in begun]
