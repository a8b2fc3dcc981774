"""`visionport batch`."""

import sys
from pathlib import Path

import click

from visionport.commands.common import DISAGREES, Command, exif_option, flat, quiet, side_inputs, verbose
from visionport.errors import InputError
from visionport.formats import FORMATS
from visionport.signals import Interrupted

TO = ("jsonl", "parquet", "tfrecord", "coco", "csv")  # visionport.batch.outputs.OUTPUTS, which --help does not import


@click.command(
    cls=Command,
    context_settings={"ignore_unknown_options": True},
    epilog="""\b
Examples:
  visionport batch exported photos/ --out answers.jsonl --workers 4
  visionport batch exported @list.txt --out answers.parquet --max-errors 100
  visionport batch exported val.tfrecord --out found.tfrecord --min-score 0
  visionport batch exported gs://bucket/photos --out gs://bucket/answers \\
    --to parquet --runner DataflowRunner --project P --region R""",
)
@click.argument("artifact", type=str)
@click.argument("inputs", type=click.UNPROCESSED, nargs=-1, required=True)
@click.option("-o", "--out", required=True, help="A file, its kind by its suffix, or a folder of parts. May be a URI.")
@click.option("--to", type=click.Choice(TO), help="What to write. Default: by the suffix of --out.")
@click.option(
    "--format",
    "kind",
    type=click.Choice([*FORMATS]),
    help="Which artifact of an export directory. Default: the first.",
)
@click.option("--signature", help="Which signature of the artifact to ask by. Default: its first.")
@click.option(
    "--image-key",
    help="Which feature of tf.Examples, or column of Parquet, holds the pictures. Default: image/encoded; the column "
    "of bytes.",
)
@click.option("--min-score", type=float, default=0.3, show_default=True, help="Leave out detections below.")
@click.option(
    "--include", type=click.Choice(["raw"]), multiple=True, help="Write more: raw, the artifact's own outputs."
)
@click.option("--draw-dir", type=Path, help="Write pictures with boxes, names and scores there.")
@side_inputs
@exif_option
@click.option(
    "--batch-size", type=int, default=8, show_default=True, help="How many pictures of one size to ask about at once."
)
@click.option("--workers", type=int, default=1, show_default=True, help="Processes of the local runner.")
@click.option(
    "--large-model/--no-large-model",
    default=None,
    help="One process of a machine holds the model for all. Default: from 1 GB on.",
)
@click.option("--max-errors", type=int, help="Stop once more pictures than that have failed. Default: never.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run: what it has done stays.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier output, or what an interrupted run has done.")
@quiet
@verbose
def batch(artifact, inputs, out, to, kind, include, draw_dir, side, quiet, verbose, **how):
    """Ask any artifact about any number of pictures, on Apache Beam. A row a picture.

    INPUTS are files, folders, patterns, @FILE for a list of paths or URIs, TFRecords of tf.Examples, Parquet files
    with a column of pictures. OUT is JSON lines, Parquet, a TFRecord of detections, COCO's results or CSV.

    A picture that fails is a row of OUT.errors.jsonl, with its error and its kind; the others are answered, and the
    exit status is then 1, and 2 where none is. OUT appears when all is done. Until then OUT.batch holds what is, and
    --resume goes on from there.

    Any option of Apache Beam may follow, such as --runner FlinkRunner --flink_master HOST:8081. Without a runner, a
    local one works that needs no network.
    """
    from visionport.batch import check_installed

    check_installed()
    from visionport.batch.options import split
    from visionport.batch.pipeline import quiet_beam, run

    if not verbose:
        quiet_beam()
    given, beam_options = split(inputs, [o for p in batch.params if isinstance(p, click.Option) for o in p.opts])
    try:
        summary = run(
            artifact,
            given,
            out,
            to=to,
            format=kind,
            raw="raw" in flat([include]),
            draw_dir=draw_dir,
            side_inputs=side,
            quiet=quiet,
            beam_options=beam_options,
            **how,
        )
    except (KeyboardInterrupt, Interrupted):
        kept = Path(f"{out.rstrip('/')}.batch")
        if kept.exists():
            print(f"What is done is kept in {kept}: go on with --resume.", file=sys.stderr)
        raise
    told = summary.pictures - sum(summary.errors.values())
    if not quiet:
        before = f", {summary.done_before:,} of them before" if summary.done_before else ""
        rate = (summary.pictures - summary.done_before) / max(summary.seconds, 1e-9)
        print(f"{out}  {told:,} picture{'s' * (told != 1)}{before}  {rate:.3g}/s")
    if summary.errors:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in summary.errors.items())
        failed = sum(summary.errors.values())
        text = f"{failed:,} picture{'s' * (failed != 1)} failed: {kinds}. Each is in {summary.errors_file}."
        if not summary.answered:
            raise InputError(text)
        print(text, file=sys.stderr)
        sys.exit(DISAGREES)
