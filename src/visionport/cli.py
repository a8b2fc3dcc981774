"""The command line. Errors of ours become one paragraph and an exit status here, and only here."""

import os
import signal
import sys
from contextlib import contextmanager

import click

from visionport import __version__
from visionport.commands.common import WRONG, show
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
