"""Commands that are ended by signals leave their target as it was or whole, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill.py")


def kill(*arguments: str) -> None:
    """In a process without threads, since it forks."""
    process = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


def test_a_program_that_only_writes():
    kill("--slow", "--signals", "12", "--seed", "3")


@pytest.mark.skipif(not os.environ.get("VISIONPORT_ALL"), reason="some 10 minutes")
def test_commands():
    kill("--signals", "200")
