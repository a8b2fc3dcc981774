"""What a task's rows look like as a table, as features of a tf.Example, and as COCO's results."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import toy

from visionport.errors import OptionError
from visionport.tasks import TASKS, task_of
from visionport.tasks.base import coco_of, features_of

SIZE = (40, 60)
PROBS = np.array([0.1, 0.7, 0.2], np.float32)
ANSWERS = {
    "detection": {
        "detection_boxes": np.array([[0.1, 0.2, 0.5, 0.7], [0, 0, 1, 1]], np.float32),
        "detection_scores": np.array([0.75, 0.125], np.float32),
        "detection_classes": np.array([2, 1], np.float32),
    },
    "classification": {"probs": PROBS, "classes": np.arange(3)},
    "video": {"probs": PROBS, "classes": np.arange(3)},
    "segmentation": {
        "logits": np.eye(4)[np.arange(16).reshape(4, 4) % 3].astype(np.float32),
        "extent": np.ones(2),
        "classes": np.arange(4),
        "mask_scores": np.full(4, 0.5, np.float32),
    },
    "toy": {"probs": PROBS},
}
LABELS = {1: "a cat", 2: "a dog"}


def task(name: str) -> Any:
    return toy.TASK if name == "toy" else task_of(name)


def conforms(value, kind) -> bool:
    if isinstance(kind, list):
        return bool(value) and all(conforms(v, kind[0]) for v in value)
    if isinstance(kind, Mapping):
        return list(value) == list(kind) and all(conforms(value[k], kind[k]) for k in kind)
    return value is None if kind is str and value is None else type(value) is kind


@pytest.mark.parametrize("name", [*TASKS, "toy"])
def test_a_record_is_as_the_task_says(name):
    record = task(name).record(ANSWERS[name], LABELS, SIZE, 0.1)
    assert conforms(record, task(name).fields), record
    assert not conforms({**record, "other": 1}, task(name).fields)


def test_features_of_most_tasks_are_those_of_the_record():
    found = features_of(task("classification"), ANSWERS["classification"], LABELS, SIZE, 0.15)
    assert found == {
        "width": [60],
        "height": [40],
        "classes/class": [1, 2],
        "classes/label": ["a cat", "a dog"],
        "classes/score": [0.7, 0.2],
    }
    assert features_of(task("toy"), ANSWERS["toy"], {}, SIZE, 0) == {"kind": [""], "score": [0.7]}


def test_features_of_detections():
    found = features_of(task("detection"), ANSWERS["detection"], LABELS, SIZE, 0.3)
    assert found["detection/label"] == [2]
    assert found["detection/class/text"] == ["a dog"]
    assert found["detection/score"] == [0.75]
    assert found["detection/bbox/xmin"] == pytest.approx([0.2])
    assert found["detection/bbox/ymax"] == pytest.approx([0.5])
    assert (found["image/height"], found["image/width"]) == ([40], [60])
    assert features_of(task("detection"), ANSWERS["detection"], LABELS, SIZE, 0.9)["detection/bbox/xmin"] == []


def test_results_of_coco():
    (first, second) = coco_of(task("detection"), ANSWERS["detection"], SIZE, 0)
    assert first == {"category_id": 2, "bbox": [12.0, 4.0, 30.0, 16.0], "score": 0.75}
    assert second["bbox"] == [0.0, 0.0, 60.0, 40.0]
    with pytest.raises(OptionError, match="segmentation gives masks"):
        coco_of(task("segmentation"), ANSWERS["segmentation"], SIZE, 0)
