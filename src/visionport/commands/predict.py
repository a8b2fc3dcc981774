"""`visionport predict`."""

import sys
from pathlib import Path

import click

from visionport.apart import go_apart
from visionport.commands.common import (
    DISAGREES,
    Command,
    allow_unsafe_ops,
    exif_option,
    print_json,
    side_inputs,
    stages,
)
from visionport.config.ranges import FRACTION, check_option
from visionport.errors import InputError
from visionport.formats import FORMATS


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport predict exported photo.jpg --draw
  visionport predict exported photos/ --draw-dir drawn
  visionport predict exported/model.tflite a.jpg b.jpg > answers.json""",
)
@click.argument("artifact", type=Path)
@click.argument("images", type=Path, nargs=-1, required=True)
@click.option(
    "--format",
    "kind",
    type=click.Choice([*FORMATS]),
    help="Which artifact of an export directory. Default: the first.",
)
@click.option("--min-score", type=float, default=0.3, show_default=True, help="Leave out detections below.")
@click.option("--draw", is_flag=True, help="Write pictures with boxes, names and scores: IMAGE_detections.png.")
@click.option("--draw-dir", type=Path, help="Where to write them. Default: beside each image.")
@side_inputs
@exif_option
@allow_unsafe_ops
@click.option("-o", "--out", type=Path, help="Write the JSON there instead of printing it.")
@click.option("--overwrite", is_flag=True, help="Replace the JSON and drawn pictures.")
def predict(artifact, images, kind, min_score, draw, draw_dir, side, exif, allow_unsafe_ops, out, overwrite):
    """Detect objects in pictures with an export directory, or any artifact in one. JSON out.

    IMAGES are files, folders of pictures, or patterns. One that cannot be read is told and skipped; the exit status is
    then 1, and 2 where none can be read.
    """
    from visionport import prediction as predictor
    from visionport.json_files import json_text
    from visionport.staging import check_file, write_file

    check_option("--min-score", min_score, FRACTION)
    go_apart(out)
    read = [artifact, *(path for path in (*images, side) if path and path.is_file())]
    if out:
        check_file(out, overwrite=overwrite, inputs=read)
    bad: list[InputError] = []
    with stages(lasting=False).stage("predict"):
        answers = predictor.predict(
            artifact,
            images,
            format=kind,
            min_score=min_score,
            draw=draw or bool(draw_dir),
            draw_dir=draw_dir,
            overwrite=overwrite,
            side_inputs=side,
            exif=exif,
            skip=bad.append,
            allow_unsafe_ops=allow_unsafe_ops,
        )
    if bad and not answers:
        raise InputError("\n".join(map(str, bad)))
    for error in bad:
        print(f"skipped: {error}", file=sys.stderr)
    if out:
        read += [Path(answer["image"]) for answer in answers]
        write_file(out, [f"{json_text(answers)}\n".encode()], overwrite=overwrite, inputs=read)
        print(f"{out}  {len(answers)} picture{'s' * (len(answers) != 1)}")
    else:
        print_json(answers)
    if bad:
        sys.exit(DISAGREES)
