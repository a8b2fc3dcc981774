"""`visionport inspect`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, DONE, print_json, show
from visionport.errors import OptionError


@click.command(
    epilog="""\b
Examples:
  visionport inspect training/
  visionport inspect ckpt-42.index --config pipeline.config
  visionport inspect ckpt-42 --json | jq .parameters
  visionport inspect model.tflite
  visionport inspect exported/saved_model"""
)
@click.argument("path", type=Path)
@click.option("--config", type=Path, help="Does the checkpoint fit this config? From names and shapes alone.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def inspect(path, config, config_override, as_json):
    """Say what a checkpoint, a TFLite file, a SavedModel or a graph holds.

    With --config: whether the checkpoint fits it (exit status 0, or 1 with a table).
    """
    from visionport.checkpoint.open import open_checkpoint
    from visionport.inspection import checkpoint as inspection
    from visionport.inspection import fit

    kind = kind_of(path)
    if kind and (config or config_override):
        raise OptionError(f"--config is for checkpoints, and {path} is a {kind}. Leave it out.")
    if kind:
        show_artifact(path, kind, as_json)
        return
    if config:
        fitted = fit.fit(path, config, config_override)
        print_json(fitted) if as_json else show(fit.render(fitted))
        sys.exit(DONE if fitted["fits"] else DISAGREES)
    description = inspection.describe_checkpoint(open_checkpoint(path))
    print_json(description) if as_json else show(inspection.render(description))


def kind_of(path: Path) -> str:
    """What an artifact is; "" for a checkpoint."""
    from visionport.graph.freeze import SAVED_MODEL

    if path.suffix == ".tflite" and path.is_file():
        return "TFLite file"
    if path.name in SAVED_MODEL or any((path / name).is_file() for name in SAVED_MODEL):
        return "SavedModel"
    if path.is_file():
        with path.open("rb") as file:
            if file.read(8)[4:] == b"TFL3":
                return "TFLite file"
    return "graph" if path.suffix in (".pb", ".pbtxt", ".meta") and path.is_file() else ""


def show_artifact(path: Path, kind: str, as_json: bool) -> None:
    from visionport.inspection import graph as inspection_graph
    from visionport.inspection import tflite as inspection_tflite
    from visionport.tflite import contents

    if kind == "TFLite file":
        found = contents.describe(path)
        print_json(found) if as_json else show(inspection_tflite.render(found))
    else:
        found = inspection_graph.describe(path)
        print_json(found) if as_json else show(inspection_graph.render(found))
