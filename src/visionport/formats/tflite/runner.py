"""A TFLite file as a Runner: LiteRT behind named tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import ArtifactError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.inputs.quantization import dequantized, quantized
from visionport.tflite import checks, nms
from visionport.tflite.edit import SIGNATURE

NUMBERED = "output_"


class TfliteRunner:
    """One interpreter; a call at a time.

    outputs: what the file's outputs are called, in their order, where that is known. A signature that has these names
    says which tensor is which; otherwise numbers do (output_0 is the last of them, as the TF2 exporter has it), and
    otherwise the order, which alone counts where `positional`. probes: inner tensors, whose place in memory nothing
    takes until a call has ended. threads: of which a file with regular NMS takes one, see tflite/nms.py: is_regular.
    """

    thread_safe = False

    def __init__(
        self,
        file: bytes | Path,
        name: str,
        outputs: Sequence[str] = (),
        probes: Sequence[str] = (),
        *,
        positional: bool = False,
        threads: int | None = None,
    ):
        if threads is not None and threads > 1:
            threads = 1 if nms.is_regular(file) else threads
        self._interpreter: Any = checks.runs(file, name, threads)
        self._name = name
        self._inputs = {d["name"]: d for d in self._interpreter.get_input_details()}
        details = self._interpreter.get_output_details()
        self._outputs: dict[str, Any] = named(self._interpreter, details, outputs, positional)
        self.positions = [d["index"] for d in details]
        wanted = set(probes)
        inner = [d for d in self._interpreter.get_tensor_details() if d["name"] in wanted] if wanted else []
        self._probes = {d["name"]: d for d in inner}
        self.quantization = {n: d["quantization"] for n, d in self._inputs.items() if d["quantization"][0]}
        self.signatures: Mapping[str, SignatureInfo] = {
            SIGNATURE: SignatureInfo(
                name=SIGNATURE,
                inputs=tuple(tensor(n, d, raw=True) for n, d in self._inputs.items()),
                outputs=tuple(tensor(n, d) for n, d in self._outputs.items()),
            )
        }

    def index_of(self, output: str) -> int:
        """The tensor of an output; -1 where there is none of that name."""
        return self._outputs[output]["index"] if output in self._outputs else -1

    def call(self, signature: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        run = self._interpreter
        resized = False
        for name, detail in self._inputs.items():
            if tuple(detail["shape"]) != feeds[name].shape:
                run.resize_tensor_input(detail["index"], feeds[name].shape)
                resized = True
        if resized:
            self._allocate()
        for name, detail in self._inputs.items():
            value = feeds[name]
            if value.dtype.kind == "f":
                value = quantized(value, detail["dtype"], *detail["quantization"])
            run.set_tensor(detail["index"], value)
        try:
            run.invoke()
            shown = {n: (run.get_tensor(d["index"]), d) for n, d in (self._outputs | self._probes).items()}
        except (RuntimeError, ValueError) as e:
            raise ArtifactError(f"{self._name} loads, but fails when it is run: {checks.first_line(e)}") from None
        return {n: dequantized(value, *d["quantization"]) for n, (value, d) in shown.items()}

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as e:
            raise ArtifactError(f"{self._name} does not take inputs of that size: {checks.first_line(e)}") from None
        self._inputs = {d["name"]: d for d in self._interpreter.get_input_details()}

    def close(self) -> None:
        self._interpreter = None


def named(
    interpreter, details: Sequence[Mapping[str, Any]], outputs: Sequence[str], positional: bool
) -> dict[str, Any]:
    """Output -> its detail, by the file's signature, or by the order."""
    signatures = {} if positional else interpreter.get_signature_list()
    by_index = {d["index"]: d for d in details}
    key = SIGNATURE if SIGNATURE in signatures else next(iter(signatures), None)
    found = interpreter.get_signature_runner(key).get_output_details() if key else {}
    signed = {name: by_index.get(d["index"], d) for name, d in found.items()}
    if outputs and signed and all(name.startswith(NUMBERED) for name in signed):
        numbers = {f"{NUMBERED}{i}": name for i, name in enumerate(reversed(outputs))}
        return {numbers[k]: d for k, d in signed.items() if k in numbers}
    if signed:
        own = {name: d for name, d in signed.items() if not name.startswith(NUMBERED) or not outputs}
        return {name: own[name] for name in outputs if name in own} if outputs else own
    names = [*outputs, *(d["name"] for d in details[len(outputs) :])] if outputs else [d["name"] for d in details]
    return dict(zip(names, details, strict=False))


def tensor(name: str, detail: Mapping[str, Any], *, raw: bool = False) -> Tensor:
    """raw: of the dtype that the file has; otherwise of what a call gives."""
    dtype = np.dtype(detail["dtype"]).name
    if not raw and detail["quantization"][0]:
        dtype = "float32"
    shape = detail.get("shape_signature", detail["shape"])
    return Tensor(name=name, dtype=dtype, shape=tuple(int(n) if n >= 0 else None for n in shape))
