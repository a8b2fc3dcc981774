"""A TFLite file of unknown origin is run once in a process of its own, before it is run in ours.

LiteRT checks a flatbuffer's structure, and its kernels most of what they are given. What they miss ends the process, or
never ends; then it is the other process, whose memory and time are bounded. Files that this process made are not tried.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys

from visionport import limits
from visionport.errors import ArtifactError
from visionport.tflite.flatbuffer import parse

_trusted: set[bytes] = set()  # digests of files that were made here, or tried


def trust(data: bytes) -> None:
    """Says of a file that it was made here."""
    _trusted.add(hashlib.sha256(data).digest())


def is_expendable() -> bool:
    """Whether this process is there for one artifact alone, so that nothing is lost where that ends it."""
    return bool(os.environ.get(limits.EXPENDABLE))


def try_file(data: bytes, name: str) -> None:
    """Raises ArtifactError for a file that is damaged, that LiteRT does not run, or that takes too long or too much."""
    digest = hashlib.sha256(data).digest()
    if digest in _trusted:
        return
    try:
        parse(data)
    except ArtifactError as e:
        raise ArtifactError(f"{name}: {e}.") from None
    seconds = seconds_for(data)
    try:
        done = run_apart(data)
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{name}: LiteRT does not end its first call on it.") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ArtifactError(f"{name}: LiteRT takes more than {seconds} seconds for its first call on it.")
    if done.returncode < 0:
        how = signal.strsignal(-done.returncode) or f"signal {-done.returncode}"
        raise ArtifactError(f"{name}: LiteRT crashes on it ({how}): the file is damaged, or made to do that.")
    if done.returncode == MEMORY:
        raise ArtifactError(f"{name}: LiteRT takes more than {limits.TRIAL_MEMORY:,} bytes of memory for it.")
    if done.returncode == REFUSED:
        raise ArtifactError(f"{name}: {done.stdout.decode('utf-8', 'replace')}")
    if done.returncode == 0:
        _trusted.add(digest)


def run_apart(data: bytes) -> "subprocess.CompletedProcess[bytes]":
    """The other process, ended. What it says on standard output is why LiteRT does not run the file."""
    # Isolated, so that nothing is imported from the folder that the user happens to be in.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; sys.exit(main())"
    seconds, memory = seconds_for(data), limits.TRIAL_MEMORY + 3 * len(data)
    command = [sys.executable, "-I", "-c", program, str(seconds), str(memory)]
    return subprocess.run(command, input=data, capture_output=True, timeout=20 * seconds, check=False)


def seconds_for(data: bytes) -> int:
    return limits.TRIAL_SECONDS + len(data) // limits.MEBIBYTE


# Exit statuses of the other process: memory did not suffice; LiteRT does not run it, for a reason that it writes.
MEMORY, REFUSED = 12, 2


def main() -> int:
    """The other process: its arguments are seconds and bytes, the file comes on standard input."""
    seconds, memory = map(int, sys.argv[1:])
    with contextlib.suppress(ImportError, ValueError, OSError):  # none on Windows; or less is allowed already
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    from visionport.tflite import checks

    numbers = True
    try:
        interpreter = checks.runs(sys.stdin.buffer.read())
        details = interpreter.get_input_details()
        # Of indices and texts not all values are sound: what is said against noise then says nothing.
        numbers = all(d["dtype"].__name__ in ("float32", "uint8", "int8") for d in details)
        checks.run(interpreter, {d["name"]: checks.noise(d["shape"], d["dtype"]) for d in details})
    except MemoryError:
        return MEMORY
    except (ArtifactError, ValueError, TypeError, RuntimeError) as e:
        if numbers:
            print(e, end="")
            return REFUSED
    return 0
