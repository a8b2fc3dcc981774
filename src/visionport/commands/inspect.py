"""`visionport inspect`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, DONE, print_json, show


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
    from visionport.inspection.inspect import inspect as look

    found = look(path, config=config, config_override=config_override)
    print_json(found.facts) if as_json else show(found.render(found.facts))
    if config:
        sys.exit(DONE if found["fits"] else DISAGREES)
