"""Directories that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from visionport.errors import OutputError

MANIFEST = "manifest.json"


def check_target(target: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError unless `target` may be written: it is not there, is empty, or is an export to overwrite."""
    target = Path(os.path.abspath(target))
    if target.exists() or target.is_symlink():
        if not target.is_dir() or target.is_symlink():
            raise OutputError(f"{target} exists and is not a directory. Name another with --out.")
        if any(target.iterdir()):
            if not overwrite:
                raise OutputError(f"{target} exists and is not empty. Name another --out, or add --overwrite.")
            if not (target / MANIFEST).is_file():
                raise OutputError(
                    f"{target} is not an export of visionport (no {MANIFEST}), so it is not overwritten. "
                    "Move it away, or name another --out."
                )
            for path in inputs:
                if Path(os.path.abspath(path)).is_relative_to(target):
                    raise OutputError(f"{path} lies in {target}, which --overwrite would replace. Name another --out.")
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{target}: {parent} is not a directory. Name another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: {parent} is not writable. Name another --out, or change its permissions.")


@contextmanager
def staged(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary directory beside `target`, renamed to it at the end; gone, and `target` as it was, on any error."""
    target = Path(os.path.abspath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as e:
        raise OutputError(f"{target} cannot be written: {e.strerror}. Name another --out.") from None
    try:
        folder.chmod(0o777 & ~_umask())  # mkdtemp's are for one user alone
        yield folder
        _replace(folder, target, overwrite)
    except OSError as e:
        if e.filename is None or not str(e.filename).startswith(str(folder)):
            raise
        raise OutputError(f"{target} cannot be written: {e.strerror}. Is the disk full?") from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(folder: Path, target: Path, overwrite: bool) -> None:
    if not (overwrite and target.is_dir() and any(target.iterdir())):
        folder.rename(target)  # an empty directory gives way, a full one does not
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent)) / target.name
    target.rename(old)
    try:
        folder.rename(target)
    except BaseException:
        old.rename(target)
        raise
    finally:
        shutil.rmtree(old.parent, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
