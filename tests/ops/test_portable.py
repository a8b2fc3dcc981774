"""What is traced for other runtimes suppresses as TensorFlow does."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from visionport.config import Nms
from visionport.errors import UnsupportedError
from visionport.ops import multiclass_nms, nms, portable

RANDOM = np.random.default_rng(0)
PLAIN = Nms(
    score_threshold=0.05,
    iou_threshold=0.5,
    max_per_class=8,
    max_total=20,
    soft_sigma=0.0,
    class_agnostic=False,
    combined=False,
    change_coordinate_frame=False,
)
WINDOW = np.array([[0, 0, 1, 1], [0, 0, 0.8, 0.6]], np.float32)


def candidates(anchors: int, columns: int, classes: int = 3):
    """Boxes in heaps, so that many overlap, and scores of two images; some equal."""
    middle = RANDOM.uniform(0.1, 0.9, (2, 6, 1, 2))[:, RANDOM.integers(0, 6, anchors)]
    middle = middle + RANDOM.normal(0, 0.02, (2, anchors, columns, 2))
    size = RANDOM.uniform(0.1, 0.3, (2, anchors, columns, 2))
    scores = np.round(RANDOM.uniform(0, 1, (2, anchors, classes)) ** 3, 3)
    return np.concatenate([middle - size / 2, middle + size / 2], -1).astype(np.float32), scores.astype(np.float32)


def trace(function, *values):
    """Its graph for batches of any size, and what that gives."""
    specs = [tf.TensorSpec((None, *v.shape[1:]), v.dtype) for v in values]
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    return concrete, concrete(*map(tf.constant, values))


def traced_both_ways(function, *values):
    _, wanted = trace(function, *values)
    with portable.portable():
        concrete, found = trace(function, *values)
    ops = {node.op for f in concrete.graph.as_graph_def().library.function for node in f.node_def}
    ops |= {op.type for op in concrete.graph.get_operations()}
    assert portable.OP in ops
    assert not {op for op in ops if "While" in op or "NonMaxSuppression" in op}
    return wanted, found


def assert_same(wanted, found):
    assert wanted.keys() == found.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("anchors", [50, 1500])
@pytest.mark.parametrize(
    ("columns", "changes"),
    [
        (1, {}),
        (3, {}),
        (1, {"class_agnostic": True}),
        (1, {"change_coordinate_frame": True}),
        (1, {"max_total": 5, "score_threshold": 0.0}),
        (1, {"max_per_class": 400, "max_total": 600, "iou_threshold": 0.9}),
    ],
)
def test_batch(anchors, columns, changes):
    how = dataclasses.replace(PLAIN, **changes)
    boxes, scores = candidates(anchors, columns)

    def function(boxes, scores, window):
        return nms.batch(how, boxes, scores, window, {"all": scores})

    wanted, found = traced_both_ways(function, boxes, scores, WINDOW)
    assert wanted["count"].numpy().min() > 2
    assert_same(wanted, found)


def test_combined():
    boxes, scores = candidates(50, 1)
    scores += RANDOM.uniform(0, 1e-4, scores.shape).astype(np.float32)  # its order of equal ones is its own
    how = dataclasses.replace(PLAIN, combined=True)
    wanted, found = traced_both_ways(lambda b, s, w: nms.batch(how, b, s, w, {}), boxes, scores, WINDOW)
    assert_same(wanted, found)


LIMITS = multiclass_nms.Limits(score=0.05, overlap=0.5, size=20, top_k=5000)


@pytest.mark.parametrize("anchors", [50, 1500])
@pytest.mark.parametrize("name", ["tiled", "per_class", "class_agnostic"])
def test_official_versions(name, anchors):
    boxes, scores = candidates(anchors, 1)
    function = getattr(multiclass_nms, name)
    wanted, found = traced_both_ways(lambda b, s: function(b, s, LIMITS)._asdict(), np.abs(boxes), scores)
    assert wanted["count"].numpy().min() > 2
    assert_same(wanted, found)


def test_proposals():
    boxes, scores = candidates(300, 1)
    order = np.argsort(-scores[:, :, 0], 1, "stable")
    boxes, scores = (np.take_along_axis(x, order[..., None], 1) for x in (np.abs(boxes[:, :, 0]), scores[:, :, :1]))

    def function(boxes, scores):
        return dict(enumerate(multiclass_nms.suppress_sorted(boxes, scores[..., 0], 40, 0.7)))

    assert_same(*traced_both_ways(function, boxes, scores))


def test_what_no_runtime_has_is_refused():
    boxes, scores = candidates(50, 1)
    soft = dataclasses.replace(PLAIN, soft_sigma=0.5)
    with portable.portable():
        with pytest.raises(UnsupportedError, match="soft NMS: set soft_nms_sigma: 0"):
            nms.batch(soft, boxes, scores, WINDOW, {})
        with pytest.raises(UnsupportedError, match=r"nms_iou_threshold 0\.3: set one of 0.5 or more"):
            multiclass_nms.tiled(boxes, scores, LIMITS._replace(overlap=0.3))
        with pytest.raises(UnsupportedError, match="nms_version v3"):
            multiclass_nms.relational(boxes[..., 0, :], scores, LIMITS)
