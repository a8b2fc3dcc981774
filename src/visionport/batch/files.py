"""Files wherever Beam reaches them: this machine's, and those of gs://, s3://, hdfs://; pictures of http(s):// too."""

import os
import posixpath
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

TIMEOUT = 30  # seconds for a picture from the web
MOST = 1 << 28  # its bytes


def scheme_of(path: str) -> str:
    """ "gs" of gs://bucket/a.jpg; "" of a path on this machine."""
    scheme, found, _ = path.partition("://")
    return scheme.lower() if found and scheme.replace("+", "").isalnum() else ""


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names) if scheme_of(folder) else os.path.join(folder, *names)


def open_read(path: str) -> Any:
    """A binary file. Raises OSError where it cannot be read."""
    if scheme_of(path) in ("http", "https"):
        return urllib.request.urlopen(path, timeout=TIMEOUT)
    if not scheme_of(path) and not path.endswith((".gz", ".bz2")):
        return open(path, "rb")
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    return FileSystems.open(path)


def read_bytes(path: str) -> bytes:
    with open_read(path) as file:
        data = file.read(MOST + 1)
    if len(data) > MOST:
        raise OSError(f"it has more than {MOST:,} bytes")
    return data


def write_bytes(path: str, data: bytes) -> None:
    """The whole file at once, or nothing."""
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    if not scheme_of(path):
        half = f"{path}.{os.getpid()}.half"
        with open(half, "wb") as file:
            file.write(data)
        os.replace(half, path)
        return
    with FileSystems.create(path, compression_type="uncompressed") as file:  # an object appears when it is closed
        file.write(data)


def exists(path: str) -> bool:
    if not scheme_of(path):
        return os.path.lexists(path)
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    return FileSystems.exists(path) or bool(list_files(join(path, "**")))


def make_folder(path: str) -> None:
    if not scheme_of(path):
        os.makedirs(path, exist_ok=True)


def list_files(pattern: str) -> list[tuple[str, int]]:
    """(path, bytes) of the files that a pattern means, by name."""
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    (matched,) = FileSystems.match([pattern])
    return sorted((m.path, m.size_in_bytes) for m in matched.metadata_list)


def size_of(path: str) -> int:
    if not scheme_of(path):
        return os.path.getsize(path)
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    (matched,) = FileSystems.match([path])
    return matched.metadata_list[0].size_in_bytes


def names_in(folder: str) -> list[str]:
    """The names of the files in a folder; none where there is no such folder."""
    if not scheme_of(folder):
        return sorted(e.name for e in os.scandir(folder)) if os.path.isdir(folder) else []
    return [posixpath.basename(path) for path, _ in list_files(join(folder, "*"))]


def move(sources: Iterable[str], targets: Iterable[str]) -> None:
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    FileSystems.rename(list(sources), list(targets))


def remove(path: str) -> None:
    """A file or a folder, if it is there."""
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    if scheme_of(path):  # in a bucket a folder is no thing of its own
        found = [name for name, _ in list_files(join(path, "**"))] + [path] * FileSystems.exists(path)
    else:
        found = [path] if exists(path) else []
    if found:
        FileSystems.delete(found)


@contextmanager
def whole(path: str) -> Iterator[Any]:
    """A file to write that appears when all of it is there."""
    from apache_beam.io.filesystems import FileSystems  # pyright: ignore[reportMissingImports]

    if scheme_of(path):
        with FileSystems.create(path, compression_type="uncompressed") as file:
            yield file
        return
    half = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.half")
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(half, "wb") as file:
            yield file
        os.replace(half, path)
    finally:
        if os.path.lexists(half):
            os.remove(half)
