"""An ONNX file of unknown origin is tried in a process of its own (see trials.py)."""

import hashlib
import sys
from pathlib import Path

from visionport import trials
from visionport.errors import ArtifactError
from visionport.filetypes import open_file

_trusted: set[bytes] = set()  # digests of files that were made here, or tried


def trust(path: Path) -> None:
    """Says of a file that it was made here."""
    _trusted.add(digest(path))


def digest(path: Path) -> bytes:
    found = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.digest()


def try_file(path: Path) -> None:
    """Raises ArtifactError for a file that ONNX Runtime does not take, or that takes too long or too much."""
    known = digest(path)
    if known in _trusted:
        return
    size = path.stat().st_size
    if trials.judge(lambda: trials.run_apart(__name__, size, str(path.resolve())), str(path), "ONNX Runtime", size):
        _trusted.add(known)


def main() -> int:
    """The other process: the file's name is its last argument."""
    trials.bound()
    from visionport.onnx import session

    path = Path(sys.argv[3])
    try:
        opened = session.open_session(path, "")
    except MemoryError:
        return trials.MEMORY
    except ArtifactError as e:
        print(str(e).removeprefix(": "), end="")
        return trials.REFUSED
    try:  # against noise, which may not be what it takes: only to live matters
        opened.run(None, session.noise(opened))
    except MemoryError:
        return trials.MEMORY
    except Exception:
        return 0
    return 0
