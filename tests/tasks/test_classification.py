"""Image classification as a task: answers, agreement, record, drawing, metric."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from places import SHARED
from task_records import encoded, example, write

from visionport.errors import InputError
from visionport.tasks import task_of
from visionport.tasks.classification.metric import labelled
from visionport.tasks.drawing import colour_of
from visionport.verification.bounds import OTHER_RUNTIME, QUANTIZED, SAME_OPERATIONS

TASK = task_of("classification")
METRIC: Any = TASK.metric
LABELS = {0: "zero", 1: "one", 2: "two", 3: "three", 5: "five"}
INT8 = QUANTIZED["int8"]


def answer(*probs, logits=None, first=0):
    values = np.array([probs], np.float32)
    given = np.log(np.maximum(values, 1e-6)) if logits is None else np.array([logits], np.float32)
    return TASK.answer({"probs": values, "logits": given}, {"classes_from": first}, np.ones(2))


def test_the_answer_is_the_row_of_its_picture():
    outputs = {"probs": np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), "logits": np.zeros((2, 2), np.float32)}
    found = TASK.answer(outputs, {}, np.ones(2), row=1)
    np.testing.assert_allclose(found["probs"], [0.2, 0.8])
    assert TASK.record(found, {}, (4, 6), 0)["classes"][0] == {"class": 1, "label": None, "score": 0.8}


def test_the_best_five_with_their_names_by_the_score():
    given = answer(0.05, 0.4, 0.0, 0.35, 0.1, 0.06, 0.04)
    found = TASK.record(given, LABELS, (10, 20), 0.0)
    assert (found["width"], found["height"]) == (20, 10)
    assert [row["class"] for row in found["classes"]] == [1, 3, 4, 5, 0]
    assert [row["label"] for row in found["classes"]] == ["one", "three", None, "five", "zero"]
    assert [row["score"] for row in TASK.record(given, LABELS, (1, 1), 0.3)["classes"]] == [0.4, 0.35]
    assert [row["class"] for row in TASK.record(given, LABELS, (1, 1), 0.9)["classes"]] == [1]
    assert json.loads(json.dumps(found)) == found
    assert TASK.describe(given, LABELS) == "one 0.40, three 0.35"


def test_classes_that_count_from_one():
    assert TASK.record(answer(0.1, 0.9, first=1), {1: "a", 2: "b"}, (1, 1), 0.3)["classes"] == [
        {"class": 2, "label": "b", "score": 0.9}
    ]


def test_several_classes_at_once():
    """Multilabel: probabilities are each by itself."""
    assert TASK.describe(answer(0.9, 0.95, 0.1, 0.6), LABELS) == "one 0.95, zero 0.90, three 0.60"


def test_a_classifier_of_nothing():
    given = TASK.answer({"probs": np.zeros((1, 0), np.float32)}, {}, np.ones(2))
    assert TASK.record(given, {}, (3, 4), 0.3)["classes"] == []
    assert TASK.describe(given, {}) == "nothing"
    assert TASK.draw(np.zeros((3, 4, 3), np.uint8), given, {}, 0.3).width == 640
    assert all(c.ok for c in TASK.compare("tflite", "p", given, given, tolerance=INT8))


# ---------------------------------------------------------------- agreement


def states(source, found, tolerance, **how):
    return {c.what: c.state for c in TASK.compare("tflite", "picture", source, found, tolerance=tolerance, **how)}


def test_equal_answers_agree():
    given = answer(0.2, 0.7, 0.1)
    assert states(given, given, SAME_OPERATIONS) == {"logits": "agrees", "probs": "agrees"}


def test_what_differs_disagrees():
    source = answer(0.2, 0.7, 0.1, logits=(1, 2, 3))
    assert states(source, answer(0.2, 0.7, 0.1, logits=(1, 2, 3.01)), OTHER_RUNTIME)["logits"] == "disagrees"
    assert states(source, answer(0.2, 0.69, 0.11, logits=(1, 2, 3)), OTHER_RUNTIME)["probs"] == "disagrees"
    assert states(source, answer(0.2, 0.7, logits=(1, 2)), OTHER_RUNTIME)["probs"] == "disagrees"


def test_a_score_may_move_by_what_rounding_explains():
    """Of a thousand classes the scores' spread is tiny; of one score it says nothing."""
    source, found = np.full(1000, 1e-3), np.full(1000, 1e-3)
    found[0] += 5e-5
    assert states(answer(*source), answer(*found), OTHER_RUNTIME)["probs"] == "agrees"


def test_quantised_answers_are_judged_by_their_best_class():
    source = answer(0.05, 0.9, 0.05, logits=(-1, 2, -1))
    assert states(source, answer(0.2, 0.5, 0.3, logits=(-0.8, 1.7, -1.1)), INT8) == {
        "logits": "not judged",
        "logits, noise": "agrees",
        "probs": "not judged",
        "best class, score lost": "agrees",
    }
    wrong = states(source, answer(0.9, 0.05, 0.05, logits=(2, -1, -1)), INT8)
    assert (wrong["logits, noise"], wrong["best class, score lost"]) == ("disagrees", "disagrees")
    near = answer(0.05, 0.5, 0.45, logits=(-1, 1, 0.9))
    assert states(near, answer(0.05, 0.46, 0.49, logits=(-1, 0.9, 1)), INT8)["best class, score lost"] == "agrees"
    nothing = answer(np.nan, 0.1, 0.1, logits=(-1, 2, -1))
    assert states(source, nothing, INT8)["best class, score lost"] == "disagrees"


def test_scores_that_eight_bits_cannot_tell_apart_are_not_held_against_a_file():
    random = np.random.default_rng(0)
    logits = random.normal(size=1000)
    source = answer(*np.full(1000, 1e-3), logits=logits)
    found = answer(*np.zeros(1000), logits=logits + 0.05)
    assert "disagrees" not in states(source, found, INT8).values()


def test_what_differs_by_design_is_not_judged():
    found = states(answer(0.2, 0.8), answer(0.8, 0.2), SAME_OPERATIONS, by_design="asked for")
    assert set(found.values()) == {"differs by design"}


# ---------------------------------------------------------------- drawing


@pytest.mark.parametrize("size", [(25, 60), (192, 192), (900, 1200), (700, 50)])
def test_bars_stand_below_the_picture(size):
    image = np.full((*size, 3), 128, np.uint8)
    drawn = TASK.draw(image, answer(0.1, 0.6, 0.3), LABELS, 0.3)
    pixels = np.asarray(drawn)
    assert min(drawn.size) >= 360
    bars = [np.argwhere((pixels == colour_of(number)).all(-1)) for number in (1, 2, 0)]
    wide = [found[:, 1].max() - found[:, 1].min() + 1 for found in bars]
    assert wide[1] / wide[0] == pytest.approx(0.5, abs=0.05)
    assert wide[2] / wide[0] == pytest.approx(1 / 6, abs=0.05)
    assert [found[:, 0].min() for found in bars] == sorted(found[:, 0].min() for found in bars)
    picture = np.argwhere((pixels == 128).all(-1))
    assert picture[:, 0].max() < bars[0][:, 0].min()
    high, wide = np.ptp(picture, 0) + 1
    assert wide / high == pytest.approx(size[1] / size[0], rel=0.02)


# ---------------------------------------------------------------- metric


def records(path, *labels):
    image = encoded(np.zeros((8, 8, 3), np.uint8))
    return write(path, [example({"image/encoded": image, "image/class/label": label}) for label in labels])


def test_how_often_the_right_class_is_the_best_and_among_five(tmp_path):
    path = records(tmp_path / "r.tfrecord", [6], [5], [0], [6])
    given = answer(0.01, 0.02, 0.05, 0.1, 0.12, 0.3, 0.4)
    measured = METRIC.evaluate({"a": lambda picture: given}, path, None)["a"]
    assert (measured.value, measured.more) == (0.5, "top-5: 0.7500")
    assert METRIC.name == "top-1"


def test_any_of_several_labels_is_right(tmp_path):
    path = records(tmp_path / "r.tfrecord", [0, 2])
    assert METRIC.evaluate({"a": lambda picture: answer(0.1, 0.2, 0.7)}, path, None)["a"].value == 1


def test_what_is_no_such_data_set(tmp_path):
    run = {"a": lambda picture: answer(0.1, 0.9)}
    with pytest.raises(InputError, match="no such TFRecord"):
        METRIC.check(tmp_path / "none")
    with pytest.raises(InputError, match="record 1 has the class 2, and the model's are 0 to 1"):
        METRIC.evaluate(run, records(tmp_path / "r.tfrecord", [1], [2]), None)
    with pytest.raises(InputError, match="record 0 has no label"):
        METRIC.evaluate(run, records(tmp_path / "r.tfrecord", []), None)
    with pytest.raises(InputError, match="a picture of 8,8, but --image-size is 4,4"):
        METRIC.evaluate(run, records(tmp_path / "r.tfrecord", [1]), (4, 4))
    broken = write(tmp_path / "r.tfrecord", [b"no example"])
    with pytest.raises(InputError, match=r"record 0 is no tf\.train\.Example"):
        METRIC.evaluate(run, broken, None)


DIGITS = SHARED / "demo" / "vision"


@pytest.mark.skipif(not DIGITS.exists(), reason="needs ../shared")
def test_the_digits_as_their_own_script_measures_them():
    spec = importlib.util.spec_from_file_location("evaluate_digits", DIGITS / "evaluate.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path, meter = DIGITS / "classification_val.tfrecord", script.Classification()

    def run(picture):
        """What a bad classifier would say: by the picture's mean."""
        return np.random.default_rng(int(picture.mean() * 1000)).normal(size=10).astype(np.float32)

    for _, features in script.read(str(path)):
        picture = script.decode(features["image/encoded"].bytes_list.value[0])
        meter.add({"logits": run(picture)[None]}, features, picture, None)
    measured = METRIC.evaluate({"a": lambda picture: answer(*run(picture))}, path, None)["a"]
    assert meter.result() == f"top-1 {measured.value:.4f}"
    right = iter([label for _, label in labelled(path)])
    perfect = METRIC.evaluate({"a": lambda picture: answer(*np.eye(10)[next(right)[0]])}, path, None)["a"]
    assert perfect.value == 1
