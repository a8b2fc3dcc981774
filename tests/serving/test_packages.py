"""Packages: each layout read again as its server reads it, and what must not get into one."""

import dataclasses
import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import visionport
from google.protobuf import text_format
from servers import serving

from visionport import Options, export, manifest
from visionport.errors import InputError, OptionError, OutputError
from visionport.formats.base import SignatureInfo, Tensor
from visionport.inputs import tfrecords
from visionport.packaging import TARGETS, triton
from visionport.packaging.package import Request, package
from visionport.packaging.requests import binary_body, json_body
from visionport.packaging.source import Source
from visionport.serving.configs import read_configs
from visionport.serving.messages import message, to_array
from visionport.serving.warmup import FILE

WARM = "assets.extra/tf_serving_warmup_requests"
PATIENT = ("--timeout", 60)  # seconds: a slow machine may need them for the first request


@pytest.fixture(scope="module")
def source(tmp_path_factory, digits) -> Path:
    """The digits detector: a SavedModel that takes pixels and encoded pictures, and a TFLite file."""
    out = tmp_path_factory.mktemp("packaging") / "digits"
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt", "out": out}
    inputs = ("image_tensor", "encoded_image_string_tensor")
    export(Options(**places, formats=("tflite", "saved_model"), inputs=inputs, verify=False))
    return out


@pytest.fixture(scope="module")
def packages(source, tmp_path_factory) -> dict[str, Path]:
    """A package for each target."""
    folder = tmp_path_factory.mktemp("packages")
    found = {}
    for target in TARGETS:
        found[target] = folder / target
        lines = package(Request(folder=source, target=target, out=found[target], name="Digits_1"))
        assert any("SHA-256" in line for line in lines)
    return found


def digests(folder: Path) -> dict[str, str]:
    files = (f for f in sorted(folder.rglob("*")) if f.is_file())
    return {f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def of_model(source: Path) -> dict[str, str]:
    """The SavedModel's files, by the manifest."""
    listed = manifest.read(source)["files"]
    prefix = "saved_model/"
    return {n.removeprefix(prefix): r["sha256"] for n, r in listed.items() if n.startswith(prefix)}


def without_warmup(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if name != WARM}


# ---------------------------------------------------------------- layouts


def test_tensorflow_serving(packages, source):
    out = packages["tf-serving"]
    assert without_warmup(digests(out / "Digits_1" / "4000")) == of_model(source)
    (config,) = read_configs(out / "models.config")
    assert (config.name, config.base) == ("Digits_1", out / "Digits_1")
    body = json.loads((out / "request.json").read_text())
    assert body["signature_name"] == "encoded_image_string_tensor"
    assert set(body["instances"][0]) == {"b64"}
    assert "-e MODEL_NAME=Digits_1" in (out / "README.md").read_text()


def test_warm_up_requests_are_real(packages):
    logs = [
        message("PredictionLog").FromString(data)
        for data in tfrecords.read(packages["tf-serving"] / "Digits_1" / "4000" / WARM, "requests")
    ]
    requests = [log.predict_log.request for log in logs]
    assert {r.model_spec.name for r in requests} == {"Digits_1"}
    names = [r.model_spec.signature_name for r in requests]
    assert sorted(set(names)) == ["encoded_image_string_tensor", "image_tensor", "serving_default"]
    pixels = to_array(requests[names.index("serving_default")].inputs["input_tensor"])
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 4
    assert pixels.std() > 20
    (encoded,) = to_array(requests[names.index("encoded_image_string_tensor")].inputs["input_tensor"])
    assert encoded.startswith(b"\x89PNG")


def test_given_pictures_go_in_as_they_are(source, digits, tmp_path):
    picture = digits / "images" / "digits-3.jpg"
    package(Request(folder=source, target="vertex", out=tmp_path / "out", images=[picture]))
    logs = [
        message("PredictionLog").FromString(data)
        for data in tfrecords.read(tmp_path / "out" / "model" / WARM, "requests")
    ]
    values = [to_array(log.predict_log.request.inputs["input_tensor"]) for log in logs]
    assert [picture.read_bytes()] in [v.tolist() for v in values if v.dtype == object]


def test_sagemaker(packages, source):
    with tarfile.open(packages["sagemaker"] / "model.tar.gz") as archive:
        members = archive.getmembers()
        names = [m.name for m in members]
        content = {m.name: archive.extractfile(m).read() for m in members if m.isfile()}  # pyright: ignore
    assert names == sorted(names)
    assert all(m.isfile() or m.isdir() for m in members)
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    found = {n.removeprefix("Digits_1/4000/"): hashlib.sha256(data).hexdigest() for n, data in content.items()}
    assert without_warmup(found) == of_model(source)
    assert manifest.read(packages["sagemaker"])["artifacts"] == []


def test_triton(packages, source):
    out = packages["triton"]
    text = (out / "Digits_1" / "config.pbtxt").read_text()
    config = text_format.Parse(text, triton.message("ModelConfig")())
    assert (config.name, config.platform, config.backend) == ("Digits_1", "tensorflow_savedmodel", "tensorflow")
    assert config.max_batch_size == 8
    assert config.HasField("dynamic_batching")
    assert config.parameters["TF_SIGNATURE_DEF"].string_value == "serving_default"
    (given,) = config.input
    assert (given.name, given.data_type, [*given.dims]) == ("input_tensor", 2, [-1, -1, 3])
    outputs = {o.name: o for o in config.output}
    assert [*outputs["detection_boxes"].dims] == [100, 4]
    assert not outputs["detection_boxes"].HasField("reshape")
    count = outputs["num_detections"]
    assert [*count.dims] == [1]
    assert count.HasField("reshape")
    assert [*count.reshape.shape] == []
    assert [(g.kind, g.count) for g in config.instance_group] == [(2, 1)]
    place = out / "Digits_1" / "4000" / config.default_model_filename
    assert without_warmup(digests(place)) == of_model(source)
    body = (out / "request.bin").read_bytes()
    head = json.loads(body[: body.index(b"]}") + 2])["inputs"][0]
    assert head["datatype"] == "UINT8"
    assert head["parameters"]["binary_data_size"] == np.prod(head["shape"])


def test_kserve(packages, source):
    out = packages["kserve"]
    service = yaml.safe_load((out / "inference-service.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["metadata"]["name"] == "digits-1"  # Kubernetes takes no other
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "tensorflow"}
    assert model["storageUri"] == "s3://BUCKET/digits-1"
    assert without_warmup(digests(out / "digits-1" / "4000")) == of_model(source)


def test_vertex(packages, source):
    out = packages["vertex"]
    assert without_warmup(digests(out / "model")) == of_model(source)
    body = json.loads((out / "request.json").read_text())
    assert set(body) == {"instances"}
    assert np.asarray(body["instances"]).shape == (1, 120, 160, 3)
    assert "tf2-cpu" in (out / "README.md").read_text()


# ---------------------------------------------------------------- all of them


def test_two_runs_give_the_same_bytes(packages, source, tmp_path):
    for target in ("sagemaker", "triton"):
        package(Request(folder=source, target=target, out=tmp_path / target, name="Digits_1"))
        assert digests(tmp_path / target) == digests(packages[target])


def test_a_package_is_served_and_answers_as_the_export_does(packages, source):
    out = packages["tf-serving"]
    second = out / "Digits_1" / "4001"  # which another program put beside it
    shutil.copytree(source / "saved_model", second)
    body, alone = (out / "request.json").read_bytes(), f"digits={source / 'saved_model'}"
    try:
        with serving(
            "--model-config-file", out / "models.config", "--versions", "all", "--name", alone, *PATIENT
        ) as server:
            ours = server.post("/v1/models/digits:predict", body)
            assert server.post("/v1/models/Digits_1/versions/4001:predict", body) == ours
    finally:
        shutil.rmtree(second)
    with serving("--model-config-file", out / "models.config", "--grpc-port", "none", *PATIENT) as server:
        assert server.post("/v1/models/Digits_1:predict", body) == ours
        (model,) = server.get("/v1/models")["models"]
        assert model["versions"][0]["classes"]["1"] == "zero"


def test_overwrite_replaces_a_package_and_nothing_else(source, tmp_path):
    out = tmp_path / "out"
    request = Request(folder=source, target="vertex", out=out, name="a", warmup=False)
    package(request)
    assert not (out / "model" / WARM).exists()
    with pytest.raises(OutputError, match="add --overwrite"):
        package(request)
    package(dataclasses.replace(request, name="b", overwrite=True))
    assert manifest.read(out)["package"]["name"] == "b"
    (out / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"mine\.txt"):
        package(dataclasses.replace(request, overwrite=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "../up"}, "cannot be a model's"),
        ({"name": "a/b"}, "cannot be a model's"),
        ({"version": 0}, "--version 0"),
        ({"version": 1 << 63}, "--version"),
        ({"signature": "serving_defaul"}, "nearest: serving_default"),
        ({"kind": "tflite"}, "TensorFlow Serving loads SavedModels"),
        ({"kind": "tflite", "target": "triton"}, "armnn_tflite"),
        ({"kind": "frozen_graph"}, "--format frozen_graph"),
        ({"target": "kserve", "name": "1"}, "InferenceService's name"),
        ({"target": "kserve", "more": {"storage_uri": "bucket"}}, "--storage-uri 'bucket'"),
        ({"target": "vertex", "signature": "image_tensor"}, "serving_default alone"),
    ],
)
def test_what_is_refused(source, tmp_path, change, said):
    request = Request(folder=source, target="tf-serving", out=tmp_path / "out")
    with pytest.raises(OptionError, match=said):
        package(dataclasses.replace(request, **change))
    assert not (tmp_path / "out").exists()


def test_the_command(source, tmp_path):
    run = visionport("package", source, "--for", "triton", "--out", tmp_path / "out", "--no-warmup")
    assert run.returncode == 0, run.stderr
    assert "max_batch_size 8" in run.stdout
    run = visionport("package", source, "--for", "vertex", "--out", tmp_path / "b", "--storage-uri", "s3://b/c")
    assert run.returncode == 2
    assert "--storage-uri is for --for kserve" in run.stderr


# ---------------------------------------------------------------- what a tampered export cannot do


@pytest.fixture
def tampered(source, tmp_path) -> Path:
    shutil.copytree(source, tmp_path / "digits")
    (tmp_path / "secret").write_bytes(b"secret")
    return tmp_path / "digits"


def relist(folder: Path, change) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


SECRET = {"size": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}


@pytest.mark.parametrize(
    "name", ["../secret", "saved_model/../../secret", "/secret", "saved_model/./a", "saved_model//a"]
)
def test_paths_that_lead_out_are_refused(tampered, name):
    relist(tampered, lambda content: content["files"].update({name: SECRET}))
    with pytest.raises(InputError, match=r"not a path in the export|no path is written as"):
        package(Request(folder=tampered, target="vertex", out=tampered.parent / "out"))
    assert not (tampered.parent / "out").exists()


def test_links_are_not_followed(tampered):
    (tampered / "saved_model" / "more").symlink_to(tampered.parent / "secret")
    (tampered / "saved_model" / "deep").symlink_to(tampered.parent)
    request = Request(folder=tampered, target="vertex", out=tampered.parent / "out", warmup=False)
    package(request)  # not listed, so not packaged
    assert not any("secret" in name or "more" in name for name in digests(tampered.parent / "out"))
    for name in ("saved_model/more", "saved_model/deep/secret"):
        relist(tampered, lambda content, name=name: content["files"].update({name: SECRET}))
        with pytest.raises(InputError, match="is a link, or lies behind one"):
            package(dataclasses.replace(request, overwrite=True))
        relist(tampered, lambda content, name=name: content["files"].pop(name))
    (tampered / "labels.txt").unlink()
    (tampered / "labels.txt").symlink_to(tampered.parent / "secret")
    with pytest.raises(InputError, match="link"):
        package(dataclasses.replace(request, overwrite=True))


def test_changed_and_missing_files_are_refused(tampered):
    request = Request(folder=tampered, target="sagemaker", out=tampered.parent / "out", warmup=False)
    data = (tampered / "saved_model" / "saved_model.pb").read_bytes()
    (tampered / "saved_model" / "saved_model.pb").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="it was changed"):
        package(request)
    (tampered / "saved_model" / "saved_model.pb").unlink()
    with pytest.raises(InputError, match="is not there"):
        package(request)


# ---------------------------------------------------------------- other formats, whose exports need more packages


def made(tmp_path: Path, form: str, files: dict[str, bytes], **more) -> Source:
    """A source of a format by its manifest's record alone."""
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    records = {n: {"size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for n, d in files.items()}
    tensors = (
        [{"name": "x", "dtype": "float32", "shape": [1, 4, 4, 3]}],
        [{"name": "y", "dtype": "float32", "shape": [1, 3]}],
    )
    from visionport.packaging.source import find_files

    artifact = {
        "format": form,
        "path": next(iter(files)),
        "reading": {"input": "x", "type": "preprocessed", "signature": "serving_default", "answers": {}},
        "signatures": [{"name": "serving_default", "inputs": tensors[0], "outputs": tensors[1]}],
    }
    found, places = find_files(tmp_path, records, artifact)
    content = {"model": {"task": "classification", "label_id_offset": 0}, "preprocessing": {}, "options": {}}
    return Source(folder=tmp_path, content=content, artifact=artifact, files=found, places=places, name="m", version=3)


@pytest.mark.parametrize(
    ("form", "files", "wanted", "backend"),
    [
        ("onnx", {"model.onnx": b"onnx"}, {"model.onnx": b"onnx"}, "onnxruntime"),
        (
            "openvino",
            {"openvino/model.xml": b"<net/>", "openvino/model.bin": b"weights", "openvino/other.bin": b"no"},
            {"model.xml": b"<net/>", "model.bin": b"weights"},
            "openvino",
        ),
    ],
)
def test_triton_takes_other_runtimes(tmp_path, form, files, wanted, backend):
    source = made(tmp_path, form, files)
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    job = triton.Job(
        source=source, logs=(), signature="serving_default", feeds={"x": np.zeros((1, 4, 4, 3), "f4")}, more={}
    )
    out = tmp_path / "out"
    out.mkdir()
    triton.write(job, out)
    triton.check(job, out)
    assert {f.name: f.read_bytes() for f in (out / "m" / "3").iterdir()} == wanted
    config = text_format.Parse((out / "m" / "config.pbtxt").read_text(), triton.message("ModelConfig")())
    assert (config.backend, config.max_batch_size) == (backend, 0)
    assert [[*t.dims] for t in (*config.input, *config.output)] == [
        [1, 4, 4, 3],
        [1, 3],
    ]  # a fixed batch is a dimension
    assert config.output[0].label_filename == "labels.txt"
    assert (out / "m" / "labels.txt").read_text() == "cat\ndog\nbird\n"
    assert "tritonserver:" in triton.explain(job)


def test_requests_have_every_input():
    text = np.array([b"\xff\xd8"], object)
    assert json.loads(json_body("s", {"x": text})) == {"signature_name": "s", "instances": [{"b64": "/9g="}]}
    two = json.loads(json_body("serving_default", {"x": text, "n": np.array([[1.5, 2.0]], np.float32)}))
    assert two == {"instances": [{"x": {"b64": "/9g="}, "n": [1.5, 2.0]}]}
    body, head = binary_body({"x": text})
    assert json.loads(body[:head])["inputs"][0] | {"parameters": 0} == {
        "name": "x",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": 0,
    }
    assert body[head:] == b"\x02\0\0\0\xff\xd8"


def test_a_signature_without_rows_is_not_batched():
    batched = Tensor(name="x", dtype="float32", shape=(None, 3))
    scalar = Tensor(name="n", dtype="int32", shape=())
    assert triton.is_batched(SignatureInfo(name="s", inputs=(batched,), outputs=(batched,)))
    assert not triton.is_batched(SignatureInfo(name="s", inputs=(batched,), outputs=(batched, scalar)))
    assert FILE == WARM
