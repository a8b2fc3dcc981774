"""A server asked over gRPC."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport.client.address import Address
from visionport.client.connection import LARGEST, Access, Known, ServerError, read_signatures, said
from visionport.errors import OptionError, VisionportError
from visionport.formats.base import SignatureInfo
from visionport.serving.messages import message, methods, to_array, to_tensor

SERVICE = "tensorflow.serving.PredictionService"
FIELD = "signature_def"


class Rpc:
    """See Connection."""

    def __init__(self, address: Address, access: Access):
        try:
            import grpc
        except ImportError:
            raise OptionError(
                'gRPC needs grpcio: pip install "visionport[serve]". Or ask the REST port: http://HOST:8501.'
            ) from None
        if not address.model:
            raise OptionError(f"{address} does not list its models: add --model NAME.")
        self.address, self.access = address, access
        self._metadata = (("authorization", f"Bearer {access.token}"),) if access.token else ()
        options = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", -1)]
        if address.is_secure:
            credentials = grpc.ssl_channel_credentials(access.read_ca())
            self._channel = grpc.secure_channel(address.place, credentials, options)
        else:
            self._channel = grpc.insecure_channel(address.place, options)

    def known(self) -> Known:
        return Known()

    def signatures(self) -> dict[str, tuple[str, SignatureInfo]]:
        request = message("GetModelMetadataRequest")(metadata_field=[FIELD])
        self._tell_spec(request.model_spec)
        response, _ = self._call("GetModelMetadata", request)
        found = message("SignatureDefMap")()
        held = response.metadata.get(FIELD)
        try:
            found.ParseFromString(held.value if held is not None else b"")
        except Exception:  # protobuf's own kinds of errors differ between its versions
            raise ServerError(f"{self.address} answers with no signatures: it is no TensorFlow Serving.") from None
        return read_signatures(found.signature_def)

    def predict(self, signature: SignatureInfo, feeds: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
        request = message("PredictRequest")()
        self._tell_spec(request.model_spec)
        request.model_spec.signature_name = signature.name
        for name, array in feeds.items():
            request.inputs[name].CopyFrom(to_tensor(array))
        response, seconds = self._call("Predict", request)
        try:
            return {name: to_array(tensor, LARGEST) for name, tensor in response.outputs.items()}, seconds
        except VisionportError as e:
            raise ServerError(f"{self.address} answers with what is no tensor: {said(str(e))}.") from None

    def close(self) -> None:
        self._channel.close()

    def _tell_spec(self, spec: Any) -> None:
        spec.name = self.address.model
        if self.address.version is not None:
            spec.version.value = self.address.version
        elif self.address.label:
            spec.version_label = self.address.label

    def _call(self, method: str, request: Any) -> tuple[Any, float]:
        """(the response, seconds). Raises ServerError."""
        import grpc

        path, _, kind = methods(SERVICE)[method]
        # Bytes, so that what cannot be read is told here, and not by gRPC with a traceback.
        call = self._channel.unary_unary(path, same, same)
        start = time.perf_counter()
        try:
            data = call(request.SerializeToString(), timeout=self.access.seconds, metadata=self._metadata)
        except grpc.RpcError as e:
            raise ServerError(self._why(e)) from None
        seconds = time.perf_counter() - start
        try:
            return kind.FromString(data), seconds
        except Exception:  # see above
            raise ServerError(f"{self.address} answers with what is no {kind.DESCRIPTOR.name}.") from None

    def _why(self, error: Any) -> str:
        """What is wrong with a call, and what to try."""
        code, details = error.code().name, str(error.details() or "")
        where, low = str(self.address), details.lower()
        if code == "DEADLINE_EXCEEDED":
            return f"{where}: no answer within {self.access.seconds:g} s. Give it longer with --timeout."
        if code == "UNAUTHENTICATED":
            return f"{where}: it wants a token. Name the file that holds it with --token-file."
        if code == "UNAVAILABLE" and ("certificate" in low or "ssl" in low or "handshake" in low):
            return f"{where}: no TLS with it: {said(details)}. Name who signed its certificate with --ca."
        if code == "UNAVAILABLE" and ("http" in low or "settings frame" in low or "goaway" in low or "closed" in low):
            return (
                f"{where} does not speak gRPC: it may be the REST port, which is http://{self.address.place}, or want "
                f"TLS, which is grpcs://. {said(details)}."
            )
        if code == "UNAVAILABLE":
            return f"{where}: no server answers there: {said(details)}. Is it started, and is this its gRPC port?"
        if code == "UNIMPLEMENTED":
            return f"{where} speaks gRPC, but is no TensorFlow Serving: {said(details)}."
        return f"{where}, model {said(self.address.model)} answers {code}: {said(details)}."


def same(data: bytes) -> bytes:
    return data
