"""Pictures: from files, or the bundled ones."""

import glob
import re
import warnings
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.filetypes import HEAD, PICTURE, is_heic, kind_of_bytes

# Below examples/, see SOURCES.md there. One is cut, so that it is not square.
BUNDLED = ("digits/images/digits-0.jpg", "digits/images/digits-3.jpg", "photos/cat.jpg", "photos/coffee.jpg")
CUT = "digits-3.jpg"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ORIENTATION = 0x0112  # EXIF's tag
READ = "JPEG, PNG, BMP, GIF, WebP, TIFF"


def read(path: Path, *, exif: bool = True) -> np.ndarray:
    """uint8 [h, w, 3], RGB. Raises InputError for what is not a picture.

    exif: turned as its EXIF data says it was taken, as every viewer shows it; TensorFlow's decoder leaves it as it
    lies in the file. Gray of 16 bits loses its low byte, as in that decoder.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # only what is refused is told
            with Image.open(path) as image:
                return np.asarray(as_rgb(turned(image) if exif else image, path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such image.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; name image files.") from None
    except UnidentifiedImageError:
        raise InputError(why_unreadable(Path(path))) from None
    except Image.DecompressionBombError as e:
        found = [f"{int(n):,}" for n in re.findall(r"\d+", str(e))]
        sizes = f"{found[0]} pixels, and at most {found[1]} are read" if len(found) == 2 else str(e)
        raise InputError(f"{path} has {sizes}: make it smaller.") from None
    except (OSError, ValueError, SyntaxError) as e:
        raise InputError(f"{path}: the image cannot be read: {e}.") from None


def why_unreadable(path: Path) -> str:
    """What a file is that is no picture."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return f"{path} is empty (0 bytes). Copy it again from its source."
    if is_heic(head):
        return f"{path} is a HEIC picture, which is not read here: convert it to JPEG."
    kind = kind_of_bytes(head)
    said = f" It is {kind}." if kind and kind != PICTURE else ""
    return f"{path} is not an image that can be read ({READ}).{said}"


def turned(image) -> Any:
    """The Pillow image as its EXIF data says it is to be seen."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(image.getexif().get(ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def as_rgb(image, path: Path) -> Any:
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
