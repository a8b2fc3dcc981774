"""What a checkpoint is likely to be that does not fit its config: every published one by its own names."""

import json
import lzma
import re
from typing import Any

import pytest
from places import TESTS

from visionport.checkpoint import guess
from visionport.checkpoint.params import Problem

ZOO = json.loads(lzma.decompress((TESTS / "zoo.json.xz").read_bytes()))
# Extractors whose names do not tell them from others.
UNTOLD = re.compile("mobiledet|v3_|edgetpu|nas|spaghetti|efficientnet-b[12]|embedded")


@pytest.mark.parametrize("name", ZOO)
def test_published(name):
    (wanted,) = re.findall(r'feature_extractor \{ type: "([^"]+)"', ZOO[name]["config"])
    found = guess.architecture([key for key, *_ in ZOO[name]["variables"]])
    if UNTOLD.search(wanted):
        assert not found or wanted.endswith(found)
    else:
        assert found.removeprefix("center_net ") == wanted


def problem(wanted: str, found: str, kind: Any = "wrong shape") -> Problem:
    return Problem(kind=kind, name="ClassPredictor/weights", wanted=wanted, found=f"{found} model/kernel")


@pytest.mark.parametrize(
    ("problems", "num_classes", "expected"),
    [
        ([problem("[1, 1, 64, 9]", "[1, 1, 64, 273]"), problem("[9]", "[273]")], 2, 90),  # 3 anchors, background
        ([problem("[1, 1, 64, 14]", "[1, 1, 64, 630]")], 2, 90),  # 7 anchors, no background
        ([problem("[1, 1, 64, 12]", "[1, 1, 64, 540]")], 2, None),  # 6 anchors, or 4 and the background
        ([problem("[1024, 3]", "[1024, 91]"), problem("[1024, 8]", "[1024, 360]")], 2, 90),  # of boxes for each class
        ([problem("[1, 1, 64, 9]", "[1, 1, 32, 273]")], 2, None),
        ([problem("[1, 1, 64, 9]", "[1, 1, 64, 273]"), problem("[9]", "[12]")], 2, None),
        ([problem("[1, 1, 64, 9]", "", "missing")], 2, None),
        ([], 2, None),
    ],
)
def test_other_classes(problems, num_classes, expected):
    assert guess.other_classes(problems, num_classes) == expected
