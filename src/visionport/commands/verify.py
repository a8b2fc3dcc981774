"""`visionport verify`."""

import sys
from pathlib import Path

import click

from visionport.apart import go_apart
from visionport.commands.common import (
    DISAGREES,
    DONE,
    Command,
    allow_unsafe_ops,
    print_json,
    quiet,
    show,
    show_checks,
    stages,
    verbose,
)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport verify exported
  visionport verify exported --image street.jpg
  visionport verify exported --evaluate val.tfrecord --report today.html""",
)
@click.argument("directory", type=Path)
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to verify on; repeatable. Default: bundled ones."
)
@click.option("--evaluate", type=Path, help="Labelled pictures, a TFRecord: how good each artifact is.")
@click.option(
    "--report",
    type=Path,
    help="Write the report of this verification there: with its date, and what a picture takes on this machine.",
)
@click.option("--overwrite", is_flag=True, help="Replace that file.")
@allow_unsafe_ops
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@quiet
@verbose
def verify(directory, images, evaluate, report, overwrite, allow_unsafe_ops, as_json, quiet, verbose):
    """Run every artifact of an export directory against the checkpoint in it."""
    go_apart(report)
    from visionport import reverify
    from visionport.progress import time_text
    from visionport.verification.checks import record
    from visionport.verification.table import verdict_line

    progress = stages(quiet=quiet or as_json, verbose=verbose, lasting=verbose)
    how = {"report": report, "overwrite": overwrite, "allow_unsafe_ops": allow_unsafe_ops, "progress": progress}
    found = reverify.verify(directory, images, evaluate=evaluate, **how)
    if as_json:
        print_json(record(found.checks))
    elif not quiet:
        show_checks(found.checks)
        for name, took in found.seconds.items():
            click.echo(f"{name}: {time_text(took)} a picture here")
        for note in found.notes:
            show(note)
        if report:
            click.echo(f"{report} is written.")
        show(verdict_line(found.verdict))
    sys.exit(DONE if found.agrees else DISAGREES)
