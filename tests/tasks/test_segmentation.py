"""Semantic segmentation as a task: class maps, agreement, record, drawing, files, metric."""

import importlib.util
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import SHARED
from task_records import encoded, example, write

from visionport.errors import InputError
from visionport.tasks import task_of
from visionport.tasks.base import files_of
from visionport.tasks.drawing import colour_of
from visionport.tasks.segmentation.answers import class_map
from visionport.verification.bounds import OTHER_RUNTIME, QUANTIZED, SAME_OPERATIONS

TASK = task_of("segmentation")
METRIC: Any = TASK.metric
LABELS = {0: "background", 1: "cat", 2: "dog"}
INT8 = QUANTIZED["int8"]


def answer(classes, count=3, *, extent=(1, 1), reading=None, **more):
    """Of a network that is sure of these classes [h, w]."""
    logits = 8 * np.eye(count, dtype=np.float32)[np.asarray(classes)]
    outputs = {"logits": logits[None], **{k: np.asarray(v, np.float32)[None] for k, v in more.items()}}
    return TASK.answer(outputs, reading or {"logits": "input"}, np.array(extent))


HALVES = np.repeat([[0, 2]], 8, 0).repeat(4, 1)  # 8x8: left 0, right 2


def test_the_class_map_of_the_logits_own_size():
    random = np.random.default_rng(0)
    logits = random.normal(size=(70, 9, 5)).astype(np.float32)
    given = TASK.answer({"logits": logits[None]}, {}, np.ones(2))
    found = class_map(given, (70, 9))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, logits.argmax(-1))


@pytest.mark.parametrize("size", [(140, 31), (33, 200), (5, 4)])
def test_logits_are_resized_as_tensorflow_does(size):
    import tensorflow as tf

    logits = np.random.default_rng(0).normal(size=(70, 9, 5)).astype(np.float32)
    given = TASK.answer({"logits": logits[None]}, {}, np.ones(2))
    wanted = tf.image.resize(logits, size).numpy().argmax(-1)
    assert (class_map(given, size) == wanted).mean() > 0.999  # ties of rounding


def test_what_padding_takes_is_left_out():
    """A picture of 4x8 in a square input: the lower half is padding."""
    classes = HALVES.copy()
    classes[4:] = 1
    wanted = np.repeat(HALVES[:4], 3, 0).repeat(3, 1)
    by_extent = answer(classes, extent=(0.5, 1))
    by_info = answer(classes, image_info=[[12, 24], [8, 8], [1 / 3, 1 / 3], [0, 0]])
    for given in (by_extent, by_info):
        np.testing.assert_array_equal(class_map(given, (12, 24)), wanted)
    of_pictures = answer(classes, reading={"logits": "picture"}, image_info=[[4, 8], [8, 8], [1, 1], [0, 0]])
    np.testing.assert_array_equal(class_map(of_pictures, (4, 8)), HALVES[:4])


def test_classes_that_need_more_than_eight_bits():
    logits = np.zeros((1, 2, 2, 300), np.float32)
    logits[..., 299] = 1
    given = TASK.answer({"logits": logits}, {}, np.ones(2))
    assert class_map(given, (2, 2)).tolist() == [[299, 299], [299, 299]]
    assert np.asarray(TASK.files(np.zeros((2, 2, 3), np.uint8), given, {}, 0)["class_map"]).max() == 299


def test_the_share_of_each_class():
    given = answer([[0, 0, 0, 2]], mask_scores=[0.5, 0.25, 0.75])
    found = TASK.record(given, LABELS, (1, 4), 0.3)
    assert found == {
        "width": 4,
        "height": 1,
        "classes": [
            {"class": 0, "label": "background", "share": 0.75, "mask_score": 0.5},
            {"class": 2, "label": "dog", "share": 0.25, "mask_score": 0.75},
        ],
    }
    assert json.loads(json.dumps(found)) == found
    assert TASK.describe(given, LABELS) == "background 75%, dog 25%"
    assert TASK.describe(given, {}) == "class 0 75%, class 2 25%"
    assert "mask_score" not in TASK.record(answer(HALVES), LABELS, (8, 8), 0.3)["classes"][0]


# ---------------------------------------------------------------- agreement


def states(source, found, tolerance, **how):
    return {c.what: c.state for c in TASK.compare("tflite", "picture", source, found, tolerance=tolerance, **how)}


def moved_by(given, amount):
    return {**given, "logits": given["logits"] + np.float32(amount)}


def test_agreement_number_by_number_and_class_by_class():
    given = answer(HALVES, mask_scores=[0.1, 0.2, 0.3], image_info=np.ones((4, 2)))
    same = {"logits", "mask_scores", "image_info", "pixels of the same class"}
    assert states(given, given, SAME_OPERATIONS) == dict.fromkeys(same, "agrees")
    bare = answer(HALVES)  # as a TFLite file, which gives no image_info
    assert states(given, bare, OTHER_RUNTIME) == {"logits": "agrees", "pixels of the same class": "agrees"}
    assert states(given, moved_by(given, 0.01), OTHER_RUNTIME)["logits"] == "disagrees"
    other = answer(HALVES[:, ::-1])
    assert states(given, other, OTHER_RUNTIME)["pixels of the same class"] == "disagrees"
    assert states(given, answer(HALVES[:4]), OTHER_RUNTIME) == {"logits": "disagrees"}
    assert set(states(given, other, OTHER_RUNTIME, by_design="asked for").values()) == {"differs by design"}


def test_of_what_rounds_clear_pixels_are_judged():
    given = answer(HALVES)
    near = states(given, moved_by(given, 0.3), INT8)
    assert near == {
        "logits": "not judged",
        "logits, noise": "agrees",
        "pixels of the same class": "not judged",
        "clear pixels of the same class": "agrees",
    }
    assert states(given, answer(HALVES[:, ::-1]), INT8)["clear pixels of the same class"] == "disagrees"


# ---------------------------------------------------------------- drawing


@pytest.mark.parametrize("size", [(40, 40), (480, 640), (300, 1200)])
def test_segments_are_where_they_belong(size):
    image = np.full((*size, 3), 128, np.uint8)
    drawn = TASK.draw(image, answer(HALVES), LABELS, 0.3)
    pixels = np.asarray(drawn).astype(int)
    scale = max(1, 480 / min(size))
    height, width = (round(side * scale) for side in size)
    assert drawn.width == width
    assert drawn.height > height
    left, right = pixels[5 : height - 5, 5 : width // 2 - 5], pixels[5 : height - 5, width // 2 + 5 : width - 5]
    assert (left == 128).all()  # the background stays as it is
    assert len(np.unique(right.reshape(-1, 3), axis=0)) == 1
    shade = np.sign(right[0, 0] - 128) == np.sign(np.array(colour_of(2)) - 128)
    assert shade.all()
    assert len(np.argwhere((pixels[height:] == colour_of(2)).all(-1))) > 100  # the legend


def test_many_classes_are_named_by_their_share():
    classes = np.arange(20).repeat(8).reshape(20, 8)
    drawn = TASK.draw(np.zeros((20, 8, 3), np.uint8), answer(classes, 20), {i: f"kind {i}" * 9 for i in range(20)}, 0)
    assert drawn.width >= 360


def test_the_mask_is_an_image_of_class_numbers():
    image, given = np.zeros((8, 8, 3), np.uint8), answer(HALVES)
    files = files_of(TASK, image, given, LABELS, 0.3)
    assert list(files) == ["masks", "class_map"]
    data = io.BytesIO()
    files["class_map"].save(data, "PNG")
    read = Image.open(data)
    assert read.mode == "P"
    np.testing.assert_array_equal(np.asarray(read), HALVES)
    colours = np.asarray(read.convert("RGB"))
    assert colours[0, 0].tolist() == [0, 0, 0]
    assert tuple(colours[0, 7].tolist()) == colour_of(2)
    assert np.asarray(files_of(TASK, image, given, {}, 0.3)["class_map"].convert("RGB"))[0, 0].any()


def test_other_tasks_have_the_drawn_picture_alone():
    task = task_of("classification")
    given = task.answer({"probs": np.array([[0.5, 0.5]], np.float32)}, {}, np.ones(2))
    files = files_of(task, np.zeros((8, 8, 3), np.uint8), given, {}, 0.3)
    assert list(files) == ["classes"]
    assert files["classes"].width == 480


# ---------------------------------------------------------------- metric


def records(path, *masks, palette=False):
    rows = []
    for mask in masks:
        image = encoded(np.zeros((8, 8, 3), np.uint8))
        label = mask if isinstance(mask, bytes) else encoded(np.asarray(mask).astype(np.uint8), palette)
        rows.append(example({"image/encoded": image, "image/segmentation/class/encoded": label}))
    return write(path, rows)


def measured(path, *found, count=3, size=None):
    answers = iter([answer(f, count) for f in found])
    return METRIC.evaluate({"a": lambda picture: next(answers)}, path, size)["a"]


@pytest.mark.parametrize("palette", [False, True])
def test_mean_intersection_over_union(tmp_path, palette):
    path = records(tmp_path / "r.tfrecord", HALVES, HALVES, palette=palette)
    assert measured(path, HALVES, HALVES, count=3).value == pytest.approx(2 / 3)  # a class that is nowhere is 0
    wrong = HALVES.copy()
    wrong[:, :2] = 1
    # Of class 0 64 pixels, 16 of them taken for 1; of class 2 64, all found.
    got = measured(path, wrong, HALVES)
    assert got.value == pytest.approx((48 / 64 + 0 + 1) / 3)
    assert got.more == "pixels right: 0.8750"
    assert METRIC.name == "mIoU"


def test_ignored_pixels_count_nowhere(tmp_path):
    mask, found = HALVES.copy(), HALVES.copy()
    mask[:, :2], found[:, :2] = 255, 1
    path = records(tmp_path / "r.tfrecord", mask)
    assert measured(path, found).value == pytest.approx(2 / 3)


def test_what_is_no_such_data_set(tmp_path):
    path = tmp_path / "r.tfrecord"
    with pytest.raises(InputError, match="no such TFRecord"):
        METRIC.check(path)
    with pytest.raises(InputError, match="a pixel of class 7, and the model's are 0 to 2"):
        measured(records(path, HALVES * 3 + 1), HALVES)
    with pytest.raises(InputError, match="a picture of 8,8 and labels of 4,8"):
        measured(records(path, HALVES[:4]), HALVES)
    with pytest.raises(InputError, match="is not an image that can be read"):
        measured(records(path, b"no picture"), HALVES)
    with pytest.raises(InputError, match="has 3 channels; a class map has one"):
        measured(records(path, encoded(np.zeros((8, 8, 3), np.uint8))), HALVES)
    with pytest.raises(InputError, match="--image-size is 4,4"):
        measured(records(path, HALVES), HALVES, size=(4, 4))
    unlabelled = write(path, [example({"image/encoded": encoded(np.zeros((8, 8, 3), np.uint8))})])
    with pytest.raises(InputError, match=r"record 0 has nothing in .image.segmentation"):
        measured(unlabelled, HALVES)


DIGITS = SHARED / "demo" / "vision"


@pytest.mark.skipif(not DIGITS.exists(), reason="needs ../shared")
def test_the_digits_as_their_own_script_measures_them():
    spec = importlib.util.spec_from_file_location("evaluate_digits", DIGITS / "evaluate.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    path, meter = DIGITS / "segmentation_val.tfrecord", script.Segmentation()
    masks = []

    def run(mask):
        """What a bad segmenter would say: everything a little below."""
        return np.eye(11, dtype=np.float32)[np.roll(mask, 5, 0)]

    for _, features in script.read(str(path)):
        encoded_mask = features["image/segmentation/class/encoded"].bytes_list.value[0]
        masks.append(script.decode(encoded_mask, 1)[..., 0])
        meter.add({"logits": run(masks[-1])[None]}, features, None, None)
    rest = iter(masks)
    runs = {"a": lambda picture: TASK.answer({"logits": run(next(rest))[None]}, {}, np.ones(2))}
    assert meter.result() == f"mIoU {METRIC.evaluate(runs, path, None)['a'].value:.4f}"
