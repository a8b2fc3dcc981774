"""`visionport export`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from visionport.apart import go_apart
from visionport.checkpoint.selection import Selection
from visionport.commands.common import (
    DISAGREES,
    Batch,
    Command,
    Listed,
    Pair,
    flat,
    print_json,
    quiet,
    set_option,
    show,
    show_checks,
    stages,
    unique,
    verbose,
)
from visionport.commands.format_options import format_options, list_fields
from visionport.errors import OptionError
from visionport.options import FORMATS, Options


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport export training/
  visionport export --config pipeline.config --checkpoint training/ \\
      --out exported
  visionport export --config pipeline.config --checkpoint ckpt-42 \\
      --out exported --format saved_model,frozen_graph,tflite \\
      --input image_tensor,encoded_image_string_tensor
  visionport export training/ --out exported --score-threshold 0.3
  visionport export --experiment resnet_imagenet --config-file run.yaml \\
      --checkpoint ckpt-42 --out exported
  visionport export --meta model.ckpt-42.meta --inputs image \\
      --outputs scores --out exported""",
)
@click.argument("folder", type=Path, required=False)
@click.option(
    "--config",
    type=Path,
    help="pipeline.config, or a params.yaml of Official Vision; or a folder that holds one. Required without "
    "--experiment and --meta.",
)
@click.option("--experiment", metavar="NAME", help="Experiment of Official Vision. Default: told by its params.yaml.")
@click.option(
    "--config-file",
    "config_files",
    type=Path,
    multiple=True,
    help="YAML laid over the experiment's defaults; repeatable, in order.",
)
@click.option(
    "--params-override",
    multiple=True,
    metavar="TEXT",
    help="YAML or JSON text, a.b=c,d.e=f, or a file, laid over those; repeatable.",
)
@click.option(
    "--checkpoint", type=Path, help="Prefix, .index file or directory; a SavedModel of ours. Required without --meta."
)
@click.option("--ema", is_flag=True, help="Take the averages of the weights that Official Vision's trainer keeps.")
@click.option("-o", "--out", type=Path, help="Export directory, made new. Required.")
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
    "image_and_boxes_tensor; for Official Vision of image_tensor, image_bytes, tf_example, serve_examples, tflite: a "
    "signature each, the first is serving_default; TYPE:NAME gives it another name. Default: image_tensor.",
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
@set_option
@click.option("--input-name", default="", help="Name of the signatures' image input. Default: the reference's.")
@click.option(
    "--image-size",
    type=Pair(),
    help="Height and width of the images to come. Default: any. For Official Vision: of the network's input. Default: "
    "the config's.",
)
@click.option("--batch", type=Batch(), default="dynamic", show_default=True, help="Images in a batch.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option(
    "--score-threshold",
    type=float,
    metavar="X",
    help="Leave out detections whose score is not above X, before NMS, in every format. Default: the config's.",
)
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
@click.option("--flops", is_flag=True, help="Count float operations and parameters: model_flops.txt, model_params.txt.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Run each artifact against the checkpoint.")
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to verify on; repeatable. Default: bundled ones."
)
@click.option(
    "--evaluate",
    type=Path,
    help="Labelled pictures, a TFRecord: how good checkpoint and artifacts are, for a detector mean average precision.",
)
@click.option(
    "--timed",
    is_flag=True,
    help="Put the date and what a picture takes here into report.html, which then differs from run to run.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@click.option("--merge", is_flag=True, help="Put it into a directory of other files, and overwrite none of them.")
@click.option(
    "--allow-unsafe-ops",
    is_flag=True,
    help="With --meta: run ops that read files or do something else outside of the graph. Only for what you trust.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done for programs.")
@quiet
@verbose
def export(folder, formats, inputs, meta, sources, ends, constants, allow_unsafe_ops, as_json, quiet, verbose, **rest):
    """Write a checkpoint's artifacts, and verify them.

    FOLDER holds the checkpoint and its config, and the labels if they are known: it stands for --config and
    --checkpoint, and the export goes to ./exported without --out.
    """
    from visionport.graph.decide import parse_constants

    if constants and not meta:
        raise OptionError("--set fixes inputs of a graph given by --meta. Leave it out.")
    if allow_unsafe_ops and not meta:
        raise OptionError("--allow-unsafe-ops is for a graph given by --meta. Leave it out.")
    if (sources or ends) and not meta:
        raise OptionError("--inputs and --outputs name nodes of a graph given by --meta. An input type is --input.")
    if folder:
        rest = in_folder(folder, rest, meta)
    official = rest["experiment"] or rest["config_files"]
    for name in ("out",) if meta else ("checkpoint", "out") if official else ("config", "checkpoint", "out"):
        if not rest[name]:
            raise click.UsageError(f"Missing option '--{name}'.")
    if meta:
        graph = {"inputs": flat(sources), "outputs": flat(ends), "constants": parse_constants(constants)}
        export_meta(meta, graph | {"allow_unsafe_ops": allow_unsafe_ops}, quiet, rest)
        return
    lists = {"formats": formats, "inputs": inputs} | {name: rest.pop(name) for name in list_fields()}
    run_export(Options(**{k: unique(flat(v)) for k, v in lists.items()}, **rest), quiet, verbose, as_json=as_json)


def in_folder(folder: Path, given, meta) -> dict:
    """The options with what a training folder holds, in place of those that are not given."""
    if meta or not folder.exists():
        why = "it is not for --meta, which names the graph" if meta else "no such folder"
        raise OptionError(f"FOLDER {folder}: {why}.")
    if not folder.is_dir():
        raise OptionError(f"FOLDER {folder} is a file: name the folder that it is in, or --config and --checkpoint.")
    official = given["experiment"] or given["config_files"]
    found = {"config": None if official else folder, "checkpoint": folder, "out": Path("exported")}
    return {**given, **{name: given[name] or value for name, value in found.items()}}


def export_meta(meta: Path, graph: Mapping[str, Any], quiet: bool, rest) -> None:
    """`--meta`: a SavedModel with variables of any TF1 graph. graph: a GraphRequest's arguments."""
    go_apart(rest["out"])
    from visionport.graph import unfreeze
    from visionport.graph.freeze import GraphRequest

    context = click.get_current_context()
    given = [n for n in context.params if context.get_parameter_source(n) is not ParameterSource.DEFAULT]
    wrong = [p.opts[0] for p in context.command.params if p.name in given and p.name not in FOR_META]
    if wrong:
        raise OptionError(f"{', '.join(wrong)}: not for --meta, which takes a graph as it is. Leave it out.")
    selection = Selection(freeze=rest["freeze"], keep=rest["keep"])
    selection.check()
    request = GraphRequest(source=meta, checkpoint=rest["checkpoint"], **graph)
    count = unfreeze.export_meta(request, rest["out"], selection=selection)
    if not quiet:
        print(f"{rest['out'] / unfreeze.NAME}  {count} variables")


FOR_META = ("meta", "checkpoint", "out", "sources", "ends", "constants", "freeze", "keep", "quiet", "verbose")
FOR_META += ("allow_unsafe_ops",)


def run_export(options: Options, quiet: bool, verbose: bool, extras=(), *, as_json: bool = False):
    from visionport import exporter

    result = exporter.export(options, stages(quiet=quiet or as_json, verbose=verbose), extras)
    if as_json:
        print_json(result_record(result))
    elif not quiet:
        show_result(result)
    if not result.agrees:
        if quiet:
            print(f"{result.out}: {result.verdict.text}. See verify.json.", file=sys.stderr)
        sys.exit(DISAGREES)


def show_result(result) -> None:
    """The checks, a line each artifact, what was measured, and the verdict last."""
    from visionport.progress import size_of, size_text, time_text

    if result.checks:
        show_checks(result.checks)
        print()
    for artifact in result.artifacts:
        path, took = result.out / artifact.path, result.seconds.get(artifact.format)
        speed = f", {time_text(took)} a picture here" if took else ""
        print(f"{path}  {size_text(artifact.size)}{speed}")
    report = result.out / "report.html"
    print(f"{report}  {size_text(size_of(report))}")
    for note in result.notes:
        show(note)
    if result.checks:
        from visionport.verification.table import verdict_line

        show(verdict_line(result.verdict))


def result_record(result) -> dict:
    """What an export did, for --json. seconds: of writing; a_picture: of one answer, null where it was not verified."""
    from visionport.verification.checks import record

    return {
        "out": str(result.out),
        "checkpoint": result.checkpoint,
        "agrees": result.agrees if result.verified else None,
        "artifacts": [
            {
                "format": a.format,
                "path": str(result.out / a.path),
                "size": a.size,
                "seconds": round(a.seconds, 3),
                "a_picture": result.seconds.get(a.format),
            }
            for a in result.artifacts
        ],
        "checks": record(result.checks)["checks"],
        "warnings": list(result.warnings),
        "notes": list(result.notes),
    }
