"""TensorFlow Serving's gRPC services, health and reflection.

Reference: prediction_service_impl.cc, model_service_impl.cc, multi_inference.cc of TensorFlow Serving.
"""

import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

from visionport.errors import VisionportError
from visionport.serving import examples, messages, metadata
from visionport.serving.configs import requested_configs
from visionport.serving.inference import CLASSIFY, REGRESS, Bounds, Inference, default_of
from visionport.serving.messages import message, to_array, to_tensor
from visionport.serving.metrics import Metrics
from visionport.serving.repository import Spec, Version
from visionport.serving.rest import log_fault
from visionport.serving.statuses import RequestError, invalid

HEALTH = "grpc.health.v1.Health"


class Rpc:
    """The services. token: what whoever asks must send as `authorization: Bearer TOKEN`, or ""."""

    def __init__(self, inference: Inference, metrics: Metrics, token: str = ""):
        self._inference, self._metrics, self._token = inference, metrics, token
        self._repository = inference.repository
        self._health: Any = None

    def add_to(self, server) -> None:
        import grpc
        from grpc_health.v1 import health, health_pb2_grpc
        from grpc_reflection.v1alpha import reflection

        for service in messages.SERVICES:
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(
                    self._handler(name, request), response_serializer=response.SerializeToString
                )
                for name, (_, request, response) in messages.methods(service).items()
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (*messages.SERVICES, HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server, pool=reflection_pool())

    async def set_health(self, serving: bool) -> None:
        from grpc_health.v1 import health_pb2

        state = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *messages.SERVICES):
            await self._health.set(name, state)

    def _handler(self, name: str, kind: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        import grpc

        method = getattr(self, f"_{name}")

        async def handle(data: bytes, context):
            start, status, said, request, response = time.perf_counter(), "OK", "", None, None
            try:
                self._check_token(context)
                request = parse(kind, data)
                response = await method(request, context.time_remaining())
            except RequestError as e:
                status, said = e.code, str(e)
            except VisionportError as e:
                status, said = "INVALID_ARGUMENT", str(e)
            except Exception as e:  # see Rest
                log_fault(e)
                status, said = "INTERNAL", "The server failed at this request."
            self._count(name, request or kind(), status, time.perf_counter() - start)
            if status != "OK":
                await context.abort(grpc.StatusCode[status], said)
            return response

        return handle

    def _check_token(self, context) -> None:
        given = dict(context.invocation_metadata() or ()).get("authorization", "")
        given = given if isinstance(given, bytes) else given.encode()
        if self._token and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            raise RequestError("UNAUTHENTICATED", "This server wants its token: authorization: Bearer TOKEN.")

    def _count(self, name: str, request, status: str, seconds: float) -> None:
        if name not in ("Predict", "Classify", "Regress", "MultiInference"):
            return
        first = request.tasks[0] if name == "MultiInference" and request.tasks else request
        asked = first.model_spec.name if "model_spec" in first.DESCRIPTOR.fields_by_name else ""
        self._metrics.count(asked if asked in self._repository.models else "", status, name, "GRPC", seconds)

    # ------------------------------------------------------------ PredictionService

    async def _Predict(self, request, seconds):  # noqa: N802 (the method's own name)
        with self._inference.holding(spec_of(request)) as version:
            feeds = {name: to_array(tensor, self._inference.bounds.body) for name, tensor in request.inputs.items()}
            name = request.model_spec.signature_name or default_of(version)
            wanted = list(request.output_filter)
            outputs = await self._inference.predict(version, name, feeds, wanted=wanted, seconds=seconds)
            response = message("PredictResponse")()
            tell_spec(response.model_spec, version, name)
            for key, array in outputs.items():
                response.outputs[key].CopyFrom(to_tensor(array))
            return response

    async def _Classify(self, request, seconds):  # noqa: N802
        with self._inference.holding(spec_of(request)) as version:
            name = request.model_spec.signature_name or default_of(version)
            given = examples.serialize(request.input)
            response = message("ClassificationResponse")()
            response.result.CopyFrom(await self._inference.classify(version, name, given, seconds))
            tell_spec(response.model_spec, version, name)
            return response

    async def _Regress(self, request, seconds):  # noqa: N802
        with self._inference.holding(spec_of(request)) as version:
            name = request.model_spec.signature_name or default_of(version)
            given = examples.serialize(request.input)
            response = message("RegressionResponse")()
            response.result.CopyFrom(await self._inference.regress(version, name, given, seconds))
            tell_spec(response.model_spec, version, name)
            return response

    async def _MultiInference(self, request, seconds):  # noqa: N802
        specs = [task.model_spec for task in request.tasks]
        if not specs:
            raise invalid("Found no task.")
        if not all(spec.name for spec in specs):
            raise invalid("Found ModelSpec with an empty model name.")
        if len({spec.name for spec in specs}) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        response = message("MultiInferenceResponse")()
        with self._inference.holding(spec_of(request.tasks[0])) as version:
            names = [spec.signature_name or default_of(version) for spec in specs]
            if doubled := next((n for n in names if names.count(n) > 1), None):
                raise invalid(f"Duplicate evaluation of signature: {doubled[:200]}")
            given = examples.serialize(request.input)
            for task, name in zip(request.tasks, names, strict=True):
                result = response.results.add()
                if task.method_name == CLASSIFY:
                    found = await self._inference.classify(version, name, given, seconds)
                    result.classification_result.CopyFrom(found)
                elif task.method_name == REGRESS:
                    found = await self._inference.regress(version, name, given, seconds)
                    result.regression_result.CopyFrom(found)
                else:
                    raise RequestError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name[:200]}")
                tell_spec(result.model_spec, version, task.model_spec.signature_name)
        return response

    async def _GetModelMetadata(self, request, seconds):  # noqa: N802
        spec = spec_of(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != metadata.SIGNATURES:
                raise invalid(f"Metadata field {name[:200]} is not supported")
        return metadata.metadata_message(self._repository.find(spec))

    # ------------------------------------------------------------ ModelService

    async def _GetModelStatus(self, request, seconds):  # noqa: N802
        return metadata.status_message(self._repository.statuses(spec_of(request)))

    async def _HandleReloadConfigRequest(self, request, seconds):  # noqa: N802
        wrong = await self._repository.set_models(requested_configs(request.config, self._repository.roots))
        if wrong:
            raise RequestError("FAILED_PRECONDITION", "A model cannot be loaded; the server's log says which and why.")
        return message("ReloadConfigResponse")()


def parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except Exception:  # protobuf's own kinds of errors differ between its versions
        raise invalid(f"The request is no {kind.DESCRIPTOR.name}.") from None


def spec_of(request) -> Spec:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    return Spec(
        name=spec.name,
        version=spec.version.value if spec.HasField("version") else None,
        label=spec.version_label if spec.HasField("version_label") else None,
    )


def tell_spec(spec, version: Version, signature: str) -> None:
    spec.name, spec.version.value, spec.signature_name = version.model, version.number, signature


def reflection_pool():
    """A pool with the services of this server: TensorFlow Serving's and gRPC's own."""
    from google.protobuf import descriptor_pool
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection_pb2

    pool = descriptor_pool.DescriptorPool()
    for file in messages.files():
        pool.AddSerializedFile(file)
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


async def start(rpc: Rpc, address: str, bounds: Bounds, credentials) -> tuple[Any, int]:
    """(the server, its port). credentials: of TLS, or None."""
    import grpc

    options = [
        ("grpc.max_receive_message_length", bounds.body),
        ("grpc.max_send_message_length", -1),
        ("grpc.http2.max_frame_size", 1 << 20),  # 16 KiB by default: many steps for a picture
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=bounds.waiting)
    rpc.add_to(server)
    add = server.add_insecure_port if credentials is None else lambda at: server.add_secure_port(at, credentials)
    port = add(address)
    await server.start()
    await rpc.set_health(True)
    return server, port
