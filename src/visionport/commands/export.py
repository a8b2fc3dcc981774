"""`visionport export`."""

import sys
from pathlib import Path

import click
from click.core import ParameterSource

from visionport.checkpoint.selection import Selection
from visionport.commands.common import DISAGREES, Batch, Listed, Pair, flat, quiet, show, unique, verbose
from visionport.commands.format_options import format_options, list_fields
from visionport.errors import OptionError
from visionport.options import FORMATS, Options


@click.command(
    epilog="""\b
Examples:
  visionport export --config pipeline.config --checkpoint training/ --out exported
  visionport export --config pipeline.config --checkpoint ckpt-42 --out exported \\
      --format saved_model,frozen_graph,tflite --input image_tensor,encoded_image_string_tensor
  visionport export --config pipeline.config --checkpoint ckpt-42.index --out exported \\
      --config-override 'model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0.3 } } } }'
  visionport export --meta model.ckpt-42.meta --inputs image --outputs scores --out exported"""
)
@click.option("--config", type=Path, help="pipeline.config, or a folder that holds one. Required without --meta.")
@click.option(
    "--checkpoint", type=Path, help="Prefix, .index file or directory; a SavedModel of ours. Required without --meta."
)
@click.option("--out", type=Path, help="Export directory, made new. Required.")
@click.option(
    "--format",
    "formats",
    type=Listed(),
    multiple=True,
    default=[("saved_model",)],
    help=f"Of {', '.join(FORMATS)}; several from one build. Default: saved_model.",
)
@click.option(
    "--input",
    "inputs",
    type=Listed(),
    multiple=True,
    default=[("image_tensor",)],
    help="Of image_tensor, float_image_tensor, encoded_image_string_tensor, tf_example, and for DeepMAC "
    "image_and_boxes_tensor: a signature each, the first is "
    "serving_default. Default: image_tensor.",
)
@click.option(
    "--meta",
    type=Path,
    help="Instead of --config: the .meta of any TF1 checkpoint, which becomes a SavedModel with variables.",
)
@click.option(
    "--inputs", "sources", type=Listed(), multiple=True, help="With --meta: nodes to feed. Default: its signature's."
)
@click.option(
    "--outputs", "ends", type=Listed(), multiple=True, help="With --meta: nodes to give. Default: its signature's."
)
@click.option("--image-size", type=Pair(), help="Height and width of the images to come. Default: any.")
@click.option("--batch", type=Batch(), default="dynamic", show_default=True, help="Images in a batch.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option("--labels", type=Path, help="Label map. Default: the config's, or one beside it.")
@click.option("--keypoint-label-map", type=Path, help="Label map with a CenterNet's keypoints. Default: the config's.")
@click.option(
    "--side-input",
    "side_inputs",
    multiple=True,
    metavar="NAME:DTYPE:SHAPE",
    help="Shape of an input besides the image, as Context R-CNN's: context_features:float32:1,2000,2057, -1 for any. "
    "Default: the config's, any batch. Repeatable.",
)
@click.option(
    "--freeze", multiple=True, metavar="REGEX", help="Variables whose names match become constants; repeatable."
)
@click.option(
    "--keep",
    multiple=True,
    metavar="REGEX",
    help="Variables whose names match stay; without --freeze all others become constants. Repeatable.",
)
@format_options
@click.option("--verify/--no-verify", default=True, show_default=True, help="Run each artifact against the checkpoint.")
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to verify on; repeatable. Default: bundled ones."
)
@click.option(
    "--evaluate",
    type=Path,
    help="Labelled pictures, a TFRecord: how good checkpoint and artifacts are, for a detector mean average precision.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@click.option("--merge", is_flag=True, help="Put it into a directory of other files, and overwrite none of them.")
@quiet
@verbose
def export(formats, inputs, meta, sources, ends, quiet, verbose, **rest):
    """Write a checkpoint's artifacts, and verify them."""
    if (sources or ends) and not meta:
        raise OptionError("--inputs and --outputs name nodes of a graph given by --meta. An input type is --input.")
    for name in ("out",) if meta else ("config", "checkpoint", "out"):
        if not rest[name]:
            raise click.UsageError(f"Missing option '--{name}'.")
    if meta:
        export_meta(meta, flat(sources), flat(ends), quiet, rest)
        return
    lists = {"formats": formats, "inputs": inputs} | {name: rest.pop(name) for name in list_fields()}
    run_export(Options(**{k: unique(flat(v)) for k, v in lists.items()}, **rest), quiet, verbose)


def export_meta(meta: Path, inputs, outputs, quiet: bool, rest) -> None:
    """`--meta`: a SavedModel with variables of any TF1 graph."""
    from visionport.graph import unfreeze
    from visionport.graph.freeze import GraphRequest

    context = click.get_current_context()
    given = [n for n in context.params if context.get_parameter_source(n) is not ParameterSource.DEFAULT]
    wrong = [p.opts[0] for p in context.command.params if p.name in given and p.name not in FOR_META]
    if wrong:
        raise OptionError(f"{', '.join(wrong)}: not for --meta, which takes a graph as it is. Leave it out.")
    selection = Selection(freeze=rest["freeze"], keep=rest["keep"])
    selection.check()
    request = GraphRequest(source=meta, checkpoint=rest["checkpoint"], inputs=inputs, outputs=outputs)
    count = unfreeze.export_meta(request, rest["out"], selection=selection)
    if not quiet:
        print(f"{rest['out'] / unfreeze.NAME}  {count} variables")


FOR_META = ("meta", "checkpoint", "out", "sources", "ends", "freeze", "keep", "quiet", "verbose")


def run_export(options: Options, quiet: bool, verbose: bool, extras=()):
    from visionport import exporter
    from visionport.progress import Progress, Stages, size_of

    show_stages = not quiet and (verbose or sys.stderr.isatty())
    result = exporter.export(options, Stages() if show_stages else Progress(), extras)
    if not quiet:
        for artifact in result.artifacts:
            print(f"{result.out / artifact.path}  {artifact.size / 1e6:.1f} MB, written in {artifact.seconds:.1f} s")
        if result.checks:
            from visionport.verification.table import table

            show(table(result.checks))
        for note in result.notes:
            print(note)
        print(f"{result.out / 'report.html'}  {size_of(result.out / 'report.html') / 1e6:.1f} MB")
    if not result.agrees:
        print("An artifact disagrees with its checkpoint: see the table above and verify.json.", file=sys.stderr)
        sys.exit(DISAGREES)
