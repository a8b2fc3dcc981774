"""`visionport verify`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, DONE, print_json, show


@click.command(
    epilog="""\b
Examples:
  visionport verify exported
  visionport verify exported --image street.jpg
  visionport verify exported --evaluate val.tfrecord"""
)
@click.argument("directory", type=Path)
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to verify on; repeatable. Default: bundled ones."
)
@click.option("--evaluate", type=Path, help="Labelled pictures, a TFRecord: how good each artifact is.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(directory, images, evaluate, as_json):
    """Run every artifact of an export directory against the checkpoint in it."""
    from visionport import reverify
    from visionport.verification.checks import record
    from visionport.verification.table import table

    found = reverify.verify(directory, images, evaluate=evaluate)
    if as_json:
        print_json(record(found.checks))
    else:
        show(table(found.checks))
        for note in found.notes:
            click.echo(note)
    sys.exit(DONE if found.agrees else DISAGREES)
