"""The server: models loaded, REST and gRPC in one event loop, until it is told to stop."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from visionport.errors import InputError, OptionError
from visionport.serving.batching import Batching
from visionport.serving.configs import read_configs
from visionport.serving.inference import Bounds, Inference
from visionport.serving.metrics import Metrics
from visionport.serving.repository import ModelConfig, Repository
from visionport.serving.rest import Rest
from visionport.serving.warmup import open_warm

PACKAGES = ("starlette", "uvicorn", "grpc", "grpc_health", "grpc_reflection", "prometheus_client", "orjson")
HEADERS_WITHIN = 30.0  # seconds in which a connection must come to its request
KEPT = 75  # seconds that a connection may rest between two requests


@dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM files. client_ca: who signs the certificates that clients must show; None for no such."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """models: those named one by one. config_file: more of them, read again every `config_poll` seconds, 0 for never.
    roots: where models that a reload request names may lie, beside where those lie that were named. rest_port,
    grpc_port: 0 for a free one; None for no gRPC. poll: seconds between two looks at the folders, 0 for never.
    origins: web pages that may ask ("*" for all). grace: seconds in which requests end when the server stops.
    """

    models: tuple[ModelConfig, ...]
    config_file: Path | None = None
    config_poll: float = 0.0
    roots: tuple[Path, ...] = ()
    kind: str | None = None
    allow_unsafe_ops: bool = False
    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int | None = 8500
    poll: float = 1.0
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    batching: Batching | None = None
    bounds: Bounds = field(default_factory=Bounds)
    origins: tuple[str, ...] = ()
    tls: Tls | None = None
    token: str = ""
    grace: float = 10.0

    def configs(self) -> list[ModelConfig]:
        """All models, as the file has them now."""
        return [*self.models, *(read_configs(self.config_file) if self.config_file else ())]


def check_packages() -> None:
    import importlib.util

    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise OptionError(f'serving needs {", ".join(missing)}: pip install "visionport[serve]"')


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: Settings, tell: Callable[[str], None], ready: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT. tell: what whoever runs it should know; ready: where it is reached."""
    import logging

    check_packages()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of every variable of a TF1 model
    asyncio.run(_serve(settings, tell, ready))


async def _serve(settings: Settings, tell, ready) -> None:
    configs = settings.configs()
    opener = partial(open_warm, kind=settings.kind, allow_unsafe_ops=settings.allow_unsafe_ops, bounds=settings.bounds)
    repository = Repository(opener, [*(c.base for c in configs), *settings.roots], tell)
    listening = listen(settings.host, settings.rest_port)
    wrong = await repository.set_models(configs)
    if wrong:
        raise InputError("\n".join(wrong))
    inference = Inference(repository, settings.bounds, settings.threads, settings.batching)
    metrics = Metrics()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    web = web_server(settings, Rest(inference, metrics, settings.token))
    working = [asyncio.create_task(web.serve(sockets=[listening]))]
    if settings.poll:
        working.append(asyncio.create_task(repository.poll(settings.poll)))
    if settings.config_file and settings.config_poll:
        working.append(asyncio.create_task(follow(settings, repository, tell)))
    rpc, port = None, 0
    if settings.grpc_port is not None:
        rpc, grpc_server, port = await start_rpc(settings, inference, metrics)
    while not web.started:
        await asyncio.sleep(0.01)
    scheme = "https" if settings.tls else "http"
    where = f"REST {scheme}://{at(settings.host, listening.getsockname()[1])}"
    ready(f"ready: {where}" + (f", gRPC {at(settings.host, port)}" if rpc else ""))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *working], return_when=asyncio.FIRST_COMPLETED)
    tell("stopping: requests that are being answered are answered first")
    if rpc:
        await rpc.set_health(False)
        await grpc_server.stop(settings.grace)
    web.should_exit = True
    for task in working[1:]:
        task.cancel()
    await working[0]
    await repository.close()


async def start_rpc(settings: Settings, inference: Inference, metrics: Metrics):
    from visionport.serving.rpc import Rpc, start

    rpc = Rpc(inference, metrics, settings.token)
    address = at(settings.host, settings.grpc_port or 0)
    try:
        server, port = await start(rpc, address, settings.bounds, rpc_credentials(settings.tls))
    except RuntimeError:
        raise OptionError(f"--grpc-port {settings.grpc_port}: {address} is taken. Name another, or 0.") from None
    return rpc, server, port


def rpc_credentials(tls: Tls | None):
    import grpc

    if tls is None:
        return None
    chain = [(tls.key.read_bytes(), tls.cert.read_bytes())]
    ca = tls.client_ca and tls.client_ca.read_bytes()
    return grpc.ssl_server_credentials(chain, ca, require_client_auth=bool(ca))


async def follow(settings: Settings, repository: Repository, tell) -> None:
    """Reads the file of models again and again; a mistake in it leaves the models as they are."""
    while True:
        await asyncio.sleep(settings.config_poll)
        try:
            configs = await asyncio.to_thread(settings.configs)
            await repository.set_models(configs)
        except InputError as e:
            tell(str(e))


def at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as e:
        raise OptionError(f"--host {host}: no address of this machine: {e.strerror}.") from None
    family, kind, protocol, _, address = found[0]
    # With its protocol: asyncio sends at once only where that is TCP, otherwise the kernel waits 40 ms for more.
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as e:
        raise OptionError(
            f"--rest-port {port}: {at(host, port)} cannot be used: {e.strerror}. Name another, or 0."
        ) from None
    return listening


def web_server(settings: Settings, application) -> Any:
    """A uvicorn server that leaves signals to us, and does not wait for ever for a request's head."""
    import logging

    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            self._before = None
            self._watch = self.loop.call_later(HEADERS_WITHIN, self._look)

        def connection_lost(self, exc) -> None:
            self._watch.cancel()
            super().connection_lost(exc)

        def _look(self) -> None:
            resting = self.cycle is None or self.cycle.response_complete
            if resting and self.cycle is self._before and not self.timeout_keep_alive_task:
                self.transport.close()
                return
            self._before = self.cycle
            self._watch = self.loop.call_later(HEADERS_WITHIN, self._look)

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self):
            yield

    logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
    tls = settings.tls
    config = uvicorn.Config(
        with_cors(application, settings.origins),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.bounds.waiting * 2,
        timeout_keep_alive=KEPT,
        timeout_graceful_shutdown=round(settings.grace),
        ssl_certfile=tls and tls.cert,
        ssl_keyfile=tls and tls.key,
        ssl_ca_certs=tls and tls.client_ca and str(tls.client_ca),
        ssl_cert_reqs=2 if tls and tls.client_ca else 0,
    )
    return Server(config)


def with_cors(application, origins: Sequence[str]):
    if not origins:
        return application
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(
        application,
        allow_origins=list(origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type", "Authorization"],
    )


def warn(settings: Settings) -> list[str]:
    """What whoever opens the server to others should know."""
    if is_loopback(settings.host):
        return []
    lacks = [what for what, there in (("TLS", settings.tls), ("a token", settings.token)) if not there]
    open_ = f" without {' and '.join(lacks)}" if lacks else ""
    return [f"--host {settings.host}: whoever reaches this machine can ask these models{open_}."]


def print_to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
