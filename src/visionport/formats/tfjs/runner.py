"""A graph model of TensorFlow.js as a Runner: Node, in a process of its own, behind named tensors."""

import contextlib
import json
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport import limits
from visionport.errors import ArtifactError, OptionError
from visionport.formats.base import SignatureInfo, Spent

MODULES = "VISIONPORT_TFJS"  # of the environment: the folder that holds node_modules
PACKAGES = ("tfjs-core", "tfjs-converter", "tfjs-backend-cpu", "tfjs-backend-wasm")
HERE = Path(__file__).parent
DTYPES = {"float32": np.float32, "int32": np.int32, "bool": np.bool_}
WATCHED = 0.5  # seconds between two looks at a call that takes long
SHARED = 20  # seconds of wall time in which a process has one of the CPU, where the system does not tell


def modules_folder() -> Path:
    """Where TensorFlow.js's packages are looked for."""
    given = os.environ.get(MODULES)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "visionport" / "tfjs"


def missing() -> str:
    """What must be installed to run graph models here, in words; "" for nothing."""
    if not shutil.which("node"):
        return "Node.js must be installed (the command `node`)"
    folder = modules_folder()
    lacking = [name for name in PACKAGES if not (folder / "node_modules" / "@tensorflow" / name).is_dir()]
    if not lacking:
        return ""
    names = " ".join(f"@tensorflow/{name}@4" for name in lacking)
    return f"TensorFlow.js must be installed, by `npm install --prefix {folder} {names}`; {MODULES} may name the folder"


def versions() -> dict[str, str]:
    """Of Node, and of what runs graph models in it."""
    node = subprocess.run([str(shutil.which("node")), "--version"], capture_output=True, text=True, check=False).stdout
    package = modules_folder() / "node_modules" / "@tensorflow" / "tfjs-core" / "package.json"
    return {"node": node.strip().removeprefix("v"), "tfjs": str(json.loads(package.read_text("utf-8"))["version"])}


class TfjsRunner:
    """Node with one model. One call at a time, none of which may take more than its bounds of the CPU and memory."""

    thread_safe = False

    def __init__(self, path: Path, signatures: Mapping[str, SignatureInfo], threads: int | None = None, size: int = 0):
        """size: bytes of its weights."""
        if found := missing():
            raise OptionError(f"{path} cannot be opened here: {found}.")
        if any(len(one.inputs) != 1 for one in signatures.values()):
            raise ArtifactError(f"{path} cannot be opened here: it takes other inputs than one picture.")
        self.signatures = signatures
        self._name, self._lock = str(path), threading.Lock()
        self._seconds = limits.TFJS_SECONDS + size // limits.MEBIBYTE
        command = [
            str(shutil.which("node")),
            f"--max-old-space-size={limits.TFJS_HEAP >> 20}",
            str(HERE / "worker.mjs"),
        ]
        command += [str(modules_folder()), str(HERE / "web" / "detect.js"), str(path.resolve())]
        environment = {k: v for k, v in os.environ.items() if k != "NODE_OPTIONS"}
        environment["VISIONPORT_TFJS_THREADS"] = str(threads or os.cpu_count() or 1)
        self._process: Any = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,  # so that `select` sees all that there is
        )
        self._begun = 0.0, time.monotonic()
        self._receive("TensorFlow.js does not take the model")

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        (source,) = self.signatures[signature].inputs
        if source.name not in feeds:
            raise ArtifactError(f"{self._name}: nothing is fed to {source.name}.")
        value = np.ascontiguousarray(feeds[source.name], np.float32)
        with self._lock:
            self._send({"shape": value.shape}, value.tobytes())
            header = self._receive("fails when it is run")
            return self._outputs(header)

    def spent(self) -> Spent:
        """What Node has taken until now, with its memory before it had the model left out."""
        with self._lock:
            self._send({"spent": True})
            return Spent(**self._receive("does not tell what it has taken")["spent"])

    def _send(self, header: Mapping[str, Any], data: bytes = b"") -> None:
        if not self._process:
            raise ArtifactError(f"{self._name} is closed.")
        self._begun = cpu_of(self._process.pid), time.monotonic()
        text = json.dumps(header).encode()
        rest = memoryview(struct.pack("<I", len(text)) + text + data)
        with contextlib.suppress(BrokenPipeError):
            while rest:
                rest = rest[self._process.stdin.write(rest) :]

    def _receive(self, what: str) -> dict[str, Any]:
        header = json.loads(self._read(struct.unpack("<I", self._read(4, what))[0], what))
        if "error" in header:
            raise ArtifactError(f"{self._name}: {what}: {str(header['error'])[:300].rstrip('.')}.")
        return header

    def _outputs(self, header: Mapping[str, Any]) -> dict[str, np.ndarray]:
        found, what = {}, "fails when it is run"
        for one in header.get("outputs", ()):
            dtype = np.dtype(DTYPES[one["dtype"]])
            count = int(np.prod(one["shape"], dtype=np.int64))
            found[one["name"]] = np.frombuffer(self._read(count * dtype.itemsize, what), dtype).reshape(one["shape"])
        return found

    def _read(self, size: int, what: str) -> bytes:
        data = bytearray()
        while len(data) < size:
            while not select.select([self._process.stdout], [], [], WATCHED)[0]:
                self._watch()
            part = self._process.stdout.read(size - len(data))
            if not part:
                self.close()
                raise ArtifactError(f"{self._name}: {what}: Node has ended, for want of memory or by a damaged model.")
            data += part
        return bytes(data)

    def _watch(self) -> None:
        """Ends Node, and raises ArtifactError, where a call takes too much."""
        cpu, begun = self._begun
        used, memory = cpu_of(self._process.pid) - cpu, memory_of(self._process.pid)
        said = ""
        if used > self._seconds or time.monotonic() - begun > SHARED * self._seconds:
            said = f"more than {self._seconds} seconds of the CPU for one call: it may never end"
        elif memory > limits.TFJS_MEMORY:
            said = f"more than {limits.TFJS_MEMORY:,} bytes of memory"
        if said:
            self._process.kill()
            self.close()
            raise ArtifactError(f"{self._name}: TensorFlow.js takes {said}.")

    def close(self) -> None:
        process, self._process = self._process, None
        if process:
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def __del__(self):
        if getattr(self, "_process", None):
            with contextlib.suppress(OSError):
                self.close()


def cpu_of(process: int) -> float:
    """Seconds of the CPU that a process has taken; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    user, system = map(int, text.rpartition(")")[2].split()[11:13])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def memory_of(process: int) -> int:
    """Bytes that a process holds in memory; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
