"""`visionport predict`."""

from pathlib import Path

import click

from visionport.commands.common import print_json
from visionport.formats import FORMATS


@click.command(
    epilog="""\b
Examples:
  visionport predict exported photo.jpg --draw
  visionport predict exported/model.tflite a.jpg b.jpg > answers.json"""
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
@click.option(
    "--side-inputs",
    "side",
    type=Path,
    help="An .npz with the arrays that the model takes besides the image, by their names. Default: zeros.",
)
@click.option("--out", type=Path, help="Write the JSON there instead of printing it.")
def predict(artifact, images, kind, min_score, draw, draw_dir, side, out):
    """Detect objects in pictures with an export directory, or any artifact in one. JSON out."""
    from visionport import prediction as predictor

    answers = predictor.predict(
        artifact,
        images,
        format=kind,
        min_score=min_score,
        draw=draw or bool(draw_dir),
        draw_dir=draw_dir,
        side_inputs=side,
    )
    if out:
        from visionport.manifest import write_json

        write_json(out, answers)
    else:
        print_json(answers)
