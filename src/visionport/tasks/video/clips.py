"""Clips, uint8 [frames, h, w, 3], RGB: from files, or made of the bundled pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from visionport import limits
from visionport.errors import InputError
from visionport.inputs import pictures
from visionport.inputs.arrays import read_arrays
from visionport.inputs.pictures import SUFFIXES

ARRAYS = (".npy", ".npz")
FRAMES = 16  # of a bundled clip
SHARE = 0.75  # of a bundled picture's height and width, that a frame shows


def read(path: Path) -> np.ndarray:
    """An animated GIF, WebP or PNG; a folder of pictures, by name; or an array in an .npy or .npz.

    Raises InputError for what is no clip.
    """
    path = Path(path)
    if path.is_dir():
        return read_folder(path)
    if path.suffix.lower() in ARRAYS:
        return read_array(path)
    return read_animation(path)


def read_folder(path: Path) -> np.ndarray:
    found = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file())
    if not found:
        raise InputError(f"{path}: no pictures ({', '.join(s[1:] for s in SUFFIXES)}) in that folder; a clip has some.")
    frames = []
    for file in found:
        frames.append(pictures.read(file))
        check_pixels(frames, str(path))
    for file, frame in zip(found, frames, strict=True):
        if frame.shape != frames[0].shape:
            sizes = [f"{h}x{w}" for h, w, _ in (frame.shape, frames[0].shape)]
            raise InputError(f"{file} is {sizes[0]}, but {found[0].name} is {sizes[1]}: a clip's frames have one size.")
    return np.stack(frames)


def read_array(path: Path) -> np.ndarray:
    if not path.exists():
        raise InputError(f"{path}: no such clip.")
    try:
        arrays = read_arrays(path)
    except ValueError as e:
        raise InputError(f"{path} is no array that can be read: {e}.") from None
    if len(arrays) != 1:
        raise InputError(f"{path} holds {len(arrays)} arrays ({', '.join(arrays) or 'none'}); a clip is one.")
    (clip,) = arrays.values()
    check(clip, str(path))
    return clip


def check(clip: np.ndarray, where: str = "") -> None:
    """Raises InputError for what is no clip."""
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or not clip.size:
        what = f"{where}: a clip is" if where else "a clip is"
        raise InputError(f"{what} uint8 [frames, h, w, 3], RGB, not {clip.dtype} {list(clip.shape)}.")


def read_animation(path: Path) -> np.ndarray:
    """Its frames as they are shown; of a still picture the one."""
    from PIL import ImageSequence

    frames: list[np.ndarray] = []
    with pictures.opened_at(path) as image:
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGB")))
            check_pixels(frames, str(path))
        return np.stack(frames) if len(frames) > 1 else frames[0][None]


def check_pixels(frames: Sequence[np.ndarray], where: str) -> None:
    number = sum(frame.size for frame in frames) // 3
    if number > limits.CLIP_PIXELS:
        raise InputError(
            f"{where} has over {limits.CLIP_PIXELS:,} pixels in its first {len(frames):,} frames: make it shorter."
        )


def load(paths: Sequence[Path], size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
    """Name -> clip, of the given files and folders, or of the bundled pictures, along which a smaller frame moves.

    size: (height, width) that the export was made for: the bundled ones are resized, others must have it.
    """
    if not paths:
        return {f"{Path(name).stem}, moving": pan(image, size) for name, image in pictures.load(()).items()}
    names = [p.name for p in paths]
    found = {p.name if names.count(p.name) == 1 else str(p): read(p) for p in paths}
    for name, clip in found.items():
        if size and clip.shape[1:3] != tuple(size):
            raise InputError(f"{name} is {clip.shape[1]},{clip.shape[2]}, but --image-size is {size[0]},{size[1]}.")
    return found


def pan(image: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """A clip that moves over a picture from its upper left to its lower right corner."""
    from PIL import Image

    height, width = (round(SHARE * side) for side in image.shape[:2])
    frames = []
    for along in np.linspace(0, 1, FRAMES):
        top, left = (round(along * (side - part)) for side, part in zip(image.shape, (height, width), strict=False))
        frame = image[top : top + height, left : left + width]
        frames.append(np.asarray(Image.fromarray(frame).resize((size[1], size[0]))) if size else frame)
    return np.stack(frames)
