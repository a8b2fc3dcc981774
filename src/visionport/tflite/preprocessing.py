"""How a picture becomes a TFLite file's input, as the file itself tells: it may come without its manifest.

Our files hold the manifest's words in a metadata entry of their own, which other readers pass over, since TFLite
Metadata knows no resizer. Of a file of another maker it is TFLite Metadata, or an input of pixels, that tells.
"""

import json
import struct
from pathlib import Path
from typing import Any

from visionport.config import FixedShape, Normalization
from visionport.errors import ArtifactError, InputError
from visionport.inputs.preprocessing import check, describe
from visionport.tflite import consistency, contents
from visionport.tflite import metadata as tflite_metadata
from visionport.tflite.flatbuffer import add_metadata, metadata_of, parse, serialize
from visionport.tflite.packed import labels_of

NAME = "visionport_preprocessing"
DAMAGED = (RecursionError, IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error)


def write(model: bytes, description: dict[str, Any]) -> bytes:
    """The file with a manifest's preprocessing (preprocessing.describe). Before TFLite Metadata, which comes last."""
    parsed = parse(model, edit=True)
    add_metadata(parsed, NAME, json.dumps(description, sort_keys=True).encode())
    return serialize(parsed)


def read(path: Path) -> tuple[dict[str, Any], dict[int, str]]:
    """(preprocessing as a manifest has it, labels by class from 1) of a file that stands alone. Raises InputError."""
    data = contents.read_file(path)
    try:
        parsed = parse(data)
        main = parsed.subgraphs[0]
        inputs = [main.tensors[i] for i in consistency.as_list(main.inputs)]
        written, metadata = _written(parsed), tflite_metadata.read(data, parsed)
        names = labels_of(data)
    except ArtifactError as e:
        raise InputError(f"{path}: {e}.") from None
    except DAMAGED as e:
        raise InputError(f"{path}: the TFLite file is damaged or cut short ({e}).") from None
    labels = {i: name for i, name in enumerate(names, 1) if name not in ("", "???")}
    return written or _from_metadata(path, inputs, metadata), labels


def _written(parsed) -> dict[str, Any]:
    """What `write` wrote; {} without it."""
    data = metadata_of(parsed, NAME)
    if data is None:
        return {}
    found: dict[str, Any] = json.loads(data)
    check(found)
    return found


def _from_metadata(path: Path, inputs, metadata) -> dict[str, Any]:
    """Of another maker's file: the input's own size, the aspect lost; normalised as TFLite Metadata says."""
    shapes = [[] if t.shape is None else [int(n) for n in t.shape] for t in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or shapes[0][3] not in (1, 3):
        shown = ", ".join(str(s) for s in shapes) or "none"
        raise InputError(f"{path}: its inputs are {shown}; predict takes one image, [1, height, width, 3 or 1].")
    _, height, width, channels = shapes[0]
    if min(height, width) < 2:
        raise InputError(f"{path}: its input has no fixed size ({height}x{width}), so pictures cannot be fitted to it.")
    said = [t for g in metadata["subgraphs"][:1] for t in g["inputs"][:1]] if metadata else []
    mean, std = (list(said[0].get(k, ())) if said else [] for k in ("mean", "std"))
    if not mean and inputs[0].type == _UINT8:
        mean, std = [0.0], [1.0]  # it takes the pixels, whatever they mean to it
    if not mean or len(mean) != len(std) or len(mean) not in (1, 3) or not all(std):
        raise InputError(
            f"{path}: nothing says how its pixels are normalised: neither a {tflite_metadata.NAME} in it nor a "
            "manifest.json beside it, and its input is not uint8. Give the export directory."
        )
    resizer = FixedShape(height=height, width=width, method="bilinear", grayscale=channels == 1)
    ends = (tuple(float(v[i % len(v)]) for i in range(3)) for v in (mean, std))
    means, stds = ((v[0], v[1], v[2]) for v in ends)
    return describe(resizer, Normalization(mean=means, std=stds))


_UINT8 = 3  # TensorType.UINT8
