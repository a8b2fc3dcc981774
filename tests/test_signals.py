"""Signals end a command in order, whatever it is doing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from visionport import cli, signals
from visionport.signals import NUMBERS, Interrupted, deferred, ending, taken


def come(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(1)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_is_an_exception_and_a_status(number, capsys):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end, taken(), ending():
        come(number)
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == "interrupted: nothing half written is left.\n"
    assert signal.getsignal(number) == before


def test_what_was_ignored_stays_so():
    """As SIGHUP below nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with taken(), deferred():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not signals.caught()


def test_what_is_deferred_is_done_whole():
    done = []

    def work():
        for number in (*NUMBERS, *NUMBERS):
            os.kill(os.getpid(), number)
            done.append(number)

    with pytest.raises(Interrupted), taken(), deferred():
        work()
    assert len(done) == 2 * len(NUMBERS)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_import_that_a_signal_cut_is_an_interruption(capsys):
    """C code turns the exception into one of its own."""

    def load():
        try:
            come(signal.SIGTERM)
        except Interrupted:
            raise ImportError("numpy.core.multiarray failed to import") from None

    with pytest.raises(SystemExit) as end, taken(), ending(), cli.told():
        load()
    assert end.value.code == 143
    assert "numpy" not in capsys.readouterr().err


def test_a_signal_in_a_destructor_is_not_lost(capfd):
    class Thing:
        def __del__(self):
            come(signal.SIGTERM)

    def work():
        Thing()
        time.sleep(5)

    with pytest.raises(Interrupted), taken():
        work()
    assert capfd.readouterr().err == ""


PROGRAM = """\
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from visionport import __main__, cli, staging
from pathlib import Path

@cli.main.command()
def work():
    with staging.staged(Path(sys.argv[2]), overwrite=False) as folder:
        (folder / "half").write_text("x")
        print("begun", flush=True)
        time.sleep(60)

sys.argv[1:1] = ["work"]
cli.main.commands["work"].params = []
cli.main.commands["work"].allow_extra_args = True
__main__.run()
"""


@pytest.mark.parametrize("number", NUMBERS)
def test_nothing_is_left(tmp_path, number):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a" / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    assert len(list(tmp_path.rglob("half"))) == 1
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (128 + number, "interrupted: nothing half written is left.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [("-m", "visionport", "inspect", "absent"), ("-m", "visionport.scripts.freeze_graph")]
)
def test_at_any_moment_of_the_beginning(arguments):
    """From the first import of ours on; before it, what Python itself says of Ctrl-C."""
    statuses = set()
    for step in range(8):
        process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for_handler(process.pid, step * 0.03)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors
        assert "visionport does not know" not in errors
        statuses.add(process.returncode)
    assert statuses <= {143, 2, -signal.SIGTERM}  # the last: when all was done already, on the way out
    assert 143 in statuses


def wait_for_handler(pid: int, seconds: float) -> None:
    """Until the process handles SIGTERM itself, and some more."""
    mask = 1 << (signal.SIGTERM - 1)
    while True:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        handled = next((line.split()[1] for line in lines if line.startswith("SigCgt")), "0")
        if int(handled, 16) & mask or lines[2].split()[1] == "Z":
            break
    time.sleep(seconds)
