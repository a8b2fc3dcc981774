"""The command line. Errors of ours become one paragraph and an exit status here, and only here."""

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import click

from visionport import __version__, memory, signals, streams
from visionport.commands.batch import batch
from visionport.commands.benchmark import benchmark
from visionport.commands.client import client
from visionport.commands.common import FAULT, GONE, WRONG, show
from visionport.commands.convert import convert
from visionport.commands.demo import demo
from visionport.commands.edit import edit
from visionport.commands.export import export
from visionport.commands.freeze import freeze
from visionport.commands.inspect import inspect
from visionport.commands.package import package
from visionport.commands.predict import predict
from visionport.commands.serve import serve
from visionport.commands.verify import verify
from visionport.errors import MismatchError, VisionportError
from visionport.streams import open_errors
from visionport.terminal import guard, paragraph

SHOWN = 7  # rows of a table below an error, so that it has ten lines; `inspect --config` shows more
SCRIPTS = "The old scripts are here too, as `python -m visionport.scripts.exporter_main_v2`."
# Flags of the scripts that people come from, and what they are here.
OLD_FLAGS = {
    old: f"Here it is {new}. {SCRIPTS}"
    for old, new in {
        "--pipeline_config_path": "--config",
        "--trained_checkpoint_dir": "--checkpoint",
        "--trained_checkpoint_prefix": "--checkpoint",
        "--checkpoint_path": "--checkpoint",
        "--input_checkpoint": "--checkpoint",
        "--output_directory": "--out",
        "--output_graph": "--out",
        "--output_file": "--out",
        "--export_dir": "--out",
        "--input_type": "--input",
        "--input_shape": "--image-size and --batch",
        "--config_override": "--config-override",
        "--max_detections": "--max-detections",
        "--max_classes_per_detection": "--classes-per-detection",
        "--ssd_use_regular_nms": "--tflite-nms regular",
        "--use_regular_nms": "--tflite-nms regular",
        "--saved_model_dir": "the first argument",
        "--input_graph": "the first argument",
        "--input_meta_graph": "the first argument",
        "--input_saved_model_dir": "the first argument",
        "--output_node_names": "--output",
        "--inference_type": "--quantize and --input-type",
        "--config_file": "--config-file",
        "--params_override": "--params-override",
        "--rest_api_port": "--rest-port",
        "--port": "--grpc-port",
        "--model_name": "--name NAME=DIR",
        "--model_base_path": "--name NAME=DIR",
        "--model_config_file": "--model-config-file",
        "--model_config_file_poll_wait_seconds": "--model-config-poll",
        "--file_system_poll_wait_seconds": "--poll",
        "--enable_batching": "--batching",
        "--batching_parameters_file": "--batching-parameters-file",
        "--rest_api_enable_cors_support": "--cors",
        "--rest_api_timeout_in_ms": "--timeout",
        "--ssl_config_file": "--ssl-cert, --ssl-key and --ssl-client-ca",
    }.items()
}


class Commands(click.Group):
    """Shows examples after the commands, and our errors without a traceback."""

    def list_commands(self, ctx):
        return list(self.commands)

    def main(self, *args, **kwargs):
        with signals.taken(), signals.ending(), told():
            return super().main(*args, **kwargs)

    def invoke(self, ctx):
        with told():
            return super().invoke(ctx)


@contextmanager
def told():
    """Errors as text and exit statuses; nothing that files hold is printed raw."""
    guard_streams()
    try:
        try:
            yield
        except SystemExit:
            streams.finish()
            raise
        streams.finish()
    except KeyboardInterrupt:
        raise signals.Interrupted(signal.SIGINT) from None  # click's own status for it is 1
    except streams.StreamError as e:
        tell_stream(e)
    except click.NoSuchOption as e:
        if e.option_name in OLD_FLAGS:
            e.message = f"{e.option_name} is a flag of other scripts. {OLD_FLAGS[e.option_name]}"
            e.possibilities = None
        tell_usage(e)
    except click.UsageError as e:
        tell_usage(e)
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click's own
    except Exception as e:
        if number := signals.caught():  # an import that it cut fails in other words
            raise signals.Interrupted(number) from None
        if os.environ.get("VISIONPORT_TRACEBACK"):
            raise
        print(f"error: {paragraph(words(e))}", file=sys.stderr)
        if isinstance(e, MismatchError) and e.problems:
            from visionport.inspection.fit import short_table

            show(short_table([vars(p) for p in e.problems], SHOWN), error=True)
        wrong = isinstance(e, (VisionportError, UnicodeEncodeError)) or getattr(e, "filename", None)
        sys.exit(WRONG if wrong else FAULT)


def tell_stream(error: streams.StreamError) -> None:
    """Standard output took no more: no harm where its reader has read enough."""
    streams.abandon()
    if error.gone:
        sys.exit(GONE)
    print(f"error: standard output cannot be written: {error}. Make room, or send it elsewhere.", file=sys.stderr)
    sys.exit(WRONG)


def tell_usage(error: click.UsageError) -> None:
    """What was typed wrong, as every other error of ours is told."""
    command = f" {error.ctx.info_name}" if error.ctx and error.ctx.parent else ""
    text = paragraph(error.format_message().rstrip("."))
    print(f"error: {text}. See `visionport{command} --help`.", file=sys.stderr)
    sys.exit(WRONG)


def words(error: Exception) -> str:
    """What went wrong and where; of a fault of ours, how to report it."""
    if isinstance(error, VisionportError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if memory.is_short(error):
        return memory.in_words()
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return f"{error.object[:200]!r}: this name is not UTF-8, and TensorFlow cannot open it. Rename it."
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    what = " ".join(str(error).split())[:300]
    return (
        f"visionport does not know what this means: {type(error).__name__}: {what} ({Path(place.filename).name}, line "
        f"{place.lineno}). Please report it with what VISIONPORT_TRACEBACK=1 shows."
    )


def tell_version(ctx, parameter, asked) -> None:
    """visionport's version, and that of the installed TensorFlow, which is not imported for it."""
    if not asked:
        return
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            found.append(f"TensorFlow {version(name)}")
        except PackageNotFoundError:
            continue
    click.echo(f"visionport, version {__version__} ({', '.join(found[:1]) or 'no TensorFlow'})")
    ctx.exit()


@click.group(cls=Commands, epilog="See `visionport COMMAND --help`. First time: `visionport demo`.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=tell_version, help="Print the versions."
)
def main():
    """Trained TensorFlow vision checkpoints to everything people deploy, verified.

    Takes a checkpoint of the TF Object Detection API and its pipeline.config, and writes a SavedModel, a frozen
    graph, a TFLite file, on today's TensorFlow, with no old repository installed. Then it runs each of them and
    shows that it gives the checkpoint's own answers.

    Exit status: 0 done and verified; 1 an artifact disagrees (inspect --config: they do not fit); 2 the request or
    an input is wrong; 3 visionport itself failed; 130, 143, 129 interrupted by Ctrl-C, kill or a closed terminal;
    141 the reader of its output is gone.
    """
    if not {"-v", "--verbose"} & set(sys.argv):
        mute_tensorflow()


def mute_tensorflow():
    """TensorFlow's C++ writes notices about the machine to the process's standard error, settings or not.

    They go nowhere; what Python prints (ours, and tracebacks) goes where it went.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    sys.stderr.flush()
    sys.stderr = open_errors(os.dup(2), sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    guard_streams()


def guard_streams():
    sys.stdout, sys.stderr = guard(sys.stdout), guard(sys.stderr)


for command in (
    export,
    inspect,
    verify,
    predict,
    batch,
    benchmark,
    serve,
    client,
    package,
    freeze,
    convert,
    edit,
    demo,
):
    main.add_command(command)
