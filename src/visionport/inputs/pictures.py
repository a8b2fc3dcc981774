"""Pictures: from files, or the bundled ones."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from visionport.errors import InputError

BUNDLED = ("digits-0.jpg", "digits-3.jpg")


def read(path: Path) -> np.ndarray:
    """uint8 [h, w, 3], RGB. Raises InputError for what is not a picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such image.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a directory; name image files.") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is not an image that can be read (JPEG, PNG, BMP, GIF, WebP, TIFF).") from None
    except (OSError, ValueError, Image.DecompressionBombError) as e:
        raise InputError(f"{path}: the image cannot be read: {e}.") from None


def load(paths: Sequence[Path], size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Name -> picture, of the given files, or of the bundled ones (one of them cut, so that it is not square).

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
    found = {name: read(Path(str(example(f"digits/images/{name}")))) for name in BUNDLED}
    if size:
        return {name: _resized(image, size) for name, image in found.items()}
    last = found[BUNDLED[-1]]
    return found | {BUNDLED[-1]: last[: last.shape[0] * 3 // 4]}


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((size[1], size[0])))


def example(name: str):
    """A file or folder of the package's example data."""
    return resources.files("visionport") / "examples" / name
