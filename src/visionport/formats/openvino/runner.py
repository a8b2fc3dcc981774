"""An OpenVINO model as a Runner."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.formats.openvino.ir import DTYPES, SIGNATURE
from visionport.formats.openvino.model_api import Convention
from visionport.graph.edit import first_line

# What a processor could calculate in less is calculated in float32, as the checkpoint was: some take bfloat16 unless
# they are told, which moves scores by a hundredth or more (docs/openvino.md).
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


class OpenvinoRunner:
    """A compiled model on the processor; each thread that calls has a request of its own.

    network: a model's path, or OpenVINO's Model. threads: that it may use; as many as there are cores by default.
    arranged: how its only output is arranged for other readers; it is turned back.
    """

    thread_safe = True

    def __init__(self, network: Any, name: str, threads: int | None = None, arranged: Convention | None = None):
        import openvino

        how: dict[str, Any] = EXACT | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
        try:
            self._compiled: Any = openvino.Core().compile_model(network, "CPU", how)
        except (RuntimeError, ValueError) as e:
            raise ArtifactError(f"{name}: OpenVINO does not take the model: {reason_of(e)}.") from None
        self._name, self._arranged = name, arranged
        self._local: Any = threading.local()
        inputs, outputs = (tuple(map(tensor, side)) for side in (self._compiled.inputs, self._compiled.outputs))
        self._outputs = [t.name for t in outputs]
        outputs = arranged.outputs if arranged else outputs
        self.signatures: Mapping[str, SignatureInfo] = {
            SIGNATURE: SignatureInfo(name=SIGNATURE, inputs=inputs, outputs=outputs)
        }

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        known = self.signatures[signature]
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        given = [np.ascontiguousarray(feeds[t.name]) for t in known.inputs]
        try:
            found = self._local.request.infer(given)
            values = [np.array(found[i]) for i in range(len(self._outputs))]
            if self._arranged:
                return self._arranged.back(*values, len(given[0]))
        except (RuntimeError, ValueError) as e:
            raise ArtifactError(f"{self._name} fails when it is run: {reason_of(e)}.") from None
        return dict(zip(self._outputs, values, strict=True))

    def close(self) -> None:
        self._compiled = self._local = None


def tensor(port: Any) -> Tensor:
    """An input or output of a model; of several names the first."""
    names = sorted(port.get_names())
    shape = port.get_partial_shape()
    sizes = tuple(d.get_length() if d.is_static else None for d in shape) if shape.rank.is_static else ()
    kind = port.get_element_type().get_type_name()
    return Tensor(name=names[0] if names else port.get_node().get_friendly_name(), dtype=DTYPES[kind], shape=sizes)


def reason_of(error: Exception) -> str:
    """The line of OpenVINO's messages that says it: before it stand places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return said[0].rstrip(".")[:300] if said else first_line(error)
