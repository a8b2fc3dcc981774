"""The YAML that configs of Official Vision are written in: what is read, what is refused, what is written."""

import time

import pytest

from visionport.config.official.text import MOST_TEXT, parse, parse_override, write_yaml
from visionport.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e-5", {"a": 1e-5}),
        ("a: 1.5e5", {"a": 150000.0}),
        ("a: 1.0e-05", {"a": 1e-5}),
        ("a: [1, 2.0, true, null, x, '1']", {"a": [1, 2.0, True, None, "x", "1"]}),
        ("a: !!python/tuple\n- 1\n- 2", {"a": (1, 2)}),
        ("a: !!python/tuple []", {"a": ()}),
        ('{"a": {"b": [1, "x"]}}', {"a": {"b": [1, "x"]}}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: 49S\nb: '49'", {"a": "49S", "b": "49"}),
        ("a: 2020-01-01", {"a": "2020-01-01"}),
        ("a: gs://bucket/file", {"a": "gs://bucket/file"}),
        ("a:", {"a": None}),
        ("# nothing", None),
    ],
)
def test_yaml_is_read(text, value):
    found = parse(text, "x.yaml")
    assert found == value
    assert repr(found) == repr(value)  # 1 is not 1.0, a list is no tuple


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: !!python/object/apply:os.system [ls]", "x.yaml:1:4: the tag .*os.system is not taken"),
        ("a: !!python/name:os.system", "the tag .* is not taken"),
        ("a: !!python/tuple {b: 1}", "the tag .*tuple is not taken"),
        ("a: !mine 1", "the tag !mine is not taken"),
        ("a: !!binary aGk=", "the tag .*binary is not taken"),
        ("a: !!int x", "'x' is no int"),
        ("a: 1\na: 2", "x.yaml:2:1: 'a' is given twice"),
        ("1: 2", "1 is used as a name"),
        ("? [1]\n: 2", "is used as a name"),
        ("a: [1, 2", "x.yaml:.* not YAML"),
        ("a: *b", "stands for nothing|not YAML"),
        ("a: &b [*b]", "stands for nothing"),
        ("---\na: 1\n---\nb: 1", "a second document"),
        ("a: " + "9" * 5000, "too long for a number"),
    ],
)
def test_what_is_no_config_is_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        parse(text, "x.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else 'x'] * 10)}]\n" for i in range(9)),
        "[" * 100_000,
        "{a: " * 20_000,
        "- " * 50_000,
        "x" * (MOST_TEXT + 1),
        "".join(f"a{i}: 1\n" for i in range(120_000)),
        "&a " * 10_000,
    ],
    ids=["aliases", "brackets", "braces", "dashes", "long", "keys", "anchors"],
)
def test_bombs_are_refused_soon(text):
    start = time.process_time()
    with pytest.raises(ConfigError):
        parse_override(text)
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1,a.c=x", {"a": {"b": 1, "c": "x"}}),
        ("a=1, b = 2.5,c=true", {"a": 1, "b": 2.5, "c": True}),
        ("a=1,", {"a": 1}),
        ("a='x,y=z',b=2", {"a": "x,y=z", "b": 2}),
        ('a="1"', {"a": "1"}),
        ("a=[1,2],b.c=[x]", {"a": [1, 2], "b": {"c": ["x"]}}),
        ("a[1]=2,a[0]=1", {"a": [1, 2]}),
        ("a.b[0]=0.5", {"a": {"b": [0.5]}}),
        ("a=gs://bucket/x:1", {"a": "gs://bucket/x:1"}),
        ("a=", {"a": None}),
        ("a=null", {"a": None}),
        ("a: {b: 1}", {"a": {"b": 1}}),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("", {}),
    ],
)
def test_overrides_are_read(text, value):
    assert parse_override(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=1,b", "'b' is not of the kind"),
        ("a=1,a=2", "a is given twice"),
        ("a=1,a.b=2", "a.b is given a value, and a as a whole another"),
        ("a[1]=2", r"a\[0\] is not among them"),
        ("a=[1", "'a=.1' is not of the kind"),
        ("5", "5 is no mapping"),
        ("[1]", "is no mapping"),
        ("nothere.yaml", "nothere.yaml: no such config"),
        ("a= " + " " * 200_000 + "[", "is not of the kind"),
        ("a" * 200_000, "is no mapping"),
    ],
)
def test_overrides_that_are_none_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_override(text)


def test_an_override_may_be_a_file(tmp_path):
    (tmp_path / "more.yaml").write_text("a: !!python/tuple [1]")
    assert parse_override(str(tmp_path / "more.yaml")) == {"a": (1,)}


def test_what_is_written_is_read_back():
    tree = {"b": [1, 2], "a": {"t": (0.08, 1.0), "n": None, "e": (), "f": 1e-5, "s": "49", "x": "a: b"}}
    text = write_yaml(tree)
    assert text.startswith(
        "a:\n  e: !!python/tuple []\n  f: 1.0e-05\n  n: null\n  s: '49'\n  t: !!python/tuple\n  - 0.08"
    )
    assert "b: [1, 2]" in text
    assert parse(text, "x") == tree
