"""Beam's own runner on this machine, FnApiRunner, in this process or in several; it needs no network.

That runner waits for ever for a process that was killed, as one is when memory is short. So it runs in a thread, and
its processes are watched.
"""

import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# Beam's DirectRunner may fetch a program from the internet; FnApiRunner is all there.
LOCAL = ("FnApiRunner", "DirectRunner", "direct", "local")
TALKERS = ("run_worker", "beam_control_read", "read_grpc_client_inputs")
LOOK, GRACE = 0.2, 5.0  # seconds between two looks; and for a run to end behind its processes


class WorkerLostError(Exception):
    """A process of the runner ended before the run did."""


def run_here(build: Callable[[Any, dict[str, Any]], Any], workers: int, beam_options: dict[str, Any]) -> None:
    """Runs what `build` makes for a runner and Beam's options, in so many processes. Raises WorkerLostError."""
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner  # pyright: ignore[reportMissingImports]
    from apache_beam.transforms.environments import (  # pyright: ignore[reportMissingImports]
        SubprocessSDKEnvironment,
    )

    if workers == 1:
        wait(build(FnApiRunner(), beam_options).run, lambda: False)
        return
    share_cores(workers)
    with tempfile.TemporaryDirectory(prefix=f"visionport-workers-{os.getpid()}-") as folder:
        command = shlex.join([sys.executable, "-m", "visionport.batch.worker", folder])
        mute_threads()
        environment = SubprocessSDKEnvironment.from_command_string(f"exec {command}")
        pipeline = build(FnApiRunner(environment), {**beam_options, "direct_num_workers": workers})
        try:
            wait(pipeline.run, lambda: any(not lives(int(pid)) for pid in os.listdir(folder)))
        finally:
            for pid in os.listdir(folder):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)


def mute_threads() -> None:
    """Beam's threads that talk with a lost process end with a traceback each."""
    if getattr(threading.excepthook, "__name__", "") == "pass_on":
        return
    before = threading.excepthook

    def pass_on(args) -> None:
        if getattr(args.thread, "name", "") not in TALKERS:
            before(args)

    threading.excepthook = pass_on


def wait(run: Callable[[], Any], lost: Callable[[], bool]) -> None:
    """Waits for `run`, and raises what it raises, or WorkerLostError where a worker is lost meanwhile."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            run().wait_until_finish()
        except BaseException as e:
            raised.append(e)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK)
        if thread.is_alive() and lost():
            thread.join(GRACE)
            if thread.is_alive():
                raise WorkerLostError
    if raised:
        raise raised[0]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def share_cores(workers: int) -> None:
    """So many processes take a share of the cores each; TensorFlow would take all in each of them."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, threads)
