"""The command line: parse, call, print. Errors of ours become one paragraph and an exit status here, and only here."""

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import click

from visionport import __version__
from visionport.errors import MismatchError, OptionError, VisionportError
from visionport.options import (
    FORMATS,
    QUANTIZATIONS,
    TFLITE_HEADS,
    TFLITE_INPUTS,
    TFLITE_NMS,
    TFLITE_OUTPUTS,
    Options,
)

DONE, DISAGREES, WRONG = 0, 1, 2


class Commands(click.Group):
    """Shows examples after the commands, and our errors without a traceback."""

    def list_commands(self, ctx):
        return list(self.commands)

    def invoke(self, ctx):
        with told():
            return super().invoke(ctx)


@contextmanager
def told():
    """Errors as text and exit statuses."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted: nothing was written.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)  # click's own status for it is 1
    except OSError as e:
        if e.filename is None or os.environ.get("VISIONPORT_TRACEBACK"):
            raise
        print(f"error: {e.filename}: {e.strerror}.", file=sys.stderr)
        sys.exit(WRONG)
    except VisionportError as e:
        if os.environ.get("VISIONPORT_TRACEBACK"):
            raise
        print(f"error: {e}", file=sys.stderr)
        if isinstance(e, MismatchError) and e.problems:
            from visionport.fit import problem_table

            show(problem_table([vars(p) for p in e.problems]), error=True)
        sys.exit(WRONG)


class Listed(click.ParamType):
    """Values separated by commas, in an option that may be repeated."""

    name = "name[,name...]"

    def convert(self, value, param, ctx):
        return tuple(v for v in value.split(",") if v) if isinstance(value, str) else value


class Pair(click.ParamType):
    name = "H,W"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            height, width = (int(v) for v in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not H,W such as 480,640", param, ctx)
        return height, width


class Batch(click.ParamType):
    name = "n or dynamic"

    def convert(self, value, param, ctx):
        if value is None or value == "dynamic" or isinstance(value, int):
            return None if value == "dynamic" else value
        if not value.isdecimal():
            self.fail(f"{value!r} is neither a number nor 'dynamic'", param, ctx)
        return int(value)


def flat(values):
    return tuple(v for group in values for v in group)


@click.group(cls=Commands, epilog="See `visionport COMMAND --help`. First time: `visionport demo`.")
@click.version_option(__version__, prog_name="visionport")
def main():
    """Trained TensorFlow vision checkpoints to everything people deploy, verified.

    Takes a checkpoint of the TF Object Detection API and its pipeline.config, and writes a SavedModel, a frozen
    graph, a TFLite file, on today's TensorFlow, with no old repository installed. Then it runs each of them and
    shows that it gives the checkpoint's own answers.

    Exit status: 0 done and verified; 1 an artifact disagrees (inspect --config: they do not fit); 2 the request or
    an input is wrong.
    """
    if not {"-v", "--verbose"} & set(sys.argv):
        mute_tensorflow()
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:  # so that temporary folders go
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))


quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Show stages even where no terminal watches, and TensorFlow's own log."
)


@main.command(
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


@main.command(
    epilog="""\b
Examples:
  visionport inspect training/
  visionport inspect ckpt-42.index --config pipeline.config
  visionport inspect ckpt-42 --json | jq .parameters"""
)
@click.argument("path", type=Path)
@click.option("--config", type=Path, help="Does the checkpoint fit this config? From names and shapes alone.")
@click.option("--config-override", default="", metavar="TEXT", help="Config text merged into the config.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def inspect(path, config, config_override, as_json):
    """Say what a checkpoint holds, and whether it fits a config (exit status 0, or 1 with a table)."""
    from visionport import fit, inspection
    from visionport.checkpoint import open_checkpoint

    if config:
        fitted = fit.fit(path, config, config_override)
        print_json(fitted) if as_json else show(fit.render(fitted))
        sys.exit(DONE if fitted["fits"] else DISAGREES)
    description = inspection.describe_checkpoint(open_checkpoint(path))
    print_json(description) if as_json else show(inspection.render(description))


@main.command(
    epilog="""\b
Examples:
  visionport verify exported
  visionport verify exported --image street.jpg"""
)
@click.argument("directory", type=Path)
@click.option(
    "--image", "images", type=Path, multiple=True, help="Picture to verify on; repeatable. Default: bundled ones."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(directory, images, as_json):
    """Run every artifact of an export directory against the checkpoint in it."""
    from visionport import verify_export
    from visionport.verify import agree, record
    from visionport.verify_table import table

    checks = verify_export.verify_export(directory, images)
    print_json(record(checks)) if as_json else show(table(checks))
    sys.exit(DONE if agree(checks) else DISAGREES)


@main.command(
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
    type=click.Choice(FORMATS),
    help="Which artifact of an export directory. Default: the first.",
)
@click.option("--min-score", type=float, default=0.3, show_default=True, help="Leave out detections below.")
@click.option("--draw", is_flag=True, help="Write pictures with boxes, names and scores: IMAGE_detections.png.")
@click.option("--draw-dir", type=Path, help="Where to write them. Default: beside each image.")
@click.option("--out", type=Path, help="Write the JSON there instead of printing it.")
def predict(artifact, images, kind, min_score, draw, draw_dir, out):
    """Detect objects in pictures with an export directory, or any artifact in one. JSON out."""
    from visionport import predict as predictor

    answers = predictor.predict(
        artifact, images, kind=kind, min_score=min_score, draw=draw or bool(draw_dir), draw_dir=draw_dir
    )
    if out:
        from visionport.manifest import write_json

        write_json(out, answers)
    else:
        print_json(answers)


@main.command(
    epilog="""\b
Examples:
  visionport freeze saved_model --out frozen.pb
  visionport freeze model.ckpt-42.meta --checkpoint model.ckpt-42 --output scores,boxes --out frozen.pb
  visionport freeze model.ckpt-42.meta --checkpoint model.ckpt-42 --unfrozen --out saved_model"""
)
@click.argument("source", type=Path)
@click.option("--out", required=True, type=Path, help="File, .pb or .pbtxt (text); a new directory with --unfrozen.")
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
@click.option("--optimize", is_flag=True, help="Fold constants and simplify, with ops that every loader knows.")
@click.option("--unfrozen", is_flag=True, help="Write a SavedModel with variables instead.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
@quiet
def freeze(source, out, checkpoint, tags, signature, inputs, outputs, names, optimize, unfrozen, overwrite, quiet):
    """Any TensorFlow model to one graph of constants: a SavedModel, or a .pb, .pbtxt or .meta with a checkpoint."""
    from visionport import freezing, unfreezing

    names = flat(names)
    how = {"checkpoint": checkpoint, "tags": flat(tags) or None, "signature": signature}
    how |= {"inputs": flat(inputs), "outputs": flat(outputs)}
    for name in names:
        if name.count("=") != 1:
            raise OptionError(f"--rename {name}: OLD=NEW.")
    if unfrozen:
        if names or optimize or overwrite:
            raise OptionError(
                "--rename, --optimize and --overwrite are for frozen graphs: leave them or --unfrozen out."
            )
        count = unfreezing.unfreeze(source, out, **how)
        text = f"{count} variables"
    else:
        freezing.check_file(out, overwrite=overwrite)
        frozen = freezing.freeze(source, names=dict(n.split("=") for n in names), optimize=optimize, **how)
        freezing.write(frozen.graph, out, overwrite=overwrite)
        text = f"{', '.join(frozen.inputs)} -> {', '.join(frozen.outputs)}; {frozen.variables} variables frozen"
    if not quiet:
        print(f"{out}  {text}")


@main.command(epilog="Example: visionport demo --out digits")
@click.option("--out", type=Path, default=Path("visionport-demo"), show_default=True, help="Where to write it.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@quiet
def demo(out, overwrite, quiet):
    """Export the bundled digits detector to every format, verify, draw and report."""
    from visionport import demo as demonstration

    demonstration.run(out, overwrite=overwrite, run_export=lambda options: run_export(options, quiet, not quiet))


def unique(values):
    return tuple(dict.fromkeys(values))


def mute_tensorflow():
    """TensorFlow's C++ writes notices about the machine to the process's standard error, settings or not.

    They go nowhere; what Python prints (ours, and tracebacks) goes where it went.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def show(renderable, *, error=False):
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    Console(file=stream, width=None if stream.isatty() else 160, highlight=False).print(renderable)


def print_json(content):
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False))
