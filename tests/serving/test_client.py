"""The client: against our server over REST and gRPC, and against servers that are none, or mean harm."""

import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from command_line import visionport
from servers import serving

from visionport import Options, export, prediction
from visionport.client import connection
from visionport.client.address import read_address
from visionport.client.ask import Request, ask, find_task, latency_line, shown
from visionport.client.connection import Access, Known, ServerError
from visionport.client.feeding import find_feed
from visionport.errors import OptionError, VisionportError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.serving import messages
from visionport.serving.configs import read_token

PREDICT = "tensorflow/serving/predict"


@pytest.fixture(scope="module")
def exported(tmp_path_factory, digits) -> Path:
    out = tmp_path_factory.mktemp("client") / "digits"
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt", "out": out}
    inputs = ("image_tensor", "encoded_image_string_tensor", "tf_example", "float_image_tensor")
    export(Options(**places, inputs=inputs, verify=False))
    return out


@pytest.fixture(scope="module")
def server(exported):
    with serving(exported, "--label", "digits:stable=1", "--timeout", 60) as running:
        yield running


@pytest.fixture(scope="module")
def picture(digits) -> Path:
    return digits / "images" / "digits-0.jpg"


def asked(url: str, *images: Path, model: str | None = None, **more):
    return ask(Request(address=read_address(url, model), access=Access(seconds=120), images=images, **more))


# ---------------------------------------------------------------- our server


@pytest.mark.parametrize(
    ("signature", "kind"),
    [
        (None, "image_tensor"),
        ("float_image_tensor", "float_image_tensor"),
        ("encoded_image_string_tensor", "encoded_image_string_tensor"),
        ("tf_example", "tf_example"),
    ],
)
def test_both_ways_answer_as_predict_does(server, exported, picture, signature, kind):
    rest = asked(f"http://127.0.0.1:{server.rest}", picture, signature=signature)
    labels = dict(enumerate((exported / "labels.txt").read_text().split(), 1))
    rpc = asked(f"127.0.0.1:{server.grpc}", picture, model="digits", signature=signature, labels=labels)
    assert rest.kind == rpc.kind == kind
    assert rest.records == rpc.records
    with_file = prediction.load(exported, signature=signature or "serving_default")
    (found,), (mine,) = rest.records[0]["detections"][:1], with_file.predict(picture)["detections"][:1]
    assert (found["class"], found["label"]) == (mine["class"], mine["label"])
    assert found["score"] == pytest.approx(mine["score"], abs=0.01)  # TensorFlow's decoder is another than Pillow's
    assert {**found["box"]} == pytest.approx(mine["box"], abs=2)
    if kind == "image_tensor":
        assert rest.records == prediction.predict(exported, picture)


@pytest.mark.parametrize("path", ["/versions/1", "/labels/stable", "/versions/1:predict", "/metadata"])
def test_versions_and_labels(server, picture, path):
    url = f"http://127.0.0.1:{server.rest}/v1/models/digits{path}"
    assert asked(url, picture).records[0]["detections"][0]["label"] == "six"


def test_the_command(server, picture, tmp_path):
    url = f"http://127.0.0.1:{server.rest}"
    run = visionport("client", url, picture, tmp_path / "none.jpg", "--draw-dir", tmp_path, "--repeat", 3)
    assert run.returncode == 1, run.stderr
    (record,) = json.loads(run.stdout)
    assert Path(record["drawn"]).stat().st_size > 1000
    assert "skipped: " in run.stderr
    assert "3 requests: p50 " in run.stderr


def test_outputs_as_they_are(server, picture):
    (record,) = asked(f"http://127.0.0.1:{server.rest}", picture, raw=True).records
    assert record["outputs"]["detection_scores"]["shape"] == [1, 100]
    assert record["outputs"]["raw_detection_boxes"]["left_out"] == 1512 * 4 - 1000


@pytest.mark.parametrize(
    ("url", "model", "said"),
    [
        ("http://127.0.0.1:{rest}", "digit", "nearest: digits"),
        ("127.0.0.1:{grpc}", "digit", "nearest: digits"),
        ("127.0.0.1:{grpc}", None, "add --model NAME"),
        ("http://127.0.0.1:{grpc}", "digits", "may be the gRPC port"),
        ("127.0.0.1:{rest}", "digits", "may be the REST port"),
        ("https://127.0.0.1:{rest}", "digits", "does not speak TLS"),
        ("grpcs://127.0.0.1:{grpc}", "digits", "no TLS with it"),
        ("http://127.0.0.1:{rest}/v1/models/digits/versions/7", None, "answers 404"),
        ("http://127.0.0.1:{rest}/v1/models/digits/labels/none", None, "answers 400"),
    ],
)
def test_what_cannot_be_asked_is_told(server, picture, url, model, said):
    with pytest.raises(VisionportError, match=said):
        asked(url.format(rest=server.rest, grpc=server.grpc), picture, model=model)


def test_unknown_signatures_are_told(server, picture):
    with pytest.raises(OptionError, match="nearest: tf_example"):
        asked(f"http://127.0.0.1:{server.rest}", picture, signature="tf_exampel")
    with pytest.raises(OptionError, match="--input image_tensor: input_tensor is string"):
        asked(f"http://127.0.0.1:{server.rest}", picture, signature="tf_example", kind="image_tensor")


def test_a_token_is_sent(exported, picture, tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    with serving(exported, "--token-file", tmp_path / "token", "--timeout", 60) as running:
        for url in (f"http://127.0.0.1:{running.rest}", f"grpc://127.0.0.1:{running.grpc}"):
            request = Request(address=read_address(url, "digits"), access=Access(seconds=120), images=[picture])
            with pytest.raises(ServerError, match="wants a token"):
                ask(request)
            access = Access(seconds=120, token=read_token(tmp_path / "token"))
            assert ask(dataclasses.replace(request, access=access)).records[0]["detections"]


# ---------------------------------------------------------------- servers that are none


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """A server that answers each connection's requests with those bytes, the last again and again; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    left = [*answers]

    def talk(one: socket.socket) -> None:
        with one, one.makefile("rb") as given:
            length = 0
            while line := given.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            given.read(length)
            with suppress(OSError):
                one.sendall(left.pop(0) if len(left) > 1 else left[0])

    def serve() -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(one,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1/models/m"
    finally:
        listening.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def metadata(**outputs: str) -> bytes:
    """Of a model that takes encoded pictures."""
    inputs = {"x": {"dtype": "DT_STRING", "tensor_shape": {"dim": [{"size": "-1", "name": ""}]}, "name": "x:0"}}
    ends = {k: {"dtype": v, "tensor_shape": {"unknown_rank": True}, "name": k} for k, v in outputs.items()}
    definition = {"inputs": inputs, "outputs": ends, "method_name": PREDICT}
    found = {"signature_def": {"signature_def": {"serving_default": definition}}}
    return http(json.dumps({"model_spec": {"name": "m"}, "metadata": found}).encode())


MISSING = http(b'{"error": "Malformed request"}', "404 Not Found")
DEEP = b'{"outputs": ' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([MISSING, http(b"<html>hello</html>")], "no JSON: '<html>hello"),
        ([MISSING, http(b"\x1b[31mred", "500 Oh")], r"answers 500: .u001b.31mred"),
        ([MISSING, http(b"[" * 100_000)], "no JSON"),
        ([MISSING, http(b"[1]")], "no signatures"),
        ([MISSING, http(b'{"metadata": {"signature_def": {"signature_def": {"a": 1}}}}')], "no signatures"),
        ([MISSING, MISSING], "answers 404: Malformed request"),
        ([MISSING, b"HTTP/1.1 200 OK\r\n\r\n{}"], "no signatures"),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"], "does not speak HTTP"),
        ([MISSING, metadata(y="DT_FLOAT"), http(b'{"outputs": [[1], [2, 3]]}')], "y is no float32"),
        ([MISSING, metadata(y="DT_FLOAT"), http(b'{"outputs": "\\u001b]0;x"}')], "y is no float32"),
        ([MISSING, metadata(y="DT_FLOAT"), http(b"{}")], "without outputs"),
        ([MISSING, metadata(y="DT_FLOAT"), http(DEEP)], "no JSON|nested deeper"),
        ([MISSING, metadata(y="DT_FLOAT"), http(b'{"error": 7}', "503 Busy")], "answers 503"),
        ([MISSING, http(b"", "302 Found")], "answers 302"),
    ],
)
def test_answers_that_are_none_are_told(picture, answers, said):
    with answering(*answers) as url, pytest.raises(ServerError, match=said) as e:
        asked(url, picture)
    assert "\x1b" not in str(e.value)


def test_an_endless_answer_ends(picture, monkeypatch):
    monkeypatch.setattr("visionport.client.rest.LARGEST", 1 << 20)
    with answering(MISSING, http(b" " * (3 << 20))) as url, pytest.raises(ServerError, match="more than 1,048,576"):
        asked(url, picture)


def test_a_server_that_says_nothing_is_left(picture):
    with answering(b"") as url, pytest.raises(ServerError, match=r"does not speak HTTP|no answer within"):
        ask(Request(address=read_address(url), access=Access(seconds=2), images=[picture]))


def test_nobody_listens(picture):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", f"127.0.0.1:{port}"):
        with pytest.raises(ServerError, match="no server"):
            asked(url, picture, model="m")


def test_a_real_server_lists_no_models(picture):
    with answering(MISSING) as url, pytest.raises(OptionError, match="add --model NAME"):
        asked(url.removesuffix("/v1/models/m"), picture)


def test_unknown_outputs_are_shown(picture):
    answers = [MISSING, metadata(y="DT_FLOAT", name_bytes="DT_STRING")]
    body = b'{"outputs": {"y": [[1.5, NaN]], "name_bytes": [{"b64": "/w=="}, {"b64": "YQ=="}]}}'
    with answering(*answers, http(body)) as url:
        found = asked(url, picture)
    assert found.records[0]["outputs"] == {
        "name_bytes": {"dtype": "string", "shape": [2], "values": [{"b64": "/w=="}, "a"]},
        "y": {"dtype": "float32", "shape": [1, 2], "values": [[1.5, "nan"]]},
    }
    assert "no outputs of a task known here" in found.note


def test_classifications_are_understood(picture):
    outputs = b'{"outputs": {"probs": [[0.1, 0.7, 0.2]], "logits": [[0, 1, 2]]}}'
    with answering(MISSING, metadata(probs="DT_FLOAT", logits="DT_FLOAT"), http(outputs)) as url:
        (record,) = asked(url, picture, labels={1: "dog"}).records
    assert record["classes"] == [{"class": 1, "label": "dog", "score": pytest.approx(0.7)}]


def test_outputs_that_only_are_called_so_are_told(picture):
    names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
    outputs = json.dumps({"outputs": {name: [[1.0]] for name in names}}).encode()
    with (
        answering(MISSING, metadata(**dict.fromkeys(names, "DT_FLOAT")), http(outputs)) as url,
        pytest.raises(ServerError, match="no detections"),
    ):
        asked(url, picture)


# ---------------------------------------------------------------- its parts


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://h/v1/models/m", ("http", "h", 8501, "", "m", None, "")),
        ("https://h:1/up/v1/models/m/versions/3", ("https", "h", 1, "/up", "m", 3, "")),
        ("http://[::1]:9/v1/models/a%20b/labels/x:predict", ("http", "::1", 9, "", "a b", None, "x")),
        ("h:7", ("grpc", "h", 7, "", "", None, "")),
        ("grpcs://h/m/versions/2", ("grpcs", "h", 8500, "", "m", 2, "")),
        ("grpc://h:1/v1/models/m/labels/l", ("grpc", "h", 1, "", "m", None, "l")),
    ],
)
def test_addresses(url, wanted):
    found = read_address(url)
    parts = (found.scheme, found.host, found.port, found.before, found.model, found.version, found.label)
    assert parts == wanted


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://h",
        "http://",
        "http://h:99999",
        "http://h/x",
        "http://u@h",
        "http://h?x=1",
        "h:1 2",
        "http://h\r\nX: y",
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(OptionError, match="Give http://HOST:8501"):
        read_address(url)


def test_a_model_named_twice():
    assert read_address("http://h/v1/models/m", "m").model == "m"
    with pytest.raises(OptionError, match="Leave one of them out"):
        read_address("http://h/v1/models/m", "n")


def sign(*inputs: Tensor, method: str = PREDICT):
    return {"serving_default": (method, SignatureInfo(name="serving_default", inputs=inputs, outputs=()))}


def test_pictures_are_put_to_what_takes_them(picture):
    image = Tensor(name="x", dtype="float32", shape=(2, 8, 6, 3))
    scale = Tensor(name="s", dtype="float32", shape=(None, 4))
    feeds = find_feed(sign(image, scale), None, None, Known()).feeds(picture, np.full((4, 4, 3), 9, np.uint8))
    assert feeds["x"].shape == (2, 8, 6, 3)
    assert feeds["x"].max() == 9
    assert feeds["s"].tolist() == [[0] * 4] * 2
    text = Tensor(name="examples", dtype="string", shape=(None,))
    (value,) = find_feed(sign(text), None, None, Known()).feeds(picture, np.zeros((192, 192, 3), np.uint8))["examples"]
    example = messages.message("tensorflow.Example").FromString(value)
    assert [*example.features.feature["image/encoded"].bytes_list.value] == [picture.read_bytes()]


@pytest.mark.parametrize(
    ("signatures", "said"),
    [
        ({}, "There: none"),
        (sign(Tensor(name="x", dtype="float32", shape=(None, 10))), "none takes pictures"),
        (sign(*(Tensor(name=n, dtype="uint8", shape=(None, 1, 1, 3)) for n in "ab")), "more than one takes pictures"),
        (sign(Tensor(name="x", dtype="string", shape=(None,)), method="tensorflow/serving/classify"), "only"),
    ],
)
def test_signatures_that_take_no_pictures(signatures, said):
    with pytest.raises(OptionError, match=said):
        find_feed(signatures, None, None, Known())


def test_small_parts():
    assert find_task({"probs": np.ones((1, 2))}, Known(task="classification")) is not None
    assert find_task({"y": np.ones(1)}, Known()) is None
    assert shown(np.float32(2.5).reshape(())) == {"dtype": "float32", "shape": [], "values": 2.5}
    assert latency_line([0.001]) == "1 request: 1.0 ms"
    assert latency_line([0.001, 0.003]) == "2 requests: p50 2.0, p90 2.8, p99 3.0, least 1.0, most 3.0 ms"
    assert connection.said("a\n\x1b[0m b.") == r"a \u001b[0m b"
