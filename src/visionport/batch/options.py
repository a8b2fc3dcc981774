"""Beam's own options on our command line: known by Beam's parser, so that a word typed wrong is told."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from visionport.batch.local import LOCAL
from visionport.errors import InputError, OptionError, nearest


def split(tokens: Sequence[str], ours: Iterable[str]) -> tuple[list[str], dict[str, Any]]:
    """(inputs, Beam's options by name) of what no option of ours took. ours: the names of these, for errors.

    To a runner that is named goes an option of its own too, as --NAME=VALUE: Flink's and Spark's job servers have some.
    """
    parser = beam_parser()
    try:
        found, rest = parser.parse_known_args(list(tokens))
    except argparse.ArgumentError as e:
        raise OptionError(f"{e}. It is an option of Apache Beam.") from None
    options = vars(found)
    for token in [t for t in rest if t.startswith("-")]:
        name, given, value = token.partition("=")
        if given and name.startswith("--") and options.get("runner") not in (None, *LOCAL):
            options[name[2:]] = value
            rest.remove(token)
        else:
            known = [*ours, *(o for a in parser._actions for o in a.option_strings)]
            raise OptionError(f"no such option: {name}, of visionport batch or Apache Beam{nearest(name, known)}.")
    if not rest:
        raise InputError("name what is to be answered: files, folders, patterns or @LIST.")
    return rest, options


def pipeline_options(options: Mapping[str, Any]) -> Any:
    """Beam's PipelineOptions; what Beam itself does not know goes to the runner as it is."""
    from apache_beam.options.pipeline_options import PipelineOptions  # pyright: ignore[reportMissingImports]

    known = {action.dest for action in beam_parser()._actions}
    flags = [f"--{name}={value}" for name, value in options.items() if name not in known]
    return PipelineOptions(flags, **{name: value for name, value in options.items() if name in known})


def beam_parser() -> argparse.ArgumentParser:
    """Of all options that Beam and its runners know; what is not given is not in the result."""
    from apache_beam.options import pipeline_options  # pyright: ignore[reportMissingImports]

    parser = Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS, conflict_handler="resolve")
    for cls in all_subclasses(pipeline_options.PipelineOptions):
        if "_add_argparse_args" in vars(cls):
            cls._add_argparse_args(parser)
    for action in parser._actions:
        action.default, action.required = argparse.SUPPRESS, False
    return parser


class Parser(argparse.ArgumentParser):
    """Raises instead of ending the process."""

    def error(self, message: str):
        raise OptionError(f"{message}. It is an option of Apache Beam.")


def all_subclasses(cls: type) -> list[Any]:
    found = [s for c in cls.__subclasses__() for s in (c, *all_subclasses(c))]
    return list(dict.fromkeys(found))
