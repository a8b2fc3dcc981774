"""TensorFlow Serving's REST API, and beside it the list of models, answers about pictures, metrics, and the page.

Reference: http_rest_api_handler.cc and http_rest_api_util.cc of TensorFlow Serving.
"""

import asyncio
import hmac
import re
import time
from collections.abc import Callable
from importlib import resources
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from visionport.errors import VisionportError
from visionport.serving import examples, json_tensors, limits, metadata
from visionport.serving.inference import Inference, find_signature, refusal
from visionport.serving.json_tensors import FAST, write_json
from visionport.serving.metrics import PATH as METRICS
from visionport.serving.metrics import Metrics
from visionport.serving.repository import Spec, Version
from visionport.serving.statuses import RequestError, invalid
from visionport.tasks.base import marks_of
from visionport.tasks.drawing import as_url

MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
LIST = re.compile(r"/v1/models/?", re.IGNORECASE)
STATUS = re.compile(MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
ASK = re.compile(MODEL + r":(?P<verb>predict|classify|regress|answer)", re.IGNORECASE)
PAGE = re.compile(r"/page/(?P<file>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)")
SHOWN = 200  # characters of a path in an error
MANY = 20_000  # numbers of an answer that are written in a thread
MOST = 1_000_000  # numbers of the arrays of an answer about a picture

# Of the page: what its files are, whatever this machine thinks of their endings.
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# It is made of its own files alone.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Rest:
    """An ASGI application. token: what whoever asks must send, or ""."""

    def __init__(self, inference: Inference, metrics: Metrics, token: str = ""):
        self._inference, self._metrics, self._token = inference, metrics, token
        self._repository = inference.repository

    async def __call__(self, scope, receive, send) -> None:
        from starlette.requests import ClientDisconnect, Request

        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        start, path = time.perf_counter(), path_of(scope)
        asked = ASK.fullmatch(path)
        status = "OK"
        try:
            response = await self._respond(request, path)
        except RequestError as e:
            response, status = refused(e), e.code
        except ClientDisconnect:
            response, status = None, "CANCELLED"
        except VisionportError as e:
            response, status = refused(invalid(str(e))), "INVALID_ARGUMENT"
        except Exception as e:  # a fault of ours: whoever runs the server sees what, whoever asks does not
            log_fault(e)
            response, status = refused(RequestError("INTERNAL", "The server failed at this request.")), "INTERNAL"
        if asked:
            name = unquote(asked["name"])
            known = name if name in self._repository.models else ""
            self._metrics.count(known, status, asked["verb"].capitalize(), "REST", time.perf_counter() - start)
        if response is not None:
            await response(scope, receive, send)

    async def _respond(self, request, path: str):
        method = "GET" if request.method == "HEAD" else request.method
        if method == "GET":
            if path == "/":
                return page_file("index.html")
            if found := PAGE.fullmatch(path):
                return page_file(found["file"])
        self._check_token(request)
        if method == "GET":
            if path == METRICS:
                return respond(self._metrics.page(), "text/plain; version=0.0.4; charset=utf-8")
            if LIST.fullmatch(path):
                return respond(write_json(metadata.list_models(self._repository)))
            if found := STATUS.fullmatch(path):
                return respond(self._tell(spec_of(found), found["metadata"]))
        if method == "POST" and (found := ASK.fullmatch(path)):
            return respond(await self._ask(request, spec_of(found), found["verb"].lower()))
        if path.lower().startswith("/v1/"):
            raise invalid(f"Malformed request: {request.method} {path[:SHOWN]}")
        raise RequestError("NOT_FOUND", f"Not found: {request.method} {path[:SHOWN]}")

    def _check_token(self, request) -> None:
        given = request.headers.get("authorization", "")
        if self._token and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise RequestError("UNAUTHENTICATED", "This server wants its token: Authorization: Bearer TOKEN.")

    def _tell(self, spec: Spec, wants_metadata: str | None) -> bytes:
        if wants_metadata:
            return metadata.metadata_json(self._repository.find(spec))
        return metadata.status_json(self._repository.statuses(spec))

    async def _ask(self, request, spec: Spec, verb: str) -> bytes:
        inference, bounds = self._inference, self._inference.bounds
        with inference.holding(spec) as version, inference.arriving.sharing() as take:
            body = await limits.read_body(request, bounds.body, bounds.seconds, take)
            return await getattr(self, f"_{verb}")(version, body, request)

    # ------------------------------------------------------------ the questions

    async def _predict(self, version: Version, body: bytes, request) -> bytes:
        def read():
            content = json_tensors.read_json(body)
            signature = find_signature(version, json_tensors.read_signature_name(content))
            return signature.name, *json_tensors.read_inputs(content, signature.inputs)

        name, feeds, rows = await self._aside(read, len(body) >= FAST)
        outputs = await self._inference.predict(version, name, feeds)
        size = sum(v.size for v in outputs.values())
        return await self._aside(lambda: json_tensors.write_outputs(outputs, rows=rows), size >= MANY)

    async def _classify(self, version: Version, body: bytes, request) -> bytes:
        name, given = await self._read_examples(body)
        result = await self._inference.classify(version, name, given)
        return write_json(
            {"results": [[[c.label, np.float32(c.score)] for c in one.classes] for one in result.classifications]}
        )

    async def _regress(self, version: Version, body: bytes, request) -> bytes:
        name, given = await self._read_examples(body)
        result = await self._inference.regress(version, name, given)
        return write_json({"results": np.array([r.value for r in result.regressions], np.float32)})

    async def _read_examples(self, body: bytes) -> tuple[str, list[bytes]]:
        def read():
            content = json_tensors.read_json(body)
            name = json_tensors.read_signature_name(content)
            return name, examples.serialize(examples.read_input(content))

        return await self._aside(read, len(body) >= FAST)

    async def _answer(self, version: Version, body: bytes, request) -> bytes:
        """What a picture shows, as `visionport predict` says it."""
        predictor = version.servable.predictor
        if predictor is None:
            raise invalid(f"{version.model} cannot be asked about pictures: {version.servable.why}. Use :predict.")
        task = predictor.asker.task
        if hasattr(task, "read"):
            raise invalid(f"{version.model} takes clips, which :answer does not: use :predict.")
        query = request.query_params
        least = read_score(query.get("min_score", "0.3"))
        data = body
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            data = json_tensors.decode_binary(json_tensors.read_json(body).get("image"))
        pixels = self._inference.bounds.pixels
        answer = lambda: answer_picture(version, data, pixels, least, query)  # noqa: E731
        return await self._inference.in_time(self._inference.work(version, answer))

    async def _aside(self, function: Callable[[], Any], large: bool) -> Any:
        """What a function gives; of large content in a thread, so that others are not kept waiting."""
        if not large:
            return function()
        return await asyncio.get_running_loop().run_in_executor(self._inference.pool, function)


def answer_picture(version: Version, data: bytes, pixels: int, least: float, query) -> bytes:
    """The answer to a picture, decoded only where it is asked, so that few large ones are in memory at once."""
    start = time.perf_counter()
    picture = limits.read_picture(data, pixels)
    decoded = time.perf_counter()
    predictor: Any = version.servable.predictor
    task = predictor.asker.task
    try:
        found = predictor.asker(picture)
    except Exception as e:  # a runtime's: see inference.answer
        raise refusal(e) from None
    ran = time.perf_counter()
    if any(name not in found for name in task.outputs):
        raise invalid(f"{version.model} gives no {task.noun}, only what they are made of: use :predict.")
    content = {
        "model": version.model,
        "version": str(version.number),
        "format": version.servable.format,
        "task": task.name,
        "answer": task.record(found, predictor.labels, picture.shape[:2], least),
        "milliseconds": {"decode": 1e3 * (decoded - start), "run": 1e3 * (ran - decoded)},
    }
    if wants(query, "arrays"):
        content |= plain_arrays(found)
    if wants(query, "drawn"):
        content["drawn"] = as_url(task.draw(picture, found, predictor.labels, least))
    if wants(query, "marks"):
        content["marks"] = marks_of(task, found, predictor.labels, picture.shape[:2], least)
    return write_json(content)


def read_score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not 0 <= score <= 1:
        raise invalid(f"min_score is a number from 0 to 1, not {text[:40]}.")
    return score


def wants(query, name: str) -> bool:
    return query.get(name, "0").lower() in ("1", "true")


def plain_arrays(found) -> dict[str, Any]:
    """The arrays of an answer as far as there is room for them, the smallest first."""
    room, kept, left = MOST, {}, []
    for name in sorted(found, key=lambda k: np.size(found[k])):
        array = np.asarray(found[name])
        room -= array.size
        if room >= 0 and array.dtype.kind in "fiub":
            kept[name] = np.ascontiguousarray(array)
        else:
            left.append(name)
    return {"arrays": kept, "left_out": left}


# ---------------------------------------------------------------- paths and responses


def path_of(scope) -> str:
    """The path as it was sent, so that what is escaped in a name stays in the name."""
    return scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]


def spec_of(found: re.Match) -> Spec:
    version = found["version"]
    if version is not None and int(version) >= 1 << 63:
        raise invalid(f"Failed to convert version: {version[:SHOWN]} to numeric.")
    return Spec(
        name=unquote(found["name"]),
        version=None if version is None else int(version),
        label=None if found["label"] is None else unquote(found["label"]),
    )


def respond(body: bytes, kind: str = "application/json", status: int = 200, headers: dict[str, str] | None = None):
    from starlette.responses import Response

    return Response(body, status, {"X-Content-Type-Options": "nosniff", **(headers or {})}, kind)


def refused(error: RequestError):
    headers = {"WWW-Authenticate": "Bearer"} if error.http == 401 else {}
    headers |= {"Retry-After": "1"} if error.http in (429, 503) else {}
    return respond(write_json({"error": str(error)}), status=error.http, headers=headers)


def page_file(name: str):
    """A file of the page: one of the package's, whatever is asked for."""
    folder = resources.files("visionport") / "serving" / "page"
    known = {f.name: f for f in folder.iterdir() if f.is_file()} if folder.is_dir() else {}
    kind = KINDS.get(PurePosixPath(name).suffix)
    if name not in known or kind is None:
        raise RequestError("NOT_FOUND", f"Not found: the page has no {name[:SHOWN]}.")
    text = "; charset=utf-8" if kind.startswith("text/") else ""
    return respond(known[name].read_bytes(), kind + text, headers=PAGE_HEADERS)


def log_fault(error: Exception) -> None:
    import sys
    import traceback

    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
