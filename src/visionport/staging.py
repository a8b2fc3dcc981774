"""Directories and files that appear whole or not at all.

Everything that a command writes is written here. It is made beside its target under a name that nobody can foresee,
and takes the target's place in one step. What a killed run left is removed by the next one.
"""

import atexit
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from visionport import signals
from visionport.errors import InputError, OutputError
from visionport.json_files import read_json
from visionport.streams import StreamError

MANIFEST = "manifest.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # that file managers leave in any folder
SAVED_MODEL = ("saved_model.pb", "variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb")
SHOWN = 5  # names in an error

# What is in the making: of which machine and container, by which process; "old": what another gave way to.
OURS = re.compile(r"\.visionport-(?P<old>old-)?(?P<place>[0-9a-f]{8})-(?P<pid>\d{1,10})-[0-9a-f]{16}")
UNLOCKED = 60  # seconds that a process may need from making a name to locking it
ELSEWHERE = 24 * 3600  # seconds after which what another machine has left is removed, if it is not locked


# What may be written where


def check_target(target: Path, *, overwrite: bool, merge: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raises OutputError unless `target` may be written: it is not there, is empty, or is an export to overwrite.

    merge: it may hold other files; see check_room. inputs: files and folders that are read.
    """
    target = absolute(target)
    if os.path.lexists(target):
        if target.is_symlink() or not target.is_dir():
            raise OutputError(f"{target} exists and is not a directory. Name another with --out.")
        if os.path.ismount(target):
            raise OutputError(f"{target} is a mount point, which cannot be replaced. Name a new directory in it.")
        if any(target.iterdir()) and not merge:
            check_export(target, overwrite=overwrite, inputs=[*inputs])
    check_parent(target)


def check_export(target: Path, *, overwrite: bool, inputs: Iterable[Path]) -> None:
    """Raises OutputError unless the full directory is an export, holds no input and nothing that is not its own."""
    held = [path for path in inputs if holds(target, path)]
    if not overwrite:
        more = ", or add --overwrite" if is_export(target) and not held and not strangers(target) else ""
        raise OutputError(f"{target} exists and is not empty. Name another --out{more}.")
    if not is_export(target):
        raise OutputError(
            f"{target} is not an export of visionport (no {MANIFEST} of its own), so it is not overwritten. "
            "Move it away, or name another --out."
        )
    if held:
        raise OutputError(f"{held[0]} lies in {target}, which --overwrite would replace. Name another --out.")
    if found := strangers(target):
        raise OutputError(
            f"{target} holds what its {MANIFEST} does not list, and --overwrite would delete it: {listed(found)}. Move "
            "it away, or name another --out."
        )


def check_file(target: Path, *, overwrite: bool, inputs: Iterable[Path] = (), option: str = "--out") -> None:
    """Raises OutputError unless the file may be written. inputs: files and folders that are read."""
    if os.path.islink(target):
        raise OutputError(f"{target} is a link, which is neither followed nor replaced. Name another {option}.")
    if target.is_dir():
        raise OutputError(f"{target} is a directory. Name a file in it.")
    if target.exists() and not target.is_file():
        raise OutputError(f"{target} is a device or a pipe, which is not replaced. Name another {option}.")
    if target.exists():
        for path in inputs:
            if is_part(target, path):
                raise OutputError(f"{target} is an input, or a part of one ({path}). Name another {option}.")
        if not overwrite:
            raise OutputError(f"{target} exists. Name another {option}, or add --overwrite.")
    check_parent(absolute(target), option)


def check_parent(target: Path, option: str = "--out") -> None:
    parent = target.parent
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{target}: {parent} is not a directory. Name another {option}.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: {parent} is not writable. Name another {option}, or change its permissions.")


def check_room(target: Path, names: Iterable[str]) -> None:
    """Raises OutputError where one of `names` is in `target` already."""
    found = sorted(n for n in names if os.path.lexists(target / n))
    if found:
        raise OutputError(
            f"{target} holds {', '.join(found)} already, and nothing is overwritten. Move what is in the way, or name "
            "another directory."
        )


def absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def is_export(folder: Path) -> bool:
    """Whether a manifest of ours lies in it: other programs have files of that name too."""
    try:
        content = read_json(folder / MANIFEST)
    except (OSError, InputError):
        return False
    return isinstance(content, dict) and "visionport" in content


def strangers(folder: Path) -> list[str]:
    """What an export holds and its manifest does not list: files and links, by name."""
    listing = read_json(folder / MANIFEST).get("files")
    own = {MANIFEST, *(listing if isinstance(listing, dict) else ())}
    return sorted(str(path.relative_to(folder)) for path in contents(folder) if is_stranger(path, folder, own))


def is_stranger(path: Path, folder: Path, own: set[str]) -> bool:
    if path.name in LITTER or any(OURS.fullmatch(part) for part in path.parts):
        return False
    return path.is_symlink() or path.relative_to(folder).as_posix() not in own


def contents(folder: Path) -> Iterator[Path]:
    """All in a folder and below that is no folder itself."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in files)
        yield from (path for name in folders if (path := Path(place, name)).is_symlink())


# Whether one is the other, by whatever name


def lies_in(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def holds(folder: Path, path: Path) -> bool:
    """Whether an input lies in the folder, or has another name there."""
    if lies_in(path, folder):
        return True
    linked = {identity(p) for p in contents(folder) if os.lstat(p).st_nlink > 1}
    return bool(linked) and any(identity(p) in linked for p in files_of(path))


def is_part(file: Path, path: Path) -> bool:
    """Whether a file is an input, or one of an input folder's or checkpoint's files."""
    if path.is_dir() and lies_in(file, path):
        return belongs(Path(os.path.realpath(file)).relative_to(os.path.realpath(path)), path)
    if path.is_dir() and os.stat(file).st_nlink == 1:
        return False
    return identity(file) in map(identity, files_of(path))


def belongs(name: Path, folder: Path) -> bool:
    """Whether what lies in an input folder is of the input: all, but what else lies in an export or a SavedModel."""
    if is_export(folder):
        return str(name) not in strangers(folder)
    if (folder / "saved_model.pb").is_file():
        return name.parts[0] in SAVED_MODEL
    return True


def identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def files_of(path: Path) -> Iterator[Path]:
    """The files that an input is made of: itself, those in it, or those of a checkpoint's prefix."""
    if path.is_dir():
        yield from contents(path)
    elif path.exists():
        yield path
    elif path.parent.is_dir():
        parts = re.compile(re.escape(path.name) + r"\.(index|meta|data-\d+-of-\d+)")
        yield from (p for p in path.parent.iterdir() if parts.fullmatch(p.name))


# Directories and files in the making


@contextmanager
def staged(target: Path, *, overwrite: bool, merge: bool = False) -> Iterator[Path]:
    """A temporary directory beside `target` that takes its place at the end; on any error `target` is as it was.

    merge: what is in it moves into a `target` that holds other files.
    """
    target = absolute(target)
    with told(target), made_parents(target), temporary(target.parent, folder=True) as (folder, _):
        yield folder
        with signals.deferred():
            if merge and target.is_dir() and any(target.iterdir()):
                move_into(folder, target)
            elif overwrite and target.is_dir() and any(target.iterdir()):
                check_export(target, overwrite=True, inputs=())  # as it is now
                shutil.copymode(target, folder)
                exchange(folder, target)
            else:
                folder.rename(target)  # an empty directory gives way, a full one does not


def write_file(
    target: Path, parts: Iterable[bytes], *, overwrite: bool, inputs: Iterable[Path] = (), option: str = "--out"
) -> Path:
    """The file of those parts, one behind the other. Raises OutputError; then `target` is as it was."""
    check_file(target, overwrite=overwrite, inputs=inputs, option=option)
    place = absolute(target)
    with told(target, option), made_parents(place), temporary(place.parent, folder=False) as (half, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.writelines(parts)
        with signals.deferred():
            if overwrite:
                with suppress(FileNotFoundError):
                    shutil.copymode(place, half, follow_symlinks=False)
                half.replace(place)
            else:
                rename_new(half, place)
    return target


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what nobody keeps, in the system's place for such."""
    parent = Path(tempfile.gettempdir())
    with told(parent, "TMPDIR"), temporary(parent, folder=True, mode=0o700) as (folder, _):
        yield folder


@contextmanager
def told(target: Path, option: str = "--out") -> Iterator[None]:
    """What the system says of writing, as an OutputError."""
    try:
        yield
    except Exception as e:
        reason = reason_of(e, absolute(target))
        if not reason:
            raise
        raise OutputError(f"{target} cannot be written: {reason}. Make room, or name another {option}.") from e


def reason_of(error: Exception, target: Path) -> str:
    """Why `target` could not be written, in the system's words; "" if that is not what `error` says."""
    if isinstance(error, OSError):
        place = absolute(Path(os.fsdecode(error.filename or os.sep)))
        ours = place.is_relative_to(target) or any(OURS.fullmatch(part) for part in place.parts)
        if error.errno in FULL or ours or place in [*target.parents][:-1]:
            return error.strerror or str(error)
    if isinstance(error, StreamError):
        return ""
    return next((text for text in map(os.strerror, FULL) if text in str(error)), "")  # TensorFlow's own errors


@contextmanager
def made_parents(target: Path) -> Iterator[None]:
    """The folders that `target` is to lie in; those that were not there go again on any error."""
    missing = []
    for parent in target.parents:
        if os.path.lexists(parent):
            break
        missing.append(parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        with signals.deferred(), suppress(OSError):
            for parent in missing:
                parent.rmdir()
        raise


# Names of ours in the making -> what they are locked by.
_mine: dict[Path, int | None] = {}


@contextmanager
def temporary(parent: Path, *, folder: bool, mode: int | None = None) -> Iterator[tuple[Path, int]]:
    """A new folder or file in `parent`, and its descriptor; gone at the end, unless it is called otherwise by then."""
    with suppress(OSError):
        remove_leftovers(parent)
    path = new_name(parent)
    _mine[path] = None
    try:
        descriptor = _mine[path] = make(path, folder=folder, mode=mode)
        lock(descriptor)
        yield path, descriptor
    finally:
        with signals.deferred():
            discard(path)


def make(path: Path, *, folder: bool, mode: int | None) -> int:
    """Makes what is not there, not even as a link; its descriptor."""
    try:
        if not folder:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.mkdir(path, 0o777 if mode is None else mode)
    except FileExistsError:
        del _mine[path]  # another's
        raise
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def new_name(parent: Path, kind: str = "") -> Path:
    return parent / f".visionport-{kind}{place_of()}-{os.getpid()}-{secrets.token_hex(8)}"


def discard(path: Path) -> None:
    if path not in _mine:
        return
    remove(path)
    descriptor = _mine.pop(path)
    if descriptor is not None:
        os.close(descriptor)


def remove(path: Path) -> None:
    with suppress(OSError):
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)


@atexit.register
def discard_all() -> None:
    """What a signal has kept from being removed, between two lines."""
    for path in [*_mine]:
        if str(os.getpid()) in path.name.split("-"):  # not of the process that this one was forked from
            discard(path)


# Into the target's place, in one step where the system knows how


def move_into(folder: Path, target: Path) -> None:
    """What is in `folder` into `target`; the manifest last, so that without one an export is known to be a part."""
    names = sorted((f.name for f in folder.iterdir()), key=lambda name: (name == MANIFEST, name))
    check_room(target, names)
    moved = []
    try:
        for name in names:
            rename_new(folder / name, target / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (target / name).rename(folder / name)
        raise


def exchange(folder: Path, target: Path) -> None:
    """Two directories change places; where the system cannot do it in one step, the older is a moment aside."""
    if rename_with(folder, target, RENAME_EXCHANGE):
        return
    aside = new_name(target.parent, "old-")
    aside.mkdir()
    try:
        target.rename(aside / target.name)
        try:
            folder.rename(target)
        except BaseException:
            (aside / target.name).rename(target)
            raise
    finally:
        if os.path.lexists(target):
            remove(aside)


def rename_new(path: Path, target: Path) -> None:
    """Renames to a name that is not taken. Raises FileExistsError where it is."""
    if rename_with(path, target, RENAME_NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    path.rename(target)


AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2  # linux/fcntl.h, linux/fs.h
UNABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)  # an old kernel, or a file system that cannot


def rename_with(path: Path, target: Path, flag: int) -> bool:
    """renameat2, of Linux; False where system or file system do not have it. Raises OSError."""
    import ctypes

    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if function(AT_FDCWD, os.fsencode(path), AT_FDCWD, os.fsencode(target), ctypes.c_uint(flag)) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(target))


# What killed runs have left


def remove_leftovers(parent: Path) -> None:
    """Removes what is ours by name and owner in a folder, where nobody works on it any more.

    What had given way to a new export that then was not put in its place goes back there.
    """
    with os.scandir(parent) as entries:
        found = [(Path(e.path), m) for e in entries if (m := OURS.fullmatch(e.name))]
    for path, match in found:
        if not is_left(path, match["place"], int(match["pid"])):
            continue
        with signals.deferred(), suppress(OSError):
            for old in [*path.iterdir()] if match["old"] else ():
                if not os.path.lexists(parent / old.name):
                    old.rename(parent / old.name)
            remove(path)


def is_left(path: Path, place: str, pid: int) -> bool:
    """Whether the process that made it is gone: by its number, or where that tells nothing by lock and age."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)) or path in _mine or not is_own(found):
        return False
    if place == place_of() and not is_alive(pid):
        return True
    age = time.time() - found.st_mtime
    return age > (UNLOCKED if place == place_of() else ELSEWHERE) and not is_locked(path)


def is_own(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@functools.cache
def place_of() -> str:
    """Where process numbers mean the same: this machine since it was started, and this container."""
    try:
        facts = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:
        facts = platform.node()
    return hashlib.sha256(facts.encode(errors="replace")).hexdigest()[:8]


def lock(descriptor: int) -> bool:
    """False where another holds it."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # a file system without locks
        pass
    return True


def is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)
