"""What is written appears whole or not at all, in nobody's place, and what a killed run left goes."""

import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from visionport import staging
from visionport.errors import OutputError
from visionport.staging import check_file, check_target, remove_leftovers, scratch, staged, write_file


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder in it, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def make_export(folder: Path, **files: str) -> Path:
    """What an export looks like to whoever overwrites it."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    listing = {name: {"size": len(text), "sha256": ""} for name, text in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"visionport": "0", "files": listing}))
    return folder


# Names


def test_names_cannot_be_foreseen_and_links_are_not_followed(tmp_path, monkeypatch):
    names = {staging.new_name(tmp_path) for _ in range(100)}
    assert len(names) == 100
    assert all(staging.OURS.fullmatch(name.name) for name in names)
    (victim := tmp_path / "victim").write_text("kept")
    (trap := tmp_path / f".visionport-{staging.place_of()}-{os.getpid()}-{'0' * 16}").symlink_to(victim)
    monkeypatch.setattr(staging, "new_name", lambda parent, kind="": trap)
    with pytest.raises(OutputError, match="cannot be written: File exists"):
        write_file(tmp_path / "out", [b"new"], overwrite=False)
    with pytest.raises(OutputError, match="cannot be written: File exists"), staged(tmp_path / "o", overwrite=False):
        raise AssertionError
    assert victim.read_text() == "kept"


def test_a_link_is_neither_followed_nor_replaced(tmp_path):
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "dangling").symlink_to("absent")
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("link", "dangling", "folder"):
        with pytest.raises(OutputError, match=f"{name} is a link, which is neither followed nor replaced"):
            write_file(tmp_path / name, [b"new"], overwrite=True)
    with pytest.raises(OutputError, match="folder exists and is not a directory"):
        check_target(tmp_path / "folder", overwrite=True)
    assert (tmp_path / "victim").read_text() == "kept"


def test_modes_are_as_others_write_and_stay_as_they_are(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "a", [b"1"], overwrite=False)
        with staged(tmp_path / "folder", overwrite=False) as folder:
            (folder / "manifest.json").write_text('{"visionport": "0", "files": {}}')
        (tmp_path / "a").chmod(0o600)
        (tmp_path / "folder").chmod(0o700)
        write_file(tmp_path / "b", [b"1"], overwrite=False)
        write_file(tmp_path / "a", [b"2"], overwrite=True)
        with staged(tmp_path / "folder", overwrite=True) as folder:
            (folder / "x").write_text("new")
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "b", "folder")}
    assert modes == {"a": 0o600, "b": 0o640, "folder": 0o700}
    assert snapshot(tmp_path) == {"a": b"2", "b": b"1", "folder": None, "folder/x": b"new"}


# In nobody's place


def test_files_ask_before_they_overwrite(tmp_path):
    (target := tmp_path / "out").write_text("old")
    with pytest.raises(OutputError, match=r"out exists. Name another --report, or add --overwrite"):
        write_file(target, [b"new"], overwrite=False, option="--report")
    assert write_file(target, [b"n", b"ew"], overwrite=True) == target
    assert snapshot(tmp_path) == {"out": b"new"}
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(OutputError, match="is a device or a pipe"):
            write_file(name, [b"new"], overwrite=True)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    def parts():
        (tmp_path / "out").write_text("another's")
        yield b"new"

    with pytest.raises(OutputError, match="out cannot be written: File exists"):
        write_file(tmp_path / "out", parts(), overwrite=False)
    assert snapshot(tmp_path) == {"out": b"another's"}


def test_no_input_is_overwritten_by_whatever_name(tmp_path):
    (source := tmp_path / "a.tflite").write_text("model")
    os.link(source, tmp_path / "hard")
    (photos := tmp_path / "photos").mkdir()
    (photos / "1.jpg").write_text("picture")
    os.link(photos / "1.jpg", tmp_path / "hard.jpg")
    (tmp_path / "link").symlink_to(photos)
    for name in ("ckpt.index", "ckpt.data-00000-of-00001", "ckpt.pb"):
        (tmp_path / name).write_text(name)
    inputs = [tmp_path / "sub" / ".." / "a.tflite", photos, tmp_path / "ckpt", tmp_path / "absent" / "ckpt"]
    for name in (
        "a.tflite",
        "hard",
        "photos/1.jpg",
        "hard.jpg",
        "link/1.jpg",
        "ckpt.index",
        "ckpt.data-00000-of-00001",
    ):
        with pytest.raises(OutputError, match="is an input, or a part of one"):
            check_file(tmp_path / name, overwrite=True, inputs=[source, *inputs])
    for name in ("ckpt.pb", "photos/2.jpg", "new/x"):
        check_file(tmp_path / name, overwrite=True, inputs=[source, *inputs])


def test_what_lies_beside_an_inputs_own_files_is_no_input(tmp_path):
    out = make_export(tmp_path / "out", graph="x")
    (saved := tmp_path / "saved").mkdir()
    (saved / "variables").mkdir()
    for path in (out / "answers.json", saved / "saved_model.pb", saved / "variables" / "variables.index", saved / "m"):
        path.write_text("x")
    for path in (out / "graph", out / "manifest.json", saved / "saved_model.pb", saved / "variables/variables.index"):
        with pytest.raises(OutputError, match="is an input, or a part of one"):
            check_file(path, overwrite=True, inputs=[out, saved])
    for path in (out / "answers.json", saved / "m"):
        check_file(path, overwrite=True, inputs=[out, saved])


def test_an_export_with_an_input_in_it_is_not_overwritten(tmp_path):
    out = make_export(tmp_path / "out", labels="names", graph="x")
    os.link(out / "labels", tmp_path / "labels")
    (tmp_path / "link").symlink_to(out / "labels")
    (tmp_path / "folder").mkdir()
    os.link(out / "graph", tmp_path / "folder" / "photo.jpg")
    for path in (out / "labels", tmp_path / "labels", tmp_path / "link", tmp_path / "folder", out):
        with pytest.raises(OutputError, match=r"lies in .*out, which --overwrite would replace"):
            check_target(out, overwrite=True, inputs=[path])
    check_target(out, overwrite=True, inputs=[tmp_path / "absent"])


@pytest.mark.parametrize("name", ["notes.txt", "sub/notes.txt", "link", "sub/link"])
def test_what_the_manifest_does_not_list_is_never_deleted(tmp_path, name):
    out = make_export(tmp_path / "out", graph="x")
    (out / "sub").mkdir()
    (out / ".DS_Store").write_text("litter")
    check_target(out, overwrite=True)
    if "link" in name:
        (out / name).symlink_to(tmp_path)
    else:
        (out / name).write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match=f"does not list, and --overwrite would delete it: {name}. Move it away"):
        check_target(out, overwrite=True)
    with pytest.raises(OutputError, match="does not list"), staged(out, overwrite=True) as folder:
        (folder / "graph").write_text("new")  # it came while the new one was made
    assert snapshot(tmp_path) == before


def test_many_strangers_are_counted(tmp_path):
    out = make_export(tmp_path / "out")
    for i in range(9):
        (out / f"{i}.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"delete it: 0\.txt, 1\.txt, 2\.txt, 3\.txt, 4\.txt and 4 more\. Move"):
        check_target(out, overwrite=True)


def test_folders_that_were_made_go_again(tmp_path):
    with pytest.raises(RuntimeError), staged(tmp_path / "a" / "b" / "out", overwrite=False):
        raise RuntimeError
    with pytest.raises(OutputError):
        write_file(tmp_path / "c" / "out", fail(errno.ENOSPC), overwrite=False)
    assert snapshot(tmp_path) == {}


def fail(number: int):
    yield b"half of it"
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", staging.FULL)
def test_a_full_disk_leaves_nothing(tmp_path, number):
    (target := tmp_path / "out").write_text("old")
    with pytest.raises(OutputError, match=f"out cannot be written: {os.strerror(number)}. Make room"):
        write_file(target, fail(number), overwrite=True)
    for error in (OSError(number, os.strerror(number)), RuntimeError(f"x; {os.strerror(number)}")):  # TensorFlow's own
        with pytest.raises(OutputError, match=os.strerror(number)), staged(tmp_path / "x", overwrite=False):
            raise error
    assert snapshot(tmp_path) == {"out": b"old"}


def test_a_really_full_disk(tmp_path):
    """A file system of 64 kB in memory, where this process may mount one."""
    (place := tmp_path / "small").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is for root")
    try:
        write_file(place / "out", [b"old"], overwrite=False)
        with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
            write_file(place / "out", [bytes(1 << 20)], overwrite=True)
        with (
            pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)),
            staged(place / "x", overwrite=False) as folder,
        ):
            (folder / "a").write_bytes(bytes(1 << 20))
        assert snapshot(place) == {"out": b"old"}
        with pytest.raises(OutputError, match="small is a mount point"):
            check_target(place, overwrite=False)
    finally:
        subprocess.run(["umount", place], check=True)


# In one step


@pytest.fixture(params=["in one step", "in two"])
def steps(request, monkeypatch):
    """With renameat2, and on a system that has none."""
    if request.param == "in two":
        monkeypatch.setattr(staging, "rename_with", lambda *_: False)
    return request.param


def test_exports_change_places(tmp_path, steps):
    out, seen = make_export(tmp_path / "out", graph="old"), []
    with staged(out, overwrite=True) as folder:
        (folder / "graph").write_text("new")
        seen.append(snapshot(tmp_path / "out"))
    assert seen[0]["graph"] == b"old"
    assert snapshot(tmp_path) == {"out": None, "out/graph": b"new"}


def test_a_system_with_renameat2_uses_it(tmp_path):
    if sys.platform != "linux":
        pytest.skip("renameat2 is Linux's")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x").write_text("")
    assert staging.rename_with(tmp_path / "a", tmp_path / "b", staging.RENAME_EXCHANGE)
    assert snapshot(tmp_path) == {"a": None, "b": None, "b/x": b""}
    with pytest.raises(FileExistsError):
        staging.rename_with(tmp_path / "a", tmp_path / "b", staging.RENAME_NOREPLACE)


def test_signals_wait_for_the_exchange(tmp_path, steps, monkeypatch):
    """Ctrl-C in its very middle: the new export is there whole, and the old one gone."""
    out, exchange = make_export(tmp_path / "out", graph="old"), staging.exchange

    def interrupted(*places):
        os.kill(os.getpid(), signal.SIGINT)
        exchange(*places)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(staging, "exchange", interrupted)
    with pytest.raises(KeyboardInterrupt), staged(out, overwrite=True) as folder:
        (folder / "graph").write_text("new")
    assert snapshot(tmp_path) == {"out": None, "out/graph": b"new"}


def test_a_merge_moves_the_manifest_last_and_goes_back_whole(tmp_path, monkeypatch):
    (out := tmp_path / "out").mkdir()
    (out / "theirs").write_text("kept")
    moved, rename, before = [], staging.rename_new, snapshot(tmp_path)

    def note(path: Path, target: Path):
        moved.append(target.name)
        if moved == ["a", "z"]:
            raise OSError(errno.EIO, "Input/output error", str(target))
        rename(path, target)

    def merge():
        with staged(out, overwrite=False, merge=True) as folder:
            for name in ("manifest.json", "z", "a"):
                (folder / name).write_text(name)

    monkeypatch.setattr(staging, "rename_new", note)
    with pytest.raises(OutputError, match="Input/output error"):
        merge()
    assert snapshot(tmp_path) == before
    merge()
    assert moved == ["a", "z", "a", "z", "manifest.json"]
    assert snapshot(out) == {"theirs": b"kept", "a": b"a", "z": b"z", "manifest.json": b"manifest.json"}


# What a killed run left

KILLED = """\
import os, signal, sys
from pathlib import Path
from visionport import staging
target = Path(sys.argv[1])
if sys.argv[2] == "file":
    def parts():
        yield b"half"
        os.kill(os.getpid(), signal.SIGKILL)
    staging.write_file(target, parts(), overwrite=True)
if sys.argv[2] == "aside":
    def die(path, place):
        if place == target:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(path, place)
    rename, Path.rename = Path.rename, die
    staging.rename_with = lambda *_: False
with staging.staged(target, overwrite=True) as folder:
    (folder / "graph").write_text("new")
    if sys.argv[2] == "folder":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_one(target: Path, when: str) -> None:
    process = subprocess.run([sys.executable, "-c", KILLED, str(target), when], capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr


def test_the_next_run_removes_what_a_killed_one_left(tmp_path):
    (tmp_path / ".visionport-notes").write_text("mine")
    (tmp_path / f".visionport-{'0' * 8}-999999999-{'0' * 16}").mkdir()  # of another machine, today
    before = snapshot(tmp_path)
    kill_one(tmp_path / "out", "folder")
    kill_one(tmp_path / "file", "file")  # removes the first one's
    assert len(snapshot(tmp_path)) == len(before) + 1
    write_file(tmp_path / "a", [b"1"], overwrite=False)
    assert snapshot(tmp_path) == before | {"a": b"1"}


def test_what_gave_way_when_a_run_was_killed_comes_back(tmp_path):
    """Where directories cannot be exchanged in one step, there is a moment without any."""
    out = make_export(tmp_path / "out", graph="old")
    before = snapshot(tmp_path)
    kill_one(out, "aside")
    assert not out.exists()
    remove_leftovers(tmp_path)
    assert snapshot(tmp_path) == before


def leave(parent: Path, *, place: str | None = None, pid: int = 999_999_999, age: float = 0) -> Path:
    path = parent / f".visionport-{place or staging.place_of()}-{pid}-{os.urandom(8).hex()}"
    path.mkdir()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_nothing_of_a_living_neighbour_is_removed(tmp_path):
    """Nor what is locked, young and of another machine, another user's, or a link."""
    day = 25 * 3600
    kept = [leave(tmp_path, pid=os.getppid()), leave(tmp_path, place="0" * 8), leave(tmp_path, pid=os.getpid())]
    gone = [leave(tmp_path), leave(tmp_path, place="0" * 8, age=day), leave(tmp_path, pid=os.getpid(), age=120)]
    locked = leave(tmp_path, place="0" * 8, age=day)
    (tmp_path / leave(tmp_path).name.replace("-9", "-8")).symlink_to(tmp_path)
    link = next(p for p in tmp_path.iterdir() if p.is_symlink())
    descriptor = os.open(locked, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with staged(tmp_path / "out", overwrite=False) as running:
        remove_leftovers(tmp_path)
        assert running.is_dir()
    os.close(descriptor)
    assert all(p.exists() for p in (*kept, locked))
    assert link.is_symlink()
    assert not any(p.exists() for p in gone)
    remove_leftovers(tmp_path)
    assert not locked.exists()


def test_another_users_are_left_alone(tmp_path, monkeypatch):
    path = leave(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_leftovers(tmp_path)
    assert path.exists()


def test_leftovers_are_no_strangers(tmp_path):
    out = make_export(tmp_path / "out", graph="x")
    kill_one(out / "page.html", "file")
    assert len(list(out.iterdir())) == 3
    check_target(out, overwrite=True)


def test_scratch_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(staging.tempfile, "tempdir", str(tmp_path))
    leave(tmp_path)
    with scratch() as folder:
        (folder / "x").write_text("x")
        assert [p.name for p in tmp_path.iterdir()] == [folder.name]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert snapshot(tmp_path) == {}
    shutil.rmtree(tmp_path)
    with pytest.raises(OutputError, match="name another TMPDIR"), scratch():
        pass
