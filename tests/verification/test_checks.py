"""What a verification must not let pass, and that terminal and report show the same rows."""

import numpy as np
import pytest

from visionport.tasks.detection.comparison import compare_answers
from visionport.verification.bounds import OTHER_RUNTIME, OTHER_RUNTIME_PROPOSALS, QUANTIZED, SAME_OPERATIONS
from visionport.verification.checks import Check, agree, check_structure, compare_lists, compare_tensors, record
from visionport.verification.summary import show_number, summarize, verdict_of

RANDOM = np.random.default_rng(0)


def check(**changed):
    return Check(**{"artifact": "tflite", "what": "scores", "picture": "a", "measured": 0.0, "bound": 1.0, **changed})


def test_to_have_compared_nothing_proves_nothing():
    assert not agree([])
    assert not agree([check(bound=None)])
    assert agree([check(), check(bound=None)])
    assert not agree([check(), check(artifact="saved_model", bound=None)])  # of one artifact nothing was judged
    assert not agree([check(), check(measured=2.0)])


def test_states():
    states = [check(), check(measured=2.0), check(bound=None), check(bound=None, by_design="fast NMS")]
    assert [c.state for c in states] == ["agrees", "disagrees", "not judged", "differs by design"]
    assert verdict_of(states) == "disagrees"
    assert verdict_of(states[2:]) == "not judged"
    rows = record([check(measured=float("inf"))])["checks"]
    assert (rows[0]["measured"], rows[0]["state"]) == (None, "disagrees")


SOURCE = {"boxes": np.zeros((1, 4, 4), np.float32), "count": np.zeros(1, np.float32)}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "boxes is missing; count is missing"),
        ({"boxes": SOURCE["boxes"]}, "count is missing"),
        (SOURCE | {"boxes": np.zeros((1, 4, 4))}, "boxes is float64, the source's is float32"),
        (SOURCE | {"boxes": np.zeros((2, 4, 4), np.float32)}, "boxes is of 2 pictures for 1"),
        (SOURCE | {"boxes": np.zeros((4, 4), np.float32)}, "boxes has 2 dimensions, the source's has 3"),
    ],
)
def test_every_output_is_there_as_the_source_has_it(found, said):
    bad = check_structure("tflite", SOURCE, found, {}, 1)
    assert bad.state == "disagrees"
    assert said in bad.notes


def test_what_is_left_out_by_design_is_named():
    good = check_structure("tflite", SOURCE, {"count": SOURCE["count"]}, {"boxes": "why"}, 1)
    assert good.state == "agrees"
    assert "left out by design: boxes" in good.notes
    assert (
        check_structure("tflite", SOURCE, {}, {"boxes": "why", "count": "why"}, 1).state == "disagrees"
    )  # nothing left


def test_a_tensor_of_one_value_disagrees_and_raises_nothing():
    a = RANDOM.normal(size=100)
    (bad,) = compare_tensors("x", "p", {"raw": a}, {"raw": np.zeros(100)}, ["raw"], tolerance=SAME_OPERATIONS)
    assert bad.state == "disagrees"
    assert "0 everywhere" in bad.notes


@pytest.mark.parametrize("kind", ["int8", "dynamic", "float16", "pixels"])
def test_a_quantised_file_must_answer_the_question(kind):
    """How far it is off is reported; whether it has anything to do with the source is judged."""
    a = RANDOM.normal(size=1000)

    def judged(b):
        checks = compare_tensors("x", "p", {"raw": a}, {"raw": b}, ["raw"], tolerance=QUANTIZED[kind])
        return [c.state for c in checks]

    assert judged(a + RANDOM.normal(size=1000) / 5) == ["not judged", "agrees"]
    assert judged(RANDOM.permutation(a)) == ["not judged", "disagrees"]
    assert judged(-a) == ["not judged", "disagrees"]


def rows(boxes, scores, classes):
    return {
        "detection_boxes": np.asarray(boxes, np.float32).reshape(-1, 4),
        "detection_scores": np.asarray(scores, np.float32),
        "detection_classes": np.asarray(classes, np.float32),
    }


BOXES = [[0.1, 0.2, 0.5, 0.4], [0.5, 0.1, 0.9, 0.3], [0.2, 0.6, 0.4, 0.9]]
ANSWER = rows(BOXES, [0.9, 0.8, 0.7], [1, 2, 3])


def state(found, what, **how):
    found_checks = compare_answers("x", "p", ANSWER, found, **{"tolerance": OTHER_RUNTIME, **how})
    return next(c.state for c in found_checks if c.what == what)


def test_fast_nms_may_leave_out_but_not_invent():
    why = {"by_design": "fast NMS keeps one class a place"}
    fewer = {k: v[:1] for k, v in ANSWER.items()}
    assert state(fewer, "detections matched", **why) == "differs by design"
    assert state(ANSWER, "detections that the source has", **why) == "agrees"
    exchanged = ANSWER | {"detection_boxes": ANSWER["detection_boxes"][:, [1, 0, 3, 2]]}
    assert state(exchanged, "detections that the source has", **why) == "disagrees"


def test_clear_detections_are_judged_in_8_bits():
    how = {"tolerance": QUANTIZED["int8"]}
    near = ANSWER | {"detection_scores": ANSWER["detection_scores"] - np.float32(0.05)}
    assert state(near, "clear detections matched", **how) == "agrees"
    off_by_one = ANSWER | {"detection_classes": ANSWER["detection_classes"] + 1}
    assert state(off_by_one, "clear detections matched", **how) == "disagrees"


def test_the_worst_of_a_kind_is_what_comes_nearest_to_its_bound():
    group = [check(measured=0.5, bound=1.0), check(measured=0.09, bound=0.1, picture="b")]
    (row,) = summarize(group)
    assert (row.worst.picture, row.count, row.disagreeing) == ("b", 2, 0)
    kept = [check(measured=0.99, bound=0.9, at_least=True), check(measured=0.93, bound=0.9, at_least=True)]
    assert summarize(kept)[0].worst.measured == 0.93
    assert [show_number(v) for v in (0, 1.234e-5, 0.0123456, 12345.6)] == ["0", "1.23e-5", "0.0123", "12,346"]


LISTED = {"boxes": RANDOM.random((100, 4)), "scores": RANDOM.random((100, 7))}


def listed(found):
    return compare_lists("onnx", "a", LISTED, found, ("boxes", "scores"), tolerance=OTHER_RUNTIME_PROPOSALS)


def test_rows_of_a_list_may_change_places():
    order = RANDOM.permutation(100)
    (rows,) = listed({name: value[order] for name, value in LISTED.items()})
    assert (rows.what, rows.measured, rows.ok) == ("rows of boxes and scores matched", 1.0, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f | {"boxes": f["boxes"][::-1]},  # each tensor has all of its rows, but they belong together
        lambda f: f | {"scores": f["scores"][:, [1, 0, 2, 3, 4, 5, 6]]},
        lambda f: f | {"boxes": f["boxes"] * 1.001},
        lambda f: {k: np.repeat(v[:50], 2, 0) for k, v in f.items()},  # one row is nobody's twin twice
        lambda f: f | {"scores": np.where(np.arange(100)[:, None] < 6, f["scores"] + 1e-3, f["scores"])},
        lambda f: f | {"scores": f["scores"] * np.nan},
        lambda f: f | {"boxes": f["boxes"][:99], "scores": f["scores"][:99]},
    ],
)
def test_rows_of_a_list_that_are_others(change):
    assert not agree(listed(change(dict(LISTED))))


def test_rows_that_overflow_in_both():
    endless = LISTED | {"boxes": np.where(np.arange(100)[:, None] == 3, np.inf, LISTED["boxes"])}
    how = {"tolerance": OTHER_RUNTIME_PROPOSALS}
    (check,) = compare_lists("onnx", "a", endless, endless, ("boxes",), **how)
    assert check.measured == 1
