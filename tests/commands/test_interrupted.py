"""An export that is stopped in the middle: nothing half written is left, and what was there before is as it was."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from visionport import Options, cli, export, staging
from visionport.commands import common
from visionport.errors import OutputError
from visionport.staging import staged


@pytest.fixture
def training(tmp_path, digits) -> Path:
    return Path(shutil.copytree(digits / "tf2", tmp_path / "training"))


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder in it, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


COMMAND = """\
import resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
if limit := int(sys.argv.pop(1)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from visionport.cli import main
main()
"""


def start(training: Path, largest_file: int, *more: object) -> subprocess.Popen[str]:
    arguments = ["export", "--config", training, "--checkpoint", training, "--out", training.parent / "out", *more]
    command = [sys.executable, "-c", COMMAND, str(largest_file), *map(str, arguments), "--no-verify"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(training, number):
    """An earlier export stays as it is, and nothing else."""
    out = training.parent / "out"
    out.mkdir()
    (out / "manifest.json").write_text('{"visionport": "0"}')
    before = snapshot(training.parent)
    process = start(training, 0, "--overwrite")
    deadline = time.monotonic() + 300
    while len(list(training.parent.iterdir())) == 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert snapshot(training.parent) == before


@pytest.mark.parametrize("name", ["saved_model", "frozen_graph"])
def test_full_disk(training, name):
    """TensorFlow's own writing fails, and Python's: files cannot grow beyond half a megabyte."""
    before = snapshot(training.parent)
    process = start(training, 500_000, "--format", name)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == common.WRONG
    assert f"out cannot be written: {os.strerror(errno.EFBIG)}. Make room, or name another --out." in errors
    assert len([line for line in errors.splitlines() if not line.startswith("warning: no label map")]) == 1
    assert snapshot(training.parent) == before


def test_failure_of_our_own(training, monkeypatch):
    """Not the user's fault: another exit status, and where it was."""

    def fail(*_):
        raise RuntimeError("no idea")

    from visionport.checkpoint import write

    monkeypatch.setattr(write, "write", fail)
    before = snapshot(training.parent)
    with pytest.raises(RuntimeError, match="no idea"):
        export(Options(config=training, checkpoint=training, out=training.parent / "out", verify=False))
    line = ["export", "--config", training, "--checkpoint", training, "--out", training.parent / "out", "--no-verify"]
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)
    done = CliRunner().invoke(cli.main, list(map(str, line)))
    assert done.exit_code == common.FAULT
    assert "RuntimeError: no idea (test_interrupted.py, line " in done.output
    assert "VISIONPORT_TRACEBACK=1" in done.output
    monkeypatch.setenv("VISIONPORT_TRACEBACK", "1")
    assert isinstance(CliRunner().invoke(cli.main, list(map(str, line))).exception, RuntimeError)
    assert snapshot(training.parent) == before


def test_failure_of_the_last_step(tmp_path, monkeypatch):
    """The new export cannot take the old one's place, on a system without renameat2: the old one comes back."""
    (target := tmp_path / "out").mkdir()
    (target / "manifest.json").write_text('{"visionport": "0"}')
    before, rename = snapshot(tmp_path), Path.rename

    def fail(self: Path, other: Path):
        if Path(other) == target and "-old-" not in str(self):
            raise OSError(errno.EACCES, "Permission denied", str(self))
        return rename(self, other)

    monkeypatch.setattr(staging, "rename_with", lambda *_: False)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OutputError, match="out cannot be written: Permission denied"), staged(target, overwrite=True):
        assert len(list(tmp_path.iterdir())) == 2
    assert snapshot(tmp_path) == before
