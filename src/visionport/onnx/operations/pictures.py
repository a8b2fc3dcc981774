"""What changes the size of pictures: resizing, crops, depth that becomes space."""

from collections.abc import Callable
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError
from visionport.onnx.operations.types import FLOAT, INT64


def resize(mode: str) -> Callable:
    def write(b, op):
        x, size = op.inputs
        if is_picture(b, op):
            {"linear": resample, "nearest": pick}[mode](b, op)
            return
        source = b.first(x)
        if x.dtype.name != "float32" and mode != "nearest":
            source = b.emit("Cast", [source], to=FLOAT)
        aligned, half = op.get_attr("align_corners"), op.get_attr("half_pixel_centers")
        how: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
        if aligned:
            how["coordinate_transformation_mode"] = "align_corners"
        if half:
            how["coordinate_transformation_mode"] = "half_pixel"
        if mode == "nearest":
            how["nearest_mode"] = "round_prefer_ceil" if half or aligned else "floor"
        channels = b.shape(x)[-1]
        wanted = b.array(size)
        batch = b.shape(x)[0]
        if wanted is not None and batch is not None:
            sizes = b.integers([batch, channels, *wanted.tolist()])
        else:
            shape = b.emit("Shape", [source])
            front = b.emit("Slice", [shape, b.integers([0]), b.integers([2])])
            sizes = b.emit("Concat", [front, b.name(size)], axis=0)
        b.set_first(op.outputs[0], b.emit("Resize", [source, "", "", sizes], label=op.name, **how))

    return write


def is_picture(b, op) -> bool:
    """Whether it is the picture that is resized, and by what is no power of two: its places must be rounded alike."""
    x, size = op.inputs
    wanted, (_, *sides, channels) = b.array(size), b.shape(x)
    if channels not in (1, 3):
        return False
    return wanted is None or None in sides or not all(map(is_power, sides, wanted.tolist()))


def is_power(a: int, b: int) -> bool:
    """Whether one of two numbers is the other one times a power of two."""
    times, rest = divmod(max(a, b), min(a, b))
    return not rest and not times & (times - 1)


def resample(b, op):
    """Bilinear resizing by gathers, rounded as TensorFlow rounds it.

    ONNX divides places by a scale where TensorFlow multiplies them. That moves places by 1e-5 of a pixel, and what
    stands on an edge by more than the rounding of the network.
    """
    x = op.inputs[0]
    rows, columns = (places(b, op, axis) for axis in (0, 1))
    source = b.name(x)

    def lerp(low, high, share):
        return b.emit("Add", [low, b.emit("Mul", [b.emit("Sub", [high, low]), share])], label=op.name)

    def across(row):
        row = b.emit("Gather", [source, row], axis=1)
        ends = [b.emit("Gather", [row, column], axis=2) for column in columns[:2]]
        if x.dtype.name != "float32":
            ends = [b.emit("Cast", [end], to=FLOAT) for end in ends]
        return lerp(*ends, columns[2])

    b.set(op.outputs[0], lerp(across(rows[0]), across(rows[1]), rows[2]))


def places(b, op, axis: int) -> tuple[str, str, str]:
    """Of each row, or column, of a resized picture: the two between which it lies, int64 [n], and how far.

    The last is shaped to be multiplied with [b, h, w, c].
    """
    half, shape = op.get_attr("half_pixel_centers"), [-1, *[1] * (2 - axis)]
    known = known_scale(b, op, axis)
    if known:
        side, count, scale = known
        at = np.arange(count, dtype=np.float32)
        at = (at + np.float32(0.5)) * scale - np.float32(0.5) if half else at * scale
        low, high = np.floor(at), np.minimum(np.ceil(at), side - 1)
        return (
            b.constant(np.maximum(low, 0), np.int64),
            b.constant(high, np.int64),
            b.constant((at - low).reshape(shape)),
        )
    whole, at, scale = places_by(b, op, axis)
    at = scaled(b, at, scale, half)
    low = b.emit("Floor", [at])
    share = b.emit("Reshape", [b.emit("Sub", [at, low]), b.integers(shape)])
    return bounded(b, low, whole), bounded(b, b.emit("Ceil", [at]), whole), share


def known_scale(b, op, axis: int) -> tuple[int, int, np.float32] | None:
    """A side, what it becomes, and by what places are multiplied, where the sizes are known."""
    x, size = op.inputs
    wanted, side = b.array(size), b.shape(x)[1 + axis]
    if wanted is None or side is None:
        return None
    count = int(wanted[axis])
    aligned = op.get_attr("align_corners") and count > 1
    return side, count, np.float32(side - aligned) / np.float32(count - aligned)


def places_by(b, op, axis: int) -> tuple[str, str, str]:
    """The same by nodes: a side, int64; 0, 1, 2 ... for each new row or column, float32 [n]; and the scale."""
    x, size = op.inputs
    zero, one = (b.constant(n, np.int64) for n in (0, 1))
    whole = b.emit("Gather", [b.emit("Shape", [b.name(x)]), b.constant(1 + axis, np.int64)], axis=0)
    count = b.emit("Gather", [b.name(size), b.constant(axis, np.int64)], axis=0)
    of, by = whole, count
    if op.get_attr("align_corners"):
        by = b.emit("Sub", [count, one])
        single = b.emit("Equal", [by, zero])
        of = b.emit("Where", [single, whole, b.emit("Sub", [whole, one])])
        by = b.emit("Where", [single, one, by])
    scale = b.emit("Div", [b.emit("Cast", [of], to=FLOAT), b.emit("Cast", [by], to=FLOAT)])
    return whole, b.emit("Cast", [b.emit("Range", [zero, count, one])], to=FLOAT), scale


def scaled(b, at: str, scale: str, half: bool) -> str:
    """Places of the new picture in the old one; half: those of the middles of pixels."""
    middle = b.constant(0.5, np.float32)
    at = b.emit("Add", [at, middle]) if half else at
    at = b.emit("Mul", [at, scale])
    return b.emit("Sub", [at, middle]) if half else at


def bounded(b, at: str, whole: str) -> str:
    """int64 places within a side."""
    last = b.emit("Sub", [whole, b.constant(1, np.int64)])
    return b.emit("Max", [b.emit("Min", [b.emit("Cast", [at], to=INT64), last]), b.constant(0, np.int64)])


def pick(b, op):
    """The nearest pixels by gathers, for the same reason."""
    aligned, half = op.get_attr("align_corners"), op.get_attr("half_pixel_centers")
    found, middle = b.name(op.inputs[0]), np.float32(0.5)
    for axis in (0, 1):
        known = known_scale(b, op, axis)
        if known:
            side, count, scale = known
            at = np.arange(count, dtype=np.float32)
            at = np.floor((at + middle) * scale if half else at * scale + middle if aligned else at * scale)
            at = b.constant(np.minimum(at, side - 1), np.int64)
        else:
            whole, at, scale = places_by(b, op, axis)
            at = b.emit("Add", [at, b.constant(middle)]) if half else at
            at = b.emit("Mul", [at, scale])
            at = b.emit("Add", [at, b.constant(middle)]) if aligned else at
            at = bounded(b, b.emit("Floor", [at]), whole)
        found = b.emit("Gather", [found, at], label=op.name, axis=1 + axis)
    b.set(op.outputs[0], found)


def resize_by(shares: Callable) -> Callable:
    """Resizing by a matrix a side, float32 [new, old]: shares(builder, op, axis). Rounded as TensorFlow does it."""

    def write(b, op):
        source = b.first(op.inputs[0])
        if op.inputs[0].dtype.name != "float32":
            source = b.emit("Cast", [source], to=FLOAT)
        rows, columns = (shares(b, op, axis) for axis in (0, 1))
        found = b.emit("MatMul", [b.emit("MatMul", [rows, source]), b.emit("Transpose", [columns], perm=[1, 0])])
        b.set_first(op.outputs[0], b.emit("Identity", [found], label=op.name))

    return write


def area_shares(b, op, axis: int) -> str:
    """How much of each pixel is in each new one."""
    whole, at, scale = places_by(b, op, axis)
    one = b.constant(1, np.float32)
    low, high = (column(b, b.emit("Mul", [x, scale])) for x in (at, b.emit("Add", [at, one])))
    begin = numbers(b, whole)
    last = b.emit("Equal", [begin, b.emit("Sub", [b.emit("Cast", [whole], to=FLOAT), one])])
    end = b.emit("Where", [last, b.constant(np.inf, np.float32), b.emit("Add", [begin, one])])
    shared = b.emit("Sub", [b.emit("Min", [high, end]), b.emit("Max", [low, begin])])
    return b.emit("Div", [b.emit("Max", [shared, b.constant(0, np.float32)]), scale])


def cubic_shares(b, op, axis: int) -> str:
    """The weights of four pixels, of a table of 1,024 places between two; beyond the border there is the last pixel.

    Between middles of pixels, what is beyond the border has no weight, and the others add up to 1 all the same.
    """
    half = op.get_attr("half_pixel_centers")
    a = -0.5 if half else -0.75
    steps = np.arange(1025) / 1024
    near, steps_ahead = ((a + 2) * steps - (a + 3)) * steps**2 + 1, 1 + steps
    far = ((a * steps_ahead - 5 * a) * steps_ahead + 8 * a) * steps_ahead - 4 * a
    tables = [b.constant(t, np.float32, "cubic") for t in (far, near, near[::-1], far[::-1])]
    whole, at, scale = places_by(b, op, axis)
    at = scaled(b, at, scale, half)
    first = b.emit("Floor", [at])
    step = b.emit("Round", [b.emit("Mul", [b.emit("Sub", [at, first]), b.constant(1024, np.float32)])])
    step, first = (b.emit("Cast", [x], to=INT64) for x in (step, first))
    old = b.emit("Cast", [numbers(b, whole)], to=INT64)
    parts = []
    for table, ahead in zip(tables, (-1, 0, 1, 2), strict=True):
        place = b.emit("Add", [first, b.constant(ahead, np.int64)])
        place = place if half else bounded(b, place, whole)
        hit = b.emit("Equal", [column(b, place), old])
        weight = column(b, b.emit("Gather", [table, step], axis=0))
        parts.append(b.emit("Where", [hit, weight, b.constant(0, np.float32)]))
    shares = b.emit("Sum", parts)
    if not half:
        return shares
    ones = b.emit(
        "Expand",
        [
            b.constant([[1]], np.float32),
            b.emit("Concat", [b.emit("Reshape", [whole, b.integers([1])]), b.integers([1])], axis=0),
        ],
    )
    total = b.emit("MatMul", [shares, ones])
    return b.emit("Div", [shares, total])


def numbers(b, whole: str) -> str:
    """0, 1, 2 ... up to a side, float32."""
    zero, one = (b.constant(n, np.int64) for n in (0, 1))
    return b.emit("Cast", [b.emit("Range", [zero, whole, one])], to=FLOAT)


def column(b, x: str) -> str:
    return b.emit("Reshape", [x, b.integers([-1, 1])])


def crop_and_resize(b, op):
    """ONNX looks at the middle of cells, TensorFlow from corner to corner: so the region is half a cell larger.

    Beyond the border TensorFlow gives 0, and ONNX what is on it: whoever asks for places beyond would see that.
    """
    if b.opset < 16:
        raise UnsupportedError(f"opset {b.opset} has no operation for {op.type}: take --opset 16 or more.")
    image, boxes, owners, size = op.inputs
    height, width = b.value(size, "the size").tolist()
    source = b.first(image)
    known = b.shape(image)[1:3]
    if None in known:
        sides = b.emit("Slice", [b.emit("Shape", [source]), b.integers([2]), b.integers([4])])
        sides = b.emit("Sub", [b.emit("Cast", [sides], to=FLOAT), b.constant(1, np.float32)])
        factors = b.emit("Concat", [sides, sides], axis=0)
    else:
        factors = b.constant(np.array([known[0] - 1, known[1] - 1] * 2, np.float32))
    places = b.emit("Mul", [b.name(boxes), factors])
    # Half a cell beyond the corners, and the middle of a pixel is at a half. Of a single sample both take the middle.
    matrix = np.zeros((4, 4), np.float32)
    for axis, count in ((0, height), (1, width)):
        low, high = axis, axis + 2
        if count > 1:
            step = 1 / (count - 1)
            ends = {low: (1 + step / 2, -step / 2), high: (-step / 2, 1 + step / 2)}
        else:
            ends = {low: (0.5, 0.5), high: (0.5, 0.5)}
        for end, (of_low, of_high) in ends.items():
            column = {0: 1, 1: 0, 2: 3, 3: 2}[end]  # x before y
            matrix[low, column], matrix[high, column] = of_low, of_high
    rois = b.emit("Add", [b.emit("MatMul", [places, b.constant(matrix)]), b.constant(0.5, np.float32)])
    how = {"output_height": height, "output_width": width, "sampling_ratio": 1, "spatial_scale": 1.0, "mode": "avg"}
    how["coordinate_transformation_mode"] = "half_pixel"
    name = b.emit("RoiAlign", [source, rois, b.name(owners)], label=op.name, **how)
    b.set_first(op.outputs[0], name)


def blocks(kind: str) -> Callable:
    def write(b, op):
        size = int(op.get_attr("block_size"))
        b.set_first(op.outputs[0], b.emit(kind, [b.first(op.inputs[0])], label=op.name, blocksize=size))

    return write


OPS: dict[str, Callable] = {
    "ResizeBilinear": resize("linear"),
    "ResizeNearestNeighbor": resize("nearest"),
    "ResizeBicubic": resize_by(cubic_shares),
    "ResizeArea": resize_by(area_shares),
    "CropAndResize": crop_and_resize,
    "DepthToSpace": blocks("DepthToSpace"),
    "SpaceToDepth": blocks("SpaceToDepth"),
}
