"""What commands share: help in groups, types of options, printing, exit statuses."""

import sys
from pathlib import Path

import click

from visionport.filetypes import check_file

DONE, DISAGREES, WRONG, FAULT = 0, 1, 2, 3
GONE = 128 + 13  # by SIGPIPE, as others end whose output nobody reads

# The groups of --help, in their order, and whose options are in each; all others are under "Options".
GROUPS = {
    "Input": """--config --experiment --config-file --params-override --config-override --checkpoint --ema --labels
        --keypoint-label-map --side-input --side-inputs --meta --inputs --outputs --set --tag --signature
        --input-arrays --output-arrays --input-shape --allow-unsafe-ops --image-key""",
    "Output": """--out --format --input --output --input-name --image-size --batch --freeze --keep --unfrozen --rename
        --optimize --tpu-alias --opencv --flops --overwrite --merge --timed --draw --draw-dir --min-score
        --input-type --allow-select-tf-ops --allow-custom-ops --to --include --resume""",
    "TFLite": """--tflite-nms --max-detections --tflite-keypoints --tflite-input --tflite-head --detections-per-class
        --classes-per-detection --tflite-outputs --score-threshold""",
    "ONNX": "--onnx-head --onnx-preprocessing --opset",
    "OpenVINO": "--openvino-precision --openvino-head",
    "TensorFlow.js": "--tfjs-head --tfjs-quantize",
    "Quantisation": "--quantize --calibration --quantize-exclude --mean --std",
    "Models": """--name --model --version --storage-uri --model-config-file --model-config-poll --model-root --label
        --versions --poll""",
    "Network": "--host --rest-port --grpc-port --cors --ssl-cert --ssl-key --ssl-client-ca --token-file --ca --grace",
    "Bounds": "--threads --batching --batching-parameters-file --max-body --max-pixels --max-requests --timeout",
    "Verification": "--verify --image --evaluate --report --verify-input --into-report",
}
GROUP_OF = {flag: group for group, flags in GROUPS.items() for flag in flags.split()}


WRITTEN = ("out", "report", "draw_dir")  # parameters of commands


class Command(click.Command):
    """A command whose --help shows its options in groups, and whose files are files."""

    def invoke(self, ctx):
        """Refuses pipes and devices before anything is read; where it writes, staging.py does."""
        for name, value in ctx.params.items():
            for path in value if isinstance(value, tuple) else (value,):
                if isinstance(path, Path) and name not in WRITTEN:
                    check_file(path)
        return super().invoke(ctx)

    def format_options(self, ctx, formatter):
        found: dict[str, list[tuple[str, str]]] = {group: [] for group in (*GROUPS, "Options")}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                groups = (GROUP_OF[flag] for flag in parameter.opts if flag in GROUP_OF)
                found[next(groups, "Options")].append(record)
        for group, records in found.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


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


def unique(values):
    return tuple(dict.fromkeys(values))


def show(renderable, *, error=False):
    console_of(sys.stderr if error else sys.stdout).print(renderable, crop=False)


def show_checks(checks, verdict=None):
    """The table of agreement, and the verdict below it."""
    from visionport.verification.table import table, verdict_line

    console = console_of(sys.stdout)
    console.print(table(checks, console.width), crop=False)
    if verdict:
        console.print(verdict_line(verdict), soft_wrap=True)


def console_of(stream):
    """As wide as the terminal; a file has lines of 100."""
    from visionport import terminal

    return terminal.console_of(stream, None if stream.isatty() else 100)


def stages(*, quiet=False, verbose=False, lasting=True):
    """Stages on a terminal, or with --verbose; nothing with --quiet."""
    from visionport.progress import Progress, Stages

    return Stages(lasting=lasting) if not quiet and (verbose or sys.stderr.isatty()) else Progress()


def print_json(content):
    from visionport.json_files import json_text

    print(json_text(content))


set_option = click.option(
    "--set",
    "constants",
    multiple=True,
    metavar="NAME=VALUE",
    help="Fix an input: true, 0.5, [1,2] or @FILE.npy. What that decides goes, training nodes too. Repeatable.",
)
allow_unsafe_ops = click.option(
    "--allow-unsafe-ops",
    is_flag=True,
    help="Run ops that read files or do something else outside of the graph. Only for what you trust.",
)
side_inputs = click.option(
    "--side-inputs",
    "side",
    type=Path,
    help="An .npz with the arrays that the model takes besides the image, by their names. Default: zeros.",
)
exif_option = click.option(
    "--exif/--no-exif",
    default=True,
    show_default=True,
    help="Turn pictures as their EXIF data says they were taken; TensorFlow's decoder does not.",
)
quiet = click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
verbose = click.option(
    "-v", "--verbose", is_flag=True, help="Show stages even where no terminal watches, and TensorFlow's own log."
)
