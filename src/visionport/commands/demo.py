"""`visionport demo`."""

from pathlib import Path

import click

from visionport.commands.common import Command, quiet
from visionport.commands.export import run_export
from visionport.demo import DEMOS


@click.command(cls=Command, epilog="Examples: visionport demo --out digits; visionport demo --model segmenter")
@click.option(
    "--model",
    type=click.Choice(tuple(DEMOS)),
    default="tf2",
    show_default=True,
    help=f"{'; '.join(f'{name}: {demo.says}' for name, demo in DEMOS.items())}.",
)
@click.option("-o", "--out", type=Path, default=Path("visionport-demo"), show_default=True, help="Where to write it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@quiet
def demo(model, out, overwrite, quiet):
    """Export a bundled digits model to every format, verify, draw and report."""
    from visionport import demo as demonstration

    demonstration.run(
        out, model=model, overwrite=overwrite, run_export=lambda options: run_export(options, quiet, not quiet)
    )
