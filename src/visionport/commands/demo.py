"""`visionport demo`."""

from pathlib import Path

import click

from visionport.commands.common import quiet
from visionport.commands.export import run_export


@click.command(epilog="Example: visionport demo --out digits")
@click.option("--out", type=Path, default=Path("visionport-demo"), show_default=True, help="Where to write it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@quiet
def demo(out, overwrite, quiet):
    """Export the bundled digits detector to every format, verify, draw and report."""
    from visionport import demo as demonstration

    demonstration.run(out, overwrite=overwrite, run_export=lambda options: run_export(options, quiet, not quiet))
