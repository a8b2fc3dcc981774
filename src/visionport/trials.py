"""A file of unknown origin is run once in a process of its own, before it is run in ours.

A native runtime checks of a file what its authors thought of. What they missed ends the process, or never ends; then it
is the other process, whose memory and time are bounded.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from visionport import limits
from visionport.errors import ArtifactError

# Exit statuses of the other process: memory did not suffice; the runtime does not take it, for a reason that it writes.
MEMORY, REFUSED = 12, 2


def is_expendable() -> bool:
    """Whether this process is there for one artifact alone, so that nothing is lost where that ends it."""
    return bool(os.environ.get(limits.EXPENDABLE))


def seconds_for(size: int) -> int:
    """Of the CPU, for a file of so many bytes."""
    return limits.TRIAL_SECONDS + size // limits.MEBIBYTE


def run_apart(module: str, size: int, *arguments: str, data: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """The other process, ended, which ran `main` of a module. size: the file's, in bytes.

    arguments, data: what it finds in sys.argv, behind its bounds, and on standard input. What it says on standard
    output is why the runtime does not take the file.
    """
    # Isolated, so that nothing is imported from the folder that the user happens to be in.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; sys.exit(main())"
    seconds, memory = seconds_for(size), limits.TRIAL_MEMORY + 3 * size
    command = [sys.executable, "-I", "-c", program, str(seconds), str(memory), *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=20 * seconds, check=False)


def judge(run: Callable[[], "subprocess.CompletedProcess[bytes]"], name: str, runtime: str, size: int) -> bool:
    """Raises ArtifactError for a file that its runtime does not survive or refuses; whether it has taken it."""
    try:
        done = run()
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{name}: {runtime} does not end its first call on it.") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ArtifactError(f"{name}: {runtime} takes more than {seconds_for(size)} seconds for its first call on it.")
    if done.returncode < 0:
        how = signal.strsignal(-done.returncode) or f"signal {-done.returncode}"
        raise ArtifactError(f"{name}: {runtime} crashes on it ({how}): the file is damaged, or made to do that.")
    if done.returncode == MEMORY:
        raise ArtifactError(f"{name}: {runtime} takes more than {limits.TRIAL_MEMORY:,} bytes of memory for it.")
    if done.returncode == REFUSED:
        raise ArtifactError(f"{name}: {done.stdout.decode('utf-8', 'replace')}")
    return done.returncode == 0


def bound() -> None:
    """In the other process: takes no more than its arguments say."""
    seconds, memory = map(int, sys.argv[1:3])
    with contextlib.suppress(ImportError, ValueError, OSError):  # none on Windows; or less is allowed already
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
