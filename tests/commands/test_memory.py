"""Memory that does not suffice: exit status 3 and a sentence, no traceback."""

import errno
import resource
import subprocess
import sys

import pytest
from places import ROOT

from visionport import cli, memory
from visionport.commands import common

DIGITS = ROOT / "src" / "visionport" / "examples" / "digits"


class ResourceExhaustedError(Exception):
    """As TensorFlow's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 8.00 EiB"),
        ResourceExhaustedError("OOM when allocating tensor with shape[9]"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtensorflow_cc.so.2: failed to map segment from shared object"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
    ],
)
def test_errors_of_memory(error, capsys):
    with pytest.raises(SystemExit) as ended, cli.told():
        raise error
    assert ended.value.code == common.FAULT
    said = capsys.readouterr().err
    assert said.startswith("error: there is not enough memory")
    assert "Traceback" not in said


def test_other_errors():
    for error in (ValueError("x"), RuntimeError("a bloom filter"), KeyError("segment")):
        assert not memory.is_short(error)


def test_a_limit_of_memory(tmp_path):
    """Too little for TensorFlow: its import says so in one of many ways."""

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))

    command = [sys.executable, "-m", "visionport", "export", "--config", DIGITS / "tf2" / "pipeline.config"]
    command += ["--checkpoint", DIGITS / "tf2", "--out", tmp_path / "out"]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == common.FAULT, done.stderr
    assert done.stderr.startswith("error: there is not enough memory: this process may take 629 MB (`ulimit -v`).")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
