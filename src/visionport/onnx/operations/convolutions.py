"""Convolutions, with what follows of constants a channel folded into them; pools and batch norms."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


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
    scale, offset, end = following(b, op.outputs[0], len(weights), scaled=not shared)
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


def following(b, end, channels: int, *, scaled: bool):
    """What is done to each channel of `end` by constants: scale and offset, or None; and the last tensor.

    scaled: whether the weights may be multiplied; those that several layers share may not.
    """
    scale, offset = np.ones(channels, np.float64), np.zeros(channels, np.float64)
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


OPS: dict[str, Callable] = {
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), convolution),
    "Conv2DBackpropInput": transposed_convolution,
    "FusedBatchNormV3": batch_norm,
    "MaxPool": pool("MaxPool"),
    "MaxPool3D": pool("MaxPool"),
    "AvgPool": pool("AveragePool", count_include_pad=0),
    "AvgPool3D": pool("AveragePool", count_include_pad=0),
}
