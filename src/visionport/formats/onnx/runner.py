"""An ONNX file as a Runner: ONNX Runtime behind named tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.onnx import session

SIGNATURE = "serving_default"  # a file has none; what it is called here


class OnnxRunner:
    """A session on the CPU."""

    thread_safe = True

    def __init__(self, file: bytes | Path, name: str, threads: int | None = None):
        self._session: Any = session.open_session(file, name, threads)
        self._name = name
        inputs, outputs = (
            tuple(Tensor(name=t.name, dtype=session.dtype_of(t.type), shape=session.shape_of(t.shape)) for t in side)
            for side in (self._session.get_inputs(), self._session.get_outputs())
        )
        self.signatures: Mapping[str, SignatureInfo] = {
            SIGNATURE: SignatureInfo(name=SIGNATURE, inputs=inputs, outputs=outputs)
        }

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        known = self.signatures[signature]
        if missing := [t.name for t in known.inputs if t.name not in feeds]:
            raise ArtifactError(f"{self._name}: nothing is fed to {', '.join(missing)}.")
        return session.run(
            self._session, self._name, [t.name for t in known.outputs], {t.name: feeds[t.name] for t in known.inputs}
        )

    def close(self) -> None:
        self._session = None
