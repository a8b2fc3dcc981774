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
  visionport inspect ckpt-42 --json | jq .parameters"""
)
@click.argument("path", type=Path)
@click.option("--config", type=Path, help="Does the checkpoint fit this config? From names and shapes alone.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def inspect(path, config, config_override, as_json):
    """Say what a checkpoint holds, and whether it fits a config (exit status 0, or 1 with a table)."""
    from visionport import fit, inspection
    from visionport.checkpoint import open_checkpoint

    if config:
        fitted = fit.fit(path, config, config_override)
        print_json(fitted) if as_json else show(fit.render(fitted))
        sys.exit(DONE if fitted["fits"] else DISAGREES)
    description = inspection.describe_checkpoint(open_checkpoint(path))
    print_json(description) if as_json else show(inspection.render(description))
