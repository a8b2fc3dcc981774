"""A command whose native libraries may crash on a stranger's file goes on in a process of its own.

The first process waits, passes signals on, and says in a sentence what otherwise would be the system's one word.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from visionport import process
from visionport.errors import ArtifactError
from visionport.signals import NUMBERS, Interrupted
from visionport.staging import remove_leftovers


def go_apart(out: Path | None = None) -> None:
    """Goes on in a child process; here it ends as that one ends. Called before anything native is loaded.

    out: what the command writes. Nothing happens where this is no program of ours, or the system has no fork.
    Raises ArtifactError for a crash, MemoryError where the system has killed the child.
    """
    alone = threading.active_count() == 1 and "tensorflow" not in sys.modules
    if not (process.runs() and alone and hasattr(os, "fork")):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)  # until it is plain who takes one
    parent, child = os.getpid(), os.fork()
    if not child:
        end_with(parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
        return
    status = os.waitstatus_to_exitcode(wait(child, usual))
    if status < 0:
        for folder in {Path(tempfile.gettempdir()), *([Path(out).absolute().parent] if out else [])}:
            with contextlib.suppress(OSError):
                remove_leftovers(folder)
        tell(-status)
    sys.exit(status)


def wait(child: int, usual: set[Any]) -> int:
    """The child's status, once it has ended. A signal that comes here is sent on. usual: those that are blocked."""
    while True:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, usual)
            return os.waitpid(child, 0)[1]
        except Interrupted as e:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, e.number)


def tell(number: int) -> None:
    if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # on its way out
        raise Interrupted(number)
    if number == signal.SIGKILL:
        raise MemoryError
    name = signal.strsignal(number) or f"signal {number}"
    raise ArtifactError(
        f"the runtime crashed on this model ({name}): a file is damaged or made to do that, or TensorFlow has a fault. "
        "Nothing half written is left. docs/security.md says how to run a stranger's model."
    )


def end_with(parent: int) -> None:
    """Ends this process when its parent does, where the system can do that."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


PDEATHSIG = 1  # of Linux's prctl
