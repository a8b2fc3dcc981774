"""Bodies of requests to the server. An input's first line names what is asked, the rest is the body."""

import asyncio
import base64
import io
import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visionport.errors import InputError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.serving.inference import Bounds, Inference
from visionport.serving.messages import message, methods
from visionport.serving.repository import AVAILABLE, Model, ModelConfig, Repository, Version
from visionport.serving.rest import Rest
from visionport.serving.rpc import Rpc, parse
from visionport.serving.servable import Servable, define

SUFFIX = ".request"
PIXELS = 10_000
NAN = float("nan")


def tensor(name: str, dtype: str, *shape: int | None) -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=shape)


SUM = tensor("sum", "float32", None)
SIGNATURES = {
    "serving_default": ((tensor("image", "uint8", None, None, None, 3),), (SUM,)),
    "encoded": ((tensor("image", "string", None),), (SUM, tensor("image_bytes", "string", None))),
    "several": ((tensor("i", "int64", None, 2), tensor("f", "float32", None), tensor("b", "bool", None)), (SUM,)),
    "classify": ((tensor("inputs", "string", None),), (tensor("scores", "float32", None, 2),)),
    "regress": ((tensor("inputs", "string", None),), (tensor("outputs", "float32", None),)),
}
METHODS = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}


class Adds:
    """A runner of every signature, without a model."""

    thread_safe = True

    def __init__(self):
        self.signatures = {n: SignatureInfo(name=n, inputs=i, outputs=o) for n, (i, o) in SIGNATURES.items()}

    def call(self, signature, feeds):
        rows = len(next(iter(feeds.values())))
        numbers = np.arange(rows, dtype=np.float32)
        strings = np.array([b"\xff"] * rows, object)
        made = {"sum": numbers, "image_bytes": strings, "scores": np.stack([numbers] * 2, 1), "outputs": numbers}
        return {t.name: made[t.name] for t in self.signatures[signature].outputs}

    def close(self):
        pass


class Uncounted:
    def count(self, *arguments):
        pass


def made_png(width: int, height: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(data, "PNG")
    return data.getvalue()


def asked(line: str, content: object) -> bytes:
    return line.encode() + b"\n" + (content if isinstance(content, bytes) else json.dumps(content).encode())


@cache
def examples_of(data: bytes) -> bytes:
    example = message("tensorflow.Example")()
    example.features.feature["image/encoded"].bytes_list.value.append(data)
    example.features.feature["n"].int64_list.value.append(5)
    return example.SerializeToString()


def predict_request() -> bytes:
    request = message("PredictRequest")()
    request.model_spec.name = "m"
    image = request.inputs["image"]
    image.dtype, image.tensor_content = 4, bytes(12)
    for size in (1, 2, 2, 3):
        image.tensor_shape.dim.add(size=size)
    return request.SerializeToString()


B64 = {"b64": base64.b64encode(made_png(5, 4)).decode()}
LARGE = {"b64": base64.b64encode(examples_of(made_png(200, 200))).decode()}
SEVERAL = {"i": [1, -2], "f": 0.5, "b": True}
EXAMPLES = [{"a": [1, 2], "b": "x", "c": B64}, {}]
SEEDS = (
    asked("POST /v1/models/m:predict", {"instances": np.zeros((2, 3, 4, 3), int).tolist()}),
    asked("POST /v1/models/m:predict", {"inputs": np.full((1, 90, 90, 3), 7).tolist()}),
    asked("POST /v1/models/m/versions/1:predict", {"signature_name": "encoded", "instances": [B64, B64]}),
    asked("POST /v1/models/m/labels/l:predict", {"signature_name": "encoded", "inputs": {"image": [B64, "text"]}}),
    asked("POST /v1/models/m:predict", {"signature_name": "encoded", "instances": [{"image": B64}, {"image": LARGE}]}),
    asked("POST /v1/models/m:predict", {"signature_name": "several", "instances": [SEVERAL, SEVERAL]}),
    asked(
        "POST /v1/models/m:predict", {"signature_name": "several", "inputs": {"i": [[1, 2]], "f": [NAN], "b": [True]}}
    ),
    asked("POST /v1/models/m:classify", {"signature_name": "classify", "examples": EXAMPLES}),
    asked("POST /v1/models/m:regress", {"signature_name": "regress", "context": {"q": 1.5}, "examples": EXAMPLES}),
    asked("POST /v1/models/m:answer?min_score=0.5", made_png(3, 3)),
    asked("GET /v1/models/m/metadata", b""),
    asked("RPC Predict", predict_request()),
)


@cache
def inference() -> Inference:
    repository = Repository()
    model = Model(ModelConfig(name="m", base=Path("m"), labels={"l": 1}))
    version = Version("m", 1, Path("m"), ())
    runner: Any = Adds()
    definitions = {name: define(signature) for name, signature in runner.signatures.items()}
    for name, method in METHODS.items():
        definitions[name].method_name = method
    version.loaded = Servable(
        format="tflite", path=Path("model"), runner=runner, signatures=runner.signatures, definitions=definitions
    )
    version.state = AVAILABLE
    model.versions[1] = version
    repository.models["m"] = model
    return Inference(repository, Bounds(body=1 << 22, pixels=PIXELS, seconds=30), 1, None)


def read(path: Path) -> None:
    line, _, body = path.read_bytes().partition(b"\n")
    method, _, target = line.decode("latin-1").partition(" ")
    if method == "RPC":
        asyncio.run(ask_rpc(target, body))
    else:
        asyncio.run(ask_rest(method, target, body))


async def ask_rpc(name: str, body: bytes) -> None:
    known = methods("tensorflow.serving.PredictionService")
    if name not in known:
        raise InputError(f"no method {name}.")
    request = parse(known[name][1], body)
    response = await getattr(Rpc(inference(), Uncounted()), f"_{name}")(request, None)  # pyright: ignore
    response.SerializeToString()


async def ask_rest(method: str, target: str, body: bytes) -> None:
    """Raises InputError for an answer of 4xx, AssertionError for another one than 2xx or 4xx, and for no sentence."""
    path, _, query = target.partition("?")
    scope = {"type": "http", "method": method, "path": path, "raw_path": target.encode("latin-1", "replace")}
    scope |= {"query_string": query.encode("latin-1", "replace"), "headers": [(b"content-length", b"%d" % len(body))]}
    sent: list[dict] = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event):
        sent.append(event)

    await Rest(inference(), Uncounted())(scope, receive, send)  # pyright: ignore
    status, answer = sent[0]["status"], b"".join(e.get("body", b"") for e in sent[1:])
    assert status == 200 or 400 <= status < 500 or status == 501, (status, answer[:500])
    if status != 200:
        said = json.loads(answer)["error"]
        assert len(said) < 2000, said[:3000]
        raise InputError(said)
    json.loads(answer)


LISTS = (
    b"[",
    b"]",
    b",",
    b"-",
    b".",
    b"e",
    b"1",
    b" ",
    b"99999999999999999999",
    b"[1,2]",
    b"null",
    b"true",
    b'"',
    b"{}",
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Mostly within the body: a token more, less, or twice; base64 stays base64 half of the time."""
    head, _, body = data.partition(b"\n")
    for _ in range(rng.choice((1, 1, 2, 5))):
        if (found := [*re.finditer(rb'"b64": "([^"]*)"', body)]) and rng.random() < 0.5:
            body = replace_base64(body, rng.choice(found), rng)
            continue
        at = rng.randrange(len(body) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            body = body[:at] + rng.choice(LISTS) + body[at:]
        elif kind == 1:
            body = body[:at] + body[at + rng.choice((1, 2, 30)) :]
        elif kind == 2:
            body = body[:at] + body[at : at + rng.choice((1, 10, 100))] * rng.choice((2, 3, 500)) + body[at:]
        elif kind == 3:
            body = body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]
        else:
            body = body[:at] + rng.choice(LISTS) * rng.choice((2, 70, 2000)) + body[at:]
    if rng.random() < 0.1:
        other = rng.choice(SEEDS).partition(b"\n")[0]
        head = other if rng.random() < 0.7 else head[: rng.randrange(len(head) + 1)] + bytes([rng.randrange(32, 256)])
    return head + b"\n" + body


def replace_base64(body: bytes, found: re.Match, rng: random.Random) -> bytes:
    """One byte of what it stands for is another one."""
    try:
        data = bytearray(base64.b64decode(found[1]) or b"\0")
    except ValueError:
        return body
    data[rng.randrange(len(data))] = rng.randrange(256)
    return body[: found.start(1)] + base64.b64encode(bytes(data)) + body[found.end(1) :]
