"""The command line that makes an export again, from the options in its manifest."""

import shlex
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from visionport.formats.options import flag_of
from visionport.options import Options

# Fields that the command line calls otherwise: one value an option, repeated.
FLAGS = {
    "formats": "--format",
    "inputs": "--input",
    "images": "--image",
    "config_files": "--config-file",
    "side_inputs": "--side-input",
    "verify": "--no-verify",
}


def command_of(options: Mapping[str, Any], out: str = "exported") -> str:
    """What to type in the same folder. options: a manifest's. The target is not in them, so that it is `out`."""
    given = [text for field in fields(Options) for text in option_texts(field, options)]
    return " ".join(["visionport export", *given, f"--out {out}"])


def option_texts(field: Field, options: Mapping[str, Any]) -> list[str]:
    """--format saved_model,tflite; nothing for what has its default value."""
    name = field.name
    if name in ("out", "overwrite", "merge") or name not in options:
        return []
    value, default = options[name], None if field.default is MISSING else field.default
    if value == (list(default) if isinstance(default, tuple) else default):
        return []
    flag = FLAGS.get(name) or flag_of(field)
    if isinstance(value, bool):
        return [flag]
    if name in ("formats", "inputs"):
        return [f"{flag} {','.join(value)}"]
    if name == "image_size":
        return [f"{flag} {','.join(map(str, value))}"]
    values = value if isinstance(value, list) else [value]
    return [f"{flag} {shlex.quote(str(v))}" for v in values]
