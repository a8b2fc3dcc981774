"""What is no single operation: suppression, branches and loops."""

from collections.abc import Callable

import numpy as np

from visionport.errors import UnsupportedError


def suppress(b, op):
    """ops/portable.py: suppress. Where each class has boxes of its own, each class of an image is a picture to ONNX."""
    if op.name.rpartition("/")[2].partition("_")[0] != "suppress":
        raise UnsupportedError(f"{op.name} is a function of Python.")
    boxes, scores, *limits_ = op.inputs
    size_, overlap, score = (b.value(t, "a limit") for t in limits_)
    _, n, columns, _ = b.shape(boxes)
    classes = b.shape(scores)[2]
    by_class = b.emit("Transpose", [b.name(scores)], perm=[0, 2, 1])
    if columns == 1:
        places = b.emit("Reshape", [b.name(boxes), b.integers([0, -1, 4])])
    else:
        places = b.emit("Transpose", [b.name(boxes)], perm=[0, 2, 1, 3])
        length = b.emit("Slice", [b.emit("Shape", [by_class]), b.integers([2]), b.integers([3])])
        if n is not None:
            length = b.integers([n])
        rows = b.emit("Concat", [b.integers([-1]), length, b.integers([4])], axis=0)
        places = b.emit("Reshape", [places, rows])
        rows = b.emit("Concat", [b.integers([-1, 1]), length], axis=0)
        by_class = b.emit("Reshape", [by_class, rows])
    given = [b.integers([int(size_)]), b.constant([overlap], np.float32), b.constant([score], np.float32)]
    found = b.emit("NonMaxSuppression", [places, by_class, *given], label=op.name)
    if columns > 1:
        row, _, anchor = b.emit("Split", [found, b.integers([1, 1, 1])], 3, axis=1)
        count = b.constant(classes, np.int64)
        parts = [b.emit("Div", [row, count]), b.emit("Mod", [row, count]), anchor]
        found = b.emit("Concat", parts, label=op.name, axis=1)
    b.set(op.outputs[0], found)


def branch(b, op):
    condition, *values = op.inputs
    names = [t.name for t in values]
    branches = {
        f"{k}_branch": b.branch(op.get_attr(f"{k}_branch").name, names, f"{op.name}/{k}") for k in ("then", "else")
    }
    found = b.emit("If", [b.name(condition)], len(op.outputs), label=op.name, **branches)
    for target, name in zip(op.outputs, [found] if len(op.outputs) == 1 else found, strict=True):
        b.set(target, name)


def loop(b, op):
    raise UnsupportedError("a loop over the pictures of a batch, which ONNX has not in this form: take --batch 1.")


OPS: dict[str, Callable] = {
    "PyFuncStateless": suppress,
    **dict.fromkeys(("StatelessIf", "If"), branch),
    **dict.fromkeys(("While", "StatelessWhile"), loop),
}
