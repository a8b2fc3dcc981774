"""What a page draws of answers."""

import base64
import io
import json

import numpy as np
from PIL import Image

from visionport.tasks import task_of
from visionport.tasks.base import marks_of
from visionport.tasks.drawing import colour_of

LABELS = {1: "cat", 2: "<b>dog"}


def image(url: str) -> np.ndarray:
    head, _, data = url.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_detections():
    answer = {
        "detection_boxes": np.array([[0.1, 0.2, 0.5, 0.6], [-1, 0, 2, 1], [np.nan, 0, 1, 1], [0, 0, 1, 1]]),
        "detection_scores": np.array([0.5, 0.9, 0.8, 0.1]),
        "detection_classes": np.array([1.0, 3.0, 1.0, 1.0]),
        "detection_masks": np.stack([np.full((3, 5), v) for v in (0.2, 1.5, np.nan, 0)]),
        "detection_keypoints": np.tile(np.array([[0.25, 0.75], [np.nan, 0]]), (4, 1, 1)),
        "detection_keypoint_scores": np.tile([0.5, 0.6], (4, 1)),
    }
    first, second = marks_of(task_of("detection"), answer, LABELS, (100, 200), 0.3)["found"]
    assert (first["label"], first["class"], first["score"], first["box"]) == ("class 3", 3, 0.9, [0, 0, 1, 1])
    assert (second["label"], second["box"]) == ("cat", [0.2, 0.1, 0.6, 0.5])
    assert second["colour"] == "#{:02x}{:02x}{:02x}".format(*colour_of(1))
    assert (image(second["mask"]["image"]) == 51).all()
    assert (image(first["mask"]["image"]) == 255).all()
    assert second["mask"]["box"] == second["box"]
    assert first["mask"]["box"] == [0, -1, 1, 2]  # a mask is of the whole box
    assert second["points"] == [[0.75, 0.25, 0.5], None]
    assert second["lines"] == []
    json.dumps(first, allow_nan=False)


def test_masks_are_of_outer_boxes_where_there_are_such():
    answer = {
        "detection_boxes": np.array([[0.2, 0.2, 0.4, 0.4]]),
        "detection_outer_boxes": np.array([[0.1, 0.2, 0.5, 0.6]]),
        "detection_scores": np.ones(1),
        "detection_classes": np.ones(1),
        "detection_masks": np.zeros((1, 2, 2)),
        "detection_keypoints": np.zeros((1, 17, 2)),
    }
    (mark,) = marks_of(task_of("detection"), answer, {}, (10, 10), 0)["found"]
    assert mark["mask"]["box"] == [0.2, 0.1, 0.6, 0.5]
    assert mark["points"][0] == [0, 0, 1]  # no scores: all are there
    assert max(max(pair) for pair in mark["lines"]) == 16


def test_classes():
    answer = {"probs": np.array([0.1, 0.7, 0.2]), "classes": np.arange(3)}
    bars = marks_of(task_of("classification"), answer, LABELS, (10, 10), 0.5)["bars"]
    assert [(b["label"], b["score"]) for b in bars] == [("cat", 0.7), ("<b>dog", 0.2), ("class 0", 0.1)]


def test_class_map():
    logits = np.zeros((4, 4, 2), np.float32)
    logits[:, :2, 0] = logits[:, 2:, 1] = 9
    task = task_of("segmentation")
    answer = task.answer({"logits": logits[None]}, {"classes_from": 1}, np.ones(2))
    found = marks_of(task, answer, {1: "Background", 2: "road"}, (3000, 1500), 0)["map"]
    pixels = image(found["image"])
    assert pixels.shape == (1024, 512, 4)  # a map is no larger than a page needs
    assert (pixels[5, 5] == 0).all()
    assert pixels[5, 500].tolist() == [*colour_of(2), 115]
    assert (pixels[:, 256] == 255).all()  # the line between both
    assert [(c["label"], c["share"]) for c in found["classes"]] == [("Background", 0.5), ("road", 0.5)]
