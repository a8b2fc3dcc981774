"""Artifact formats: a module each, which writes an artifact and opens it again. See base.py for what a format is."""

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from visionport.errors import InputError, OptionError, nearest

if TYPE_CHECKING:
    from visionport.formats.base import Format

# Format -> the module that holds it, as FORMAT.
FORMATS = {
    "saved_model": "visionport.formats.saved_model",
    "frozen_graph": "visionport.formats.frozen_graph",
    "tflite": "visionport.formats.tflite.format",
    "onnx": "visionport.formats.onnx.format",
    "openvino": "visionport.formats.openvino.format",
    "tfjs": "visionport.formats.tfjs.format",
    "opencv": "visionport.formats.opencv",
}
BASIC = ("saved_model", "frozen_graph", "tflite")  # which need no extra
BY_OPTION = {"opencv": "--opencv"}  # asked for by an option of their own, beside the format that they need


def asked_for() -> list[str]:
    """What --format takes."""
    return [name for name in FORMATS if name not in BY_OPTION]


def format_of(name: str) -> "Format":
    """The format of that name; raises InputError for an unknown one."""
    if name not in FORMATS:
        raise InputError(f"the format {name!r} is not known{nearest(name, FORMATS)}. Known: {', '.join(FORMATS)}.")
    return importlib.import_module(FORMATS[name]).FORMAT


def check_names(names: Sequence[str]) -> None:
    """Raises OptionError for what --format does not take."""
    for name in names:
        if name in BY_OPTION:
            raise OptionError(f"--format {name}: it stands beside another artifact. Add {BY_OPTION[name]} instead.")
        if name not in FORMATS:
            known = asked_for()
            raise OptionError(f"--format {name!r} is unknown{nearest(name, known)}. One of: {', '.join(known)}.")
    if not names:
        raise OptionError(f"--format is empty. One or more of: {', '.join(asked_for())}.")
