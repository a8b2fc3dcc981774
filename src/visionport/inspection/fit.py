"""Does a checkpoint fit a config? Answered from names and shapes, with a table of what does not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.errors import MismatchError
from visionport.terminal import one_line

MOST = 40  # rows of a table
ENDING = "/.ATTRIBUTES/VARIABLE_VALUE"  # of every key of a TF2 checkpoint
NAME = 34  # characters of a name in a short table
WITHOUT_KEY = re.compile(r"^(\[[^\]]*\]|\w+) .*")  # a shape or dtype, and the key behind it


def fit_config(checkpoint_path: Path, /, **request: Any) -> dict[str, Any]:
    """JSON-ready: fits, checkpoint, config, architecture, read (tensors), problems, warnings.

    request: what `read_config` takes.

    Raises ConfigError, CheckpointError or UnsupportedError where the question cannot be asked.
    """
    from visionport.config import read_config

    config = read_config(**request)
    from visionport.checkpoint.open import open_checkpoint
    from visionport.models.build import check

    checkpoint = open_checkpoint(checkpoint_path)
    read, problems, notes = 0, (), []
    try:
        params = check(config, checkpoint)
        read, notes = len(params.keys), params.notes
    except MismatchError as e:
        problems = e.problems
    return {
        "fits": not problems,
        "checkpoint": str(checkpoint.prefix),
        "config": str(config.path),
        "architecture": config.architecture,
        "read": read,
        "problems": [vars(p) for p in problems],
        "warnings": [*config.warnings, *checkpoint.warnings, *notes],
    }


def render(fitted: Mapping[str, Any]):
    """What `fit` gave, as a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(f"Note: {w}", style="yellow") for w in fitted["warnings"]]
    who = f"{fitted['checkpoint']} and {fitted['config']} ({fitted['architecture']})"
    if fitted["fits"]:
        return Group(*parts, Text(f"They fit: {who}, {fitted['read']} tensors, none missing or unexpected."))
    return Group(*parts, Text(f"They do not fit: {who}."), problem_table(fitted["problems"]))


def problem_table(problems):
    """Missing, wrongly shaped and unexpected tensors with the nearest names; dicts of params.Problem's fields.

    A tensor's name has a line of its own, which is never folded; what was wanted and found stands below it.
    """
    from rich.console import Group
    from rich.text import Text

    lines = [Text("problem      tensor, and below it what was wanted, found, and is nearest in it", style="bold")]
    for p in map(in_lines, problems[:MOST]):
        lines.append(Text(f"{p['kind']:<12} {p['name']}", no_wrap=True, overflow="ignore"))
        told = [f"{word} {p[key]}" for word, key in (("wanted", "wanted"), ("found", "found")) if p[key]]
        if told:
            lines.append(Text(f"{'':12} {', '.join(told)}", no_wrap=True, overflow="ignore"))
        if p["near"]:
            lines.append(Text(f"{'':12} nearest {p['near']}", style="dim", no_wrap=True, overflow="ignore"))
    lines += [Text(f"and {len(problems) - MOST} more")] if len(problems) > MOST else []
    return Group(*lines)


def short_table(problems, most: int):
    """The first of them, each on a line of 80 columns: the ends of names, and no keys."""
    from rich.text import Text

    table = new_table("problem", "tensor", "wanted", "found")
    for p in map(in_lines, problems[:most]):
        name, found = p["name"].removesuffix(ENDING), WITHOUT_KEY.sub(r"\1", p["found"])
        shown = name if len(name) <= NAME else f"...{name[3 - NAME :]}"
        table.add_row(p["kind"], *map(Text, (shown, p["wanted"], found)))
    return with_rest(table, len(problems) - most)


def in_lines(problem: Mapping[str, str]) -> dict[str, str]:
    """Its texts, a line each."""
    return {key: one_line(text) for key, text in problem.items()}


def new_table(*titles: str):
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def with_rest(table, rest: int):
    from rich.console import Group
    from rich.text import Text

    return Group(table, *([Text(f"and {rest} more")] if rest > 0 else []))
