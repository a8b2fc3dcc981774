"""`visionport convert`."""

import sys
from pathlib import Path

import click

from visionport import staging
from visionport.apart import go_apart
from visionport.commands.common import (
    DISAGREES,
    Command,
    Listed,
    allow_unsafe_ops,
    flat,
    quiet,
    set_option,
    show,
    show_checks,
    stages,
    verbose,
)
from visionport.errors import OptionError
from visionport.tflite.kinds import QUANTIZATIONS


class Numbers(click.ParamType):
    """Numbers separated by commas."""

    name = "x[,x...]"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(v) for v in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no number, nor several with commas", param, ctx)


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  visionport convert exported/saved_model --out model.tflite
  visionport convert frozen.pb --out model.tflite --input-arrays image \\
      --output-arrays boxes,scores --input-shape 1,300,300,3
  visionport convert saved_model --out model.tflite --quantize int8 \\
      --calibration photos/ --mean 127.5 --std 127.5""",
)
@click.argument("source", type=Path)
@click.option("-o", "--out", required=True, type=Path, help="The TFLite file.")
@click.option(
    "--tag", "tags", type=Listed(), multiple=True, help="A SavedModel's tag set. Default: serve, or the only one."
)
@click.option(
    "--signature", help="Which one says what goes in and comes out. Default: serving_default, or the only one."
)
@click.option(
    "--input-arrays", type=Listed(), multiple=True, help="Tensors to feed, or keys of the signature. Default: its all."
)
@click.option(
    "--output-arrays", type=Listed(), multiple=True, help="Tensors to keep, or keys of the signature. Default: its all."
)
@click.option(
    "--input-shape",
    "shapes",
    multiple=True,
    metavar="[NAME=]N,N,...",
    help="An input's shape; -1 keeps a size open; repeatable. Default: its own, with a batch of 1.",
)
@set_option
@allow_unsafe_ops
@click.option("--quantize", type=click.Choice(QUANTIZATIONS), default="none", show_default=True, help="As of export.")
@click.option(
    "--quantize-exclude",
    type=Listed(),
    multiple=True,
    help="Stay float32 in an int8 or uint8 file: TFLite ops, or regular expressions over layers' names.",
)
@click.option(
    "--calibration",
    type=Path,
    help="For int8, uint8 and int16x8: a folder or a TFRecord of pictures, or an .npz with an array an input.",
)
@click.option("--mean", type=Numbers(), default=(), help="Of the pictures that the model takes: (pixel - mean) / std.")
@click.option("--std", type=Numbers(), default=(), help="See --mean.")
@click.option(
    "--input-type",
    type=click.Choice(("float", "uint8", "int8")),
    help="uint8: pixels, normalised inside. Of an int8 file its outputs too. Default: the source's; uint8 with uint8.",
)
@click.option("--labels", type=Path, help="The classes' names: a label map, or a text file with a line a class.")
@click.option("--allow-select-tf-ops", "select_tf_ops", is_flag=True, help="Keep ops that only TensorFlow runs.")
@click.option("--allow-custom-ops", "custom_ops", is_flag=True, help="Keep ops that nobody here knows.")
@click.option("--verify/--no-verify", default=True, show_default=True, help="Run the file beside its source.")
@click.option(
    "--verify-input", type=Path, help="An .npz with an array for every input to compare on, instead of made-up ones."
)
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@quiet
@verbose
def convert(
    source, out, tags, input_arrays, output_arrays, quantize_exclude, shapes, constants, quiet, verbose, **rest
):
    """Any TensorFlow model to TFLite: a SavedModel, or a frozen graph as .pb or .pbtxt; compared with its source."""
    from visionport.graph.decide import files_of_constants, parse_constants

    if given := files_of_constants(constants):
        staging.check_file(out, overwrite=True, inputs=given)
    go_apart(out)
    from visionport.conversion import convert as conversion
    from visionport.conversion.request import Request

    arrays = {"tags": flat(tags), "input_arrays": flat(input_arrays), "output_arrays": flat(output_arrays)}
    arrays["quantize_exclude"] = flat(quantize_exclude)
    request = Request(
        source=source, out=out, shapes=read_shapes(shapes), constants=parse_constants(constants), **arrays, **rest
    )
    report(conversion.run(request, stages(quiet=quiet, verbose=verbose)), source, quiet=quiet)


def report(done, source: Path, *, quiet: bool = False) -> None:
    """Prints what a conversion wrote and how it agrees with its source; exits where it does not."""
    from visionport.progress import size_text

    if not quiet:
        ends = f"{', '.join(done.inputs)} -> {', '.join(done.outputs)}"
        if done.checks:
            from visionport.verification.layers import layer_checks

            show_checks([*done.checks, *layer_checks(done.layers)])
            print()
        print(f"{done.out}  {size_text(done.size)}, converted in {done.seconds:.1f} s: {ends}")
    if done.checks and (not quiet or not done.agrees):
        from visionport.verification.summary import conclude
        from visionport.verification.table import verdict_line

        names = [*dict.fromkeys(c.artifact for c in done.checks)]
        show(verdict_line(conclude(done.checks, names, str(source))), error=quiet)
    if not done.agrees:
        sys.exit(DISAGREES)


def read_shapes(texts) -> dict[str, tuple[int, ...]]:
    """{name: shape}; "" for one without a name."""
    shapes = {}
    for text in texts:
        name, equal, numbers = text.rpartition("=")
        try:
            sizes = numbers.split(",") if numbers not in ("", "scalar") else []
            shape = tuple(-1 if n in ("?", "None") else int(n) for n in sizes if n)
        except ValueError:
            raise OptionError(f"--input-shape {text}: NAME=1,300,300,3, or 1,300,300,3, or NAME=scalar.") from None
        if any(n < 1 and n != -1 for n in shape) or (equal and not name) or name in shapes:
            raise OptionError(f"--input-shape {text}: sizes from 1, or -1, and each input once.")
        shapes[name] = shape
    return shapes
