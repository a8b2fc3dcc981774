"""A graph model of TensorFlow.js as a Runner: Node, in a process of its own, behind named tensors."""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport import limits
from visionport.errors import ArtifactError, OptionError
from visionport.formats.base import SignatureInfo

MODULES = "VISIONPORT_TFJS"  # of the environment: the folder that holds node_modules
PACKAGES = ("tfjs-core", "tfjs-converter", "tfjs-backend-cpu", "tfjs-backend-wasm")
HERE = Path(__file__).parent
DTYPES = {"float32": np.float32, "int32": np.int32, "bool": np.bool_}


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


class TfjsRunner:
    """Node with one model. One call at a time."""

    thread_safe = False

    def __init__(self, path: Path, signatures: Mapping[str, SignatureInfo], threads: int | None = None):
        if found := missing():
            raise OptionError(f"{path} cannot be opened here: {found}.")
        self.signatures = signatures
        self._name, self._lock = str(path), threading.Lock()
        command = [
            str(shutil.which("node")),
            f"--max-old-space-size={limits.TFJS_HEAP >> 20}",
            str(HERE / "worker.mjs"),
        ]
        command += [str(modules_folder()), str(HERE / "web" / "detect.js"), str(path.resolve())]
        environment = {k: v for k, v in os.environ.items() if k != "NODE_OPTIONS"}
        environment["VISIONPORT_TFJS_THREADS"] = str(threads or os.cpu_count() or 1)
        self._process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        self._receive("TensorFlow.js does not take the model")

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        (source,) = self.signatures[signature].inputs
        if source.name not in feeds:
            raise ArtifactError(f"{self._name}: nothing is fed to {source.name}.")
        value = np.ascontiguousarray(feeds[source.name], np.float32)
        header = json.dumps({"shape": value.shape}).encode()
        with self._lock:
            if not self._process:
                raise ArtifactError(f"{self._name} is closed.")
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(struct.pack("<I", len(header)) + header + value.tobytes())
                self._process.stdin.flush()
            return self._receive("fails when it is run")

    def _receive(self, what: str) -> dict[str, np.ndarray]:
        header = json.loads(self._read(struct.unpack("<I", self._read(4, what))[0], what))
        if "error" in header:
            raise ArtifactError(f"{self._name}: {what}: {str(header['error'])[:300].rstrip('.')}.")
        found = {}
        for one in header.get("outputs", ()):
            dtype = np.dtype(DTYPES[one["dtype"]])
            count = int(np.prod(one["shape"], dtype=np.int64))
            found[one["name"]] = np.frombuffer(self._read(count * dtype.itemsize, what), dtype).reshape(one["shape"])
        return found

    def _read(self, size: int, what: str) -> bytes:
        data = self._process.stdout.read(size) if size else b""
        if len(data) < size:
            self.close()
            raise ArtifactError(f"{self._name}: {what}: Node has ended, for want of memory or by a damaged model.")
        return data

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
