"""A TFLite file of unknown origin is tried in a process of its own (see trials.py).

LiteRT checks a flatbuffer's structure, and its kernels most of what they are given. Files that this process made are
not tried.
"""

import hashlib
import subprocess
import sys

from visionport import trials
from visionport.errors import ArtifactError
from visionport.tflite.flatbuffer import parse

_trusted: set[bytes] = set()  # digests of files that were made here, or tried


def trust(data: bytes) -> None:
    """Says of a file that it was made here."""
    _trusted.add(hashlib.sha256(data).digest())


def try_file(data: bytes, name: str) -> None:
    """Raises ArtifactError for a file that is damaged, that LiteRT does not run, or that takes too long or too much."""
    digest = hashlib.sha256(data).digest()
    if digest in _trusted:
        return
    try:
        parse(data)
    except ArtifactError as e:
        raise ArtifactError(f"{name}: {e}.") from None
    if trials.judge(lambda: run_apart(data), name, "LiteRT", len(data)):
        _trusted.add(digest)


def run_apart(data: bytes) -> "subprocess.CompletedProcess[bytes]":
    """The other process, ended. What it says on standard output is why LiteRT does not run the file."""
    return trials.run_apart(__name__, len(data), data=data)


def main() -> int:
    """The other process: the file comes on standard input."""
    trials.bound()
    from visionport.tflite import checks

    numbers = True
    try:
        interpreter = checks.runs(sys.stdin.buffer.read())
        details = interpreter.get_input_details()
        # Of indices and texts not all values are sound: what is said against noise then says nothing.
        numbers = all(d["dtype"].__name__ in ("float32", "uint8", "int8") for d in details)
        checks.run(interpreter, {d["name"]: checks.noise(d["shape"], d["dtype"]) for d in details})
    except MemoryError:
        return trials.MEMORY
    except (ArtifactError, ValueError, TypeError, RuntimeError) as e:
        if numbers:
            print(e, end="")
            return trials.REFUSED
    return 0
