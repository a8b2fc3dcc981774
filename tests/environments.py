"""Interpreters for clients that stay out of this environment, as their users have them: an environment for each."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import ROOT


def interpreter(folder: Path, package: str, module: str, *more: str) -> Path:
    """An interpreter with the package: that of VISIONPORT_<MODULE>, or of an environment made in `folder`.

    Skips the test where the package cannot be installed, or `module` not be imported. more: other packages to install.
    """
    variable = "VISIONPORT_" + module.partition(".")[0].upper()
    given = os.environ.get(variable)
    made = Path(given) if given else folder / "bin" / "python"
    if not given:
        steps = [[sys.executable, "-m", "venv", folder], [made, "-m", "pip", "install", "-q", package, *more]]
        if any(subprocess.run(step, capture_output=True).returncode for step in steps):
            pytest.skip(f"{package} cannot be installed here; {variable} may name an interpreter that has it")
    if subprocess.run([made, "-c", f"import {module}"], capture_output=True).returncode:
        pytest.skip(f"{module} does not load on this machine")
    return made


def library(folder: Path, package: str) -> dict[str, str]:
    """Variables with which this interpreter finds the package too, without what it needs, which is here already.

    Skips the test where it cannot be installed.
    """
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, package]
    if subprocess.run(install, capture_output=True).returncode:
        pytest.skip(f"{package} cannot be installed here")
    return {"PYTHONPATH": os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))}


def run(python: Path | str, code: str, *arguments, **variables: str) -> str:
    """What a program prints. Fails with what it said on standard error."""
    command = [python, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_snippet(python: Path | str, client: str, export: Path, picture: Path, folder: Path, **changes: str) -> str:
    """What the snippet for a client in docs/clients.md prints, run in a folder like the export with `photo.jpg`.

    changes: what of the snippet is replaced by what.
    """
    text = (ROOT / "docs" / "clients.md").read_text()
    code = text.partition(f"\n## {client}\n")[2].partition("```python\n")[2].partition("```")[0]
    for old, new in changes.items():
        code = code.replace(old, new)
    for file in export.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "photo.jpg").symlink_to(picture)
    done = subprocess.run([python, "-c", code], cwd=folder, capture_output=True, text=True)
    assert code
    assert done.returncode == 0, done.stderr
    return done.stdout


# What is compared of every detection, absolute: rounding in another order of operations, as docs/support.md has it.
CLOSE = {"detection_boxes": 1e-4, "detection_scores": 1e-4, "detection_classes": 0, "num_detections": 0}


def assert_same_detections(found, wanted, share: float = 1.0) -> None:
    """Of each row of detections at least `share` are equal, in their order. found, wanted: {output: [b, m, ...]}."""
    for name, bound in CLOSE.items():
        assert found[name].shape == wanted[name].shape, name
        same = abs(found[name] - wanted[name]) <= bound
        assert same.reshape(*same.shape[:2], -1).all(-1).mean() >= share if same.ndim > 1 else same.all(), name


@contextlib.contextmanager
def tensorflow_js() -> Iterator[Path]:
    """The folder of TensorFlow.js's packages: that of VISIONPORT_TFJS, or one that npm fills once, which it names then.

    Skips the test where they cannot be installed.
    """
    from visionport.formats.tfjs import runner

    with pytest.MonkeyPatch.context() as patch:
        folder = runner.modules_folder()
        if runner.missing() or not (folder / "node_modules" / "@tensorflow" / "tfjs").is_dir():
            folder = ROOT / "build" / "tfjs"
            patch.setenv(runner.MODULES, str(folder))
        if runner.missing():
            install_node_packages(ROOT / "tests" / "tfjs", folder)
        yield folder


def install_node_packages(wanted: Path, folder: Path) -> None:
    """Those of wanted/package.json in a folder that is there whole or not at all; tests that run beside want it too."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("no Node.js and npm here")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        made = Path(shutil.copytree(wanted, Path(place) / "made"))
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(made)]
        if subprocess.run(install, cwd=made, capture_output=True).returncode:
            pytest.skip(f"the packages of {wanted / 'package.json'} cannot be installed here")
        with contextlib.suppress(OSError):  # another test was first
            made.rename(folder)
