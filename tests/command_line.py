"""The command line in processes of its own, for tests."""

import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from visionport.commands import common
from visionport.formats import format_of
from visionport.tasks import task_of

FILES = [
    "checkpoint/checkpoint",
    "checkpoint/ckpt-0.data-00000-of-00001",
    "checkpoint/ckpt-0.index",
    "frozen_inference_graph.pb",
    "labels.txt",
    "manifest.json",
    "model.tflite",
    "pipeline.config",
    "report.html",
    "saved_model/fingerprint.pb",
    "saved_model/saved_model.pb",
    "saved_model/variables/variables.data-00000-of-00001",
    "saved_model/variables/variables.index",
    "verify.json",
]
ARTIFACTS = ("saved_model", "frozen_inference_graph.pb", "model.tflite")


def visionport(*arguments: object, cwd: Path | None = None, **environment: str) -> CompletedProcess[str]:
    command = [sys.executable, "-m", "visionport", *map(str, arguments)]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300)


def at_once(*commands: tuple[object, ...]) -> list[CompletedProcess[str]]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda arguments: visionport(*arguments), commands))


def done(process: CompletedProcess[str]) -> str:
    assert process.returncode == common.DONE, process.stderr
    return process.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def snippet(artifact: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """The report's program for an artifact of that manifest."""
    return format_of(artifact["format"]).snippet(artifact, content, task_of(content["model"]["task"]))
