"""Suppression by class against one box after the other, in plain Python; ties, empty rows, boxes that are none."""

import numpy as np
import pytest

RANDOM = np.random.default_rng(5)


def overlaps(box, others):
    """Intersection over union in float32 of one box and others [n, 4]."""
    high, low = np.minimum(box[2:], others[:, 2:]), np.maximum(box[:2], others[:, :2])
    shared = np.maximum(high - low, 0).prod(1)
    areas = [(x[..., 2] - x[..., 0]) * (x[..., 3] - x[..., 1]) for x in (box, others)]
    return shared / (areas[0] + areas[1] - shared + np.float32(1e-8))


def suppress(order, boxes, hit):
    """Of those in order, which remain."""
    kept, order = [], np.array(order, int)
    while len(order):
        kept.append(order[0])
        order = order[1:][~hit(overlaps(boxes[order[0]], boxes[order[1:]]))]
    return kept


def detections(boxes, scores, limits, hit, empty_score, real):
    """One image, each class apart: rows of (score, class, box)."""
    rows = []
    for k in range(scores.shape[1]):
        own = boxes[:, min(k, boxes.shape[1] - 1)]
        order = np.argsort(-scores[:, k], kind="stable")[: limits.top_k]
        kept = suppress([i for i in order if scores[i, k] > limits.score and real(own[i])], own, hit)[: limits.size]
        rows += [(scores[i, k], k, own[i]) for i in kept]
        rows += [(np.float32(empty_score), k, np.zeros(4, np.float32))] * (limits.size - len(kept))
    return sorted(rows, key=lambda row: -row[0])[: limits.size]


def example(n=60, classes=3, columns=1, images=2, levels=0, side=30):
    """Boxes float32 [b, n, columns, 4] from 0 to 100, some of nothing; scores [b, n, classes], of few values."""
    low = RANDOM.uniform(0, 70, (images, n, columns, 2))
    boxes = np.concatenate([low, low + RANDOM.uniform(1, side, low.shape)], -1).astype(np.float32)
    boxes[:, ::17] = 0
    boxes[:, 5::19, :, 2:] = boxes[:, 5::19, :, :2]  # of no size, but somewhere
    scores = RANDOM.uniform(0, 1, (images, n, classes)).astype(np.float32)
    if levels:
        scores = np.round(scores * levels).astype(np.float32) / levels
    return boxes, scores


def limits(**given):
    from visionport.ops.multiclass_nms import Limits

    return Limits(**{"score": 0.05, "overlap": 0.6, "size": 20, "top_k": 5000} | given)


CASES = {
    "plain": ({}, {}),
    "equal scores": ({"levels": 5}, {}),
    "few above the threshold": ({}, {"score": 0.95}),
    "none above the threshold": ({}, {"score": 1.0}),
    "few candidates": ({"levels": 10}, {"top_k": 7}),
    "a box a class": ({"columns": 3}, {}),
    "more wanted than there are": ({"n": 10}, {"size": 50}),
    "many boxes": ({"n": 1200, "images": 1, "levels": 400, "classes": 2}, {"overlap": 0.9}),
    "many boxes in one place": (
        {"n": 1200, "images": 1, "side": 3, "classes": 2},
        {"overlap": 0.51, "size": 100, "score": 0.6},
    ),
    "all in one another's way": ({"n": 1100, "images": 2, "side": 90}, {"overlap": 0.0101, "size": 40, "top_k": 1050}),
}
V2 = [name for name in CASES if name != "all in one another's way"]  # of thresholds above a half


@pytest.mark.parametrize("name", V2)
def test_version_2(name):
    from visionport.ops import multiclass_nms

    given, asked = CASES[name]
    boxes, scores = example(**given)
    asked = limits(**asked)
    found = [x.numpy() for x in multiclass_nms.tiled(boxes, scores, asked)]
    for i in range(len(boxes)):
        rows = detections(boxes[i], scores[i], asked, lambda x: x >= np.float32(asked.overlap), 0, np.any)
        assert_rows([x[i] for x in found], rows, empty=0)


@pytest.mark.parametrize("sigma", [None, 0.0])
@pytest.mark.parametrize("name", CASES)
def test_version_1(name, sigma):
    from visionport.ops import multiclass_nms

    given, asked = CASES[name]
    boxes, scores = example(**given)
    asked = limits(**asked)
    found = [x.numpy() for x in multiclass_nms.per_class(boxes, scores, asked, sigma)]
    for i in range(len(boxes)):
        rows = detections(boxes[i], scores[i], asked, lambda x: x > np.float32(asked.overlap), -1, lambda box: True)
        assert_rows([x[i] for x in found], rows, empty=-1)


def assert_rows(found, rows, empty):
    boxes, scores, classes, count = found
    assert count == sum(row[0] > empty for row in rows)
    np.testing.assert_array_equal(scores, [row[0] for row in rows])
    np.testing.assert_array_equal(classes, [row[1] for row in rows])
    np.testing.assert_array_equal(boxes, [row[2] for row in rows])


def test_an_overlap_at_the_threshold():
    """Version 2 suppresses there, version 1 does not."""
    from visionport.ops import multiclass_nms

    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 3]], np.float32)[None, :, None]
    scores = np.array([[[0.9], [0.8]]], np.float32)
    asked = limits(overlap=0.75)
    assert multiclass_nms.tiled(boxes, scores, asked).count == 1
    assert multiclass_nms.per_class(boxes, scores, asked).count == 2


def chain(n):
    """Boxes one behind the other: each overlaps the next by 0.4."""
    low = np.stack([np.arange(n) * 3, np.zeros(n)], -1)
    return np.concatenate([low, low + 7], -1).astype(np.float32)[None, :, None]


def test_below_a_half_a_suppressed_box_suppresses_in_its_tile():
    """The reference's own, which plain suppression is not: of the chain every other box remains there."""
    from visionport.ops import multiclass_nms

    boxes = chain(1030)
    scores = np.linspace(0.9, 0.1, 1030, dtype=np.float32)[None, :, None]
    found = multiclass_nms.tiled(boxes, scores, limits(overlap=0.3, size=600))
    # The first of a tile, unless what remains of the tile before overlaps it; nothing remains at its end.
    np.testing.assert_array_equal(found.boxes[0, : int(found.count[0]), 0] / 3, [0, 512, 1024])
    assert multiclass_nms.per_class(boxes, scores, limits(overlap=0.3, size=600)).count == 515


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_rows_alone(threshold):
    """suppress_sorted, by TensorFlow's operation and by ours."""
    from visionport.ops import multiclass_nms

    boxes, scores = example(n=40, classes=1, images=3)
    order = np.argsort(-scores[..., 0], 1, kind="stable")
    boxes = np.take_along_axis(boxes[:, :, 0], order[..., None], 1)
    scores = np.take_along_axis(scores[..., 0], order, 1)
    many = np.repeat(boxes[:, :, None], 1, 2), scores[..., None]
    wanted = multiclass_nms.tiled(*many, limits(score=-1.0, overlap=threshold, size=50))
    found_scores, found_boxes = multiclass_nms.suppress_sorted(boxes, scores, 50, threshold)
    np.testing.assert_array_equal(found_boxes, wanted.boxes)
    np.testing.assert_array_equal(found_scores, wanted.scores)


def test_the_graph_does_not_grow_with_the_classes():
    import tensorflow as tf

    from visionport.ops import multiclass_nms

    def nodes(by, classes):
        specs = [tf.TensorSpec((None, 2000, 1, 4)), tf.TensorSpec((None, 2000, classes))]
        graph = tf.function(lambda b, s: by(b, s, limits()), autograph=False).get_concrete_function(*specs).graph
        definition = graph.as_graph_def()
        return len(definition.node) + sum(len(f.node_def) for f in definition.library.function)

    for by in (multiclass_nms.tiled, multiclass_nms.per_class):
        assert nodes(by, 3) == nodes(by, 90) < 700
