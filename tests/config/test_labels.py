"""Label maps as people have them, and the labels.txt that an export writes."""

import os
from pathlib import Path

import pytest
from places import SHARED

from visionport.config.labels import find_labels, left_out, no_labels, not_read, read_label_map, write_labels
from visionport.config.pipeline.text import read_pipeline
from visionport.errors import InputError

REAL = sorted(path for path in SHARED.glob("real/*/*label*") if path.suffix in (".pbtxt", ".txt"))


@pytest.mark.parametrize("path", REAL, ids=[f"{path.parent.name}/{path.name}" for path in REAL])
def test_real_label_maps(path):
    labels = read_label_map(path)
    assert list(labels) == sorted(labels)
    assert min(labels) == 1
    assert all(labels.values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("item {\n  id: 2\n  name: 'b'\n}\nitem: { id: 1, name: \"a\" }", {1: "a", 2: "b"}),
        ("# mine\r\nitem{\r\n\tname:'a'\r\n\tid:1\r\n}\r\nitem{\r\n\tname:'d'\r\n\tid:4\r\n}\r\n", {1: "a", 4: "d"}),
        ("item { name: '/m/1' id: 1 display_name: 'seen' keypoints { id: 0 label: 'nose' } }", {1: "seen"}),
        ("item { id: 1 name: 'a'\n id: 2 name: 'b'\n id: 3 name: 'c' display_name: 'C' }", {1: "a", 2: "b", 3: "C"}),
        ("item { name: 'a' id: 1 name: 'b' id: 2 }", {1: "a", 2: "b"}),
        ("item { id: 0 name: 'background' } item { id: 1 name: 'a' } item { id: 1 name: 'b' }", {1: "a"}),
        ("\ufeffperson\r\nhelmet on\r\n\r\nvest", {1: "person", 2: "helmet on", 3: "vest"}),
        ("???\nperson\n???\ncar", {1: "person", 3: "car"}),
        ("background\nperson", {1: "person"}),
        ("0  person\n1  bicycle\n3  car", {1: "person", 2: "bicycle", 4: "car"}),
        ("0 background\n1 tench", {1: "tench"}),
        ("1: person\n2: car", {1: "person", 2: "car"}),
        ("7 up\n3 musketeers", {1: "7 up", 2: "3 musketeers"}),
    ],
)
def test_read(tmp_path, text, expected):
    path = tmp_path / "labels"
    path.write_bytes(text.encode())
    assert read_label_map(path) == expected


def test_more_names_than_classes(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("a\nb\nc\n")
    assert read_label_map(path, num_classes=2) == {1: "a", 2: "b"}
    (warning,) = left_out(path, 2)
    assert "2 classes, so these ids are never found: 3 (c)." in warning
    assert left_out(path, 3) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
        (b"\x08\x01\x12", "control characters"),
        (b'{"1": "person"}', "one name a line"),
        (b"???\n", "no class names"),
        (b"item {\n id: 1\n nmae: 'a'\n}", ':3:2: StringIntLabelMapItem has no field "nmae"; nearest: name'),
        (b"item {\n id: 1\n name: 'a\n}", ":3:8: the string 'a has no closing quote"),
        (b"item { id: 1 name: 'a'", 'is a "}" missing?'),
        (b"items { id: 1 }", "nearest: item"),
        (b"item { name: 'a' }", 'item "a" has no id'),
        (b"item { id: 0 name: 'a' }", "Ids count from 1"),
        (b"item { id: -1 name: 'a' }", "has id -1"),
    ],
)
def test_errors(tmp_path, text, expected):
    path = tmp_path / "labels.pbtxt"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    assert expected in str(caught.value)


def test_write_and_read_again(tmp_path):
    text = write_labels({1: "traffic  light\n", 2: "b", 4: "d", 9: "beyond"}, 5)
    assert text == "traffic light\nb\n???\nd\n???\n"
    path = tmp_path / "labels.txt"
    path.write_text(text)
    assert read_label_map(path) == {1: "traffic light", 2: "b", 4: "d"}
    path.write_text(write_labels({2: "b"}, 2))
    assert read_label_map(path, num_classes=2) == {2: "b"}


@pytest.fixture
def pipeline(tmp_path):
    """Gives a pipeline of two classes whose config names this label map."""

    def read(label_map_path: str):
        path = tmp_path / "pipeline.config"
        path.write_text(
            f"model {{ ssd {{ num_classes: 2 }} }} eval_input_reader {{ label_map_path: '{label_map_path}' }}"
        )
        return read_pipeline(path)

    return read


def test_find_labels(pipeline, tmp_path):
    named = pipeline("annotations/own.pbtxt")
    assert find_labels(named) is None
    (tmp_path / "label_map.txt").write_text("of\nother\nmodels\n")
    assert find_labels(named) is None
    (tmp_path / "labelmap.pbtxt").write_text("item { id: 1 name: 'a' } item { id: 2 name: 'b' }")
    assert find_labels(named) == tmp_path / "labelmap.pbtxt"
    (tmp_path / "labels.txt").write_text("c\nd\n")
    assert find_labels(named) is None
    (tmp_path / "own.pbtxt").write_text("item { id: 1 name: 'a' }")
    assert find_labels(named) == tmp_path / "own.pbtxt"
    assert find_labels(pipeline("C:/Users/me/own.pbtxt")) == tmp_path / "own.pbtxt"
    assert find_labels(pipeline("C:\\\\Users\\\\me\\\\own.pbtxt")) == tmp_path / "own.pbtxt"
    assert find_labels(pipeline("PATH_TO_BE_CONFIGURED/own.pbtxt")) == tmp_path / "own.pbtxt"
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "own.pbtxt").write_text("item { id: 1 name: 'a' }")
    assert find_labels(named) == tmp_path / "annotations" / "own.pbtxt"
    assert find_labels(named, tmp_path / "labels.txt") == tmp_path / "labels.txt"
    with pytest.raises(InputError, match=r"nearest: labels\.txt"):
        find_labels(named, tmp_path / "label.txt")


def test_no_labels_says_where_it_looked(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    (told,) = no_labels(pipeline("annotations/own.pbtxt"))
    assert "labels.txt is not written" in told
    assert "--labels" in told
    places = ["annotations/own.pbtxt", f"{tmp_path.name}/annotations/own.pbtxt", f"{tmp_path.name}/own.pbtxt"]
    assert all(str(tmp_path.parent / place) in told for place in places)


def test_a_label_map_from_the_working_directory(pipeline, tmp_path, monkeypatch):
    """As the Object Detection API takes its path."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "project" / "own.pbtxt").write_text("item { id: 1 name: 'a' }")
    assert find_labels(pipeline("own.pbtxt")) == Path("own.pbtxt")


# Paths of a stranger's config


ITEMS = "item { id: 1 name: 'a' } item { id: 2 name: 'b' }"


def test_a_label_map_elsewhere_is_named_and_not_read(pipeline, tmp_path, monkeypatch):
    """By an absolute path, one with "..", and a link out of the folder; from the working directory it is read."""
    elsewhere, project = tmp_path / "elsewhere", tmp_path / "project"
    elsewhere.mkdir()
    project.mkdir()
    monkeypatch.chdir(project)
    (elsewhere / "secret.pbtxt").write_text(ITEMS)
    for named in (elsewhere / "secret.pbtxt", "../elsewhere/secret.pbtxt", "link.pbtxt"):
        config = project / "pipeline.config"
        config.write_text(f"model {{ ssd {{ num_classes: 2 }} }} eval_input_reader {{ label_map_path: '{named}' }}")
        (project / "link.pbtxt").unlink(missing_ok=True)
        (project / "link.pbtxt").symlink_to(elsewhere / "secret.pbtxt")
        read = read_pipeline(config)
        assert find_labels(read) is None
        (told,) = not_read(read)
        assert str(elsewhere / "secret.pbtxt") in told or str(project / named) in told
        assert "lies neither below the config's folder nor below the working directory" in told
        assert "--labels" in told
    monkeypatch.chdir(tmp_path)
    assert find_labels(read) == project / "link.pbtxt"
    assert not_read(read) == ()


@pytest.mark.parametrize("text", ["root:x:0:0:root:/root:/bin/bash\nbin:x:1:1\n", "one\ntwo\n"])
def test_a_named_file_that_is_no_label_map_is_not_read(pipeline, tmp_path, text):
    (tmp_path / "own.pbtxt").write_text(text)
    read = pipeline("own.pbtxt")
    assert find_labels(read) is None
    (told,) = not_read(read)
    assert f"{tmp_path / 'own.pbtxt'} is no label map" in told
    assert find_labels(read, tmp_path / "own.pbtxt") == tmp_path / "own.pbtxt"  # asked for


def test_a_named_pipe_is_not_read(pipeline, tmp_path):
    os.mkfifo(tmp_path / "own.pbtxt")
    assert find_labels(pipeline("own.pbtxt")) is None
    with pytest.raises(InputError, match="is a pipe"):
        read_label_map(tmp_path / "own.pbtxt")


def test_a_label_map_beside_that_leads_out_is_not_read(pipeline, tmp_path, monkeypatch):
    folder = tmp_path / "stranger"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "mine.txt").write_text("x\ny\n")
    (folder / "labels.txt").symlink_to(tmp_path / "mine.txt")
    (folder / "pipeline.config").write_text("model { ssd { num_classes: 2 } }")
    assert find_labels(read_pipeline(folder)) is None


def test_names_that_are_too_long(tmp_path):
    path = tmp_path / "labels.txt"
    for text in ("1" * 5000 + " cat", f"item {{ id: 1 name: '{'x' * 2000}' }}"):
        path.write_text(text)
        with pytest.raises(InputError, match="characters, too many for a class's name"):
            read_label_map(path)
    path.write_text("12345678901 cat\n")
    assert read_label_map(path) == {1: "12345678901 cat"}
