"""tf.Examples of a request that classifies or regresses: from JSON, and with the context that they share.

Reference: json_tensor.cc of TensorFlow Serving.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from visionport.serving.json_tensors import decode_binary, is_binary, shown, type_name
from visionport.serving.messages import message
from visionport.serving.statuses import invalid

KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_input(request: Mapping[str, Any]) -> Any:
    """The Input of a request's `examples` and `context`."""
    made = message("Input")()
    context = "context" in request
    if context:
        _fill(request["context"], made.example_list_with_context.context)
    if "examples" not in request:
        raise invalid(
            f"JSON Value: {shown(request)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = request["examples"]
    if not isinstance(examples, list):
        raise invalid(f"JSON Value: {shown(request)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid(f"JSON Value: {shown(request)} 'examples' value is an empty array")
    target = made.example_list_with_context if context else made.example_list
    for example in examples:
        _fill(example, target.examples.add())
    return made


def _fill(value: Any, example) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        for item in _items(content):
            _add(name, item, feature)


def _items(content: Any) -> list:
    if isinstance(content, np.ndarray):
        return content.tolist()
    return content if isinstance(content, list) else [content]


def _add(name: str, value: Any, feature) -> None:
    """Adds a value to a feature, all of whose values are of one kind."""
    if isinstance(value, (bool, int)):
        kind, value = "int64_list", int(value)
        if value >= 1 << 63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        if value < -(1 << 63):
            raise invalid(f"Feature: {name} has an element below int64.")
    elif isinstance(value, float):
        kind = "float_list"
    elif isinstance(value, str):
        kind, value = "bytes_list", value.encode("utf-8", "surrogatepass")
    elif is_binary(value):
        kind, value = "bytes_list", decode_binary(value)
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    if feature.WhichOneof("kind") not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {KINDS[feature.WhichOneof('kind')]}")
    with np.errstate(all="ignore"):
        getattr(feature, kind).value.append(float(np.float32(value)) if kind == "float_list" else value)


def serialize(given) -> list[bytes]:
    """Each example of an Input with the context's features, as a model parses it."""
    kind = given.WhichOneof("kind")
    if kind is None:
        raise invalid("Input is empty.")
    found = getattr(given, kind)
    if kind == "example_list":
        return [e.SerializeToString() for e in found.examples]
    merged = []
    for example in found.examples:
        both = message("tensorflow.Example")()
        both.CopyFrom(found.context)
        both.MergeFrom(example)
        merged.append(both.SerializeToString())
    return merged
