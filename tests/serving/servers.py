"""Servers in processes of their own, what is asked of them, and the small models that they serve."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Server:
    """One that runs. rest, grpc: its ports."""

    process: subprocess.Popen
    rest: int
    grpc: int

    def send(self, method: str, path: str, body: bytes | str = b"", headers: dict[str, str] | None = None):
        """(status, headers, body) of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=60)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        found = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return found

    def get(self, path: str) -> Any:
        status, _, body = self.send("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, content: Any) -> Any:
        status, _, body = self.send("POST", path, content if isinstance(content, bytes) else json.dumps(content))
        assert status == 200, body
        return json.loads(body)

    def refuse(self, path: str, content: Any) -> tuple[int, str]:
        """(status, what is said) of what is refused."""
        status, _, body = self.send("POST", path, content if isinstance(content, bytes) else json.dumps(content))
        return status, json.loads(body)["error"]


@contextmanager
def serving(*arguments: object) -> Iterator[Server]:
    """A server on free ports, which ends with status 0 when it is told to."""
    command = [sys.executable, "-m", "visionport", "serve", "--rest-port", "0", *map(str, arguments)]
    if "--grpc-port" not in arguments:
        command += ["--grpc-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if not line.startswith("ready: "):
        raise AssertionError(process.communicate()[1])
    ports = [int(part.rpartition(":")[2]) for part in line.split(", ")]
    try:
        yield Server(process, ports[0], ports[1] if len(ports) > 1 else 0)
    finally:
        process.terminate()
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "Traceback" not in said, said


def build_half_plus(path: Path, more: float = 2.0) -> Path:
    """A SavedModel like TensorFlow Serving's half_plus_two, of TF1: y = x / 2 + more, to predict, classify, regress."""
    import tensorflow as tf

    tf1 = tf.compat.v1
    info = tf1.saved_model.utils.build_tensor_info
    with tf1.Graph().as_default(), tf1.Session() as session:
        half, added = tf1.Variable(0.5, name="a"), tf1.Variable(more, name="b")
        serialized = tf1.placeholder(tf.string, [None], name="tf_example")
        parsed = tf1.parse_example(serialized, {"x": tf1.FixedLenFeature([1], tf.float32)})
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(half * x, added, name="y")

        def sign(inputs, outputs, method):
            ends = ({key: info(tensor) for key, tensor in side.items()} for side in (inputs, outputs))
            return tf1.saved_model.signature_def_utils.build_signature_def(*ends, f"tensorflow/serving/{method}")

        signatures = {
            "serving_default": sign({"x": x}, {"y": y}, "predict"),
            "classify_x_to_y": sign({"inputs": serialized}, {"scores": y}, "classify"),
            "regress_x_to_y": sign({"inputs": serialized}, {"outputs": y}, "regress"),
        }
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return path
