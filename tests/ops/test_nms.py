"""Non-maximum suppression against its definition, box by box in NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from visionport.config import Nms
from visionport.ops import nms

CLASSES = 4
SCORE = 1e-6  # soft NMS multiplies the same numbers in another order


def overlap(a, b):
    """Intersection over union of two boxes; 0 where one is empty."""
    area = [max(y2 - y1, 0) * max(x2 - x1, 0) for y1, x1, y2, x2 in (a, b)]
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = max(sides[0], 0) * max(sides[1], 0)
    return np.float32(common / (area[0] + area[1] - common)) if min(area) > 0 else np.float32(0)


def suppress(boxes, scores, limit, iou_threshold, score_threshold, sigma):
    """[(anchor, score)]: the best of what is left, again and again; of equal ones the first.

    With a sigma, overlaps lower scores and no threshold drops boxes (Bodla et al. 2017).
    """
    left = {i: s for i, s in enumerate(scores) if s > score_threshold}
    taken = []
    while left and len(taken) < limit:
        best = max(left, key=lambda i: (left[i], -i))
        taken.append((best, left.pop(best)))
        for i in list(left):
            same = overlap(boxes[best], boxes[i])
            if sigma:
                left[i] = np.float32(left[i] * np.exp(np.float32(-0.5 / sigma) * same * same))
            if left[i] <= score_threshold or (not sigma and same > np.float32(iou_threshold)):
                del left[i]
    return taken


def clipped(box, window):
    return np.clip(box, np.tile(window[:2], 2), np.tile(window[2:], 2))


def detect(config, boxes, scores, window):
    """[(score, class, anchor, box)] of one image, best first."""
    rows = []
    how = config.iou_threshold, np.float32(config.score_threshold), config.soft_sigma
    if config.class_agnostic:
        best = scores.argmax(1)
        chosen = np.stack([boxes[i, c % boxes.shape[1]] for i, c in enumerate(best)])
        rows = [(s, best[i], i) for i, s in suppress(chosen, scores.max(1), config.max_total, *how)]
    else:
        for c in range(scores.shape[1]):
            of_class = boxes[:, c % boxes.shape[1]]
            rows += [(s, c, i) for i, s in suppress(of_class, scores[:, c], config.max_per_class, *how)]
    found = []
    for score, c, i in sorted(rows, key=lambda r: -r[0]):  # stable: of equal ones the lower class
        box = clipped(boxes[i, c % boxes.shape[1]], window)
        if config.combined or (box[2] > box[0] and box[3] > box[1]):
            if config.change_coordinate_frame:
                box = (box - np.tile(window[:2], 2)) / np.tile(window[2:] - window[:2], 2)
            found.append((score, c, i, box))
    return found[: config.max_total]


def scene(seed, batch, count, own_boxes, *, ties):
    """Boxes on a grid of sixteenths, some empty and some past the border, so that overlaps are exact and many equal."""
    random = np.random.default_rng(seed)
    shape = (batch, count, CLASSES if own_boxes else 1)
    low = random.integers(-2, 14, (*shape, 2))
    size = random.integers(0, 9, (*shape, 2))
    boxes = (np.concatenate([low, low + size], -1) / 16).astype(np.float32)
    scores = (
        random.integers(0, 9, (batch, count, CLASSES)) / 8 if ties else random.uniform(size=(batch, count, CLASSES))
    )
    start = random.uniform(0, 0.3, (batch, 2))
    window = np.concatenate([start, start + random.uniform(0.4, 0.7, (batch, 2))], 1)
    return (
        boxes,
        scores.astype(np.float32),
        window.astype(np.float32),
        random.normal(size=(batch, count, 3)).astype("f"),
    )


HARD = Nms(score_threshold=0.2, iou_threshold=0.5, max_per_class=6, max_total=15)
CASES = {
    "hard": HARD,
    "overlap of everything": dataclasses.replace(HARD, iou_threshold=0.0),
    "no suppression": dataclasses.replace(HARD, iou_threshold=1.0),
    "all that there is": dataclasses.replace(HARD, score_threshold=-1.0, max_per_class=40, max_total=200),
    "one of a class": dataclasses.replace(HARD, max_per_class=1),
    "one in all": dataclasses.replace(HARD, max_total=1),
    "soft": dataclasses.replace(HARD, soft_sigma=0.5, max_per_class=20, max_total=50),
    "soft, steep": dataclasses.replace(HARD, soft_sigma=0.05, iou_threshold=1.0, max_per_class=12),
    "class-agnostic": dataclasses.replace(HARD, class_agnostic=True),
    "class-agnostic, soft": dataclasses.replace(HARD, class_agnostic=True, soft_sigma=0.5, max_total=30),
    "frame": dataclasses.replace(HARD, change_coordinate_frame=True),
    "combined": dataclasses.replace(HARD, combined=True),
}


def assert_found(config, found, boxes, scores, window, field):
    """Every image of a batch against the definition, rows past the count included."""
    for b in range(len(boxes)):
        expected = detect(config, boxes[b], scores[b], window[b])
        count = int(found["count"][b])
        assert count == len(expected)
        of = {k: np.asarray(v[b]) for k, v in found.items() if k != "count"}
        assert all(len(v) == config.max_total for v in of.values())
        np.testing.assert_allclose(of["scores"][:count], [s for s, *_ in expected], rtol=SCORE)
        np.testing.assert_array_equal(of["classes"][:count], [c for _, c, *_ in expected])
        boxes_ = np.reshape([box for *_, box in expected], (-1, 4))
        np.testing.assert_allclose(of["boxes"][:count], boxes_, atol=1e-6)
        if not config.combined:
            anchors = [i for _, _, i, _ in expected]
            np.testing.assert_array_equal(of["anchors"][:count], anchors)
            np.testing.assert_array_equal(of["field"][:count], field[b][anchors])
            assert not any(v[count:].any() for v in of.values())


@pytest.mark.parametrize("own_boxes", [False, True], ids=["shared boxes", "a box for each class"])
@pytest.mark.parametrize("name", CASES)
def test_against_the_definition(name, own_boxes):
    """With equal scores too, but for soft NMS, where rounding decides between them, and the combined op's own sort."""
    config = CASES[name]
    run = tf.function(lambda b, s, w, f: nms.batch(config, b, s, w, {"field": f}))
    several = False
    for seed in range(8):
        ties = bool(seed % 2) and not config.soft_sigma and not config.combined
        given = scene(seed, 2, 30, own_boxes, ties=ties)
        found = run(*given)
        assert_found(config, found, *given)
        several = several or int(np.max(found["count"])) > 1
    assert several or config.max_total == 1


@pytest.mark.parametrize("shape", [(1, 30), (None, 30), (None, None)], ids=str)
@pytest.mark.parametrize("name", ["hard", "class-agnostic", "frame"])
def test_sizes_unknown_beforehand(name, shape):
    batch, count = shape
    config = CASES[name]
    specs = [(batch, count, 1, 4), (batch, count, CLASSES), (batch, 4), (batch, count, 3)]
    run = tf.function(
        lambda b, s, w, f: nms.batch(config, b, s, w, {"field": f}), [tf.TensorSpec(s, tf.float32) for s in specs]
    )
    for seed in range(3):
        given = scene(100 + seed, batch or 1 + seed, count or 20 + seed, False, ties=True)
        assert_found(config, run(*given), *given)


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("name", ["hard", "class-agnostic", "soft"])
def test_more_anchors_than_are_preselected(name, crowded, monkeypatch):
    """The best few are enough, or, where they lie on one another, are not: the same answer."""
    monkeypatch.setattr(nms, "PRESELECT", 40)
    config = CASES[name]
    run = tf.function(lambda b, s, w, f: nms.batch(config, b, s, w, {"field": f}))
    for seed in range(4):
        boxes, scores, window, field = scene(200 + seed, 1, 150, False, ties=False)
        if crowded:  # the best third at one place
            best = np.argsort(-scores[0].max(1))[:50]
            boxes[0, best] = boxes[0, best[:1]]
        assert_found(config, run(boxes, scores, window, field), boxes, scores, window, field)
