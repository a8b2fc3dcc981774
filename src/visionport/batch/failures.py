"""What may be wrong with one picture, by kinds that can be counted. A picture that fails is a row with its error."""

import urllib.error
import warnings
from dataclasses import dataclass
from typing import BinaryIO

from visionport import limits
from visionport.errors import VisionportError
from visionport.filetypes import HEAD, PICTURE, is_heic, kind_of_bytes

MISSING = "no such file"
UNREACHABLE = "cannot be opened"
EMPTY = "empty"
DAMAGED = "damaged picture"
LARGE = "too many pixels"
OTHER = "not a picture"
RECORD = "damaged record"
MODEL = "the model fails"
NO_IMAGE = "no picture in it"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a picture has no answer. name: the picture's."""

    name: str
    kind: str
    error: str

    @property
    def row(self) -> dict[str, str]:
        return {"image": self.name, "error": self.error, "kind": self.kind}


def unopened(name: str, error: OSError | ValueError) -> Failure:
    """A file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError) or (isinstance(error, urllib.error.HTTPError) and error.code in (404, 410)):
        return Failure(name=name, kind=MISSING, error=f"{name}: no such image.")
    said = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return Failure(name=name, kind=UNREACHABLE, error=f"{name} cannot be opened: {said}.")


def undecoded(name: str, error: Exception, file: BinaryIO) -> Failure:
    """A file that is no picture, or none that can be read."""
    from PIL import UnidentifiedImageError

    head = file.read(HEAD)
    kind = kind_of_bytes(head)
    if not head:
        kind = EMPTY
    elif is_heic(head):
        kind = "a HEIC picture"
    elif kind == PICTURE or not isinstance(error.__context__, UnidentifiedImageError):
        kind = LARGE if is_large(file) else DAMAGED
    return Failure(name=name, kind=kind or OTHER, error=words(error))


def is_large(file: BinaryIO) -> bool:
    from PIL import Image

    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                return image.width * image.height > limits.PICTURE_PIXELS
    except Image.DecompressionBombError:
        return True
    except Exception:  # as decoders are; it is damaged then
        return False


def unanswered(name: str, error: Exception) -> Failure:
    """A picture that the model cannot be asked about."""
    return Failure(name=name, kind=MODEL, error=f"{name}: the model fails on it: {words(error)}")


def words(error: Exception) -> str:
    if isinstance(error, VisionportError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
