"""A manifest is read as what anybody may have written."""

import copy
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from visionport import manifest
from visionport.errors import InputError, VisionportError
from visionport.json_files import json_text, read_json
from visionport.prediction import predict
from visionport.staging import is_export

CONTENT: dict[str, Any] = {
    "visionport": "0.1.0",
    "tensorflow": "2.21.0",
    "options": {
        "checkpoint": "training",
        "batch": None,
        "formats": ["tflite"],
        "image_size": [192, 192],
        "tflite_head": "detections",
    },
    "model": {"architecture": "ssd", "task": "detection", "api": "tf2", "num_classes": 10, "label_id_offset": 1},
    "side_inputs": [{"name": "context", "dtype": "float32", "shape": [None, 20, 7]}],
    "preprocessing": {"resizer": "FixedShape", "height": 192, "width": 192, "mean": [0, 0, 0], "std": [1, 1.5, 1]},
    "artifacts": [
        {
            "format": "tflite",
            "path": "model.tflite",
            "reading": {"input": "image", "type": "preprocessed", "answers": {"classes_from": 0, "boxes": "frame"}},
            "signatures": [
                {
                    "name": "serving_default",
                    "inputs": [{"name": "image", "dtype": "float32", "shape": [1, -1, 192, 3]}],
                    "outputs": [],
                }
            ],
        }
    ],
    "files": {"model.tflite": {"size": 4, "sha256": "00"}, "a/b": {"size": 4, "sha256": "00"}},
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    return tmp_path


def read(folder: Path, content: Any) -> dict[str, Any]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "manifest.json").write_bytes(data)
    return manifest.read(folder)


def changed(*path: Any, to: Any = ...) -> dict[str, Any]:
    """With another value at a path; without any where none is given."""
    content = copy.deepcopy(CONTENT)
    inner: Any = content
    for name in path[:-1]:
        inner = inner[name]
    if to is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return content


def test_what_is_right_is_read(folder):
    assert read(folder, CONTENT) == CONTENT
    for content in (
        changed("of a later version", to={"deep": [1]}),
        changed("options", "of_a_later_version", to=[1]),
        changed("model", "task"),
        changed("side_inputs"),
        changed("artifacts", 0, "path", to="."),
        changed("options", "score_threshold", to=0.5),
    ):
        assert read(folder, content) == content


WRONG = [
    (("options",), ..., "options is missing"),
    (("options", "checkpoint"), ..., "options.checkpoint is missing"),
    (("model",), ..., "model is missing"),
    (("model", "api"), ..., "model.api is missing"),
    (("artifacts",), ..., "artifacts is missing"),
    (("artifacts",), {}, "artifacts is an object, not a list"),
    (("artifacts", 0), "tflite", r"artifacts\[0\] is 'tflite', not an object"),
    (("artifacts", 0, "path"), ..., r"artifacts\[0\].path is missing"),
    (("artifacts", 0, "format"), "answers", r"artifacts\[0\].format is 'answers'. One of: frozen_graph, .*tflite"),
    (("artifacts", 0, "format"), "tflit", "is 'tflit'; nearest: tflite"),
    (("artifacts", 0, "format"), "base", "format is 'base'"),
    (("artifacts", 0, "format"), ["tflite"], r"format is a list, not a text"),
    (("artifacts", 0, "signatures", 0, "inputs", 0, "shape"), [1.5], r"inputs\[0\].shape\[0\] is 1.5, not a whole"),
    (("artifacts", 0, "reading", "type"), "pixel", "reading.type is 'pixel'; nearest: pixels"),
    (("artifacts", 0, "reading", "inputs"), "x", "reading.inputs is unknown; nearest: input"),
    (("artifacts", 0, "reading", "answers"), {"boxes": "x"}, "answers.boxes is 'x'. One of: frame, picture, scaled"),
    (("artifacts", 0, "reading", "answers"), {"classes_from": 1e9}, "classes_from is 1000000000.0, not a whole number"),
    (("artifacts", 0, "reading"), ..., "is of an earlier version of visionport"),
    (("preprocessing",), None, "preprocessing is null, not an object"),
    (("preprocessing", "resizer"), "Path", "preprocessing.resizer is 'Path'. One of: ConditionalShape"),
    (("preprocessing", "height"), 10**9, "preprocessing.height is 1000000000, not from 1 to 16,384"),
    (("preprocessing", "height"), -1, "preprocessing.height is -1"),
    (("preprocessing", "height"), True, "preprocessing.height is True, not a whole number"),
    (("preprocessing", "std"), [1, 0, 1], r"preprocessing.std\[1\] is 0"),
    (("preprocessing", "mean"), [1, 0], "preprocessing.mean has 2 values, not 3"),
    (("preprocessing", "depth"), 1, "preprocessing.depth is unknown"),
    (("options", "batch"), 0, "options.batch is 0, not from 1 to 65,536 or null"),
    (("options", "formats"), "tflite", "options.formats is 'tflite', not a list"),
    (("options", "image_size"), [1, 2, 3], "options.image_size has 3 values, not 2"),
    (("options", "tflite_head"), "x", "options.tflite_head is 'x', not one of decoded, detections, raw or null"),
    (("side_inputs", 0, "shape"), [1 << 20, 1 << 20], r"side_inputs\[0\].shape is of more than"),
    (("side_inputs", 0, "dtype"), "object", "dtype is 'object'. One of: float32, int32"),
    (("files", "a/b", "size"), "4", "files.a/b.size is '4', not"),
    (("files",), [], "files is a list, not an object"),
    (("visionport",), None, "visionport is null, not a text"),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG, ids=[".".join(map(str, w[0])) for w in WRONG])
def test_what_is_wrong_is_named(folder, path, value, words):
    with pytest.raises(InputError, match=words) as error:
        read(folder, changed(*path, to=value))
    assert str(error.value).startswith(str(folder / "manifest.json"))
    assert "Export again." in str(error.value)


BROKEN = [
    (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 64 levels"),
    (b'{"a":' * 100_000, "nested deeper than 64 levels"),
    (b'{"visionport": ' + b"[" * 70 + b"]" * 70 + b"}", "nested deeper than 64 levels"),
    (b'{"visionport": ' + b"9" * 5_000 + b"}", "a number of 5,000 digits"),
    (b'{"visionport": 1e999}', "1e999 is no number of JSON"),
    (b'{"visionport": NaN}', "NaN is no number of JSON"),
    (b'{"visionport": "1", "visionport": "2"}', "'visionport' is there twice"),
    (b'{"visionport": "\xff"}', "it is not UTF-8 at byte 16"),
    (b"\xff\xfe{\0}\0", "not UTF-8"),
    (b"", "cannot be read as JSON"),
    (b"[1]", "another program's"),
    (b'{"manifest_version": 3}', "another program's"),
    (b" " * (9 << 20), "at most 8,388,608 are read"),
]


@pytest.mark.parametrize(("data", "words"), BROKEN, ids=[w for _, w in BROKEN])
def test_what_is_no_manifest_is_told(folder, data, words):
    with pytest.raises(InputError, match=words):
        read(folder, data)
    assert not is_export(folder)


AWAY = ["/etc/passwd", "../model.tflite", "a/../../b", "", "a\0b", "\\\\host\\a", "\ud800"]
AWAY += ["x" * 256, "é" * 128, "x/" * 600]


@pytest.mark.parametrize("name", AWAY)
def test_paths_stay_in_the_export(folder, name):
    with pytest.raises(InputError, match=r"artifacts\[0\].path is .*, not a path in the export"):
        read(folder, changed("artifacts", 0, "path", to=name))
    with pytest.raises(InputError, match=r"a name of files is .*, not a path in the export"):
        read(folder, changed("files", to={name: {"size": 1, "sha256": "00"}}))


def test_links_out_of_the_export_are_not_followed(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "model.tflite").write_bytes(b"TFL3")
    (folder / "inner").symlink_to("model.tflite")
    (folder / "link").symlink_to(outside)
    assert read(folder, changed("artifacts", 0, "path", to="inner"))
    with pytest.raises(InputError, match=r"link/model\.tflite is a link that leads out of"):
        read(folder, changed("artifacts", 0, "path", to="link/model.tflite"))


def test_a_pipe_is_no_manifest(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="is a pipe, and a file is wanted"):
        manifest.read(tmp_path)
    assert not is_export(tmp_path)


def test_names_that_are_not_utf_8_are_written_and_read(tmp_path):
    name = os.fsdecode(b"a\xff\xc3\xa4.jpg")
    text = json_text({"image": name})
    assert text == '{\n "image": "a\\udcffä.jpg"\n}'
    (tmp_path / "a.json").write_text(text, "utf-8")
    assert read_json(tmp_path / "a.json") == {"image": name}


def test_every_change_of_an_export_is_an_error_of_ours(folder):
    """Each value replaced by others: it is read, or told."""
    others = [None, True, -1, 10**15, 0.5, "", "x", [], [[]], {}, {"x": None}]

    def places(value, path=()):
        yield path
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, inner in items:
            yield from places(inner, (*path, name))

    count = 0
    for path in [p for p in places(CONTENT) if p]:
        for other in others:
            try:
                read(folder, changed(*path, to=other))
            except VisionportError:
                count += 1
    assert count > 300


ANOTHER = {
    "type": (("reading", "type"), "image_tensor", "model.tflite does not answer, as its manifest.json says: "),
    "boxes": (("reading", "answers"), {"boxes": "scaled"}, "model.tflite does not answer, .*: 'image_info'"),
    "path": (("path",), "labels.txt", "labels.txt: not a TFLite file"),
    "format": (("format",), "frozen_graph", "model.tflite holds no GraphDef"),
    "signature": (("reading", "signature"), "x", "model.tflite has no input .* in a signature 'x'"),
}


@pytest.mark.parametrize("which", ANOTHER)
def test_an_artifact_that_is_another_than_the_manifest_says(exported, digits, tmp_path, which):
    path, value, words = ANOTHER[which]
    shutil.copytree(exported, tmp_path / "out", ignore=shutil.ignore_patterns("saved_model", "*.pb", "checkpoint"))
    content = json.loads((tmp_path / "out" / "manifest.json").read_text())
    content["artifacts"] = [a for a in content["artifacts"] if a["format"] == "tflite"]
    inner = content["artifacts"][0]
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(VisionportError, match=words):
        predict(tmp_path / "out", digits / "images" / "digits-0.jpg")
