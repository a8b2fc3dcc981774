"""Directories and files that appear whole or not at all."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from visionport.errors import OutputError

MANIFEST = "manifest.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_target(target: Path, *, overwrite: bool, merge: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError unless `target` may be written: it is not there, is empty, or is an export to overwrite.

    merge: it may hold other files; see check_room.
    """
    target = Path(os.path.abspath(target))
    if target.exists() or target.is_symlink():
        if not target.is_dir() or target.is_symlink():
            raise OutputError(f"{target} exists and is not a directory. Name another with --out.")
        if any(target.iterdir()) and not merge:
            if not overwrite:
                mine = is_export(target) and not any(lies_in(path, target) for path in inputs)
                more = ", or add --overwrite" if mine else ""
                raise OutputError(f"{target} exists and is not empty. Name another --out{more}.")
            if not is_export(target):
                raise OutputError(
                    f"{target} is not an export of visionport (no {MANIFEST} of its own), so it is not overwritten. "
                    "Move it away, or name another --out."
                )
            for path in inputs:
                if lies_in(path, target):
                    raise OutputError(f"{path} lies in {target}, which --overwrite would replace. Name another --out.")
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{target}: {parent} is not a directory. Name another --out.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: {parent} is not writable. Name another --out, or change its permissions.")


def lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def check_room(target: Path, names: Iterable[str]) -> None:
    """Raises OutputError where one of `names` is in `target` already."""
    found = sorted(n for n in names if os.path.lexists(target / n))
    if found:
        raise OutputError(
            f"{target} holds {', '.join(found)} already, and nothing is overwritten. Move what is in the way, or name "
            "another directory."
        )


def is_export(folder: Path) -> bool:
    """Whether a manifest of ours lies in it: other programs have files of that name too."""
    try:
        content = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "visionport" in content


@contextmanager
def staged(target: Path, *, overwrite: bool, merge: bool = False) -> Iterator[Path]:
    """A temporary directory beside `target`, renamed to it at the end; gone, and `target` as it was, on any error.

    merge: what is in it moves into a `target` that holds other files.
    """
    target = Path(os.path.abspath(target))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as e:
        raise OutputError(f"{target} cannot be written: {e.strerror}. Name another --out.") from None
    try:
        folder.chmod(0o777 & ~_umask())  # mkdtemp's are for one user alone
        yield folder
        if merge and target.is_dir() and any(target.iterdir()):
            _merge(folder, target)
        else:
            _replace(folder, target, overwrite)
    except Exception as e:
        reason = _reason(e, (str(folder), str(target)))
        if not reason:
            raise
        raise OutputError(f"{target} cannot be written: {reason}. Make room, or name another --out.") from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reason(error: Exception, places: tuple[str, ...]) -> str:
    """Why one of `places` could not be written, in the system's words; "" if that is not what `error` says."""
    if isinstance(error, OSError) and (error.errno in FULL or str(error.filename).startswith(places)):
        return error.strerror or str(error)
    return next((text for text in map(os.strerror, FULL) if text in str(error)), "")  # TensorFlow's own errors


def _merge(folder: Path, target: Path) -> None:
    names = sorted(f.name for f in folder.iterdir())
    check_room(target, names)
    moved = []
    try:
        for name in names:
            (folder / name).rename(target / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (target / name).rename(folder / name)
        raise


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


def check_file(target: Path, *, overwrite: bool) -> None:
    """Raises OutputError unless the file may be written."""
    if target.is_dir():
        raise OutputError(f"{target} is a directory. Name a file in it.")
    if target.exists() and not target.is_file():
        raise OutputError(f"{target} is a device or a pipe, which is not replaced. Name another --out.")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists. Name another --out, or add --overwrite.")


def write_file(target: Path, parts: Iterable[bytes], *, overwrite: bool) -> Path:
    """The file of those parts, one behind the other. Raises OutputError; then `target` is as it was."""
    check_file(target, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        half = target.with_name(f".{target.name}.half")
        try:
            with half.open("wb") as file:
                file.writelines(parts)
            half.replace(target)
        finally:
            half.unlink(missing_ok=True)
    except OSError as e:
        raise OutputError(f"{target} cannot be written: {e.strerror}. Name another --out.") from None
    return target
