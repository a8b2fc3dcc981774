"""What a model tells of itself in its rt_info: to us, and as the Model API and Deep Learning Streamer read it."""

import json
from collections.abc import Mapping
from typing import Any

from visionport.formats.openvino.ir import Network
from visionport.formats.record import record

SECTION, OURS, RECORD = "model_info", "visionport", "record"
# Task -> the Model API's reader of its outputs as they are.
TYPES = {"classification": "Classification"}


def describe(network, model, reading, kind: str = "") -> None:
    """Writes a network's rt_info: how it is asked; its kind, and its labels, where they are known.

    Pixels go in as they are: what fits and normalises them is in the network. kind: the Model API's reader of outputs
    that are arranged for it.
    """
    told = record(model, reading)
    info = {"resize_type": "standard", "reverse_input_channels": "False"}
    if kind := kind or TYPES.get(model.config.task, ""):
        info["model_type"] = kind
    if told["labels"]:  # a name is a word there
        info["labels"] = " ".join("_".join(line.split()) for line in told["labels"])
    for name, value in sorted(info.items()):
        network.set_rt_info(value, [SECTION, name])
    network.set_rt_info(json.dumps(told, ensure_ascii=False, sort_keys=True), [OURS, RECORD])


def read_record(network: Network) -> Mapping[str, Any] | None:
    """What `describe` wrote of how the model is asked; None where nothing did."""
    text = network.facts.get(f"{OURS}/{RECORD}")
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
