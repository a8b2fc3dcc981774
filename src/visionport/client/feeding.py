"""What a server's signature is sent for a picture, by what its metadata says."""

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionport.client.connection import Known, said
from visionport.errors import OptionError, nearest
from visionport.filetypes import read_file
from visionport.formats.base import SignatureInfo, Tensor
from visionport.inputs import pictures
from visionport.inputs.types import INPUT_TYPES, encode_png
from visionport.limits import PICTURE_BYTES
from visionport.serving.messages import message

DEFAULT = "serving_default"
PREDICT = "tensorflow/serving/predict"
DECODED = ("JPEG", "PNG", "BMP", "GIF")  # by TensorFlow
KINDS = ("image_tensor", "float_image_tensor", "encoded_image_string_tensor", "tf_example")
LARGEST_REST = 1 << 24  # values of an input that we make up


@dataclass(frozen=True, kw_only=True)
class Feed:
    """kind: one of KINDS. input: of the pictures. size: (height, width) that they are resized to; None for as they are.
    batch: how many a call takes; None for any."""

    signature: SignatureInfo
    kind: str
    input: str
    size: tuple[int, int] | None = None
    batch: int | None = None

    def array(self, path: Path, picture: np.ndarray) -> np.ndarray:
        """What goes in for one picture."""
        if self.size and picture.shape[:2] != self.size:
            picture = resized(picture, self.size)
        if self.kind == "image_tensor":
            made = picture[None]
        elif self.kind == "float_image_tensor":
            made = picture[None].astype(np.float32)
        else:
            data = encoded(path, picture)
            made = np.array([data if self.kind == "encoded_image_string_tensor" else example(data)], object)
        return np.repeat(made, self.batch or 1, axis=0)

    def feeds(self, path: Path, picture: np.ndarray) -> dict[str, np.ndarray]:
        found = {self.input: self.array(path, picture)}
        for tensor in self.signature.inputs:
            if tensor.name != self.input:
                found[tensor.name] = nothing(tensor, self.batch or 1)
        return found


def find_feed(
    signatures: Mapping[str, tuple[str, SignatureInfo]], wanted: str | None, kind: str | None, known: Known
) -> Feed:
    """How pictures are put to a model. wanted: the signature, serving_default by default. kind: what is sent, by its
    dtype, shape and name by default. Raises OptionError where that is not understood."""
    name = wanted or (DEFAULT if DEFAULT in signatures else next(iter(signatures), DEFAULT))
    if name not in signatures:
        there = said(", ".join(signatures)) or "none"
        raise OptionError(
            f"--signature {name}: the model has no such signature{nearest(name, signatures)}. There: {there}."
        )
    method, signature = signatures[name]
    if method not in ("", PREDICT):
        raise OptionError(f"signature {said(name)} is for {said(method)}, and pictures are put to {PREDICT} only.")
    tensor, found = find_input(signature, known)
    if kind and kind != found:
        if found and INPUT_TYPES[kind].dtype != tensor.dtype:
            raise OptionError(f"--input {kind}: {said(tensor.name)} is {tensor.dtype}. Leave it out.")
        found = kind
    feed = Feed(signature=signature, kind=found, input=tensor.name)
    if not tensor.shape:
        return feed
    height, width = tensor.shape[-3:-1] if INPUT_TYPES[found].is_image else (None, None)
    size = (height, width) if height and width else None
    return dataclasses.replace(feed, batch=tensor.shape[0], size=size)


def find_input(signature: SignatureInfo, known: Known) -> tuple[Tensor, str]:
    """(the input that takes pictures, how)."""
    for tensor in signature.inputs:
        if tensor.name == known.input.get("name") and signature.name == known.input.get("signature"):
            given = known.input.get("type")
            if given in KINDS and INPUT_TYPES[given].dtype == tensor.dtype:
                return tensor, given
    found = [(tensor, kind) for tensor in signature.inputs if (kind := kind_of(tensor, signature.name))]
    if len(found) != 1:
        shown = ", ".join(f"{said(t.name)} {t.dtype} {list(t.shape)}" for t in signature.inputs)
        many = "more than one takes" if found else "none takes"
        raise OptionError(
            f"signature {said(signature.name)} takes {shown}, of which {many} pictures: uint8 or float32 [batch, "
            "height, width, 3], or a string a picture. Name another with --signature."
        )
    return found[0]


def kind_of(tensor: Tensor, signature: str) -> str:
    if tensor.dtype == "string" and len(tensor.shape) <= 1:
        words = f"{signature} {tensor.name}".lower()
        return "tf_example" if "example" in words else "encoded_image_string_tensor"
    if tensor.dtype in ("uint8", "float32") and len(tensor.shape) == 4 and tensor.shape[3] in (3, None):
        return "image_tensor" if tensor.dtype == "uint8" else "float_image_tensor"
    return ""


def nothing(tensor: Tensor, batch: int) -> np.ndarray:
    """Zeros for an input besides the pictures. Raises OptionError where its size is open."""
    shape = (batch, *tensor.shape[1:]) if tensor.shape else ()
    if tensor.dtype == "string" or None in shape or np.prod([s or 0 for s in shape]) > LARGEST_REST:
        raise OptionError(
            f"the model takes {said(tensor.name)} {tensor.dtype} {list(tensor.shape)} besides pictures, and nothing "
            "tells what goes in. Name another with --signature."
        )
    return np.zeros([s or 0 for s in shape], tensor.dtype)


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def encoded(path: Path, picture: np.ndarray) -> bytes:
    """A picture's file as it is, where TensorFlow decodes it to the same pixels; as PNG otherwise."""
    from PIL import Image

    data = read_file(path, limit=PICTURE_BYTES)
    with Image.open(io.BytesIO(data)) as image:
        straight = image.getexif().get(pictures.ORIENTATION, 1) == 1
        if image.format in DECODED and straight and image.size == (picture.shape[1], picture.shape[0]):
            return data
    return encode_png(picture)


def example(data: bytes) -> bytes:
    made: Any = message("tensorflow.Example")()
    made.features.feature["image/encoded"].bytes_list.value.append(data)
    return made.SerializeToString(deterministic=True)
