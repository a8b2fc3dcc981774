"""Warm-up requests are asked before a version is served, and a version of which one is not answered is not served."""

from pathlib import Path

import numpy as np
import pytest
from servers import build_half_plus

from visionport.errors import InputError
from visionport.inputs import tfrecords
from visionport.serving import warmup
from visionport.serving.inference import Bounds
from visionport.serving.messages import message
from visionport.serving.servable import open_servable


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    return build_half_plus(tmp_path_factory.mktemp("warm") / "half")


@pytest.fixture
def file(half):
    """Where its warm-up requests lie, which are others in each test."""
    found = half / warmup.FILE
    found.parent.mkdir(exist_ok=True)
    yield found
    found.unlink(missing_ok=True)


def ask(x, signature="serving_default", name="x"):
    return warmup.log_of("half", signature, {name: np.array(x, np.float32)})


def examples(kind: str, signature: str):
    log = message("PredictionLog")()
    request = getattr(log, kind).request
    request.model_spec.signature_name = signature
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(1.0)
    return log


def many():
    log = message("PredictionLog")()
    request = log.multi_inference_log.request
    for signature, method in (("classify_x_to_y", "classify"), ("regress_x_to_y", "regress")):
        request.tasks.add(method_name=f"tensorflow/serving/{method}").model_spec.signature_name = signature
    request.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.0)
    return log


def count_calls(half: Path, monkeypatch) -> list[str]:
    """The signatures that the model is asked by while it is opened."""
    asked = []
    original = warmup.answer
    monkeypatch.setattr(
        warmup, "answer", lambda runner, name, feeds: asked.append(name) or original(runner, name, feeds)
    )
    warmup.open_warm(half, bounds=Bounds()).close()
    return asked


def test_every_kind_of_request_is_asked(half, file, monkeypatch):
    logs = [
        ask([[1.0], [2.0]]),
        examples("classify_log", "classify_x_to_y"),
        examples("regress_log", "regress_x_to_y"),
        many(),
        message("PredictionLog")(),  # of no kind: nothing is asked
    ]
    file.write_bytes(b"".join(warmup.records(logs)))
    asked = count_calls(half, monkeypatch)
    both = ["classify_x_to_y", "regress_x_to_y"]
    assert asked == ["serving_default", *both, *both]


def test_no_file_and_an_empty_one_are_no_requests(half, file, monkeypatch):
    assert count_calls(half, monkeypatch) == []
    file.write_bytes(b"")
    assert count_calls(half, monkeypatch) == []


def test_no_more_than_a_thousand_are_asked(half, file, monkeypatch):
    assert warmup.MOST == 1000
    monkeypatch.setattr(warmup, "MOST", 10)
    (record,) = warmup.records([ask([[1.0]])])
    file.write_bytes(record * 10)
    assert len(count_calls(half, monkeypatch)) == 10
    file.write_bytes(record * 11)
    with pytest.raises(InputError, match="more than 10 warm-up requests"):
        count_calls(half, monkeypatch)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (ask([[1.0]], "nope"), "nope"),
        (ask([[1.0]], name="z"), "Missing but required: {x}"),
        (warmup.log_of("half", "", {"x": np.array([[1]], np.int32)}), "expects float32, and int32"),
        (examples("classify_log", "regress_x_to_y"), "method_name"),
    ],
)
def test_a_version_with_a_failing_request_is_not_served(half, file, log, said):
    file.write_bytes(b"".join(warmup.records([ask([[1.0]]), log])))
    with pytest.raises(InputError, match="warm-up request 1 is not answered") as e:
        warmup.open_warm(half, bounds=Bounds())
    assert said in str(e.value)


@pytest.mark.parametrize("data", [b"no record", tfrecords.frame(b"\xff\xff"), tfrecords.frame(b"x")[:-1]])
def test_damaged_files_are_refused(half, file, data):
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"no PredictionLog|no TFRecord|damaged"):
        warmup.open_warm(half, bounds=Bounds())


def test_a_link_out_of_the_model_is_not_followed(half, file, tmp_path):
    (tmp_path / "secret").write_bytes(b"".join(warmup.records([ask([[1.0]])])))
    file.symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="link that leads out"):
        warmup.open_warm(half, bounds=Bounds())


def test_a_tensor_may_not_be_larger_than_a_request(half, file):
    file.write_bytes(b"".join(warmup.records([ask(np.zeros((100, 1)))])))
    with pytest.raises(InputError, match="larger than this server takes"):
        warmup.open_warm(half, bounds=Bounds(body=64))
    open_servable(half).close()
