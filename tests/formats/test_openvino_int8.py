"""`--openvino-precision int8`, where NNCF is: it brings much along, so it has an environment of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from environments import interpreter
from places import ROOT, SHARED
from sampling import ALL

pytestmark = pytest.mark.skipif(not ALL, reason="minutes")
DEMO = SHARED / "demo"


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """An interpreter with NNCF, and behind that what this one has."""
    folder = tmp_path_factory.mktemp("nncf")
    made = interpreter(folder, "nncf>=3.0,<4", "nncf", "openvino>=2026.0,<2027")
    if made.is_relative_to(folder):
        (own,) = folder.glob("lib/python*/site-packages")
        (own / "behind.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    return made


def run_export(python, digits, api: str, out: Path, *more) -> dict:
    """What `export --json` prints, and under "stderr" what it tells meanwhile."""
    command = [
        python,
        "-m",
        "visionport",
        "export",
        "--config",
        digits / api,
        "--checkpoint",
        digits / api,
        "--out",
        out,
    ]
    command += ["--format", "openvino", "--openvino-precision", "int8", "--json", *more]
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr}


@pytest.mark.parametrize("api", ["tf1", "tf2"])
def test_metric_of_the_digits_detectors(python, digits, tmp_path, api):
    if not DEMO.is_dir():
        pytest.skip("the labelled pictures are not here")
    more = ("--calibration", DEMO / "calibration.tfrecord", "--evaluate", DEMO / "val.tfrecord")
    found = run_export(python, digits, api, tmp_path / "out", *more)
    (lost,) = (c["measured"] for c in found["checks"] if c["what"].endswith("lost"))
    assert lost <= 0.02
    from visionport.formats.openvino import ir

    assert ir.read(tmp_path / "out" / "openvino" / "model.xml").precision == "int8"


def test_the_same_bytes_each_time_and_few_pictures_are_told(python, digits, tmp_path):
    for name in ("one", "two"):
        found = run_export(python, digits, "tf1", tmp_path / name, "--calibration", digits / "images", "--no-verify")
        assert "--openvino-precision int8: 6 calibration pictures are few" in found["stderr"]
    for name in ("model.xml", "model.bin"):
        one, two = ((tmp_path / folder / "openvino" / name).read_bytes() for folder in ("one", "two"))
        assert one == two, name
