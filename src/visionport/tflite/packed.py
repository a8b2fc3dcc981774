"""The files packed behind a TFLite file, as a zip archive: label lists. They are read in memory and never unpacked."""

import io
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence

from visionport import limits
from visionport.errors import ArtifactError

DAMAGED = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)
ENCRYPTED = 1  # bit of a file's flags
LABELS = ".txt"


def packed_files(data: bytes) -> list[str]:
    """Their names. Raises ArtifactError for an archive that is damaged or not to be trusted."""
    archive = open_archive(data)
    return archive.namelist() if archive else []


def labels_of(data: bytes) -> list[str]:
    """The lines of the first text file among them."""
    archive = open_archive(data)
    found = [f for f in archive.infolist() if f.filename.endswith(LABELS)] if archive else []
    return read_text(archive, found[0]).splitlines() if archive and found else []


def cut_packed(data: bytes) -> bytes:
    """The file without them."""
    archive = open_archive(data)
    return data[: min((f.header_offset for f in archive.infolist()), default=len(data))] if archive else data


def open_archive(data: bytes) -> zipfile.ZipFile | None:
    """None where nothing is packed."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except DAMAGED as e:
        raise ArtifactError(f"the files packed behind it are damaged: {e}") from None
    check_names([f.filename for f in archive.infolist()])
    return archive


def check_names(names: Sequence[str]) -> None:
    if len(names) > limits.PACKED_FILES:
        raise ArtifactError(f"{len(names):,} files are packed behind it; at most {limits.PACKED_FILES:,} are read")
    for name in names:
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise ArtifactError(f"a file packed behind it is called {name!r}, which leads out of any folder")
    if again := [name for name, count in Counter(names).items() if count > 1]:
        raise ArtifactError(f"two files packed behind it are called {again[0]!r}: readers take one or the other")


def read_text(archive: zipfile.ZipFile, file: zipfile.ZipInfo) -> str:
    if file.flag_bits & ENCRYPTED:
        raise ArtifactError(f"{file.filename!r}, packed behind it, is encrypted")
    if file.file_size > limits.PACKED_TEXT:
        raise ArtifactError(
            f"{file.filename!r}, packed behind it, unpacks to {file.file_size:,} bytes; at most "
            f"{limits.PACKED_TEXT:,} are read"
        )
    try:
        with archive.open(file) as stream:
            return stream.read(limits.PACKED_TEXT).decode("utf-8", "replace")
    except DAMAGED as e:
        raise ArtifactError(f"{file.filename!r}, packed behind it, is damaged: {e}") from None
