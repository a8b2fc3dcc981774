"""`visionport demo`."""

from pathlib import Path

import click

from visionport.commands.common import quiet
from visionport.commands.export import run_export


@click.command(epilog="Examples: visionport demo --out digits; visionport demo --model tf1")
@click.option(
    "--model",
    type=click.Choice(("tf2", "tf1")),
    default="tf2",
    show_default=True,
    help="tf2: SSD MobileNetV2 FPN, a TF2 checkpoint. tf1: SSD MobileNetV1, a TF1 one with moving averages.",
)
@click.option("--out", type=Path, default=Path("visionport-demo"), show_default=True, help="Where to write it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@quiet
def demo(model, out, overwrite, quiet):
    """Export a bundled digits detector to every format, verify, draw and report."""
    from visionport import demo as demonstration

    demonstration.run(
        out, model=model, overwrite=overwrite, run_export=lambda options: run_export(options, quiet, not quiet)
    )
