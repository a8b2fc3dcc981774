"""`visionport edit`."""

from pathlib import Path

import click

from visionport.commands.common import Command, Listed, flat, quiet
from visionport.commands.convert import Numbers
from visionport.commands.freeze import renames


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport edit scrambled.tflite --out model.tflite
  visionport edit model.tflite --out named.tflite --labels labels.txt \\
      --mean 127.5 --std 127.5
  visionport edit model.tflite --out ordered.tflite \\
      --outputs boxes,classes,scores,count""",
)
@click.argument("file", type=Path)
@click.option("-o", "--out", required=True, type=Path, help="The edited TFLite file.")
@click.option(
    "--outputs",
    type=Listed(),
    multiple=True,
    help="Its outputs, by name or position, in the order to have: of a detector boxes, classes, scores, count. "
    "Default: that order where it is known, otherwise as they are.",
)
@click.option("--rename", "names", type=Listed(), multiple=True, metavar="OLD=NEW", help="Other names of its ends.")
@click.option("--mean", type=Numbers(), default=(), help="For the metadata: (pixel - mean) / std is what it takes.")
@click.option("--std", type=Numbers(), default=(), help="See --mean.")
@click.option("--labels", type=Path, help="The classes' names: a label map, or a text file with a line per class.")
@click.option("--name", default="", help="The model's name in the metadata.")
@click.option("--description", default="", help="Its description there.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@quiet
def edit(file, out, outputs, names, overwrite, quiet, **rest):
    """Mend a TFLite file without touching its network: order and names of outputs, metadata, labels."""
    from visionport import staging
    from visionport.errors import ArtifactError
    from visionport.progress import Progress, size_text
    from visionport.tflite.contents import read_file
    from visionport.tflite.mend import MendRequest, mend_file

    inputs = [path for path in (file, rest["labels"]) if path]
    staging.check_file(out, overwrite=overwrite, inputs=inputs)
    request = MendRequest(outputs=flat(outputs), names=renames(flat(names)), **rest)
    try:
        done = mend_file(read_file(file), request)
    except ArtifactError as e:
        raise ArtifactError(f"{file}: {str(e).rstrip('.')}.") from None
    staging.write_file(out, [done.data], overwrite=overwrite, inputs=inputs)
    if done.incomplete:
        Progress().warn(done.incomplete)
    if not quiet:
        ends = ", ".join(new if old == new else f"{old} -> {new}" for old, new in done.outputs)
        print(f"{out}  {size_text(len(done.data))}: {ends}")
