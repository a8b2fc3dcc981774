"""Does a checkpoint fit a config? Answered from names and shapes, with a table of what does not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionport.errors import MismatchError


def fit(path: Path, config_path: Path, override: str = "") -> dict[str, Any]:
    """JSON-ready: fits, checkpoint, config, architecture, read (tensors), problems, warnings.

    Raises ConfigError, CheckpointError or UnsupportedError where the question cannot be asked.
    """
    from visionport.config import read_config

    config = read_config(config_path, override)
    from visionport.checkpoint.open import open_checkpoint
    from visionport.models.build import check

    checkpoint = open_checkpoint(path)
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


def problem_table(problems, most: int = 40):
    """Missing, wrongly shaped and unexpected tensors with the nearest names; dicts of params.Problem's fields."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("problem", "tensor", "wanted", "found", "nearest in the checkpoint"):
        table.add_column(title, overflow="fold")
    for p in problems[:most]:
        table.add_row(p["kind"], *(Text(p[k]) for k in ("name", "wanted", "found", "near")))
    more = [Text(f"and {len(problems) - most} more")] if len(problems) > most else []
    return Group(table, *more)
