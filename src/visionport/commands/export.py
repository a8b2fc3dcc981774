"""`visionport export`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, Batch, Listed, Pair, flat, quiet, show, unique, verbose
from visionport.options import (
    FORMATS,
    QUANTIZATIONS,
    TFLITE_HEADS,
    TFLITE_INPUTS,
    TFLITE_NMS,
    TFLITE_OUTPUTS,
    Options,
)


@click.command(
    epilog="""\b
Examples:
  visionport export --config pipeline.config --checkpoint training/ --out exported
  visionport export --config pipeline.config --checkpoint ckpt-42 --out exported \\
      --format saved_model,frozen_graph,tflite --input image_tensor,encoded_image_string_tensor
  visionport export --config pipeline.config --checkpoint ckpt-42.index --out exported \\
      --config-override 'model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0.3 } } } }'"""
)
@click.option("--config", required=True, type=Path, help="pipeline.config, or a folder that holds one.")
@click.option("--checkpoint", required=True, type=Path, help="Prefix, .index file or directory.")
@click.option("--out", required=True, type=Path, help="Export directory, made new.")
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
    help="Of image_tensor, float_image_tensor, encoded_image_string_tensor, tf_example: a signature each, the first is "
    "serving_default. Default: image_tensor.",
)
@click.option("--image-size", type=Pair(), help="Height and width of the images to come. Default: any.")
@click.option("--batch", type=Batch(), default="dynamic", show_default=True, help="Images in a batch.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option("--labels", type=Path, help="Label map. Default: the config's, or one beside it.")
@click.option("--keypoint-label-map", type=Path, help="Label map with a CenterNet's keypoints. Default: the config's.")
@click.option(
    "--freeze", multiple=True, metavar="REGEX", help="Variables whose names match become constants; repeatable."
)
@click.option(
    "--tflite-nms",
    type=click.Choice(TFLITE_NMS),
    help="NMS of the TFLite op. Default: the config's own kind: regular, or fast where it is class-agnostic.",
)
@click.option("--max-detections", type=int, help="Of the TFLite op. Default: the config's.")
@click.option(
    "--quantize", type=click.Choice(QUANTIZATIONS), default="none", show_default=True, help="Of the TFLite file."
)
@click.option(
    "--calibration",
    type=Path,
    help="For int8, uint8 and int16x8: a folder, or a TFRecord of tf.Examples, of about 100 typical pictures.",
)
@click.option(
    "--tflite-input",
    type=click.Choice(TFLITE_INPUTS),
    help="float: normalised. uint8: pixels, normalised inside. int8: with --quantize int8. Default: float; uint8 with "
    "--quantize uint8.",
)
@click.option(
    "--tflite-head",
    type=click.Choice(TFLITE_HEADS),
    default="detections",
    show_default=True,
    help="detections: with the NMS op. decoded: boxes and scores of all anchors. raw: box encodings and scores.",
)
@click.option("--detections-per-class", type=int, help="Of the TFLite op's regular NMS. Default: the config's.")
@click.option("--classes-per-detection", type=int, default=1, show_default=True, help="Of the TFLite op's fast NMS.")
@click.option(
    "--tflite-outputs",
    type=click.Choice(TFLITE_OUTPUTS),
    default="named",
    show_default=True,
    help="Names in the TFLite signature: detection_boxes and so on, or output_0 (count) to output_3 (boxes).",
)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Run each artifact against the checkpoint.")
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to verify on; repeatable. Default: bundled ones."
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@click.option("--merge", is_flag=True, help="Put it into a directory of other files, and overwrite none of them.")
@quiet
@verbose
def export(formats, inputs, quiet, verbose, **rest):
    """Write a checkpoint's artifacts, and verify them."""
    run_export(Options(formats=unique(flat(formats)), inputs=unique(flat(inputs)), **rest), quiet, verbose)


def run_export(options: Options, quiet: bool, verbose: bool, extras=()):
    from visionport import exporter
    from visionport.progress import Progress, Stages, size_of

    show_stages = not quiet and (verbose or sys.stderr.isatty())
    result = exporter.export(options, Stages() if show_stages else Progress(), extras)
    if not quiet:
        for artifact in result.artifacts:
            print(f"{result.out / artifact.path}  {artifact.size / 1e6:.1f} MB")
        if result.checks:
            from visionport.verify_table import table

            show(table(result.checks))
        print(f"{result.out / 'report.html'}  {size_of(result.out / 'report.html') / 1e6:.1f} MB")
    if not result.agrees:
        print("An artifact disagrees with its checkpoint: see the table above and verify.json.", file=sys.stderr)
        sys.exit(DISAGREES)
