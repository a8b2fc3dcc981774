"""TensorFlow's own log from Python: muted while a function of ours runs, unless the user has chosen."""

import os
import subprocess
import sys

import pytest

CODE = """\
import os, sys, threading
from visionport.muting import muted, quietly
def log(text):
    os.write(2, text.encode() + b"\\n")
with muted():
    log("C++ 1")
    print("Python 1", file=sys.stderr)
    with muted():
        log("C++ 2")
    log("C++ 3")
print("Python 2", file=sys.stderr)
log("theirs")
first, second = threading.Event(), threading.Event()
@quietly
def early():
    first.wait(9)
@quietly
def late():
    first.set()
    one.join(9)
    log("C++ 4")
one, two = threading.Thread(target=early), threading.Thread(target=late)
one.start(), two.start(), two.join(9)
log("theirs again")
"""


@pytest.mark.parametrize(("level", "told"), [("", False), ("0", True)])
def test_what_is_written_to_standard_error_meanwhile(level, told):
    run = [sys.executable, "-c", CODE]
    done = subprocess.run(run, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": level}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = ["C++ 1", "Python 1", "C++ 2", "C++ 3", "Python 2", "theirs", "C++ 4", "theirs again"]
    assert done.stderr.splitlines() == [line for line in lines if told or "C++" not in line]
