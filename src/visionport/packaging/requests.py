"""Real requests to a packaged artifact: what pictures become for its signatures, as arrays and as bodies."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import OptionError
from visionport.filetypes import read_file
from visionport.inputs.types import ENCODED, INPUT_TYPES
from visionport.limits import PICTURE_BYTES
from visionport.packaging.source import Source
from visionport.serving.messages import name_of
from visionport.serving.warmup import MOST, log_of

FEW = 2  # of the bundled pictures
SMALL = 160  # pixels of the longer side, of a picture that is sent as a list of numbers
DECODED = ("JPEG", "PNG", "BMP", "GIF")  # by TensorFlow
DATATYPES = {"float32": "FP32", "float16": "FP16", "float64": "FP64", "string": "BYTES", "bool": "BOOL"}

Feeds = Mapping[str, np.ndarray]


def make_logs(source: Source, images: Sequence[Path]) -> list[Any]:
    """A PredictionLog for each signature and picture: the given ones, or some bundled ones."""
    logs = []
    for name in source.signatures:
        try:
            asker = source.asker(name)
        except OptionError:  # of which nothing tells how it is fed
            continue
        logs += [log_of(source.name, name, feeds) for feeds in make_feeds(source, name, images, asker.picture_size)]
    if len(logs) > MOST:
        raise OptionError(f"{len(logs)} warm-up requests, and TensorFlow Serving takes {MOST}. Give fewer --image.")
    return logs


def make_feeds(source: Source, signature: str, images: Sequence[Path], size=None) -> list[Feeds]:
    """What a signature takes of each picture. size: (height, width) that pictures are brought to."""
    asker = source.asker(signature)
    pictures = source.task.examples(images, asker.picture_size or size)
    found = []
    for number, picture in enumerate([*pictures.values()][: None if images else FEW]):
        feeds, _ = asker.feeds(picture[None])
        if images and INPUT_TYPES.get(asker.reading.type) is ENCODED and len(images) == len(pictures):
            data = own_bytes(images[number])
            feeds = {**feeds, asker.reading.input: np.array([data], object)} if data else feeds
        found.append(feeds)
    return found


def own_bytes(path: Path) -> bytes:
    """A picture's file as it is, where TensorFlow decodes it; b"" of other kinds."""
    from PIL import Image

    data = read_file(path, limit=PICTURE_BYTES)
    with Image.open(io.BytesIO(data)) as image:
        return data if image.format in DECODED else b""


def choose_signature(source: Source, wanted: str | None = None) -> str:
    """The signature of the README's requests: the one that is asked for, or one that takes encoded pictures."""
    if wanted is not None:
        return wanted
    for name in source.signatures:
        try:
            if INPUT_TYPES.get(source.asker(name).reading.type) is ENCODED:
                return name
        except OptionError:
            continue
    return source.default


def example_feeds(source: Source, signature: str) -> Feeds:
    """One small request."""
    asker = source.asker(signature)
    small = (SMALL * 3 // 4, SMALL) if INPUT_TYPES.get(asker.reading.type) is not ENCODED else None
    return make_feeds(source, signature, (), small)[0]


def json_body(signature: str, feeds: Feeds) -> bytes:
    """A body for TensorFlow Serving's REST API, in its row format."""
    rows = [
        {name: plain(array[row]) for name, array in feeds.items()} for row in range(len(next(iter(feeds.values()))))
    ]
    instances = rows if len(feeds) > 1 else [next(iter(row.values())) for row in rows]
    named = {} if signature == "serving_default" else {"signature_name": signature}
    return json.dumps({**named, "instances": instances}, separators=(",", ":")).encode() + b"\n"


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def binary_body(feeds: Feeds) -> tuple[bytes, int]:
    """A body of the Open Inference Protocol with its tensors as bytes behind the JSON, and the JSON's length."""
    inputs, tensors = [], []
    for name, array in feeds.items():
        dtype = name_of(array)
        data = array.tobytes() if dtype != "string" else b"".join(framed(v) for v in array.reshape(-1))
        shape = [*array.shape] if array.ndim > 1 else [*array.shape, 1]  # see triton.dims_of
        kind = DATATYPES.get(dtype, dtype.upper())
        parameters = {"binary_data_size": len(data)}
        inputs.append({"name": name, "shape": shape, "datatype": kind, "parameters": parameters})
        tensors.append(data)
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(tensors), len(head)


def framed(value: bytes) -> bytes:
    return len(value).to_bytes(4, "little") + value
