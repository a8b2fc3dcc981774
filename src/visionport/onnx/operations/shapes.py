"""Slices, orders of axes, and shapes."""

from collections.abc import Callable

import numpy as np

from visionport.errors import UnsupportedError

END = np.iinfo(np.int64).max


def strided_slice(b, op):
    x, begin, end, step = op.inputs
    rank = len(b.shape(x))
    masks = {name: op.get_attr(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    steps = b.value(step, "the steps").tolist()
    begins, ends = b.array(begin), b.array(end)
    count = len(steps)
    new = [i for i in range(count) if masks["new_axis"] >> i & 1]
    skipped = rank - (count - len(new) - bool(masks["ellipsis"]))
    axis, axes, added, dropped, places = 0, [], [], [], 0
    for i in range(count):
        if masks["ellipsis"] >> i & 1:
            axis += skipped
            places += skipped
        elif i in new:
            added.append(places)
            places += 1
        else:
            shrunk = masks["shrink_axis"] >> i & 1
            axes.append((i, axis))
            dropped += [axis] if shrunk else []
            axis += 1
            places += not shrunk
    cuts = [(i, a) for i, a in axes if not untouched(i, masks, steps)]
    is_first = rank > 3 and b.is_first(x) and not added and not dropped
    name = b.first(x) if is_first else b.name(x)
    if len(cuts) == 1 and dropped == [cuts[0][1]] and begins is not None:
        name = b.emit("Gather", [name, b.constant(int(begins[cuts[0][0]]), np.int64)], label=op.name, axis=dropped[0])
        cuts, dropped = [], []
    if cuts:
        at = [i for i, _ in cuts]
        shrunk = [masks["shrink_axis"] >> i & 1 for i in at]
        low = limits(
            b,
            begin,
            begins,
            at,
            [masks["begin"] >> i & 1 and not s for i, s in zip(at, shrunk, strict=True)],
            [0 if steps[i] > 0 else END for i in at],
        )
        if any(shrunk) and begins is None:
            if not all(shrunk):
                raise UnsupportedError(f"{op.name}: ONNX needs where this begins to be known beforehand.")
            high = b.emit("Add", [low, b.constant(1, np.int64)])
        else:
            stops = ends
            if any(shrunk):
                stops = b.value(end, "where it ends").astype(np.int64)
                for i in (i for i, s in zip(at, shrunk, strict=True) if s):
                    stops[i] = after(b.value(begin, "where it begins")[i])
            high = limits(
                b,
                end,
                stops,
                at,
                [masks["end"] >> i & 1 and not s for i, s in zip(at, shrunk, strict=True)],
                [END if steps[i] > 0 else -END for i in at],
            )
        where = [a for _, a in cuts]
        if is_first:
            where = [1 if a == rank - 1 else a + 1 if a else 0 for a in where]
        name = b.emit("Slice", [name, low, high, b.integers(where), b.integers([steps[i] for i in at])], label=op.name)
    if dropped:
        name = b.emit("Squeeze", [name, b.integers(dropped)], label=op.name)
    if added:
        name = b.emit("Unsqueeze", [name, b.integers(added)], label=op.name)
    (b.set_first if is_first else b.set)(op.outputs[0], name)


def after(place: int) -> int:
    """Where a slice of that place alone ends."""
    return int(place) + 1 if place != -1 else END


def untouched(i: int, masks, steps) -> bool:
    """Whether a slice takes all of its axis, as it is."""
    return bool(
        masks["begin"] >> i & 1 and masks["end"] >> i & 1 and steps[i] == 1 and not masks["shrink_axis"] >> i & 1
    )


def limits(b, tensor, array, at: list[int], masked: list[int], open_: list[int]) -> str:
    """Where slices begin, or end, of the axes `at`; where that is masked, at the end that is `open_`."""
    if array is not None:
        return b.integers([o if m else int(array[i]) for i, m, o in zip(at, masked, open_, strict=True)])
    name = b.emit("Gather", [b.name(tensor), b.integers(at)], axis=0)
    if any(masked):
        name = b.emit("Where", [b.constant([bool(m) for m in masked], np.bool_), b.integers(open_), name])
    return name


def slice_(b, op):
    x, begin, size = op.inputs
    begins, sizes, rank = b.array(begin), b.array(size), len(b.shape(x))
    low = b.name(begin)
    if begins is not None and sizes is not None:
        high = b.integers([END if s < 0 else int(i + s) for i, s in zip(begins, sizes, strict=True)])
    else:
        high = b.emit("Add", [low, b.name(size)])
        high = b.emit(
            "Where", [b.emit("Less", [b.name(size), b.constant(0, np.int64)]), b.constant(END, np.int64), high]
        )
    b.set(op.outputs[0], b.emit("Slice", [b.name(x), low, high, b.integers(range(rank))], label=op.name))


def transpose(b, op):
    order = b.value(op.inputs[1], "the order").tolist()
    x = op.inputs[0]
    rank = len(order)
    if rank > 3 and b.is_first(x):
        held = [0, rank - 1, *range(1, rank - 1)]
        perm = [held.index(i) for i in order]
        source = b.first(x)
        if perm == [*range(rank)]:
            b.set(op.outputs[0], source)
            return
        b.set(op.outputs[0], b.emit("Transpose", [source], label=op.name, perm=perm))
        return
    b.set(op.outputs[0], b.emit("Transpose", [b.name(x)], label=op.name, perm=order))


def reshape(b, op):
    x, target = op.inputs[0], op.outputs[0]
    shape, source = b.shape(target), b.shape(x)
    if list(shape).count(None) <= 1 and 0 not in shape:
        wanted = b.integers([-1 if d is None else d for d in shape])
    else:
        wanted = b.name(op.inputs[1])
    pixel = len(source) == 4 and source[1:3] == (1, 1) and len(shape) == 2
    if b.is_first(x) and pixel:  # one pixel is the same in both layouts
        b.set(target, b.emit("Reshape", [b.first(x), wanted], label=op.name))
        return
    b.set(target, b.emit("Reshape", [b.name(x), wanted], label=op.name))


def squeeze(b, op):
    x, rank = op.inputs[0], len(b.shape(op.inputs[0]))
    axes = sorted(a % rank for a in op.get_attr("squeeze_dims")) or [i for i, d in enumerate(b.shape(x)) if d == 1]
    if rank == 4 and b.is_first(x) and axes == [1, 2]:
        b.set(op.outputs[0], b.emit("Squeeze", [b.first(x), b.integers([2, 3])], label=op.name))
        return
    b.set(op.outputs[0], b.emit("Squeeze", [b.name(x), b.integers(axes)], label=op.name))


def expand_dims(b, op):
    rank = len(b.shape(op.inputs[0])) + 1
    axis = int(b.value(op.inputs[1], "the axis")) % rank
    b.set(op.outputs[0], b.emit("Unsqueeze", [b.name(op.inputs[0]), b.integers([axis])], label=op.name))


def with_shape(kind: str) -> Callable:
    """BroadcastTo and Tile: the second input is a vector of integers."""

    def write(b, op):
        b.set(op.outputs[0], b.emit(kind, [b.name(t) for t in op.inputs], label=op.name))

    return write


def shape(b, op):
    x = op.inputs[0]
    if b.is_first(x):
        rank = len(b.shape(x))
        found = b.emit("Shape", [b.first(x)])
        b.set(op.outputs[0], b.emit("Gather", [found, b.integers([0, *range(2, rank), 1])], label=op.name, axis=0))
    else:
        b.set(op.outputs[0], b.emit("Shape", [b.name(x)], label=op.name))


def size(b, op):
    b.set(op.outputs[0], b.emit("Size", [b.name(op.inputs[0])], label=op.name))


def range_(b, op):
    b.set(op.outputs[0], b.emit("Range", [b.name(t) for t in op.inputs], label=op.name))


OPS: dict[str, Callable] = {
    "StridedSlice": strided_slice,
    "Slice": slice_,
    "Transpose": transpose,
    "Reshape": reshape,
    "Squeeze": squeeze,
    "ExpandDims": expand_dims,
    "BroadcastTo": with_shape("Expand"),
    "Tile": with_shape("Tile"),
    "Shape": shape,
    "Size": size,
    "Range": range_,
}
