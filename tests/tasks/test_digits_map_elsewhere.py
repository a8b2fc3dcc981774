"""Mean average precision of the digits detectors in other runtimes, beside that of the checkpoints in TensorFlow."""

import re

import pytest
from places import SHARED
from sampling import sampled

from visionport import Options, export
from visionport.formats import format_of
from visionport.inputs import tfrecords

PICTURES = SHARED / "demo" / "val.tfrecord"
pytestmark = pytest.mark.skipif(not PICTURES.exists(), reason="the validation pictures are not here")

RUNTIMES = ("onnx", "openvino")
HERE = tuple(name for name in RUNTIMES if not format_of(name).missing_package())
LOST = 0.002  # at most


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Of the 200 every fifth."""
    import tensorflow as tf

    path = tmp_path_factory.mktemp("pictures") / "val.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as file:
        for data in sampled(tfrecords.read(PICTURES, "val"), 5):
            file.write(data)
    return path


@pytest.fixture(scope="module", params=["tf1", "tf2"])
def measured(request, tmp_path_factory, digits, pictures):
    """{runtime: (its own, the checkpoint's)}."""
    places = {"config": digits / request.param, "checkpoint": digits / request.param}
    out = tmp_path_factory.mktemp(request.param) / "exported"
    checks = export(Options(**places, out=out, formats=HERE, evaluate=pictures)).checks
    found = {check.artifact: re.match(r"([\d.]+) of ([\d.]+)", check.notes) for check in checks if "mAP" in check.what}
    return {name: tuple(map(float, match.groups())) for name, match in found.items() if match}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_is_lost(measured, runtime):
    if runtime not in HERE:
        pytest.skip(format_of(runtime).missing_package())
    mine, source = measured[runtime]
    assert source > 0.9
    assert mine == pytest.approx(source, abs=LOST)
