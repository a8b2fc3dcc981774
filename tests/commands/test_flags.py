"""Flags of the old scripts, read as absl reads them."""

import shlex

import pytest

from visionport.errors import OptionError
from visionport.scripts.flags import Flag, parse

FLAGS = (
    Flag(name="path", required=True, help="A path."),
    Flag(name="kind", default="a", choices=("a", "bee"), help="A kind."),
    Flag(name="number", default=10, kind=int, help="A number."),
    Flag(name="regular", default=False, kind=bool, help="A switch."),
    Flag(name="op", default=True, kind=bool, help="Another."),
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--path=p", {}),
        ("--path p --kind bee --number 3", {"kind": "bee", "number": 3}),
        ("-path p --kind=bee --number=-3", {"kind": "bee", "number": -3}),
        ("--path=p --regular --noop", {"regular": True, "op": False}),
        ("--path=p --regular=true --op=false", {"regular": True, "op": False}),
        ("--path=p --regular True --op 0", {"regular": True, "op": False}),
        ("--regular --path=p", {"regular": True}),
        ("--alsologtostderr --path=p --logtostderr", {}),
        ("--path=p --v 1 --number=4", {"number": 4}),
    ],
)
def test_flags_are_read_as_absl_reads_them(line, expected):
    defaults = {"path": "p", "kind": "a", "number": 10, "regular": False, "op": True}
    assert vars(parse(FLAGS, shlex.split(line))) == defaults | expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "--path must be given"),
        ("--path=p --nunber=3", "--nunber is unknown; nearest: number"),
        ("--path=p --kind=be", "One of: a, bee"),
        ("--path=p --number=x", "a whole number"),
        ("--path=p --regular=maybe", "true or false"),
        ("--path", "wants a value"),
        ("--path=p word", "'word' is not a flag"),
        ("--path=p --nonumber", "--nonumber is unknown"),
    ],
)
def test_wrong_flags_are_errors(line, message):
    with pytest.raises(OptionError, match=message):
        parse(FLAGS, shlex.split(line))
