"""The command line. Errors of ours become one paragraph and an exit status here, and only here."""

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import click

from visionport import __version__
from visionport.commands.common import FAULT, WRONG, show
from visionport.commands.convert import convert
from visionport.commands.demo import demo
from visionport.commands.export import export
from visionport.commands.freeze import freeze
from visionport.commands.inspect import inspect
from visionport.commands.predict import predict
from visionport.commands.verify import verify
from visionport.errors import MismatchError, VisionportError


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
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click's own
    except Exception as e:
        if os.environ.get("VISIONPORT_TRACEBACK"):
            raise
        print(f"error: {words(e)}", file=sys.stderr)
        if isinstance(e, MismatchError) and e.problems:
            from visionport.inspection.fit import problem_table

            show(problem_table([vars(p) for p in e.problems]), error=True)
        sys.exit(WRONG if isinstance(e, VisionportError) or getattr(e, "filename", None) else FAULT)


def words(error: Exception) -> str:
    """What went wrong and where; of a fault of ours, how to report it."""
    if isinstance(error, VisionportError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, MemoryError):
        return "there is not enough memory."
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    what = " ".join(str(error).split())[:300]
    return (
        f"visionport does not know what this means: {type(error).__name__}: {what} ({Path(place.filename).name}, line "
        f"{place.lineno}). Please report it with what VISIONPORT_TRACEBACK=1 shows."
    )


@click.group(cls=Commands, epilog="See `visionport COMMAND --help`. First time: `visionport demo`.")
@click.version_option(__version__, prog_name="visionport")
def main():
    """Trained TensorFlow vision checkpoints to everything people deploy, verified.

    Takes a checkpoint of the TF Object Detection API and its pipeline.config, and writes a SavedModel, a frozen
    graph, a TFLite file, on today's TensorFlow, with no old repository installed. Then it runs each of them and
    shows that it gives the checkpoint's own answers.

    Exit status: 0 done and verified; 1 an artifact disagrees (inspect --config: they do not fit); 2 the request or
    an input is wrong; 3 visionport itself failed.
    """
    if not {"-v", "--verbose"} & set(sys.argv):
        mute_tensorflow()
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:  # so that temporary folders go
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))


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


for command in (export, inspect, verify, predict, freeze, convert, demo):
    main.add_command(command)
