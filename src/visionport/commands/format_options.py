"""The formats' own options as click's, made from what each format declares (formats/options.py)."""

import dataclasses
from collections.abc import Callable, Iterator

import click

from visionport.commands.common import Listed
from visionport.formats.options import declared
from visionport.options import PARTS


def fields() -> Iterator[dataclasses.Field]:
    """Every option that a format declares, the formats in their order."""
    for part in PARTS:
        yield from declared(part)


def list_fields() -> list[str]:
    """Those that hold several values, with commas between or repeated."""
    return [f.name for f in fields() if f.metadata["kind"] == "list"]


def format_options(function: Callable) -> Callable:
    """Adds them to a command."""
    for field in reversed([*fields()]):
        function = make_option(field)(function)
    return function


def make_option(field: dataclasses.Field) -> Callable:
    told = field.metadata
    name = told["flag"] or f"--{field.name.replace('_', '-')}"
    how = {"help": told["help"], **told["shown"]}
    if told["kind"] == "list":
        return click.option(name, field.name, type=Listed(), multiple=True, **how)
    if told["choices"]:
        how["type"] = click.Choice(told["choices"])
    elif told["kind"]:
        how["type"] = told["kind"]
    elif "/" not in name:
        how["is_flag"] = True
    shown = field.default is not None and field.default is not False
    return click.option(name, field.name, default=field.default, show_default=shown, **how)
