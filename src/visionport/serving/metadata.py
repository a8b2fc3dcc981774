"""What is said of models: their state, their signatures, and the list of all that the page is made of."""

import json
from collections.abc import Sequence
from typing import Any

from visionport.errors import VisionportError
from visionport.formats.base import Asker, Tensor
from visionport.inputs import preprocessing, snippets
from visionport.inputs.types import INPUT_TYPES
from visionport.prediction import Predictor, with_signature
from visionport.serving.messages import PACKAGE, message
from visionport.serving.repository import AVAILABLE, Model, Repository, Version

FILE, CLIP = "photo.jpg", "clip.gif"  # what is sent in examples
SIGNATURES = "signature_def"  # the one kind of metadata that there is


def status_message(versions: Sequence[Version]) -> Any:
    """A GetModelStatusResponse."""
    response = message("GetModelStatusResponse")()
    for version in versions:
        one = response.model_version_status.add(version=version.number)
        one.state = one.State.Value(version.state)
        one.status.error_code = 2 if version.error else 0  # UNKNOWN, OK
        one.status.error_message = public_error(version)
    return response


def public_error(version: Version) -> str:
    """What is wrong with a version, without where it lies: the server's own log says that."""
    return version.error and "The version cannot be loaded; the server's log says why."


def status_json(versions: Sequence[Version]) -> bytes:
    return to_json(status_message(versions))


def to_json(found) -> bytes:
    from google.protobuf import json_format

    text = json_format.MessageToJson(found, always_print_fields_with_no_presence=True, preserving_proto_field_name=True)
    return text.encode()


def signature_map(version: Version) -> Any:
    """A SignatureDefMap."""
    found = message("SignatureDefMap")()
    for name, definition in version.servable.definitions.items():
        found.signature_def[name].CopyFrom(definition)
    return found


def metadata_message(version: Version) -> Any:
    """A GetModelMetadataResponse."""
    response = message("GetModelMetadataResponse")()
    response.model_spec.name, response.model_spec.version.value = version.model, version.number
    packed = response.metadata[SIGNATURES]
    packed.type_url = f"type.googleapis.com/{PACKAGE}.SignatureDefMap"
    packed.value = signature_map(version).SerializeToString()
    return response


def metadata_json(version: Version) -> bytes:
    spec = {"name": version.model, "signature_name": "", "version": str(version.number)}
    content = {"model_spec": spec, "metadata": {SIGNATURES: json.loads(to_json(signature_map(version)))}}
    return json.dumps(content, indent=1).encode()


# ---------------------------------------------------------------- the list


def list_models(repository: Repository) -> dict[str, Any]:
    return {"models": [list_model(model) for _, model in sorted(repository.models.items())]}


def list_model(model: Model) -> dict[str, Any]:
    available = model.available()
    return {
        "name": model.config.name,
        "default_version": str(available[-1].number) if available else None,
        "labels": {label: str(number) for label, number in sorted(model.config.labels.items())},
        "versions": [list_version(v) for _, v in sorted(model.versions.items(), reverse=True)],
    }


def list_version(version: Version) -> dict[str, Any]:
    content = {"version": str(version.number), "state": version.state, "error": public_error(version)}
    if version.state != AVAILABLE:
        return content
    servable = version.servable
    predictor = servable.predictor
    asker = predictor.asker if predictor else None
    clips = asker is not None and hasattr(asker.task, "read")
    return content | {
        "format": servable.format,
        "title": servable.title,
        "task": asker and asker.task.name,
        "noun": asker and asker.task.noun,
        "asks": asker is not None and not clips,
        "why": "it takes clips" if clips else servable.why,
        "classes": {str(k): v for k, v in sorted(predictor.labels.items())} if predictor else None,
        "input": asker
        and {"type": asker.reading.type, "signature": asker.reading.signature, **list_tensor(asker.source)},
        "signatures": [
            {
                "name": name,
                "method_name": servable.definitions[name].method_name,
                "inputs": [list_tensor(t) for t in signature.inputs],
                "outputs": [list_tensor(t) for t in signature.outputs],
                "picture": tell_picture(predictor, name) if predictor else None,
            }
            for name, signature in servable.signatures.items()
        ],
    }


def tell_picture(predictor: Predictor, name: str) -> dict[str, Any] | None:
    """How a picture is put to a signature; None where nothing tells.

    python: lines that make `value` of a file, "" where that is not told; given: other inputs that they make too.
    """
    try:
        asker = with_signature(predictor, name)
        source, kind = asker.source, asker.reading.type
    except VisionportError:
        return None
    return {"input": source.name, "type": kind, "python": python_of(asker), "given": [*asker.reading.more]}


def python_of(asker: Asker) -> str:
    source, kind = asker.source, INPUT_TYPES.get(asker.reading.type)
    if kind is None:
        how = preprocessing.without_normalization(asker.how) if asker.reading.type == "pixels" else asker.how
        quantization = getattr(asker.runner, "quantization", {}).get(source.name)
        return snippets.network_lines(how, source.shape, source.dtype, quantization, FILE) if how else ""
    lines = kind.snippet.format(image=CLIP if kind.frames else FILE)
    return "\n".join([lines, *snippets.repeat_lines(asker.batch)])


def list_tensor(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)}
