"""The digits detector, exported once for all tests that need an export."""

import signal
from pathlib import Path

import pytest

from visionport import signals
from visionport.inputs import pictures

# What is ignored where the tests were started, as below nohup, would be ignored by all that they start.
for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        signal.signal(getattr(signal, name), handler)


@pytest.fixture(autouse=True)
def forget_signals():
    """What a test's own signals were is nothing to the next one."""
    yield
    signals._caught.clear()


DIGITS = Path(str(pictures.example("digits")))


@pytest.fixture(scope="session")
def digits() -> Path:
    """The bundled digits detector: tf2/ with its pipeline.config and checkpoint, label_map.pbtxt, images/*.jpg."""
    return DIGITS


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """Its export: every format, three input types, verified. Not to be changed: copy it first."""
    from visionport import Options, export
    from visionport.formats import BASIC as FORMATS

    options = Options(
        config=DIGITS / "tf2" / "pipeline.config",
        checkpoint=DIGITS / "tf2",
        out=tmp_path_factory.mktemp("digits") / "exported",
        formats=FORMATS,
        inputs=("image_tensor", "encoded_image_string_tensor", "tf_example"),
        labels=DIGITS / "label_map.pbtxt",
    )
    assert export(options).agrees
    return options.out


@pytest.fixture(scope="session", params=["tf1", "tf2"])
def frozen(request, tmp_path_factory) -> Path:
    """Exports of both digits detectors: a frozen graph with OpenCV's text graph, and a SavedModel; any batch."""
    from visionport import Options, export

    options = Options(
        config=DIGITS / request.param,
        checkpoint=DIGITS / request.param,
        out=tmp_path_factory.mktemp("frozen") / request.param,
        formats=("frozen_graph", "saved_model"),
        labels=DIGITS / "label_map.pbtxt",
        opencv=True,
        verify=False,
    )
    return export(options).out
