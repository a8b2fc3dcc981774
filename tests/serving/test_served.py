"""One server, asked all that there is: TensorFlow Serving's REST and gRPC, pictures, the list, and what is hostile."""

import base64
import gzip
import io
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from environments import library, run
from google.protobuf import text_format
from PIL import Image
from places import ROOT
from servers import build_half_plus, serving

from visionport import prediction
from visionport.commands.serve import serve
from visionport.errors import OptionError, VisionportError
from visionport.inputs import pictures
from visionport.serving.configs import read_configs
from visionport.serving.messages import message, methods, to_array, to_tensor
from visionport.serving.server import Settings, check_packages, warn

MODEL = "/v1/models/half"
LABELS = ("--label", "half:old=1", "--label", "half:new=2")


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A folder of versions: 1 adds two, 2 adds three."""
    folder = tmp_path_factory.mktemp("models") / "half"
    for version in (1, 2):
        build_half_plus(folder / str(version), version + 1.0)
    return folder


@pytest.fixture(scope="module")
def server(half, digits_export):
    """They, the TFLite file by itself, and `moving`, whose versions change."""
    moving = half.parent / "moving"
    shutil.copytree(half / "1", moving / "1")
    more = ("--name", f"lite={digits_export / 'model.tflite'}", "--cors", "https://page.example")
    bounds = ("--max-body", 8, "--max-pixels", 1, "--timeout", 60)
    with serving(half, digits_export, moving, *more, *bounds, "--versions", "all", *LABELS, "--poll", 0.2) as running:
        yield running


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def jpeg(digits) -> bytes:
    return (digits / "images" / "digits-0.jpg").read_bytes()


# ---------------------------------------------------------------- half plus two, as the documents have it


@pytest.mark.parametrize(
    ("path", "added"),
    [
        ("", 3),
        ("/versions/1", 2),
        ("/versions/2", 3),
        ("/labels/old", 2),
        ("/labels/new", 3),
        ("/VERSIONS/1", 2),
    ],
)
def test_predict(server, path, added):
    values = [1.0, 2.0, 5.0]
    half = [v / 2 + added for v in values]
    assert server.post(f"{MODEL}{path}:predict", {"instances": values}) == {"predictions": half}
    assert server.post(f"{MODEL}{path}:predict", {"inputs": values}) == {"outputs": half}
    assert server.post(f"{MODEL}{path}:predict", {"inputs": {"x": [[v] for v in values]}}) == {
        "outputs": [[v] for v in half]
    }
    assert server.post(f"{MODEL}{path}:Predict", {"instances": [{"x": [1]}], "signature_name": "serving_default"}) == {
        "predictions": [[0.5 + added]]
    }


def test_not_a_number(server):
    _, _, body = server.send("POST", f"{MODEL}:predict", '{"instances": [NaN, Infinity, -Infinity, 1]}')
    assert body == b'{"predictions": [NaN, Infinity, -Infinity, 3.5]}'


def test_classify_and_regress(server):
    examples = {"examples": [{"x": 1.0}, {"x": [2.0]}]}
    assert server.post(f"{MODEL}:classify", examples | {"signature_name": "classify_x_to_y"}) == {
        "results": [[["", 3.5]], [["", 4.0]]]
    }
    assert server.post(f"{MODEL}/versions/1:regress", examples | {"signature_name": "regress_x_to_y"}) == {
        "results": [2.5, 3.0]
    }
    shared = {"context": {"x": 6.0}, "examples": [{}, {}], "signature_name": "regress_x_to_y"}
    assert server.post(f"{MODEL}:regress", shared) == {"results": [6.0, 6.0]}


def test_status(server):
    fine = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert server.get(MODEL) == {"model_version_status": [{"version": v} | fine for v in ("2", "1")]}
    assert server.get(f"{MODEL}/versions/1") == {"model_version_status": [{"version": "1"} | fine]}
    assert server.get(f"{MODEL}/labels/new") == {"model_version_status": [{"version": "2"} | fine]}


def test_metadata(server):
    found = server.get(f"{MODEL}/versions/1/metadata")
    assert found["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert {name: s["method_name"] for name, s in signatures.items() if not name.startswith("__")} == {
        "serving_default": "tensorflow/serving/predict",
        "classify_x_to_y": "tensorflow/serving/classify",
        "regress_x_to_y": "tensorflow/serving/regress",
    }
    assert signatures["serving_default"]["inputs"] == {
        "x": {
            "name": "x:0",
            "dtype": "DT_FLOAT",
            "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}], "unknown_rank": False},
        }
    }


REFUSED = [
    ("/v1/models/none:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(none)"),
    ("/v1/models/haf:predict", {"instances": [1]}, 404, "nearest: half"),
    (f"{MODEL}/versions/9:predict", {"instances": [1]}, 404, "Specific(half, 9). Versions available: 1, 2"),
    (f"{MODEL}/versions/{9**30}:predict", {"instances": [1]}, 400, "Failed to convert version"),
    (f"{MODEL}/labels/nw:predict", {"instances": [1]}, 400, "Unrecognized servable version label: nw; nearest: new"),
    (f"{MODEL}:guess", {"instances": [1]}, 400, "Malformed request: POST /v1/models/half:guess"),
    (f"{MODEL}/versions/x:predict", {"instances": [1]}, 400, "Malformed request"),
    (MODEL, {"instances": [1]}, 400, "Malformed request"),
    (f"{MODEL}:predict", {"instances": [1], "signature_name": "no"}, 400, 'Serving signature name: "no" not found'),
    (f"{MODEL}:predict", {"inputs": {"y": [1]}}, 400, "Missing named input: x"),
    (f"{MODEL}:predict", {"instances": [["a"]]}, 400, "is not of expected type: float32"),
    (f"{MODEL}:predict", b"", 400, "The document is empty"),
    (f"{MODEL}:classify", {"examples": [{"x": 1.0}]}, 400, "Expected classification signature method_name to be"),
    (
        f"{MODEL}:classify",
        {"examples": [{"x": 1.0}], "signature_name": "no"},
        400,
        "No signature was found with the name: no",
    ),
    (
        f"{MODEL}:regress",
        {"examples": [{"x": "1"}], "signature_name": "regress_x_to_y"},
        400,
        "The model cannot answer",
    ),
    (
        f"{MODEL}:regress",
        {"examples": [], "signature_name": "regress_x_to_y"},
        400,
        "'examples' value is an empty array",
    ),
    ("/v1/models/digits:predict", {"instances": [[[[1, 2, 3, 4]]]]}, 400, "expects the shape [?, ?, ?, 3]"),
    ("/v1/models/digits:predict", {"instances": [[[1, 2, 3]]]}, 400, "expects the shape [?, ?, ?, 3]"),
    ("/v1/models/lite:predict", {"instances": [[[[1, 2, 3]]]]}, 400, "expects the shape [1, "),
    ("/v1/models/half:answer", b"\xff\xd8\xff", 400, "half cannot be asked about pictures"),
    ("/v2/models/half", b"", 404, "Not found: POST /v2/models/half"),
]


@pytest.mark.parametrize(("path", "content", "status", "said"), REFUSED)
def test_what_is_refused(server, path, content, status, said):
    found, sentence = server.refuse(path, content)
    assert (found, said in sentence) == (status, True), sentence


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/models/none", 404, "Could not find any versions of model none"),
        ("/v1/models/half/versions/7", 404, "Could not find version 7 of model half"),
        ("/v1/models/none/metadata", 404, "Servable not found"),
        ("/v1/models/half:predict", 400, "Malformed request: GET"),
        ("/favicon.ico", 404, "Not found"),
    ],
)
def test_what_is_not_there(server, path, status, said):
    found, headers, body = server.send("GET", path)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert said in json.loads(body)["error"]


# ---------------------------------------------------------------- detectors


@pytest.mark.parametrize("name", ["digits", "lite"])
def test_outputs_are_the_runners_own(server, digits_export, jpeg, name):
    """Each artifact by its signatures: pixels as lists, encoded, in a tf.Example."""
    artifact = digits_export if name == "digits" else digits_export / "model.tflite"
    predictor = prediction.load(artifact)
    picture = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    value, _ = predictor.asker.feed(picture[None])
    reading = predictor.asker.reading
    wanted = predictor.asker.runner.call(reading.signature, {reading.input: value})
    found = server.post(f"/v1/models/{name}:predict", {"instances": value.tolist()})["predictions"]
    columns = server.post(f"/v1/models/{name}:predict", {"inputs": {reading.input: value.tolist()}})["outputs"]
    assert found[0].keys() == columns.keys() == wanted.keys()
    for key, array in wanted.items():
        for given in ([row[key] for row in found], columns[key]):
            np.testing.assert_allclose(given, array, atol=2e-5, rtol=2e-5)


def test_encoded_pictures_and_examples(server, jpeg):
    """Of two pictures, in both forms: what each gives alone."""
    turned = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).rotate(90).save(turned, "PNG")
    files = [jpeg, turned.getvalue()]
    ask = {"signature_name": "encoded_image_string_tensor", "instances": [b64(f) for f in files]}
    both = server.post("/v1/models/digits:predict", ask)["predictions"]
    alone = [server.post("/v1/models/digits:predict", ask | {"instances": [b64(f)]})["predictions"][0] for f in files]
    examples = []
    for data in files:
        example = message("tensorflow.Example")()
        example.features.feature["image/encoded"].bytes_list.value.append(data)
        examples.append(b64(example.SerializeToString()))
    packed = server.post("/v1/models/digits:predict", {"signature_name": "tf_example", "inputs": examples})["outputs"]
    for row, one in enumerate(alone):
        assert np.sum(np.array(one["detection_scores"]) > 0.5) == 3
        np.testing.assert_allclose(both[row]["detection_scores"], one["detection_scores"], atol=1e-4)
        np.testing.assert_allclose(packed["detection_boxes"][row], one["detection_boxes"], atol=1e-4)


@pytest.mark.parametrize("name", ["digits", "lite"])
def test_answers_about_pictures(server, digits_export, digits, jpeg, name):
    artifact = digits_export if name == "digits" else digits_export / "model.tflite"
    (wanted,) = prediction.predict(artifact, digits / "images" / "digits-0.jpg", min_score=0.5)
    del wanted["image"]
    asked = server.post(f"/v1/models/{name}:answer?min_score=0.5", jpeg)
    assert (asked["model"], asked["version"], asked["task"]) == (name, "1", "detection")
    assert len(asked["answer"]["detections"]) == len(wanted["detections"]) == 3
    for mine, theirs in zip(asked["answer"]["detections"], wanted["detections"], strict=True):
        assert mine["label"] == theirs["label"]
        assert mine["box"] == pytest.approx(theirs["box"], abs=0.02)
    content = json.dumps({"image": b64(jpeg)})
    _, _, body = server.send(
        "POST",
        f"/v1/models/{name}:answer?min_score=0.5&arrays=1&drawn=1",
        content,
        {"Content-Type": "application/json; charset=utf-8"},
    )
    more = json.loads(body)
    assert more["answer"] == asked["answer"]
    assert np.shape(more["arrays"]["detection_boxes"])[1] == 4
    drawn = Image.open(io.BytesIO(base64.b64decode(more["drawn"].partition(",")[2])))
    assert drawn.format == "PNG"


def test_pictures_are_turned_as_they_were_taken(server, jpeg):
    """By their EXIF data: a picture that lies on its side is seen upright."""
    image = Image.open(io.BytesIO(jpeg)).resize((120, 160))
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    data = io.BytesIO()
    image.save(data, "JPEG", exif=exif)
    answer = server.post("/v1/models/lite:answer", data.getvalue())["answer"]
    assert (answer["width"], answer["height"]) == (160, 120)


@pytest.mark.parametrize(
    ("query", "data", "said"),
    [
        ("", b"", "The body is empty"),
        ("", b"no picture", "not an image that can be read"),
        ("", b"PK\x03\x04" + bytes(100), "It is an archive"),
        ("?min_score=2", b"\xff\xd8\xff", "min_score is a number from 0 to 1"),
        ("?min_score=nan", b"\xff\xd8\xff", "min_score is a number from 0 to 1"),
    ],
)
def test_pictures_that_are_refused(server, query, data, said):
    status, sentence = server.refuse(f"/v1/models/lite:answer{query}", data)
    assert (status, said in sentence) == (400, True), sentence


def png_of(width: int, height: int) -> bytes:
    """A PNG that says that it is large and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    head = chunk(b"IHDR", size + b"\x08\x02\x00\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(2000, 1000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_larger_than_allowed_is_not_decoded(server, size):
    data = png_of(*size)
    ask = {"signature_name": "encoded_image_string_tensor", "instances": [b64(data)]}
    for path, content in (("digits:predict", ask), ("lite:answer", data), ("digits:answer", data)):
        status, sentence = server.refuse(f"/v1/models/{path}", content)
        assert (status, "pixels, and at most" in sentence) == (400, True), sentence
    example = message("tensorflow.Example")()
    example.features.feature["image/encoded"].bytes_list.value.append(data)
    packed = {"signature_name": "tf_example", "instances": [b64(example.SerializeToString())]}
    status, sentence = server.refuse("/v1/models/digits:predict", packed)
    assert (status, "pixels, and at most 1" in sentence) == (400, True)


def test_a_broken_picture(server, jpeg):
    ask = {"signature_name": "encoded_image_string_tensor"}
    for data in (jpeg[: len(jpeg) // 2], jpeg[:100], b"GIF89a", b"no picture", b""):
        status, sentence = server.refuse("/v1/models/digits:predict", ask | {"instances": [b64(data)]})
        assert status == 400, sentence
        assert "/" not in sentence.replace("and/or", ""), sentence


# ---------------------------------------------------------------- the list, the page, metrics, CORS, gzip


def test_the_list_of_models(server):
    models = {m["name"]: m for m in server.get("/v1/models")["models"]}
    assert list(models) == ["digits", "half", "lite", "moving"]
    half, digits, lite = models["half"], models["digits"]["versions"][0], models["lite"]["versions"][0]
    assert (half["default_version"], half["labels"]) == ("2", {"new": "2", "old": "1"})
    assert [v["version"] for v in half["versions"]] == ["2", "1"]
    assert (half["versions"][0]["asks"], half["versions"][0]["task"]) == (False, None)
    assert (digits["format"], digits["task"], digits["noun"], digits["asks"]) == (
        "saved_model",
        "detection",
        "detections",
        True,
    )
    assert digits["classes"]["1"] == "zero"
    assert digits["input"] == {
        "type": "image_tensor",
        "signature": "serving_default",
        "name": "input_tensor",
        "dtype": "uint8",
        "shape": [None, None, None, 3],
    }
    assert lite["format"] == "tflite"
    assert lite["asks"]


def test_metrics(server):
    server.post(f"{MODEL}:predict", {"instances": [1]})
    server.refuse("/v1/models/unheard-of:predict", {"instances": [1]})
    _, headers, body = server.send("GET", "/monitoring/prometheus/metrics")
    text = body.decode()
    assert headers["content-type"].startswith("text/plain")
    lines = [line for line in text.splitlines() if line.startswith(":tensorflow:serving:request_count{")]
    counts = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert counts[':tensorflow:serving:request_count{model_name="half",status="OK"}'] >= 1
    assert counts[':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}'] >= 1
    assert ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="REST",model_name="half"}' in text
    assert "unheard-of" not in text


def test_cors(server):
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    status, headers, _ = server.send("OPTIONS", f"{MODEL}:predict", headers=asked)
    assert (status, headers["access-control-allow-origin"]) == (200, "https://page.example")
    _, headers, _ = server.send("GET", MODEL, headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in headers


def test_gzip(server):
    body = gzip.compress(b'{"instances": [1]}')
    status, _, found = server.send("POST", f"{MODEL}:predict", body, {"Content-Encoding": "gzip"})
    assert (status, found) == (200, b'{"predictions":[3.5]}')
    for data, encoding, wanted in (
        (gzip.compress(bytes(100 << 20)), "gzip", 413),
        (b"no gzip", "gzip", 400),
        (body[:-9], "gzip", 400),
        (body, "br", 415),
    ):
        status, _, found = server.send("POST", f"{MODEL}:predict", data, {"Content-Encoding": encoding})
        assert (status, "error" in json.loads(found)) == (wanted, True)


def test_the_page_is_served_whole(server):
    """With all that it names, and nothing of others."""
    kinds = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    status, headers, body = server.send("GET", "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in headers["content-security-policy"]
    waiting, seen = re.findall(r'(?:src|href)="page/([^"]+)"', body.decode()), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        status, headers, body = server.send("GET", f"/page/{name}")
        assert (status, headers["content-type"].partition(";")[0]) == (200, kinds[name.rpartition(".")[2]])
        assert set(re.findall(r"https?://[\w.]+", body.decode())) <= {"http://www.w3.org"}  # SVG's own name
        waiting += re.findall(r'from "\./([^"]+)"', body.decode())
    folder = ROOT / "src" / "visionport" / "serving" / "page"
    assert seen | {"index.html"} == {f.name for f in folder.iterdir()}


def test_marks_are_what_the_answer_says(server, jpeg):
    found = server.post("/v1/models/lite:answer?marks=1&min_score=0.5", jpeg)
    detections, marks = found["answer"]["detections"], found["marks"]["found"]
    assert [d["label"] for d in detections] == [m["label"] for m in marks]
    for detection, mark in zip(detections, marks, strict=True):
        sides = [detection["box"][k] for k in ("xmin", "ymin", "xmax", "ymax")]
        assert np.array(mark["box"]) * 192 == pytest.approx(sides, abs=0.01)
    assert "marks" not in server.post("/v1/models/lite:answer", jpeg)


def test_the_list_says_how_pictures_go_in(server):
    models = {m["name"]: m["versions"][0] for m in server.get("/v1/models")["models"]}
    by_name = {s["name"]: s["picture"] for s in models["digits"]["signatures"]}
    kinds = {"serving_default": "image_tensor"}
    kinds |= {name: name for name in ("image_tensor", "encoded_image_string_tensor", "tf_example")}
    assert {name: picture["type"] for name, picture in by_name.items()} == kinds
    assert "read()" in by_name["encoded_image_string_tensor"]["python"]
    (lite,) = models["lite"]["signatures"]
    assert "resize((width, height)" in lite["picture"]["python"]
    assert [s["picture"] for s in models["half"]["signatures"]] == [None] * 3


def test_nothing_outside_the_page_is_served(server):
    for path in ("/page/../server.py", "/page/%2e%2e/server.py", "/page//etc/passwd", "/page/..%2fserver.py", "/page/"):
        status, _, _ = server.send("GET", path)
        assert status == 404


# ---------------------------------------------------------------- gRPC


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as found:
        yield found


def call(channel, name: str, text: str = "", service: str = "PredictionService", **inputs):
    """A method's response to a request in protobuf's text."""
    path, request, response = methods(f"tensorflow.serving.{service}")[name]
    given = text_format.Parse(text, request())
    for key, array in inputs.items():
        given.inputs[key].CopyFrom(to_tensor(np.asarray(array)))
    ask = channel.unary_unary(path, request.SerializeToString, response.FromString)
    return ask(given, timeout=30)


def refuse_call(channel, *arguments, **inputs) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as error:
        call(channel, *arguments, **inputs)
    return error.value.code().name, error.value.details() or ""


HALF = 'model_spec { name: "half" }'


def tensor(text: str) -> str:
    return f'inputs {{ key: "x" value {{ {text} }} }}'


def spec(signature: str) -> str:
    return f'model_spec {{ name: "half" signature_name: "{signature}" }}'


EXAMPLES = """input { example_list {
    examples { features { feature { key: "x" value { float_list { value: 1 } } } } }
    examples { features { feature { key: "x" value { float_list { value: 2 } } } } } } }"""


def test_rpc_predict(channel):
    found = call(channel, "Predict", HALF, x=np.array([[1], [2], [5]], np.float32))
    assert to_array(found.outputs["y"]).tolist() == [[3.5], [4.0], [5.5]]
    assert text_format.MessageToString(found.model_spec, as_one_line=True) == (
        'name: "half" version { value: 2 } signature_name: "serving_default"'
    )
    older = 'model_spec { name: "half" version_label: "old" } output_filter: "y"'
    assert to_array(call(channel, "Predict", older, x=np.array([[1]], np.float32)).outputs["y"]).tolist() == [[2.5]]
    one_by_one = tensor("dtype: DT_FLOAT tensor_shape { dim { size: 2 } dim { size: 1 } } float_val: 8")
    assert to_array(call(channel, "Predict", f"{HALF} {one_by_one}").outputs["y"]).tolist() == [[7.0], [7.0]]


def test_rpc_predict_of_a_detector(channel, server, jpeg):
    encoded = 'model_spec { name: "digits" signature_name: "encoded_image_string_tensor" }'
    found = call(
        channel, "Predict", f'{encoded} output_filter: "detection_scores"', input_tensor=np.array([jpeg], object)
    )
    assert list(found.outputs) == ["detection_scores"]
    content = {"signature_name": "encoded_image_string_tensor", "instances": [b64(jpeg)]}
    (rest,) = server.post("/v1/models/digits:predict", content)["predictions"]
    np.testing.assert_allclose(to_array(found.outputs["detection_scores"])[0], rest["detection_scores"], atol=1e-6)


def test_rpc_classify_regress_and_both(channel):
    classified = call(channel, "Classify", spec("classify_x_to_y") + EXAMPLES)
    assert [[c.score for c in one.classes] for one in classified.result.classifications] == [[3.5], [4.0]]
    regressed = call(channel, "Regress", spec("regress_x_to_y") + EXAMPLES)
    assert [v.value for v in regressed.result.regressions] == [3.5, 4.0]
    tasks = "".join(
        f'tasks {{ {spec(f"{verb}_x_to_y")} method_name: "tensorflow/serving/{verb}" }}'
        for verb in ("classify", "regress")
    )
    both = call(channel, "MultiInference", tasks + EXAMPLES)
    assert both.results[0].classification_result == classified.result
    assert both.results[1].regression_result == regressed.result


def test_rpc_metadata_and_status(channel, server):
    found = call(channel, "GetModelMetadata", f'{HALF} metadata_field: "signature_def"')
    packed = found.metadata["signature_def"]
    signatures = message("SignatureDefMap").FromString(packed.value).signature_def
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    assert signatures["regress_x_to_y"].method_name == "tensorflow/serving/regress"
    status = call(channel, "GetModelStatus", HALF, "ModelService")
    assert [(v.version, v.State.Name(v.state)) for v in status.model_version_status] == [
        (2, "AVAILABLE"),
        (1, "AVAILABLE"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "inputs", "code", "said"),
    [
        ("Predict", "", {}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("Predict", "model_spec { }", {}, "INVALID_ARGUMENT", "no name"),
        ("Predict", 'model_spec { name: "no" }', {}, "NOT_FOUND", "Latest(no)"),
        (
            "Predict",
            HALF,
            {},
            "INVALID_ARGUMENT",
            "0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}",
        ),
        ("Predict", HALF, {"y": [1.0]}, "INVALID_ARGUMENT", "Sent extra: {y}. Missing but required: {x}."),
        ("Predict", HALF, {"x": [1.0]}, "INVALID_ARGUMENT", "expects float32, and float64 was sent"),
        (
            "Predict",
            f'{HALF} output_filter: "z"',
            {"x": np.array([1], np.float32)},
            "INVALID_ARGUMENT",
            "expected to be in the set {y}",
        ),
        (
            "Predict",
            HALF + tensor("dtype: DT_FLOAT tensor_shape { dim { size: 9000000000 } } float_val: 1"),
            {},
            "INVALID_ARGUMENT",
            "is larger than this server takes",
        ),
        (
            "Predict",
            HALF + tensor('dtype: DT_FLOAT tensor_shape { dim { size: 3 } } tensor_content: "abcd"'),
            {},
            "INVALID_ARGUMENT",
            "takes 12 bytes, but its tensor_content has 4",
        ),
        ("Predict", HALF + tensor("dtype: 77"), {}, "INVALID_ARGUMENT", "dtype 77"),
        (
            "Predict",
            HALF + tensor("dtype: 1 tensor_shape { dim { size: -1 } }"),
            {},
            "INVALID_ARGUMENT",
            "",
        ),
        ("Classify", HALF, {}, "INVALID_ARGUMENT", "Input is empty"),
        ("Classify", HALF + EXAMPLES, {}, "INVALID_ARGUMENT", "Expected classification signature method_name"),
        ("MultiInference", EXAMPLES, {}, "INVALID_ARGUMENT", "no task"),
        (
            "MultiInference",
            'tasks { model_spec { name: "half" } method_name: "a" } tasks { model_spec { name: "lite" } }' + EXAMPLES,
            {},
            "INVALID_ARGUMENT",
            "must access the same model name",
        ),
        (
            "MultiInference",
            'tasks { model_spec { name: "half" } method_name: "a" }' + EXAMPLES,
            {},
            "UNIMPLEMENTED",
            "method_name: a",
        ),
        ("GetModelMetadata", HALF, {}, "INVALID_ARGUMENT", "at least one metadata_field"),
        ("GetModelMetadata", HALF + 'metadata_field: "x"', {}, "INVALID_ARGUMENT", "Metadata field x is not supported"),
    ],
)
def test_rpc_refuses(channel, name, text, inputs, code, said):
    found, sentence = refuse_call(channel, name, text, **inputs)
    assert (found, said in sentence) == (code, True), sentence


def test_bytes_that_are_no_message(channel):
    ask = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as error:
        ask(b"\xff" * 100, timeout=10)
    found = error.value.code().name, error.value.details()
    assert found == ("INVALID_ARGUMENT", "The request is no PredictRequest.")


def test_health_and_reflection(channel):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "tensorflow.serving.PredictionService"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == 1
    described = ProtoReflectionDescriptorDatabase(channel)
    assert "tensorflow.serving.PredictionService" in described.get_services()
    assert "tensorflow.TensorProto" in str(described.FindFileContainingSymbol("tensorflow.serving.PredictRequest"))


# ---------------------------------------------------------------- the client that people have

CLIENT = """
import sys
import grpc, numpy as np, tensorflow as tf
from tensorflow_serving.apis import (classification_pb2, get_model_metadata_pb2, get_model_status_pb2, inference_pb2,
    model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc, regression_pb2)

channel = grpc.insecure_channel(sys.argv[1])
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

request = predict_pb2.PredictRequest()
request.model_spec.name = "half"
request.model_spec.version.value = 1
request.inputs["x"].CopyFrom(tf.make_tensor_proto([[1.0], [2.0], [5.0]], dtype=tf.float32))
print(tf.make_ndarray(stub.Predict(request, 30.0).outputs["y"]).tolist())

request = predict_pb2.PredictRequest()
request.model_spec.name = "digits"
request.model_spec.signature_name = "encoded_image_string_tensor"
request.inputs["input_tensor"].CopyFrom(tf.make_tensor_proto([open(sys.argv[2], "rb").read()]))
outputs = stub.Predict(request, 30.0).outputs
print(sorted(tf.make_ndarray(outputs["detection_classes"])[0, :3].tolist()), outputs["detection_boxes"].dtype)

request = classification_pb2.ClassificationRequest()
request.model_spec.name, request.model_spec.signature_name = "half", "classify_x_to_y"
request.input.example_list.examples.add().features.feature["x"].float_list.value.append(6)
print(stub.Classify(request, 30.0).result.classifications[0].classes[0].score)
request = regression_pb2.RegressionRequest.FromString(request.SerializeToString())
request.model_spec.signature_name = "regress_x_to_y"
print(stub.Regress(request, 30.0).result.regressions[0].value)

request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
request.model_spec.name = "half"
packed = stub.GetModelMetadata(request, 30.0).metadata["signature_def"]
signatures = get_model_metadata_pb2.SignatureDefMap()
assert packed.Unpack(signatures)
print(signatures.signature_def["serving_default"].outputs["y"].dtype == tf.float32.as_datatype_enum)

request = get_model_status_pb2.GetModelStatusRequest()
request.model_spec.name = "half"
status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, 30.0)
print([(v.version, v.state, v.status.error_code) for v in status.model_version_status])
try:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "none"
    stub.Predict(request, 30.0)
except grpc.RpcError as error:
    print(error.code())
"""


def test_the_client_of_tensorflow_serving(server, digits, tmp_path):
    """`tensorflow-serving-api` as it is, with its own descriptors."""
    variables = library(tmp_path, "tensorflow-serving-api")
    picture = digits / "images" / "digits-0.jpg"
    printed = run(sys.executable, CLIENT, f"127.0.0.1:{server.grpc}", picture, **variables)
    assert printed.splitlines() == [
        "[[2.5], [3.0], [4.5]]",
        "[6.0, 6.0, 7.0] 1",
        "6.0",
        "6.0",
        "True",
        "[(2, 30, 0), (1, 30, 0)]",
        "StatusCode.NOT_FOUND",
    ]


# ---------------------------------------------------------------- versions that change


def ask_moving(server) -> list[float]:
    return server.post("/v1/models/moving:predict", {"instances": [2.0]})["predictions"]


def wait_for(what, seconds: float = 60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def versions_of(server, name: str) -> dict[str, str]:
    return {v["version"]: v["state"] for v in server.get(f"/v1/models/{name}")["model_version_status"]}


def test_versions_come_and_go_while_they_are_asked(server, half):
    """Every answer is that of a version that was there, and none is lost."""
    moving = half.parent / "moving"
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            answers.append(ask_moving(server)[0])

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    try:
        shutil.copytree(half / "2", moving / "2")
        wait_for(lambda: answers[-1:] == [4.0])
        shutil.rmtree(moving / "1")
        wait_for(lambda: versions_of(server, "moving").get("1") == "END")
        shutil.copytree(half / "2" / "variables", moving / "3" / "variables")  # not yet whole
        (moving / "3" / "saved_model.pb").write_bytes(b"broken")
        wait_for(lambda: versions_of(server, "moving").get("3") == "END")
        assert ask_moving(server) == [4.0]
        shutil.copytree(half / "1", moving / ".3")
        shutil.rmtree(moving / "3")
        os.rename(moving / ".3", moving / "3")
        wait_for(lambda: answers[-1:] == [3.0])
    finally:
        stop.set()
        for thread in asking:
            thread.join()
    changes = [a for a, b in zip(answers, [*answers[1:], None], strict=True) if a != b]
    assert set(answers) == {3.0, 4.0}
    assert len(changes) < 20  # four threads: an answer of the version before may come a little later
    (status,) = (v for v in server.get("/v1/models/moving/versions/3")["model_version_status"])
    assert status["state"] == "AVAILABLE"
    shutil.rmtree(moving / "2")
    wait_for(lambda: versions_of(server, "moving").get("2") == "END")
    shutil.copytree(half / "2", moving / ".3")
    os.rename(moving / "3", moving / ".before")
    os.rename(moving / ".3", moving / "3")  # other files in the same place
    wait_for(lambda: ask_moving(server) == [4.0])


def test_models_by_request(server, channel, half, digits_export, tmp_path):
    """A reload request names all models; one from elsewhere on this machine is refused, there or not."""

    def reload(*models: tuple[str, object]):
        configs = "".join(f'config {{ name: "{n}" base_path: "{p}" }} ' for n, p in models)
        return "HandleReloadConfigRequest", f"config {{ model_config_list {{ {configs} }} }}", "ModelService"

    usual = [
        ("half", half),
        ("digits", digits_export),
        ("lite", digits_export / "model.tflite"),
        ("moving", half.parent / "moving"),
    ]
    assert call(channel, *reload(*usual, ("first", half / "1"))).status.error_code == 0
    assert server.post("/v1/models/first:predict", {"instances": [2.0]}) == {"predictions": [3.0]}
    build = tmp_path / "elsewhere"
    shutil.copytree(half / "1", build)
    for place in (build, "/etc", half / ".." / ".." / "x", "half", ""):
        code, sentence = refuse_call(channel, *reload(*usual, ("other", place)))
        assert (code, str(place) in sentence and bool(str(place)) and place != "half") == ("PERMISSION_DENIED", False)
    assert refuse_call(channel, *reload(*usual, ("half", half)))[0] == "INVALID_ARGUMENT"
    assert refuse_call(channel, "HandleReloadConfigRequest", "", "ModelService")[0] == "INVALID_ARGUMENT"
    all_versions = (
        'model_version_policy { all { } } version_labels { key: "old" value: 1 } version_labels { key: "new" value: 2 }'
    )
    configs = "".join(f'config {{ name: "{n}" base_path: "{p}" {all_versions * (n == "half")} }} ' for n, p in usual)
    call(channel, "HandleReloadConfigRequest", f"config {{ model_config_list {{ {configs} }} }}", "ModelService")
    assert server.send("GET", "/v1/models/first")[0] == 404
    assert server.post("/v1/models/half/labels/old:predict", {"instances": [2.0]}) == {"predictions": [3.0]}


# ---------------------------------------------------------------- what is hostile


def exchange(server, *parts: bytes, pause: float = 0, half_closed: bool = False, seconds: float = 60) -> bytes:
    """What comes back on a connection, until it is closed or no more comes."""
    with socket.create_connection(("127.0.0.1", server.rest), timeout=seconds) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while chunk := connection.recv(1 << 16):
                found += chunk
                if b"\r\n\r\n" in found and b'"}' in found:
                    break
        except TimeoutError:
            pass
        return found


def raw(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    length = (
        ()
        if any(h.lower().startswith((b"content-length", b"transfer")) for h in headers)
        else (b"Content-Length: %d" % len(body),)
    )
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: a", *length, *headers, b"", body])


PREDICT = b"/v1/models/half:predict"
DEEP = b"[" * 100_000
JSON, CHUNKED = b"Content-Type: application/json", b"Transfer-Encoding: chunked"
HOSTILE = {
    "deep": (raw(b"POST", PREDICT, b'{"instances": ' + DEEP), 400),
    "deep in the signature's name": (raw(b"POST", PREDICT, b'{"signature_name": ' + DEEP + b"]" * 100_000 + b"}"), 400),
    "deep objects": (raw(b"POST", PREDICT, b'{"instances": [' + b'{"x":' * 5000 + b"1" + b"}" * 5000 + b"]}"), 400),
    "huge number": (raw(b"POST", PREDICT, b'{"instances": [' + b"9" * 1_000_000 + b"]}"), 400),
    "huge exponent": (raw(b"POST", b"/v1/models/digits:predict", b'{"instances": [[[[1e999999, 2, 3]]]]}'), 400),
    "no UTF-8": (raw(b"POST", PREDICT, b'{"instances": ["\xff"]}'), 400),
    "nulls": (raw(b"POST", PREDICT, bytes(1000)), 400),
    "a body that is said to be large": (raw(b"POST", PREDICT, b"{}", b"Content-Length: 9999999999"), 413),
    "a body that is said to be negative": (raw(b"POST", PREDICT, b"{}", b"Content-Length: -5"), 400),
    "two lengths": (raw(b"POST", PREDICT, b"{}", b"Content-Length: 2", b"Content-Length: 3"), 400),
    "a body that is large": (raw(b"POST", PREDICT, b" " * (9 << 20)), 413),
    "a large one in chunks": (
        raw(
            b"POST", PREDICT, b"100000\r\n" + (b" " * (1 << 20) + b"\r\n100000\r\n") * 9, b"Transfer-Encoding: chunked"
        ),
        413,
    ),
    "a chunk that is none": (raw(b"POST", PREDICT, b"zz\r\n", CHUNKED), 400),
    "a path out of the folder": (raw(b"GET", b"/v1/models/../../../../etc/passwd"), 400),
    "a name out of the folder": (raw(b"GET", b"/v1/models/..%2f..%2fetc%2fpasswd"), 404),
    "a label out of the folder": (raw(b"POST", b"/v1/models/half/labels/..%2f..:predict", b"{}"), 400),
    "a null in the path": (raw(b"GET", b"/v1/models/half%00"), 404),
    "a path that is no UTF-8": (raw(b"GET", b"/v1/models/%ff%fe"), 404),
    "a long path": (raw(b"GET", b"/v1/models/" + b"a" * 30_000), 404),
    "a longer path": (raw(b"GET", b"/v1/models/" + b"a" * 200_000), 400),
    "a large head": (raw(b"GET", b"/v1/models/half", b"", *[b"X-%d: %s" % (i, b"a" * 1000) for i in range(200)]), 400),
    "another method": (raw(b"DELETE", b"/v1/models/half"), 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
    "a list for a picture": (raw(b"POST", b"/v1/models/lite:answer", b"[]", JSON), 400),
    "a picture that is no base64": (
        raw(b"POST", b"/v1/models/lite:answer", b'{"image": {"b64": "#"}}', JSON),
        400,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_gets_a_sentence(server, name):
    sent, status = HOSTILE[name]
    try:
        found = exchange(server, sent)
    except (ConnectionResetError, BrokenPipeError):  # the server closed while more was being sent
        found = b""
    if found or not name.startswith(("a large", "a longer", "a body that is large")):
        line, _, rest = found.partition(b"\r\n")
        assert line.split()[1:2] == [str(status).encode()], found[:300]
        assert b"Traceback" not in rest
        assert b"site-packages" not in rest
    test_predict_goes_on(server)


def test_predict_goes_on(server):
    assert server.post(f"{MODEL}:predict", {"instances": [1.0]}) == {"predictions": [3.5]}


def test_a_body_that_breaks_off(server):
    for parts in ([raw(b"POST", PREDICT, b"{", b"Content-Length: 100")], [b"POST /v1/mod"], [b""]):
        exchange(server, *parts, half_closed=True)
    test_predict_goes_on(server)


def test_half_closed_and_still_answered(server):
    """Whoever has sent all and closed that side still gets the answer."""
    found = exchange(server, raw(b"POST", PREDICT, b'{"instances": [1.0]}', b"Connection: close"))
    assert b'{"predictions":[3.5]}' in found


def test_deadlines(half, tmp_path):
    """A request that waits for others to fill its batch, which never come."""
    how = tmp_path / "batching.txt"
    how.write_text("max_batch_size { value: 100 } batch_timeout_micros { value: 600000000 }")
    path, request, response = methods("tensorflow.serving.PredictionService")["Predict"]
    given = text_format.Parse('model_spec { name: "half" }', request())
    given.inputs["x"].CopyFrom(to_tensor(np.ones((1, 1), np.float32)))
    with (
        serving(half, "--batching-parameters-file", how, "--timeout", 1, "--grace", 0) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel,
    ):
        status, said = server.refuse(PREDICT.decode(), {"instances": [1.0]})
        assert (status, said) == (504, "No answer within 1 s.")
        ask = channel.unary_unary(path, request.SerializeToString, response.FromString)
        for seconds in (0.2, 600):  # that of the caller, that of the server
            with pytest.raises(grpc.RpcError) as error:
                ask(given, timeout=seconds)
            assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


# ---------------------------------------------------------------- servers of one TFLite file, which need no TensorFlow


@contextmanager
def half_sent(server, request: bytes, missing: int) -> Iterator[socket.socket]:
    """A connection on which all but the last bytes of a request came, and whose body the server waits for."""
    head, _, body = request.partition(b"\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.rest), timeout=60) as connection:
        connection.sendall(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body[: len(body) - missing])
        yield connection


def received(connection: socket.socket) -> bytes:
    found = b""
    while chunk := connection.recv(1 << 16):
        found += chunk
    return found


def test_a_slow_body_ends_and_too_many_wait(digits_export):
    """Two requests whose bodies do not come; a third is one too many, and when they have ended none is."""
    ask = raw(b"POST", b"/v1/models/lite:predict", b"{", b"Content-Length: 100", b"Connection: close")
    bounds = ("--timeout", 10, "--max-requests", 2, "--grpc-port", "none")
    with serving("--name", f"lite={digits_export / 'model.tflite'}", *bounds) as server:
        with half_sent(server, ask, 0) as first, half_sent(server, ask, 0) as second:
            status, headers, body = server.send("POST", "/v1/models/lite:predict", "{}")
            assert (status, headers["retry-after"]) == (429, "1")
            assert json.loads(body)["error"].startswith("2 requests are being answered")
            for answer in map(received, (first, second)):
                assert answer.startswith(b"HTTP/1.1 408 ")
                assert b"did not arrive within 10 s" in answer
        assert server.refuse("/v1/models/lite:predict", {})[0] == 400


def test_running_requests_are_answered_when_it_is_told_to_stop(digits_export, jpeg):
    """SIGTERM in the middle of a request: the rest of it still comes, and so does the answer."""
    request = raw(b"POST", b"/v1/models/model.tflite:answer", jpeg)
    with serving(digits_export / "model.tflite", "--grpc-port", "none") as server:
        with half_sent(server, request, missing=100) as connection:
            server.process.terminate()
            time.sleep(0.3)
            connection.sendall(request[-100:])
            found = received(connection)
        assert found.startswith(b"HTTP/1.1 200 ")
        assert b'"label":"six"' in found
        assert server.process.wait(60) == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not here")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    return cert, key


def test_tls_and_token(digits_export, certificate, jpeg, tmp_path):
    cert, key = certificate
    (tmp_path / "token").write_text("hush\n")
    options = ("--ssl-cert", cert, "--ssl-key", key, "--token-file", tmp_path / "token")
    with serving("--name", f"lite={digits_export / 'model.tflite'}", *options) as server:
        trust = ssl.create_default_context(cafile=str(cert))

        def ask(path: str, token: str | None, body: bytes | None = None) -> int:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            url = f"https://127.0.0.1:{server.rest}{path}"
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body, headers), context=trust) as response:
                    return response.status
            except urllib.error.HTTPError as e:
                return e.code

        for path, body in (
            ("/v1/models", None),
            ("/v1/models/lite:answer", jpeg),
            ("/monitoring/prometheus/metrics", None),
        ):
            assert [ask(path, t, body) for t in (None, "", "hus", "hush")] == [401, 401, 401, 200]
        assert ask("/page/none.js", None) == 404
        with pytest.raises(OSError, match=r"."):  # nothing is told without TLS
            server.send("GET", "/v1/models")
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(f"localhost:{server.grpc}", credentials) as channel:
            path, request, response = methods("tensorflow.serving.ModelService")["GetModelStatus"]
            given = text_format.Parse('model_spec { name: "lite" }', request())
            status = channel.unary_unary(path, request.SerializeToString, response.FromString)
            with pytest.raises(grpc.RpcError) as error:
                status(given, timeout=10)
            assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
            found = status(given, timeout=10, metadata=(("authorization", "Bearer hush"),))
            assert found.model_version_status[0].state == 30


def test_the_address():
    def warned(host: str, **more) -> list[str]:
        return warn(Settings(models=(), host=host, **more))

    assert not [h for h in ("127.0.0.1", "127.9.9.9", "::1", "localhost") if warned(h)]
    assert "without TLS and a token" in warned("0.0.0.0")[0]
    assert warned("10.1.2.3", token="x")[0].endswith("can ask these models without TLS.")


def test_a_model_config_file(digits_export, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(
        f"""model_config_list {{
            config {{ name: "a" base_path: "{digits_export}" model_platform: "tensorflow" }}
            config {{ name: "b" base_path: "{digits_export.parent}"
                model_version_policy {{ specific {{ versions: 3 versions: 5 }} }}
                version_labels {{ key: "stable" value: 3 }} }}
            config {{ name: "c" base_path: "models" model_version_policy {{ latest {{ num_versions: 2 }} }} }} }}"""
    )
    (tmp_path / "models").mkdir()
    a, b, c = read_configs(file)
    assert (a.name, a.base, a.choose([1, 2, 10])) == ("a", digits_export, [10])
    assert (b.choose([1, 3, 5, 7]), b.labels) == ([3, 5], {"stable": 3})
    assert (c.base, c.choose([1, 2, 10])) == (tmp_path / "models", [2, 10])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to serve"),
        (["no/such"], "no/such: no such folder"),
        (["EMPTY"], "holds no version to serve"),
        (["EMPTY", "EMPTY"], "two models are called empty"),
        (["--name", "a:b=EMPTY"], "a model cannot be called 'a:b'"),
        (["EMPTY", "--label", "x:y=1"], "no model is called x"),
        (["EMPTY", "--ssl-cert", "a"], "--ssl-cert and --ssl-key go together"),
        (["EMPTY", "--ssl-cert", "a", "--ssl-key", "b"], "no such file"),
        (["--model-config-file", "WRONG"], "It holds model_config_list"),
        (["EMPTY", "--batching-parameters-file", "WRONG"], "max_batch_size"),
        (["EMPTY", "--token-file", "WRONG"], "one word"),
        (["EMPTY", "--host", "300.1.1.1"], "no address of this machine"),
    ],
)
def test_what_cannot_be_served(tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong").write_text("wrong { } words")
    given = [a.replace("EMPTY", str(tmp_path / "empty")).replace("WRONG", str(tmp_path / "wrong")) for a in arguments]
    with pytest.raises(VisionportError) as error:
        serve.main(["--rest-port", "0", *given], standalone_mode=False)
    assert said in str(error.value)


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r'pip install "visionport\[serve\]"'):
        check_packages()
