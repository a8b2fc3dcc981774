"""Beam pins protobuf 6, so it has an environment of its own: the tests of batches run there, and some others."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from environments import interpreter
from places import ROOT

TESTS = ("tests/batch", "tests/config/test_pipeline_text.py", "tests/config/test_labels.py")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An interpreter with what the extra `beam` asks for, and behind that what this one has."""
    wanted = [
        line.partition(";")[0].strip()
        for line in metadata.requires("visionport") or ()
        if 'extra == "beam"' in line.replace("'", '"')
    ]
    folder = tmp_path_factory.mktemp("beam")
    made = interpreter(folder, wanted[0], "apache_beam", *wanted[1:])
    if made.is_relative_to(folder):
        (own,) = folder.glob("lib/python*/site-packages")
        (own / "behind.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    return made


def test_batches_work_where_beam_is(python, tmp_path):
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"PYTHONPATH": path}
    version = "import google.protobuf as p; print(p.__version__.split('.')[0])"
    printed = subprocess.run([python, "-c", version], env=variables, capture_output=True, text=True)
    assert printed.stdout.strip() == "6", printed.stderr
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", *TESTS]
    command += ["--ignore", "tests/batch/test_in_environment.py", "--basetemp", str(tmp_path / "inside")]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout, done.stdout
    print(done.stdout)


def test_without_beam_the_command_names_the_extra(tmp_path):
    try:
        metadata.version("apache-beam")
    except metadata.PackageNotFoundError:
        command = [sys.executable, "-m", "visionport", "batch", "exported", "photos", "--out", "a.jsonl"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2
        assert "pip install 'visionport[beam]'" in done.stderr
        assert "Traceback" not in done.stderr
