"""What becomes of each TensorFlow operation in ONNX: a function each, in the table OPS at the bottom.

A function is given the builder (see convert.py) and the operation, writes ONNX nodes, and says what its outputs are
called. Operations over pictures work with channels first where their input is there in that layout alone; the others
with TensorFlow's own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from visionport.errors import UnsupportedError

FLOAT, UINT8, INT64, BOOL = 1, 2, 7, 9  # TensorProto.DataType
ELEMENT_TYPES = {
    "float32": FLOAT,
    "uint8": UINT8,
    "int8": 3,
    "int32": INT64,
    "int64": INT64,
    "bool": BOOL,
    "float64": 11,
}
END = np.iinfo(np.int64).max

# ---------------------------------------------------------------- one by one


def same(b, op) -> None:
    """What changes nothing."""
    for source, target in zip(op.inputs, op.outputs, strict=False):
        known = b.tensors[source.name]
        b.tensors[target.name].array = known.array
        b.set(target, known.name)
        b.set_first(target, known.first)
        if known.array is None and not known.name and not known.first:
            raise UnsupportedError(f"{op.name}: its input is not there.")


def elementwise(kind: str, **attributes: Any) -> Callable:
    """An ONNX operation of the same inputs, which broadcast."""

    def write(b, op):
        each(b, op, lambda names: b.emit(kind, names, label=op.name, **attributes))

    return write


def each(b, op, write: Callable) -> None:
    """write: (names of the inputs) -> name of the output, whatever the layout."""
    rank = len(b.shape(op.outputs[0]))
    if rank > 3 and any(b.is_first(t) for t in op.inputs) and all(fits_first(b, t, rank) for t in op.inputs):
        b.set_first(op.outputs[0], write([broadcast_first(b, t, rank) for t in op.inputs]))
    else:
        b.set(op.outputs[0], write([b.name(t) for t in op.inputs]))


def fits_first(b, tensor, rank: int) -> bool:
    shape = b.shape(tensor)
    return len(shape) in (0, rank) or b.array(tensor) is not None


def broadcast_first(b, tensor, rank: int) -> str:
    """A tensor that is to meet others of that rank with channels first."""
    shape, array = b.shape(tensor), b.array(tensor)
    if len(shape) == rank and array is None:
        return b.first(tensor)
    if array is None or array.size == 1:
        return b.name(tensor) if array is None or not array.ndim else b.constant(array.reshape(()))
    whole = array.reshape((1,) * (rank - array.ndim) + array.shape)
    return b.constant(whole.transpose([0, rank - 1, *range(1, rank - 1)]), name=tensor.op.name)


def composed(function: Callable) -> Callable:
    """function: (builder, op, names of the inputs) -> name of the output."""

    def write(b, op):
        each(b, op, lambda names: function(b, op, names))

    return write


def clip(low: float, high: float) -> Callable:
    return composed(
        lambda b, op, x: b.emit("Clip", [*x, b.constant(low, np.float32), b.constant(high, np.float32)], label=op.name)
    )


def leaky_relu(b, op, x):
    return b.emit("LeakyRelu", x, label=op.name, alpha=float(op.get_attr("alpha")))


def rsqrt(b, op, x):
    return b.emit("Reciprocal", [b.emit("Sqrt", x)], label=op.name)


def square(b, op, x):
    return b.emit("Mul", [x[0], x[0]], label=op.name)


def squared_difference(b, op, x):
    found = b.emit("Sub", x)
    return b.emit("Mul", [found, found], label=op.name)


def log1p(b, op, x):
    return b.emit("Log", [b.emit("Add", [*x, b.constant(1, np.float32)])], label=op.name)


def not_equal(b, op, x):
    return b.emit("Not", [b.emit("Equal", x)], label=op.name)


def is_integer(op) -> bool:
    return op.inputs[0].dtype.is_integer


def floor_mod(b, op, x):
    if is_integer(op):
        return b.emit("Mod", x, label=op.name)
    whole = b.emit("Floor", [b.emit("Div", x)])
    return b.emit("Sub", [x[0], b.emit("Mul", [whole, x[1]])], label=op.name)


def floor_div(b, op, x):
    if is_integer(op):  # ONNX rounds towards 0
        return b.emit("Div", [b.emit("Sub", [x[0], b.emit("Mod", x)]), x[1]], label=op.name)
    return b.emit("Floor", [b.emit("Div", x)], label=op.name)


def cast(b, op, x):
    return b.emit("Cast", x, label=op.name, to=element_type(op.outputs[0]))


def element_type(tensor) -> int:
    if tensor.dtype.name not in ELEMENT_TYPES:
        raise UnsupportedError(f"{tensor.op.name} is of {tensor.dtype.name}, which ONNX does not calculate with.")
    return ELEMENT_TYPES[tensor.dtype.name]


def select(b, op, x):
    return b.emit("Where", x, label=op.name)


def zeros_like(b, op):
    value = 0 if op.type == "ZerosLike" else 1
    shape = b.emit("Shape", [b.name(op.inputs[0])])
    fill_with(b, op, shape, np.array(value, array_type(op.outputs[0])))


def array_type(tensor):
    return {"int32": np.int64, "bool": np.bool_}.get(tensor.dtype.name, tensor.dtype.as_numpy_dtype)


def fill(b, op):
    value = b.array(op.inputs[1])
    if value is None:
        b.set(op.outputs[0], b.emit("Expand", [b.name(op.inputs[1]), b.name(op.inputs[0])], label=op.name))
    else:
        fill_with(b, op, b.name(op.inputs[0]), value.astype(array_type(op.outputs[0])))


def fill_with(b, op, shape: str, value: np.ndarray) -> None:
    b.set(op.outputs[0], b.emit("Expand", [b.constant(value), shape], label=op.name))


def fake_quant(b, op):
    """As TensorFlow rounds: to what 8 bits hold between limits that are moved until 0 is one of these."""
    low, high = (float(b.value(t, "the range")) for t in op.inputs[1:])
    least, most = int(op.get_attr("narrow_range")), 2 ** op.get_attr("num_bits") - 1
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(most - least))
    zero = least - low / scale
    zero = least if zero < least else most if zero > most else int(np.floor(zero + 0.5))
    low, high = np.float32((least - zero) * scale), np.float32((most - zero) * scale)

    def write(names):
        x = b.emit("Clip", [names[0], b.constant(low), b.constant(high)])
        x = b.emit("Mul", [b.emit("Sub", [x, b.constant(low)]), b.constant(np.float32(1) / scale)])
        x = b.emit("Floor", [b.emit("Add", [x, b.constant(0.5, np.float32)])])
        return b.emit("Add", [b.emit("Mul", [x, b.constant(scale)]), b.constant(low)], label=op.name)

    x = op.inputs[0]
    (b.set_first if b.is_first(x) else b.set)(op.outputs[0], write([b.first(x) if b.is_first(x) else b.name(x)]))


# ---------------------------------------------------------------- convolutions


def convolution(b, op):
    """Conv2D, Conv3D, DepthwiseConv2dNative; with what follows of constants a channel folded into it."""
    kernel = b.value(op.inputs[1], "the weights")
    rank = kernel.ndim
    groups = 1
    if op.type == "DepthwiseConv2dNative":
        h, w, groups, times = kernel.shape
        weights = kernel.transpose(2, 3, 0, 1).reshape(groups * times, 1, h, w)
    else:
        weights = kernel.transpose(rank - 1, rank - 2, *range(rank - 2))
        groups = (b.shape(op.inputs[0])[-1] or kernel.shape[-2]) // kernel.shape[-2]
    shared = len(b.readers.get(op.inputs[1].name, [])) > 1
    scale, offset, end = following(b, op, len(weights), scaled=not shared)
    inner = slice(1, rank - 1)
    strides, dilations = list(op.get_attr("strides"))[inner], list(op.get_attr("dilations"))[inner]
    x, given = padded_input(b, op)
    how = {"strides": strides, "dilations": dilations, "group": groups, "kernel_shape": list(weights.shape[2:])}
    how |= padding(b, op, op.inputs[0], weights.shape[2:], strides, dilations, given)
    inputs = [x]
    if scale is None:
        key = f"{op.inputs[1].op.name}:first"
        if key not in b.shared.aliases:
            b.shared.aliases[key] = b.constant(weights, name=f"{op.name}/weights")
        inputs.append(b.shared.aliases[key])
    else:
        inputs.append(
            b.constant((weights * scale.reshape(-1, *[1] * (rank - 1))).astype(np.float32), name=f"{op.name}/weights")
        )
    if offset is not None:
        inputs.append(b.constant(offset.astype(np.float32), name=f"{op.name}/bias"))
    b.set_first(end, b.emit("Conv", inputs, label=op.name, **how))


def following(b, op, channels: int, *, scaled: bool):
    """What is done to each channel behind a convolution, by constants: scale and offset, or None; and the last tensor.

    scaled: whether the weights may be multiplied; those that several layers share may not.
    """
    scale, offset, end = np.ones(channels, np.float64), np.zeros(channels, np.float64), op.outputs[0]
    while True:
        reader = b.only_reader(end)
        found = None if reader is None else affine(b, reader, end, channels)
        if reader is None or found is None or (not scaled and not (found[0] == 1).all()):
            break
        scale, offset, end = scale * found[0], offset * found[0] + found[1], reader.outputs[0]
        b.done.add(reader.name)
    return None if (scale == 1).all() else scale, None if not offset.any() else offset, end


def affine(b, op, source, channels: int):
    """(scale, offset) by which an operation changes each channel of `source`; None for any other."""
    if op.type == "FusedBatchNormV3":
        return normalization(b, op)
    if op.type not in ("BiasAdd", "AddV2", "Add", "Sub", "Mul") or op.inputs[0].name != source.name:
        return None
    value = b.array(op.inputs[1])
    if value is None or value.shape not in ((), (channels,), *((1,) * n + (channels,) for n in (1, 2, 3, 4))):
        return None
    if len(b.shape(op.outputs[0])) != len(b.shape(source)):
        return None
    value = np.broadcast_to(value.reshape(-1).astype(np.float64), channels)
    one, nothing = np.ones(channels), np.zeros(channels)
    return {"Mul": (value, nothing), "Sub": (one, -value)}.get(op.type, (one, value))


def normalization(b, op):
    values = [b.array(t) for t in op.inputs[1:]]
    if any(v is None for v in values):
        return None
    gamma, beta, mean, variance = (v.astype(np.float64) for v in values)
    scale = gamma / np.sqrt(variance + op.get_attr("epsilon"))
    return scale, beta - mean * scale


def batch_norm(b, op):
    x = op.inputs[0]
    params = [b.name(t) for t in op.inputs[1:5]]
    epsilon = float(op.get_attr("epsilon"))
    b.set_first(op.outputs[0], b.emit("BatchNormalization", [b.first(x), *params], label=op.name, epsilon=epsilon))


def padded_input(b, op) -> tuple[str, list[int] | None]:
    """The input with channels first; and the zeros around it (before, then after), where a Pad before adds them."""
    source = op.inputs[0].op
    if source.type == "Pad" and op.get_attr("padding") == b"VALID":
        amounts = b.array(source.inputs[1])
        if amounts is not None and not amounts[[0, -1]].any():
            return b.first(source.inputs[0]), amounts[1:-1].T.reshape(-1).tolist()
    return b.first(op.inputs[0]), None


def padding(b, op, source, kernel: Sequence[int], strides, dilations, given=None) -> dict[str, Any]:
    """The attributes that say it. given: zeros around what needs no more."""
    kind = op.get_attr("padding").decode()
    if given is not None:
        return {"pads": given}
    if kind == "VALID":
        return {"pads": [0] * (2 * len(kernel))}
    if kind == "EXPLICIT":
        explicit = list(op.get_attr("explicit_paddings"))[2:-2]
        return {"pads": explicit[::2] + explicit[1::2]}
    sides = b.shape(source)[1:-1]
    if None in sides and any(s > 1 for s in strides):
        return {"auto_pad": "SAME_UPPER"}
    before, after = [], []
    for side, k, stride, rate in zip(sides, kernel, strides, dilations, strict=True):
        reach = (k - 1) * rate + 1
        total = max((-(-side // stride) - 1) * stride + reach - side, 0) if side is not None else reach - 1
        before.append(total // 2)
        after.append(total - total // 2)
    return {"pads": before + after}


def transposed_convolution(b, op):
    kernel = b.value(op.inputs[1], "the weights")
    source = op.inputs[2]
    strides = list(op.get_attr("strides"))[1:3]
    sides, target = b.shape(source)[1:3], b.shape(op.outputs[0])[1:3]
    pads, more = [[], []], []
    for i, stride in enumerate(strides):
        k = kernel.shape[i]
        if op.get_attr("padding") == b"VALID":
            total, extra = 0, (target[i] - ((sides[i] - 1) * stride + k)) if sides[i] and target[i] else 0
        else:  # as large as the stride says
            total = max(k - stride, 0)
            extra = max(stride - k, 0)
        pads[0].append(total // 2)
        pads[1].append(total - total // 2)
        more.append(extra)
    weights = b.constant(kernel.transpose(3, 2, 0, 1), name=f"{op.name}/weights")
    how = {
        "strides": strides,
        "pads": pads[0] + pads[1],
        "output_padding": more,
        "kernel_shape": list(kernel.shape[:2]),
    }
    b.set_first(op.outputs[0], b.emit("ConvTranspose", [b.first(source), weights], label=op.name, **how))


def pool(kind: str, **more: Any) -> Callable:
    def write(b, op):
        kernel, strides = ([*op.get_attr(name)][1:-1] for name in ("ksize", "strides"))
        how = padding(b, op, op.inputs[0], kernel, strides, [1] * len(kernel))
        name = b.emit(kind, [b.first(op.inputs[0])], label=op.name, kernel_shape=kernel, strides=strides, **how, **more)
        b.set_first(op.outputs[0], name)

    return write


# ---------------------------------------------------------------- pictures


def resize(mode: str) -> Callable:
    def write(b, op):
        x, size = op.inputs
        if mode == "linear" and is_picture(b, op):
            resample(b, op)
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
        if mode == "cubic":
            how["cubic_coeff_a"] = -0.5 if half else -0.75
            if half:
                how["exclude_outside"] = 1
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
    x, size = op.inputs
    aligned, half = op.get_attr("align_corners"), op.get_attr("half_pixel_centers")
    shape, wanted, side = [-1, *[1] * (2 - axis)], b.array(size), b.shape(x)[1 + axis]
    if wanted is not None and side is not None:
        count = int(wanted[axis])
        aligned = aligned and count > 1
        scale = np.float32(side - aligned) / np.float32(count - aligned)
        at = np.arange(count, dtype=np.float32)
        at = (at + np.float32(0.5)) * scale - np.float32(0.5) if half else at * scale
        low, high = np.floor(at), np.minimum(np.ceil(at), side - 1)
        return (
            b.constant(np.maximum(low, 0), np.int64),
            b.constant(high, np.int64),
            b.constant((at - low).reshape(shape)),
        )
    zero, one = (b.constant(n, np.int64) for n in (0, 1))
    whole = b.emit("Gather", [b.emit("Shape", [b.name(x)]), b.constant(1 + axis, np.int64)], axis=0)
    count = b.emit("Gather", [b.name(size), b.constant(axis, np.int64)], axis=0)
    last = b.emit("Sub", [whole, one])
    of, by = whole, count
    if aligned:
        by = b.emit("Sub", [count, one])
        single = b.emit("Equal", [by, zero])
        of = b.emit("Where", [single, whole, last])
        by = b.emit("Where", [single, one, by])
    scale = b.emit("Div", [b.emit("Cast", [of], to=FLOAT), b.emit("Cast", [by], to=FLOAT)])
    at = b.emit("Cast", [b.emit("Range", [zero, count, one])], to=FLOAT)
    middle = b.constant(0.5, np.float32)
    at = b.emit("Add", [at, middle]) if half else at
    at = b.emit("Mul", [at, scale])
    at = b.emit("Sub", [at, middle]) if half else at
    low = b.emit("Floor", [at])
    share = b.emit("Reshape", [b.emit("Sub", [at, low]), b.integers(shape)])
    high = b.emit("Min", [b.emit("Cast", [b.emit("Ceil", [at])], to=INT64), last])
    return b.emit("Max", [b.emit("Cast", [low], to=INT64), zero]), high, share


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


# ---------------------------------------------------------------- axes


def axis_of(b, op, value: int, rank: int) -> tuple[int, bool]:
    """An axis as the layout of the first input has it, and whether that is channels first."""
    axis = value % rank
    if rank > 3 and b.is_first(op.inputs[0]):
        return (1 if axis == rank - 1 else axis + 1 if axis else 0), True
    return axis, False


def reduction(kind: str) -> Callable:
    def write(b, op):
        x, rank = op.inputs[0], len(b.shape(op.inputs[0]))
        axes = np.atleast_1d(b.value(op.inputs[1], "the axes")).tolist()
        axes = sorted(a % rank for a in axes)
        kept = bool(op.get_attr("keep_dims"))
        is_first = rank > 3 and b.is_first(x) and (kept or axes == list(range(1, rank - 1)))
        source = b.first(x) if is_first else b.name(x)
        if not axes:
            b.set(op.outputs[0], b.name(x))
            return
        if op.inputs[0].dtype.name == "bool":
            source = b.emit("Cast", [source], to=INT64)
        at = sorted(axis_of(b, op, a, rank)[0] for a in axes) if is_first else axes
        if b.opset >= 18 or kind == "ReduceSum":
            name = b.emit(kind, [source, b.integers(at)], label=op.name, keepdims=int(kept))
        else:
            name = b.emit(kind, [source], label=op.name, axes=at, keepdims=int(kept))
        if op.inputs[0].dtype.name == "bool":
            name = b.emit("Cast", [name], to=BOOL)
        (b.set_first if is_first and kept else b.set)(op.outputs[0], name)

    return write


def softmax(kind: str) -> Callable:
    def write(b, op):
        rank = len(b.shape(op.inputs[0]))
        axis, is_first = axis_of(b, op, -1, rank)
        x = op.inputs[0]
        name = b.emit(kind, [b.first(x) if is_first else b.name(x)], label=op.name, axis=axis)
        (b.set_first if is_first else b.set)(op.outputs[0], name)

    return write


def arg(kind: str) -> Callable:
    def write(b, op):
        axis = int(b.value(op.inputs[1], "the axis"))
        b.set(op.outputs[0], b.emit(kind, [b.name(op.inputs[0])], label=op.name, axis=axis, keepdims=0))

    return write


def concat(b, op):
    *values, at = op.inputs
    if op.type == "Concat":
        at, *values = op.inputs
    rank = len(b.shape(op.outputs[0]))
    axis = int(b.value(at, "the axis")) % rank
    if rank > 3 and any(b.is_first(v) for v in values):
        place = 1 if axis == rank - 1 else axis + 1 if axis else 0
        b.set_first(op.outputs[0], b.emit("Concat", [b.first(v) for v in values], label=op.name, axis=place))
    else:
        b.set(op.outputs[0], b.emit("Concat", [b.name(v) for v in values], label=op.name, axis=axis))


def split(b, op):
    if op.type == "SplitV":
        x, sizes, at = op.inputs
        lengths = b.value(sizes, "the sizes").tolist()
    else:
        at, x = op.inputs
        lengths = None
    rank, count = len(b.shape(x)), len(op.outputs)
    value = int(b.value(at, "the axis")) % rank
    if lengths is None:
        whole = b.shape(x)[value]
        if whole is None:
            raise UnsupportedError(f"ONNX needs the size that {op.name} divides to be known beforehand.")
        lengths = [whole // count] * count
    is_first = rank > 3 and b.is_first(x)
    axis = (1 if value == rank - 1 else value + 1 if value else 0) if is_first else value
    if count == 1:
        same(b, type("One", (), {"inputs": [x], "outputs": op.outputs, "name": op.name}))
        return
    names = b.emit(
        "Split", [b.first(x) if is_first else b.name(x), b.integers(lengths)], count, label=op.name, axis=axis
    )
    for target, name in zip(op.outputs, names, strict=True):
        (b.set_first if is_first else b.set)(target, name)


def pack(b, op):
    axis = op.get_attr("axis") % (len(b.shape(op.inputs[0])) + 1)
    parts = [unsqueeze(b, b.name(t), [axis]) for t in op.inputs]
    b.set(op.outputs[0], b.emit("Concat", parts, label=op.name, axis=axis))


def unsqueeze(b, name: str, axes: Sequence[int]) -> str:
    if name in b.shared.constants:
        array = b.shared.constants[name]
        for axis in axes:
            array = np.expand_dims(array, axis)
        return b.constant(array)
    return b.emit("Unsqueeze", [name, b.integers(axes)])


def unpack(b, op):
    axis = op.get_attr("axis")
    for i, target in enumerate(op.outputs):
        index = b.constant(i, np.int64)
        b.set(target, b.emit("Gather", [b.name(op.inputs[0]), index], label=op.name, axis=axis))


def pad(b, op):
    x, amounts = op.inputs[0], b.array(op.inputs[1])
    rank = len(b.shape(x))
    mode = {"PadV2": "constant", "Pad": "constant"}.get(op.type) or op.get_attr("mode").decode().lower()
    if mode == "symmetric":
        if amounts is None or amounts.max() > 1:
            raise UnsupportedError(f"{op.name}: ONNX does not repeat more than one row at a border.")
        mode = "edge"
    is_first = rank > 3 and b.is_first(x)
    order = [0, rank - 1, *range(1, rank - 1)] if is_first else [*range(rank)]
    if amounts is None:
        table = b.name(op.inputs[1])
        table = b.emit("Gather", [table, b.integers(order)], axis=0) if is_first else table
        pads = b.emit("Reshape", [b.emit("Transpose", [table], perm=[1, 0]), b.integers([-1])])
    else:
        pads = b.integers(amounts[order].T.reshape(-1).tolist())
    inputs = [b.first(x) if is_first else b.name(x), pads]
    if op.type == "PadV2":
        inputs.append(b.name(op.inputs[2]))
    (b.set_first if is_first else b.set)(op.outputs[0], b.emit("Pad", inputs, label=op.name, mode=mode))


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


# ---------------------------------------------------------------- places


def gather(b, op):
    x, at, axis = op.inputs
    rank, batch = len(b.shape(x)), op.get_attr("batch_dims")
    axis = int(b.value(axis, "the axis")) % rank
    if not batch:
        b.set(op.outputs[0], b.emit("Gather", [b.name(x), b.name(at)], label=op.name, axis=axis))
        return
    source, indices, places = b.name(x), b.name(at), len(b.shape(at))
    if axis != batch:  # the axis comes behind the batch, and what it became goes back
        source = b.emit(
            "Transpose", [source], perm=[*range(batch), axis, *(i for i in range(batch, rank) if i != axis)]
        )
    found = b.emit("GatherND", [source, unsqueeze(b, indices, [places])], label=op.name, batch_dims=batch)
    if axis != batch:
        new = places - batch
        middle = [*range(batch + new, batch + new + axis - batch)]
        after = [*range(batch + new + axis - batch, rank - 1 + new)]
        found = b.emit("Transpose", [found], perm=[*range(batch), *middle, *range(batch, batch + new), *after])
    b.set(op.outputs[0], found)


def gather_nd(b, op):
    b.set(op.outputs[0], b.emit("GatherND", [b.name(t) for t in op.inputs], label=op.name))


def where(b, op):
    x = b.name(op.inputs[0])
    b.set(op.outputs[0], b.emit("Transpose", [b.emit("NonZero", [x])], label=op.name, perm=[1, 0]))


def top_k(b, op):
    count = (
        b.emit("Reshape", [b.name(op.inputs[1]), b.integers([1])])
        if b.array(op.inputs[1]) is None
        else b.integers([int(b.array(op.inputs[1]))])
    )
    names = b.emit("TopK", [b.name(op.inputs[0]), count], 2, label=op.name, axis=-1)
    for target, name in zip(op.outputs, names, strict=True):
        b.set(target, name)


def cumsum(b, op):
    axis = b.constant(int(b.value(op.inputs[1], "the axis")), np.int64)
    how = {name: int(op.get_attr(name)) for name in ("exclusive", "reverse")}
    b.set(op.outputs[0], b.emit("CumSum", [b.name(op.inputs[0]), axis], label=op.name, **how))


def one_hot(b, op):
    at, depth, on, off = op.inputs
    rank = len(b.shape(at)) + 1
    axis = op.get_attr("axis") % rank
    numbers = np.arange(int(b.value(depth, "the number of classes"))).reshape(
        [-1 if i == axis else 1 for i in range(rank)]
    )
    hit = b.emit("Equal", [b.emit("Unsqueeze", [b.name(at), b.integers([axis])]), b.constant(numbers, np.int64)])
    if b.array(on) is not None and b.array(on).dtype == np.bool_ and b.array(on) and not b.array(off):
        b.set(op.outputs[0], hit)
        return
    b.set(op.outputs[0], b.emit("Where", [hit, b.name(on), b.name(off)], label=op.name))


def scatter(b, op):
    if op.type == "TensorScatterUpdate":
        b.set(op.outputs[0], b.emit("ScatterND", [b.name(t) for t in op.inputs], label=op.name))
        return
    if b.opset < 16:
        raise UnsupportedError(f"opset {b.opset} has no operation for {op.type}: take --opset 16 or more.")
    at, values, shape_ = op.inputs
    nothing = b.emit("Expand", [b.constant(np.zeros((), array_type(values))), b.name(shape_)])
    b.set(op.outputs[0], b.emit("ScatterND", [nothing, b.name(at), b.name(values)], label=op.name, reduction="add"))


# ---------------------------------------------------------------- matrices


def matmul(b, op):
    names = []
    for tensor, attribute in zip(op.inputs, MATMULS[op.type], strict=True):
        rank = len(b.shape(tensor))
        order = [*range(rank - 2), rank - 1, rank - 2]
        if not op.get_attr(attribute):
            names.append(b.name(tensor))
        elif b.array(tensor) is not None:
            names.append(b.constant(b.array(tensor).transpose(order), name=tensor.op.name))
        else:
            names.append(b.emit("Transpose", [b.name(tensor)], perm=order))
    b.set(op.outputs[0], b.emit("MatMul", names, label=op.name))


MATMULS = {"MatMul": ("transpose_a", "transpose_b")} | dict.fromkeys(
    ("BatchMatMul", "BatchMatMulV2"), ("adj_x", "adj_y")
)


def einsum(b, op):
    equation = op.get_attr("equation").decode()
    b.set(op.outputs[0], b.emit("Einsum", [b.name(t) for t in op.inputs], label=op.name, equation=equation))


def bias_add(b, op):
    """Behind what is no convolution."""
    x, bias = op.inputs
    rank, value = len(b.shape(x)), b.value(bias, "the bias")
    if rank > 3 and b.is_first(x):
        name = b.constant(value.reshape(1, -1, *[1] * (rank - 2)), name=bias.op.name)
        b.set_first(op.outputs[0], b.emit("Add", [b.first(x), name], label=op.name))
    else:
        b.set(op.outputs[0], b.emit("Add", [b.name(x), b.name(bias)], label=op.name))


# ---------------------------------------------------------------- what is no single operation


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
    **dict.fromkeys(("Identity", "IdentityN", "EnsureShape", "StopGradient", "PreventGradient", "Snapshot"), same),
    **{
        name: elementwise(name)
        for name in ("Relu", "Sigmoid", "Tanh", "Exp", "Log", "Neg", "Abs", "Sqrt", "Floor", "Ceil")
    },
    **{name: elementwise(name) for name in ("Round", "Sign", "Erf", "Softplus", "Sin", "Cos", "Reciprocal")},
    **{name: elementwise(name) for name in ("Sub", "Mul", "Pow", "Equal", "Less", "Greater", "Add", "Div")},
    "AddV2": elementwise("Add"),
    "AddN": elementwise("Sum"),
    "RealDiv": elementwise("Div"),
    "Maximum": elementwise("Max"),
    "Minimum": elementwise("Min"),
    "LessEqual": elementwise("LessOrEqual"),
    "GreaterEqual": elementwise("GreaterOrEqual"),
    "LogicalAnd": elementwise("And"),
    "LogicalOr": elementwise("Or"),
    "LogicalNot": elementwise("Not"),
    "Elu": elementwise("Elu"),
    "Selu": elementwise("Selu"),
    "LeakyRelu": composed(leaky_relu),
    "Relu6": clip(0, 6),
    "Rsqrt": composed(rsqrt),
    "Square": composed(square),
    "SquaredDifference": composed(squared_difference),
    "Log1p": composed(log1p),
    "NotEqual": composed(not_equal),
    "FloorMod": composed(floor_mod),
    "FloorDiv": composed(floor_div),
    "Cast": composed(cast),
    "Select": composed(select),
    "SelectV2": composed(select),
    "ZerosLike": zeros_like,
    "OnesLike": zeros_like,
    "Fill": fill,
    "FakeQuantWithMinMaxVars": fake_quant,
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), convolution),
    "Conv2DBackpropInput": transposed_convolution,
    "FusedBatchNormV3": batch_norm,
    "BiasAdd": bias_add,
    "MaxPool": pool("MaxPool"),
    "MaxPool3D": pool("MaxPool"),
    "AvgPool": pool("AveragePool", count_include_pad=0),
    "AvgPool3D": pool("AveragePool", count_include_pad=0),
    "ResizeBilinear": resize("linear"),
    "ResizeNearestNeighbor": resize("nearest"),
    "ResizeBicubic": resize("cubic"),
    "CropAndResize": crop_and_resize,
    "DepthToSpace": blocks("DepthToSpace"),
    "SpaceToDepth": blocks("SpaceToDepth"),
    "Max": reduction("ReduceMax"),
    "Min": reduction("ReduceMin"),
    "Sum": reduction("ReduceSum"),
    "Mean": reduction("ReduceMean"),
    "Prod": reduction("ReduceProd"),
    "All": reduction("ReduceMin"),
    "Any": reduction("ReduceMax"),
    "Softmax": softmax("Softmax"),
    "LogSoftmax": softmax("LogSoftmax"),
    "ArgMax": arg("ArgMax"),
    "ArgMin": arg("ArgMin"),
    "ConcatV2": concat,
    "Concat": concat,
    "Split": split,
    "SplitV": split,
    "Pack": pack,
    "Unpack": unpack,
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), pad),
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
    "GatherV2": gather,
    "GatherNd": gather_nd,
    "Where": where,
    "TopKV2": top_k,
    "Cumsum": cumsum,
    "OneHot": one_hot,
    "TensorScatterUpdate": scatter,
    "ScatterNd": scatter,
    **dict.fromkeys(MATMULS, matmul),
    "Einsum": einsum,
    "PyFuncStateless": suppress,
    **dict.fromkeys(("StatelessIf", "If"), branch),
    **dict.fromkeys(("While", "StatelessWhile"), loop),
}
