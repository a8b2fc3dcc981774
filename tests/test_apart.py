"""A crash of native code in a command's own process ends in a sentence, and a signal reaches what works."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """\
import os, signal, sys, time
from pathlib import Path
import click
from visionport import __main__, cli, staging
from visionport.apart import go_apart

@cli.main.command()
@click.argument("out", type=Path)
@click.argument("what")
def work(out, what):
    go_apart(out)
    with staging.staged(out, overwrite=False) as folder:
        (folder / "half").write_text("x")
        if what == "waits":
            print("begun", flush=True)
            time.sleep(60)
        if what.isdecimal():
            os.kill(os.getpid(), int(what))
        if what == "fails":
            raise click.UsageError("no")
    print("done")

__main__.run()
"""


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, "work", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(*arguments: object) -> tuple[int, str, str]:
    process = start(*arguments)
    printed, errors = process.communicate(timeout=300)
    return process.returncode, printed, errors


def test_what_goes_well_or_is_refused_is_as_ever(tmp_path):
    assert ended(tmp_path / "out", "ends") == (0, "done\n", "")
    assert [f.name for f in tmp_path.iterdir()] == ["out"]
    status, printed, errors = ended(tmp_path / "more", "fails")
    assert (status, printed, errors) == (2, "", "error: no. See `visionport work --help`.\n")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS])
def test_a_crash(tmp_path, number):
    status, printed, errors = ended(tmp_path / "out", int(number))
    assert (status, printed) == (2, "")
    assert errors.startswith("error: the runtime crashed on this model (")
    assert "Traceback" not in errors
    assert [*tmp_path.iterdir()] == []


def test_memory_that_the_system_takes_back(tmp_path):
    status, _, errors = ended(tmp_path / "out", int(signal.SIGKILL))
    assert (status, errors.startswith("error: there is not enough memory")) == (3, True)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("group", [False, True])
def test_signals(tmp_path, number, group):
    """To the process that waits, or to both, as a terminal sends them."""
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{PROGRAM}"
    command = [sys.executable, "-c", program, "work", str(tmp_path / "out"), "waits"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    (os.killpg if group else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (128 + number, "interrupted: nothing half written is left.\n")
    assert [*tmp_path.iterdir()] == []


def test_the_other_process_does_not_outlive_this_one(tmp_path):
    process = start(tmp_path / "out", "waits")
    assert process.stdout
    assert process.stdout.readline() == "begun\n"
    process.kill()
    assert process.stdout.read() == ""  # its end is closed once nobody has it
    process.communicate()


def test_nothing_happens_in_a_program_of_others(monkeypatch):
    from visionport.apart import go_apart

    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a process of another program"))
    go_apart()
