"""`visionport inspect`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, DONE, Command, Pair, print_json, show, stages


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport inspect training/
  visionport inspect ckpt-42.index --config pipeline.config
  visionport inspect ckpt-42 --experiment resnet_imagenet
  visionport inspect ckpt-42 --json | jq .parameters
  visionport inspect model.tflite
  visionport inspect model.onnx
  visionport inspect exported/saved_model""",
)
@click.argument("path", type=Path)
@click.option("--config", type=Path, help="Does the checkpoint fit this config? From names and shapes alone.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option("--experiment", metavar="NAME", help="Does it fit this experiment of Official Vision?")
@click.option("--config-file", "config_files", type=Path, multiple=True, help="YAML over the experiment's; repeatable.")
@click.option("--params-override", multiple=True, metavar="TEXT", help="As of export.")
@click.option("--image-size", type=Pair(), help="Height and width of Official Vision's network. Default: the config's.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def inspect(path, as_json, **how):
    """Say what a checkpoint, a TFLite or ONNX file, an OpenVINO model, a SavedModel or a graph holds.

    With --config or --experiment: whether the checkpoint fits it (exit status 0, or 1 with a table).
    """
    from visionport.inspection.inspect import inspect as look

    with stages(quiet=as_json, lasting=False).stage(f"read {path}"):
        found = look(path, **how)
    print_json(found.facts) if as_json else show(found.render(found.facts))
    if "fits" in found.facts:
        sys.exit(DONE if found["fits"] else DISAGREES)
