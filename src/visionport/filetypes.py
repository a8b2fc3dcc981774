"""What a file is, by its first bytes and its name: so that one in the wrong place is told by what it is.

Whoever reads a user's file opens it here (`open_file`, `read_file`), or calls `check_file` before others open it: a
pipe or a device would hang them, or never end.
"""

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from visionport.downloads import is_lfs_pointer, is_web_page
from visionport.errors import InputError, VisionportError

HEAD = 4096  # bytes that tell

PICTURE = "a picture"
ARCHIVE = "an archive"
TENSORFLOW_LITE = "a TFLite file"
OPENVINO = "an OpenVINO model"
POINTER = "a Git LFS pointer"
WEB_PAGE = "a web page (HTML)"

# What begins OpenVINO's model.xml.
NET = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?<net\s[^>]*>\s*<layers")

# What begins a file, and what it is then.
MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "a Keras file (HDF5)"),
    (b"\xff\xd8\xff", PICTURE),
    (b"\x89PNG\r\n\x1a\n", PICTURE),
    (b"GIF8", PICTURE),
    (b"II*\x00", PICTURE),
    (b"MM\x00*", PICTURE),
    (b"\x1f\x8b", ARCHIVE),
    (b"BZh", ARCHIVE),
    (b"\xfd7zXZ", ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", ARCHIVE),
    (b"Rar!", ARCHIVE),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF", "a PDF"),
)
# Where the bytes do not tell, the name does.
SUFFIXES = {
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "a Keras file"),
    **dict.fromkeys((".pt", ".pth"), "a PyTorch file"),
    ".safetensors": "a safetensors file",
    ".onnx": "an ONNX model",
    ".mlmodel": "a Core ML model",
    ".tflite": TENSORFLOW_LITE,
    **dict.fromkeys((".gz", ".tgz", ".tar", ".zip", ".bz2", ".xz"), ARCHIVE),
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic"), PICTURE),
}
HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")  # brands behind "ftyp"

# What is neither a file nor a folder, by the system's word for it.
SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_file(path: str | os.PathLike, error: type[VisionportError] = InputError) -> None:
    """Raises `error` for a pipe, a device or a socket; a file, a folder and what is not there pass."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # whoever reads it says so
        return
    check_mode(mode, path, error)


def check_name(path: str | os.PathLike, error: type[VisionportError] = InputError) -> None:
    """Raises `error` for a name that is no text, which TensorFlow and LiteRT do not take."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise error(
            f"{path}: this name is not UTF-8, and TensorFlow cannot open it. Rename it, or the folder that it lies in."
        ) from None


def check_mode(mode: int, path: str | os.PathLike, error: type[VisionportError]) -> None:
    if what := SPECIAL.get(stat.S_IFMT(mode)):
        raise error(
            f"{path} is {what}, and a file is wanted, which can be read more than once. Write what it gives to a file, "
            "and name that."
        )


def open_file(path: str | os.PathLike, error: type[VisionportError] = InputError) -> BinaryIO:
    """The regular file at `path`, to be read. Raises `error` for anything else there, OSError as `open` does."""
    check_file(path, error)  # opening some devices does something already
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for its writer
    try:
        mode = os.fstat(descriptor).st_mode
        check_mode(mode, path, error)
        if not stat.S_ISREG(mode):
            raise error(f"{path} is a folder, and a file is wanted. Name one in it.")
        os.set_blocking(descriptor, True)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: str | os.PathLike, *, limit: int | None = None, error: type[VisionportError] = InputError) -> bytes:
    """All bytes of a regular file. Raises `error` for anything else, and for more than `limit` bytes."""
    with open_file(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        # No more than there is: Python makes room for what is asked for.
        data = file.read() if limit is None else file.read(min(size, limit) + 1)
        if limit is not None and len(data) > limit:
            raise error(f"{path} has {max(size, len(data)):,} bytes; at most {limit:,} are read of such a file.")
        return data


def kind_of_file(path: Path) -> str:
    """What the file at `path` is, with its article: "a PyTorch file"; "" where it is none or of no kind known here."""
    if not path.is_file():
        return ""
    with open_file(path) as file:
        head = file.read(HEAD)
    return kind_of_bytes(head) or SUFFIXES.get(path.suffix.lower(), "")


def kind_of_bytes(head: bytes) -> str:
    """The same of a file's first HEAD bytes, whatever it is called."""
    if is_lfs_pointer(head):
        return POINTER
    if is_web_page(head):
        return WEB_PAGE
    if head[4:8] == b"TFL3":
        return TENSORFLOW_LITE
    if NET.match(head):
        return OPENVINO
    if is_heic(head) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return PICTURE
    if head.startswith(b"PK\x03\x04"):
        return kind_of_zip(head)
    if head[257:262] == b"ustar":
        return ARCHIVE
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04") and b"torch" in head:
        return "a PyTorch file"
    return next((what for magic, what in MAGIC if head.startswith(magic)), "")


def kind_of_zip(head: bytes) -> str:
    """PyTorch and Keras pack their files as zip does: the first names in it tell."""
    if b"/data.pkl" in head or b"/byteorder" in head:
        return "a PyTorch file"
    if b"metadata.json" in head or b"model.weights.h5" in head:
        return "a Keras file"
    return "a NumPy archive" if b".npy" in head else ARCHIVE


def is_heic(head: bytes) -> bool:
    """A picture as iPhones save it."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIC


def is_text(head: bytes) -> bool:
    """Whether bytes are what somebody may have typed."""
    return bool(head) and all(byte >= 32 or byte in b"\t\n\r" for byte in head)
