"""Pictures: from files, or the bundled ones."""

import contextlib
import glob
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from visionport import limits
from visionport.errors import InputError, VisionportError
from visionport.filetypes import HEAD, PICTURE, is_heic, kind_of_bytes, read_file

# Below examples/, see SOURCES.md there. One is cut, so that it is not square.
BUNDLED = ("digits/images/digits-0.jpg", "digits/images/digits-3.jpg", "photos/cat.jpg", "photos/coffee.jpg")
CUT = "digits-3.jpg"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ORIENTATION = 0x0112  # EXIF's tag
READ = "JPEG, PNG, BMP, GIF, WebP, TIFF"
FORMATS = tuple(READ.upper().split(", "))  # others run programs, as EPS does, or are rare and little tried
JPEG = b"\xff\xd8\xff"
SCAN, END, FILL, ALONE = 0xDA, 0xD9, 0xFF, (0x01, *range(0xD0, 0xD9))  # its markers; some have no length behind them
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # as it stands behind a scan


def read(path: Path, *, exif: bool = True) -> np.ndarray:
    """uint8 [h, w, 3], RGB. Raises InputError for what is not a picture.

    exif: turned as its EXIF data says it was taken, as every viewer shows it; TensorFlow's decoder leaves it as it
    lies in the file. Gray of 16 bits loses its low byte, as in that decoder.
    """
    with opened_at(path) as image:
        return np.asarray(as_rgb(turned(image) if exif else image, path))


@contextlib.contextmanager
def opened_at(path: Path) -> Iterator[Any]:
    """`opened` of the file at a path."""
    if Path(path).is_dir():
        raise InputError(f"{path} is a directory; name image files.")
    try:
        data = read_file(path, limit=limits.PICTURE_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: no such image.") from None
    except OSError as e:
        raise InputError(f"{path}: the image cannot be read: {e.strerror}.") from None
    with opened(io.BytesIO(data), str(path)) as image:
        yield image


@contextlib.contextmanager
def opened(file: BinaryIO, where: str) -> Iterator[Any]:
    """The Pillow image in a file, of a size and a format that are read. Raises InputError, also for what is met later.

    file: in memory, since Pillow makes room for as many bytes as a file on a disk says that it has.
    where: what the picture is called in errors.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is damaged shows in what is seen, or is refused
            head = file.read(len(JPEG))
            scans = count_scans(head + file.read()) if head == JPEG else 1
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                pixels = image.width * image.height
                check_pixels(pixels, where)
                if pixels * scans > limits.JPEG_PIXELS:
                    raise InputError(f"{where} is a JPEG of {scans:,} scans, which takes too long. Save it again.")
                if getattr(image, "is_animated", False):
                    check_pixels(pixels, where, limits.FRAME_PIXELS)
                yield image
    except VisionportError:
        raise
    except UnidentifiedImageError:
        file.seek(0)
        raise InputError(why_unreadable(file.read(HEAD), where)) from None
    except Image.DecompressionBombError as e:
        found = [int(n) for n in re.findall(r"\d+", str(e))]
        if len(found) == 2:
            check_pixels(found[0], where, found[1])
        raise InputError(f"{where}: the image cannot be read: {e}.") from None
    except MemoryError:
        raise
    except Exception as e:  # decoders raise whatever a damaged file makes them meet
        raise InputError(f"{where}: the image cannot be read: {str(e).rstrip('.') or type(e).__name__}.") from None


def check_pixels(number: int, where: str, most: int | None = None) -> None:
    """most: Pillow's own bound where that was met first."""
    most = most or limits.PICTURE_PIXELS
    if number > most:
        raise InputError(f"{where} has {number:,} pixels, and at most {most:,} are read: make it smaller.")


def count_scans(data: bytes) -> int:
    """How often a JPEG's pixels are gone over: a progressive one once for each of its scans."""
    at, found = len(JPEG) - 1, 0
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == END:
            break
        at += 1 if marker == FILL else 2 if marker in ALONE else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SCAN:
            found += 1
            behind = MARKER.search(data, at)
            at = behind.start() if behind else len(data)
    return found


def why_unreadable(head: bytes, where: str) -> str:
    """What a file is that is no picture, by its first bytes."""
    if not head:
        return f"{where} is empty (0 bytes). Copy it again from its source."
    if is_heic(head):
        return f"{where} is a HEIC picture, which is not read here: convert it to JPEG."
    kind = kind_of_bytes(head)
    said = f" It is {kind}." if kind and kind != PICTURE else ""
    return f"{where} is not an image that can be read ({READ}).{said}"


def turned(image) -> Any:
    """The Pillow image as its EXIF data says it is to be seen."""
    from PIL.Image import Transpose

    image.load()  # else a damaged one would first be met below
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # as decoders, see `opened`; the pixels may be sound
        turn = None
    return image if turn is None else image.transpose(turn)


def as_rgb(image, path: Path | str) -> Any:
    """The Pillow image in RGB of 8 bits."""
    from PIL import Image

    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise InputError(f"{path} has pixels of 32 bits, whose black and white nothing tells. Save it with 8 bits.")
    if image.mode.startswith("I"):  # 16 bits, which Pillow itself would clip to white
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image.convert("RGB")


def found_at(path: Path) -> list[Path]:
    """The picture files that a path means: itself; those of a folder and of the folders in it; those of a pattern.

    Raises InputError where it means none.
    """
    if path.is_dir():
        found = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        if not found:
            raise InputError(f"{path}: no pictures ({', '.join(s[1:] for s in SUFFIXES)}) in that folder.")
        return found
    if not path.exists() and glob.has_magic(str(path)):
        found = sorted(Path(f) for f in glob.glob(str(path), recursive=True) if Path(f).is_file())
        if not found:
            raise InputError(f"{path}: no file has such a name.")
        return found
    return [path]


def load(paths: Sequence[Path], size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Name -> picture, of the given files, or of the bundled ones.

    size: (height, width) that the export was made for: the bundled ones are resized, others must have it.
    """
    if paths:
        names = [p.name for p in paths]
        found = {p.name if names.count(p.name) == 1 else str(p): read(p) for p in paths}
        for name, image in found.items():
            if size and image.shape[:2] != size:
                raise InputError(
                    f"{name} is {image.shape[0]},{image.shape[1]}, but --image-size is {size[0]},{size[1]}."
                )
        return found
    found = {Path(name).name: read(Path(str(example(name)))) for name in BUNDLED}
    if size:
        return {name: _resized(image, size) for name, image in found.items()}
    return found | {CUT: found[CUT][: found[CUT].shape[0] * 3 // 4]}


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((size[1], size[0])))


def example(name: str):
    """A file or folder of the package's example data."""
    return resources.files("visionport") / "examples" / name
