"""Standard output and error that are closed, full or read by nobody, and names that are no text."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from visionport import streams
from visionport.commands import common

PROGRAM = """\
import sys
from visionport import __main__, cli

status = int(sys.argv.pop())

@cli.main.command()
def chatter():
    for i in range(20_000):
        print(i)
        print("told", i, file=sys.stderr)
    sys.exit(status)

__main__.run()
"""
LAST = "told 19999\n"


def shell(rest: str, status: int = 0, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    """The program in bash, its streams as `rest` says."""
    line = f'"$0" -c "$1" chatter {status} {rest}'
    command = ["bash", "-c", f"set -o pipefail; {line}", sys.executable, program]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("rest", "status", "expected"),
    [
        (">&-", 0, 0),
        (">&-", 1, 1),
        ("2>&-", 1, 1),
        ("<&- >&- 2>&-", 1, 1),
        ("2>/dev/full", 1, 1),
        (">/dev/full", 0, common.WRONG),
        (">/dev/full", 1, common.WRONG),
        (">/dev/full 2>&1", 0, common.WRONG),
        ("| head -1", 0, common.GONE),
        ("| head -1", 1, common.GONE),
        ("2>&1 | head -1", 0, common.GONE),
        ("2>&1 >/dev/null | head -1", 1, 1),
    ],
)
def test_statuses(rest, status, expected):
    process = shell(rest, status)
    assert process.returncode == expected
    assert "Traceback" not in process.stderr
    assert "visionport does not know" not in process.stderr
    if expected == common.WRONG and "2>" not in rest:
        assert "error: standard output cannot be written: No space left on device. Make room" in process.stderr
    if "2>" not in rest and expected < 2:
        assert process.stderr.endswith(LAST)


@pytest.mark.parametrize("command", [["--help"], ["--version"]])
def test_help_is_output_too(command):
    run = [sys.executable, "-m", "visionport", *command]
    with open("/dev/full", "wb") as full:
        process = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert process.returncode == common.WRONG
    assert process.stderr.startswith("error: standard output cannot be written")


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path):
    """What TensorFlow logs would be written into it."""
    program = f"""\
import os
from visionport import streams
streams.open_standard()
print(open({str(tmp_path / "file")!r}, "w").fileno(), file=os.fdopen(os.dup(9), "w"))
"""
    line = '"$0" -c "$1" 9>"$2" <&- >&- 2>&-'
    subprocess.run(["bash", "-c", line, sys.executable, program, tmp_path / "number"], check=True, timeout=300)
    assert int((tmp_path / "number").read_text()) > 2


def test_names_that_are_no_text_are_printed(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    for encoding in ("utf-8", "ascii"):
        command = [sys.executable, "-m", "visionport", "inspect", tmp_path / name]
        variables = {**os.environ, "PYTHONIOENCODING": encoding}
        process = subprocess.run(command, capture_output=True, env=variables, timeout=300)
        assert process.returncode == common.WRONG
        assert b"caf\\udce9: no such" in process.stderr


def test_streams_escape_what_their_encoding_does_not_have(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        like = io.TextIOWrapper(io.BytesIO(), "ascii")
        stream = streams.open_stream(streams.Output(file.fileno(), "w", closefd=False), like)
        print("✓ a\udcff", file=stream, flush=True)
    assert (tmp_path / "a").read_bytes() == b"\\u2713 a\\udcff\n"


def test_errors_that_cannot_be_told_end_nothing():
    stream = streams.open_errors(os.open("/dev/full", os.O_WRONLY), sys.stderr)
    for _ in range(3):
        print("x" * 10_000, file=stream, flush=True)
    stream.close()
    full = streams.open_stream(streams.Output("/dev/full", "w"), sys.stdout)
    with pytest.raises(streams.StreamError, match="No space left on device"):
        print("x", file=full, flush=True)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), full.fileno())
    full.close()


def test_pipes_and_devices_are_refused_where_a_file_is_meant(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    commands = [
        ("inspect", tmp_path / "pipe"),
        ("predict", tmp_path / "pipe", "x.jpg"),
        ("predict", "absent", "a.jpg", tmp_path / "pipe"),
        ("export", "--config", tmp_path / "pipe", "--checkpoint", tmp_path, "--out", tmp_path / "out"),
        ("export", tmp_path, "--labels", "/dev/zero", "--out", tmp_path / "out"),
        ("freeze", tmp_path / "pipe", "--out", tmp_path / "x.pb"),
        ("convert", tmp_path, "--calibration", tmp_path / "pipe", "--out", tmp_path / "x.tflite"),
        ("edit", tmp_path / "pipe", "--out", tmp_path / "x.tflite"),
        ("verify", tmp_path, "--evaluate", tmp_path / "pipe"),
    ]
    program = f"""\
import sys
from visionport import cli
cli.mute_tensorflow = lambda: None
for arguments in {[[*map(str, c)] for c in commands]!r}:
    try:
        cli.main(arguments)
    except SystemExit as e:
        print(arguments[0], e.code, file=sys.stderr)
"""
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    lines = process.stderr.splitlines()
    assert [line.rpartition(" ")[::2] for line in lines[1::2]] == [(str(c[0]), "2") for c in commands]
    assert all("is a pipe, and a file is wanted" in line or "is a device" in line for line in lines[0::2]), lines


def test_standard_input_from_a_file_is_a_file(tmp_path):
    (tmp_path / "config").write_text("no config")
    command = [sys.executable, "-m", "visionport", "inspect", "/dev/stdin"]
    with (tmp_path / "config").open() as file:
        process = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=300)
    assert "is a pipe" not in process.stderr
    piped = subprocess.run(command, input="no config", capture_output=True, text=True, timeout=300)
    assert piped.returncode == common.WRONG
    assert "/dev/stdin is a pipe, and a file is wanted" in piped.stderr
    assert Path("/dev/stdin").exists()
