"""How a format declares its options: fields of a dataclass, with what the command line says of them."""

import dataclasses
from typing import Any

HEADS = ("detections", "decoded", "raw")  # what a detector's artifact of another runtime gives, see formats/heads.py


def option(default: Any, help_: str, *, flag: str = "", choices: tuple[str, ...] = (), kind: Any = None, **shown: Any):
    """A field of an options dataclass that is an option of `visionport export` too.

    default: its value when it is not given; None: the config decides. flag: its name where that is not the field's.
    choices: the only values. kind: a type of click or of Python. shown: more for click (metavar, show_default).
    """
    told = {"help": help_, "flag": flag, "choices": choices, "kind": kind, "shown": shown}
    return dataclasses.field(default=default, metadata=told)


def flag_of(field: dataclasses.Field) -> str:
    """--tflite-nms; of a pair such as --verify/--no-verify the one that is not the default."""
    given = field.metadata.get("flag") or f"--{field.name.replace('_', '-')}"
    yes, _, no = given.partition("/")
    return no if no and field.default else yes


def changed(part: type, options: Any) -> list[str]:
    """The flags of the fields that `part` declares whose values in `options` are not the default ones."""
    return [flag_of(f) for f in declared(part) if getattr(options, f.name) != f.default]


def declared(part: type) -> list[dataclasses.Field]:
    """The fields of a format's options dataclass."""
    return list(dataclasses.fields(part))
