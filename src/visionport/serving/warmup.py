"""The requests that lie in a SavedModel to be asked before anybody asks it: read, replayed and written.

Reference: saved_model_warmup.md and saved_model_warmup_util.cc of TensorFlow Serving. As there a model of which one
request fails is not served, nor one with more than 1,000 of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import InputError
from visionport.inputs import tfrecords
from visionport.serving import examples, limits
from visionport.serving.inference import (
    CLASSIFY,
    INPUTS,
    REGRESS,
    Bounds,
    answer,
    check_feeds,
    check_method,
    check_wanted,
    classifications,
    find_signature,
    regressions,
    wrong_shape,
)
from visionport.serving.messages import message, to_array, to_tensor
from visionport.serving.repository import Version
from visionport.serving.servable import Servable, open_servable
from visionport.serving.statuses import RequestError
from visionport.staging import lies_in

FILE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000


def open_warm(path: Path, kind: str | None = None, *, allow_unsafe_ops: bool = False, bounds: Bounds) -> Servable:
    """What `open_servable` opens, after its warm-up requests were answered. Raises InputError where one is not."""
    servable = open_servable(path, kind, allow_unsafe_ops=allow_unsafe_ops)
    try:
        warm_up(servable, bounds)
    except BaseException:
        servable.close()
        raise
    return servable


def warm_up(servable: Servable, bounds: Bounds) -> int:
    """Asks it what its warm-up requests ask; how many they were."""
    file = servable.path / FILE
    if servable.format != "saved_model" or not file.is_file() or not file.stat().st_size:
        return 0
    asked = 0
    for log in read_logs(file, servable.path):
        try:
            replay(servable, log, bounds)
        except RequestError as e:
            raise InputError(
                f"{file}: warm-up request {asked} is not answered, so the model is not served: {e} Correct it, or "
                "remove the file."
            ) from None
        asked += 1
    return asked


def read_logs(file: Path, folder: Path) -> Iterator[Any]:
    """The PredictionLogs in a SavedModel's file. Raises InputError for what is damaged, too much, or a link elsewhere.

    folder: the SavedModel's.
    """
    if not lies_in(file, folder):
        raise InputError(f"{file} is a link that leads out of {folder}, and is not followed. Copy what is meant.")
    for number, data in enumerate(tfrecords.read(file, "warm-up requests")):
        if number >= MOST:
            raise InputError(f"{file} holds more than {MOST} warm-up requests, which TensorFlow Serving refuses.")
        try:
            log = message("PredictionLog").FromString(data)
        except Exception:  # protobuf's own kinds of errors differ between its versions
            raise InputError(f"{file}: record {number} is no PredictionLog.") from None
        yield log


def replay(servable: Servable, log: Any, bounds: Bounds) -> None:
    """Asks what a PredictionLog says. Raises RequestError where that is not answered."""
    version = Version("model", 1, servable.path, ())
    version.loaded = servable
    kind = log.WhichOneof("log_type")
    if kind is None:
        return
    request = getattr(log, kind).request
    if kind == "predict_log":
        _predict(version, request, bounds)
        return
    if kind == "multi_inference_log":
        tasks = [(task.model_spec.signature_name, task.method_name) for task in request.tasks]
    else:
        tasks = [(request.model_spec.signature_name, CLASSIFY if kind == "classify_log" else REGRESS)]
    given = examples.serialize(request.input)
    for name, method in tasks:
        if method not in (CLASSIFY, REGRESS):
            raise RequestError("UNIMPLEMENTED", f"Unsupported signature method_name: {method[:200]}")
        _ask_examples(version, name, method, given, bounds)


def _predict(version: Version, request: Any, bounds: Bounds) -> None:
    signature = find_signature(version, request.model_spec.signature_name)
    feeds = {name: to_array(tensor, bounds.body) for name, tensor in request.inputs.items()}
    check_feeds(signature, feeds)
    check_wanted(signature, list(request.output_filter))
    wrong = wrong_shape(signature, version.servable.definitions[signature.name].inputs, feeds)
    if wrong and version.servable.strict:
        raise wrong
    limits.check_pictures(feeds, bounds.pixels)
    answer(version.servable.runner, signature.name, feeds)


def _ask_examples(version: Version, name: str, method: str, given: list[bytes], bounds: Bounds) -> None:
    check_method(version, name, method)
    feeds = np.empty(len(given), object)
    feeds[:] = given
    limits.check_pictures({INPUTS: feeds}, bounds.pixels)
    outputs = answer(version.servable.runner, name or version.servable.default, {INPUTS: feeds})
    (classifications if method == CLASSIFY else regressions)(outputs, len(given))


def log_of(model: str, signature: str, feeds: Mapping[str, np.ndarray]) -> Any:
    """The PredictionLog of a request."""
    log = message("PredictionLog")()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name in sorted(feeds):
        request.inputs[name].CopyFrom(to_tensor(feeds[name]))
    return log


def records(logs: Iterable[Any]) -> Iterator[bytes]:
    """The parts of a TFRecord of them, the same for the same requests."""
    for log in logs:
        yield tfrecords.frame(log.SerializeToString(deterministic=True))
