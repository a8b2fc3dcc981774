"""Arrays of .npy and .npz files: numbers and texts, of which a header says no more than the file holds."""

import contextlib
import math
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from visionport import limits
from visionport.errors import VisionportError
from visionport.filetypes import open_file

ZIP = b"PK"
ALONE = ""  # the name of an array that has a file to itself


def read_array(path: Path) -> np.ndarray:
    """The array of an .npy. Raises ValueError, saying why, for what is none."""
    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise ValueError(f"it holds {len(arrays)} arrays")
    return next(iter(arrays.values()))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz by their names; of an .npy the one, by the file's. Raises ValueError, saying why."""
    try:
        with open_file(path) as file:
            if file.read(len(ZIP)) == ZIP:
                check_archive(file)
            else:
                file.seek(0)
                check_header(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            found: Any = np.load(file, allow_pickle=False)
            return {path.name: found} if isinstance(found, np.ndarray) else {k: found[k] for k in found.files}
    except (VisionportError, FileNotFoundError):
        raise
    except Exception as e:  # of a damaged header, which is a piece of Python, or archive
        raise ValueError(str(e).rstrip(".").partition("\n")[0] or type(e).__name__) from None


def check_archive(file: BinaryIO) -> None:
    """Raises ValueError where its arrays unpack to more than they say, or are allowed to."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        total = sum(info.file_size for info in infos)
        if total > limits.ARRAY_BYTES or len(infos) > limits.PACKED_FILES:
            raise ValueError(
                f"{len(infos):,} arrays unpack to {total:,} bytes; at most {limits.PACKED_FILES:,} and "
                f"{limits.ARRAY_BYTES:,} are read"
            )
        for info in infos:
            with archive.open(info) as entry, contextlib.closing(entry):
                check_header(entry, info.file_size)  # type: ignore[arg-type]


def check_header(file: BinaryIO, size: int) -> None:
    """size: of the header and the array behind it."""
    form = np.lib.format
    version = form.read_magic(file)
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    if version not in readers:
        raise ValueError("its format is newer than arrays of numbers need")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject or dtype.names:
        raise ValueError("it holds Python objects or records, not numbers")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted > limits.ARRAY_BYTES:
        raise ValueError(f"its shape {list(shape)} takes {wanted:,} bytes; at most {limits.ARRAY_BYTES:,} are read")
    if file.tell() + wanted > size:
        raise ValueError(f"it is cut short: its shape {list(shape)} takes {wanted:,} bytes")
