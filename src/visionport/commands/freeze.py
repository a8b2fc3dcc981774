"""`visionport freeze`."""

from pathlib import Path

import click

from visionport import staging
from visionport.apart import go_apart
from visionport.commands.common import Command, Listed, allow_unsafe_ops, flat, quiet, set_option
from visionport.errors import OptionError


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport freeze saved_model --out frozen.pb
  visionport freeze model.ckpt-42.meta --checkpoint model.ckpt-42 \\
      --output scores,boxes --out frozen.pb
  visionport freeze model.ckpt-42.meta --checkpoint model.ckpt-42 --unfrozen \\
      --out saved_model
  visionport freeze train.meta --checkpoint train --output y \\
      --set is_training=false --out frozen.pb
  visionport freeze saved_model --keep dense --out tunable""",
)
@click.argument("source", type=Path)
@click.option(
    "-o",
    "--out",
    required=True,
    type=Path,
    help="File, .pb or .pbtxt (text); a new directory with --unfrozen, --freeze, --keep.",
)
@click.option("--checkpoint", type=Path, help="Of a graph: prefix, .index file or directory. A SavedModel has its own.")
@click.option(
    "--tag", "tags", type=Listed(), multiple=True, help="A SavedModel's tag set. Default: serve, or the only one."
)
@click.option(
    "--signature", help="Which one says what goes in and comes out. Default: serving_default, or the only one."
)
@click.option("--input", "inputs", type=Listed(), multiple=True, help="Nodes to feed. Default: the signature's inputs.")
@click.option(
    "--output", "outputs", type=Listed(), multiple=True, help="Nodes to keep. Default: the signature's outputs."
)
@click.option("--rename", "names", type=Listed(), multiple=True, metavar="OLD=NEW", help="Other names of nodes.")
@set_option
@allow_unsafe_ops
@click.option("--optimize", is_flag=True, help="Fold constants and simplify, with ops that every loader knows.")
@click.option("--unfrozen", is_flag=True, help="Write a SavedModel with all variables instead.")
@click.option(
    "--freeze",
    "freeze_",
    multiple=True,
    metavar="REGEX",
    help="Write a SavedModel in which only these variables are constants; repeatable.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="REGEX",
    help="Write a SavedModel in which these stay variables: without --freeze, only these. Repeatable.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@quiet
def freeze(
    source,
    out,
    checkpoint,
    tags,
    signature,
    inputs,
    outputs,
    names,
    constants,
    allow_unsafe_ops,
    optimize,
    unfrozen,
    freeze_,
    keep,
    overwrite,
    quiet,
):
    """Any TensorFlow model to one graph of constants: a SavedModel, or a .pb, .pbtxt or .meta with a checkpoint."""
    from visionport.graph.decide import files_of_constants, parse_constants

    if given := files_of_constants(constants):
        staging.check_file(out, overwrite=True, inputs=given)
    go_apart(out)
    from visionport.graph import public

    done = public.freeze(
        source,
        out,
        checkpoint=checkpoint,
        tags=flat(tags),
        signature=signature,
        inputs=flat(inputs),
        outputs=flat(outputs),
        names=renames(flat(names)),
        constants=parse_constants(constants),
        optimize=optimize,
        unfrozen=unfrozen,
        freeze=freeze_,
        keep=keep,
        overwrite=overwrite,
        allow_unsafe_ops=allow_unsafe_ops,
    )
    if not quiet:
        print(done)


def renames(given) -> dict[str, str]:
    for name in given:
        if name.count("=") != 1 or not all(name.split("=")):
            raise OptionError(f"--rename {name}: OLD=NEW.")
    return dict(name.split("=") for name in given)
