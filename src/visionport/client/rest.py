"""A server asked over REST, with the standard library alone."""

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport.client.address import Address
from visionport.client.connection import LARGEST, Access, Known, ServerError, read_signatures, said, signature_map
from visionport.errors import OptionError, VisionportError
from visionport.formats.base import SignatureInfo
from visionport.serving.json_tensors import to_array

BLOCK = 1 << 16
DEEPEST = 32  # lists in lists and objects, in what is answered
MOST_CLASSES = 1_000_000


class Rest:
    """See Connection."""

    def __init__(self, address: Address, access: Access):
        self.access = access
        self._listed: dict[str, Any] | None = None
        context = None
        if address.is_secure:
            data = access.read_ca()
            try:
                context = ssl.create_default_context(cadata=data.decode("ascii") if data else None)
            except (ssl.SSLError, ValueError):
                raise OptionError(f"--ca {access.ca} holds no certificates that can be used.") from None
        if context:
            made = http.client.HTTPSConnection(address.host, address.port, timeout=access.seconds, context=context)
        else:
            made = http.client.HTTPConnection(address.host, address.port, timeout=access.seconds)
        self._connection = made
        self.address = address
        if not address.model:
            self.address = self._find_model()

    # ------------------------------------------------------------ what is asked

    def _find_model(self) -> Address:
        import dataclasses

        models = self._list()
        if not models:
            raise OptionError(
                f"{self.address} does not list its models, as TensorFlow Serving does not: add --model NAME, which is "
                "what the server was started with as --model_name, or in its --model_config_file."
            )
        if len(models) > 1:
            there = said(", ".join(models))
            raise OptionError(f"{self.address} has {len(models)} models: add --model NAME. There: {there}.")
        return dataclasses.replace(self.address, model=next(iter(models)))

    def _list(self) -> dict[str, Any]:
        """What a server of ours says of its models by name."""
        if self._listed is None:
            status, body, _ = self._send("GET", f"{self.address.before}/v1/models")
            found = self._json(body, "GET /v1/models") if status == 200 else {}
            if status == 401:
                raise ServerError(self._refusal(status, body, ""))
            models = found.get("models") if isinstance(found, dict) else None
            rows = [m for m in models if isinstance(m, dict)] if isinstance(models, list) else []
            self._listed = {m["name"]: m for m in rows if isinstance(m.get("name"), str)}
        return self._listed

    def known(self) -> Known:
        try:
            model = self._list().get(self.address.model, {})
        except ServerError:
            return Known()
        versions = [v for v in model.get("versions") or () if isinstance(v, dict) and v.get("asks") is True]
        number = self._number(model)
        chosen = next((v for v in versions if v.get("version") == number), None)
        if chosen is None:
            return Known()
        classes, task, tensor = chosen.get("classes"), chosen.get("task"), chosen.get("input")
        rows = [*classes.items()][:MOST_CLASSES] if isinstance(classes, dict) else []
        return Known(
            task=task if isinstance(task, str) else "",
            classes={int(k): v for k, v in rows if k.isdecimal() and len(k) < 10 and isinstance(v, str)},
            input=tensor if isinstance(tensor, dict) else {},
        )

    def _number(self, model: Mapping[str, Any]) -> Any:
        labels = model.get("labels")
        if self.address.version is not None:
            return str(self.address.version)
        if self.address.label:
            return labels.get(self.address.label) if isinstance(labels, dict) else None
        return model.get("default_version")

    def signatures(self) -> dict[str, tuple[str, SignatureInfo]]:
        from google.protobuf import json_format

        path = f"{self.address.model_path}/metadata"
        status, body, _ = self._send("GET", path)
        if status != 200:
            raise ServerError(self._refusal(status, body, f"model {self.address.model}"))
        found = self._json(body, path)
        try:
            content = found["metadata"]["signature_def"]["signature_def"]
            made = signature_map()
            json_format.ParseDict({"signature_def": content}, made, ignore_unknown_fields=True)
        except (KeyError, TypeError, ValueError, AttributeError, json_format.ParseError):
            raise ServerError(
                f"{self.address}{path} answers with no signatures: it is no TensorFlow Serving."
            ) from None
        return read_signatures(made.signature_def)

    def predict(self, signature: SignatureInfo, feeds: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], float]:
        path = f"{self.address.model_path}:predict"
        inputs = {name: plain(array) for name, array in feeds.items()}
        body = json.dumps({"signature_name": signature.name, "inputs": inputs}, separators=(",", ":")).encode()
        status, answer, seconds = self._send("POST", path, body)
        if status != 200:
            raise ServerError(self._refusal(status, answer, f"model {self.address.model}"))
        found = self._json(answer, path)
        outputs = found.get("outputs") if isinstance(found, dict) else None
        if outputs is None:
            raise ServerError(f"{self.address}{path} answers without outputs: it is no TensorFlow Serving.")
        if len(signature.outputs) == 1 and not (isinstance(outputs, dict) and signature.outputs[0].name in outputs):
            outputs = {signature.outputs[0].name: outputs}
        if not isinstance(outputs, dict):
            raise ServerError(f"{self.address}{path} answers with what are no named outputs.")
        return {t.name: self._array(t, outputs[t.name]) for t in signature.outputs if t.name in outputs}, seconds

    def _array(self, tensor, value: Any) -> np.ndarray:
        try:
            return to_array(value, tensor.dtype)
        except (VisionportError, RecursionError) as e:
            raise ServerError(
                f"{self.address}: output {said(tensor.name)} is no {tensor.dtype}: {said(str(e))}."
            ) from None

    def close(self) -> None:
        self._connection.close()

    # ------------------------------------------------------------ how

    def _send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, float]:
        """(status, body, seconds) of a request. Raises ServerError where there is no answer, or too large a one."""
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body else {})
        if self.access.token:
            headers["Authorization"] = f"Bearer {self.access.token}"
        start = time.perf_counter()
        try:
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                if self._connection.sock is None:  # a connection that had rested too long
                    self._connection.close()
                    self._connection.request(method, path, body, headers)
                    response = self._connection.getresponse()
                else:
                    raise
            data = self._read(response, start + self.access.seconds)
        except ServerError:
            self._connection.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as e:
            self._connection.close()
            raise ServerError(self._why(e)) from None
        return response.status, data, time.perf_counter() - start

    def _read(self, response: http.client.HTTPResponse, end: float) -> bytes:
        blocks, size = [], 0
        while block := response.read1(BLOCK):
            size += len(block)
            if size > LARGEST:
                raise ServerError(f"{self.address} answers with more than {LARGEST:,} bytes, which are not read.")
            if time.perf_counter() > end:
                raise TimeoutError
            blocks.append(block)
        response.read()  # nothing more, by which the connection is free again
        return b"".join(blocks)

    def _why(self, error: Exception) -> str:
        """What is wrong with a connection, and what to try."""
        where = str(self.address)
        if isinstance(error, TimeoutError):
            return f"{where}: no answer within {self.access.seconds:g} s. Give it longer with --timeout."
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"{where}: its certificate is not trusted: {said(error.verify_message)}. Name who signed it with --ca."
            )
        if isinstance(error, ssl.SSLError):
            return f"{where} does not speak TLS there: {said(error.reason or str(error))}. Try http://."
        if isinstance(error, socket.gaierror):
            return f"{where}: there is no host of that name."
        if isinstance(error, ConnectionRefusedError):
            return f"{where}: no server listens there. Is it started, and is this its REST port?"
        if isinstance(error, (http.client.BadStatusLine, ConnectionResetError, http.client.RemoteDisconnected)):
            return (
                f"{where} does not speak HTTP as the REST API does: it may be the gRPC port, which is "
                f"grpc://{self.address.place}, or want TLS, which is https://."
            )
        return f"{where} cannot be asked: {said(str(error) or type(error).__name__)}."

    def _refusal(self, status: int, body: bytes, what: str) -> str:
        try:
            found = json.loads(body)
            text = found["error"]
        except (ValueError, KeyError, TypeError, RecursionError):
            text = body[:400].decode("utf-8", "replace")
        where = f"{self.address}{f', {said(what)}' if what else ''}"
        if status == 401:
            return f"{where}: it wants a token. Name the file that holds it with --token-file."
        return f"{where} answers {status}: {said(text if isinstance(text, str) else '') or 'nothing more'}."

    def _json(self, body: bytes, path: str) -> Any:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            start = said(body[:80].decode("utf-8", "replace"))
            raise ServerError(
                f"{self.address} answers {said(path)} with what is no JSON: {start!r}. It is no TensorFlow Serving."
            ) from None
        check_depth(found)
        return found


def check_depth(content: Any) -> None:
    level = [content]
    for _ in range(DEEPEST):
        level = [v for one in level if isinstance(one, (dict, list)) for v in first_values(one)]
        if not level:
            return
    raise ServerError("the server answers with lists nested deeper than any tensor.")


def first_values(one: Any) -> list[Any]:
    """What lies in a list or object; of a list of numbers nothing."""
    values = list(one.values()) if isinstance(one, dict) else one
    return [v for v in values if isinstance(v, (dict, list))]


def plain(array: np.ndarray) -> Any:
    if array.dtype.kind != "O":
        return array.tolist()
    return [{"b64": base64.b64encode(value).decode()} for value in array.reshape(-1)]
