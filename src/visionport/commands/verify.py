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
@click.option("--evaluate", type=Path, help="TFRecord of labelled pictures: mean average precision of each artifact.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(directory, images, evaluate, as_json):
    """Run every artifact of an export directory against the checkpoint in it."""
    from visionport import reverify
    from visionport.verification.checks import agree, record
    from visionport.verification.table import table

    checks, notes = reverify.verify_export(directory, images, evaluate)
    if as_json:
        print_json(record(checks))
    else:
        show(table(checks))
        for note in notes:
            click.echo(note)
    sys.exit(DONE if agree(checks) else DISAGREES)
