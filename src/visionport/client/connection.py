"""What a connection to a server can do, whichever way it speaks, and what both ways bound."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from visionport.errors import InputError, VisionportError, shortened
from visionport.formats.base import SignatureInfo, Tensor
from visionport.serving.messages import message, names
from visionport.terminal import one_line

LARGEST = 256 << 20  # bytes of an answer
SAID = 300  # characters of what a server says


class ServerError(VisionportError):
    """A server is not there, or does not answer as one of TensorFlow Serving's API."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a server of ours says of a model beyond its signatures; empty of another."""

    task: str = ""
    classes: Mapping[int, str] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a server is reached. ca: a PEM file with whom to trust. token: "" for none. seconds: for each answer."""

    ca: Path | None = None
    token: str = ""
    seconds: float = 30.0

    def read_ca(self) -> bytes | None:
        if self.ca is None:
            return None
        from visionport.filetypes import read_file

        try:
            data = read_file(self.ca, limit=16 << 20)
        except OSError as e:
            raise InputError(f"--ca {self.ca} cannot be read: {e.strerror}.") from None
        if b"-----BEGIN CERTIFICATE-----" not in data:
            raise InputError(f"--ca {self.ca} is no certificate in PEM.")
        return data


class Connection(Protocol):
    """A server that is asked about one model."""

    def known(self) -> Known:
        """What it says of itself, if it is one of ours."""
        ...

    def signatures(self) -> dict[str, tuple[str, SignatureInfo]]:
        """Name -> (method, signature) of the model. Raises ServerError."""
        ...

    def predict(self, signature: SignatureInfo, feeds: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
        """The outputs, and the seconds from the request's first byte to the answer's last. Raises ServerError."""
        ...

    def close(self) -> None: ...


def read_signatures(found: Mapping[str, Any]) -> dict[str, tuple[str, SignatureInfo]]:
    """SignatureDefs as they are used here, without those that a saver adds."""

    def tensors(infos):
        return tuple(
            Tensor(name=name, dtype=names().get(info.dtype, str(info.dtype)), shape=shape_of(info.tensor_shape))
            for name, info in sorted(infos.items())
        )

    return {
        name: (
            definition.method_name,
            SignatureInfo(name=name, inputs=tensors(definition.inputs), outputs=tensors(definition.outputs)),
        )
        for name, definition in sorted(found.items())
        if definition.inputs
    }


def shape_of(shape: Any) -> tuple[int | None, ...]:
    return () if shape.unknown_rank else tuple(None if d.size < 0 else d.size for d in shape.dim)


def signature_map() -> Any:
    return message("SignatureDefMap")()


def said(text: str) -> str:
    """What a server says, in a line that does no harm to a terminal."""
    return shortened(one_line(" ".join(text.split())), SAID).rstrip(".")
