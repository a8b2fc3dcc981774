"""A model's function becomes OpenVINO's network: by its TensorFlow frontend, with suppression as its own operation.

The function is traced as ops/portable.py has it, so that all classes and images are suppressed by one operation.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visionport.errors import ArtifactError, UnsupportedError
from visionport.graph import means
from visionport.graph.edit import first_line
from visionport.graph.fake_quantization import steps
from visionport.graph.function import freeze_function
from visionport.staging import scratch

# OpenVINO's stable top-k sorts by bubbles: 70 ms for the best 100 of 172,530, where the unstable one takes 0.4. Which
# of two equal scores comes first then is open, so few are sorted stably all the same: multiplied, values and results.
STABLE = 1 << 18
SUPPRESSION = "NonMaxSuppression"
PICTURE_CHANNELS = 3


def sized(model, answer: Callable, batch: int | None) -> Callable:
    """`answer`, a function of what `Model.infer` takes, which says of what size the preprocessed images are.

    That TensorFlow knows without being told, but the graph does not say it, and OpenVINO would allow for any size.
    """
    import tensorflow as tf

    def function(images, *values, **more):
        return answer(tf.ensure_shape(images, (batch, *model.input_size)), *values, **more)

    return function


def convert(function, inputs: dict[str, str], name: str):
    """The network of a concrete function that was traced portably. inputs: arguments -> what they are to be called."""
    graph = freeze_function(function, inputs, lower=False)
    with scratch() as folder:
        path = folder / "graph.pb"
        path.write_bytes(graph.SerializeToString(deterministic=True))
        del graph
        network = read_graph(path, sorted(function.structured_outputs), name)
    for parameter in network.get_parameters():
        name_output(parameter, re.sub(r":0$", "", parameter.output(0).get_any_name()))
    sort_unstably(network)
    number_operations(network)
    return network


def read_graph(path: Path, outputs: Sequence[str], name: str):
    """The network of a frozen graph, its outputs in that order. Raises UnsupportedError for what OpenVINO has not."""
    from openvino._offline_transformations import apply_moc_transformations
    from openvino.frontend import ConversionExtension, FrontEndManager

    from visionport.ops import portable

    # Not by openvino.convert_model, which tells its makers that it was called.
    frontend: Any = FrontEndManager().load_by_framework("tf")
    for op, convert_node in {portable.OP: convert_suppression, **CONVERSIONS}.items():
        frontend.add_extension(ConversionExtension(op, convert_node))
    try:
        loaded = frontend.load(str(path))
        loaded.override_all_outputs([loaded.get_place_by_tensor_name(f"{key}:0") for key in outputs])
        network = frontend.convert(loaded)
        apply_moc_transformations(network, cf=False, smart_reshape=False)
    except Exception as e:  # whatever it raises of an operation that it has not
        raise UnsupportedError(f"OpenVINO does not take its graph: {reason_of(e)}.") from None
    results = network.get_results()
    if len(results) != len(outputs):
        raise ArtifactError(f"{name}: OpenVINO made {len(results)} outputs of {len(outputs)}. Please report it.")
    part_outputs(results)
    for result, key in zip(results, outputs, strict=True):
        name_output(result, key)
    network.set_friendly_name(name)
    return network


def part_outputs(results) -> None:
    """Gives each output a tensor of its own: a name is a tensor's, and of one tensor the last name would be all's."""
    from openvino import opset13 as ops

    taken = set()
    for result in results:
        source = result.input_value(0)
        place = source.get_node().get_friendly_name(), source.get_index()
        if place in taken or source.get_node().get_type_name() == "Parameter":
            copy = ops.convert(source, source.get_element_type().get_type_name())
            result.input(0).replace_source_output(copy.output(0))
        taken.add(place)


def reason_of(error: Exception) -> str:
    """What its frontend says is missing, of the many lines of its messages."""
    said = [line.removeprefix("-- ") for line in str(error).splitlines() if line.startswith("-- ")]
    return (said[-1] if said else first_line(error)).rstrip(".")


def name_output(node, name: str) -> None:
    node.output(0).set_names({name})
    node.set_friendly_name(name)


def convert_suppression(node) -> list[Any]:
    """What `portable.suppress` stands for: see there."""
    from openvino import opset13 as ops

    boxes, scores, size, overlap, score = (node.get_input(i) for i in range(5))
    columns = boxes.get_partial_shape()[2]
    by_class = ops.transpose(scores, [0, 2, 1])
    size = ops.convert(size, "i64")
    if columns.is_static and columns.get_length() == 1:
        return select(ops.squeeze(boxes, [2]), by_class, size, overlap, score)
    # Each class has boxes of its own: the classes of all images stand for images of a class each.
    counts = ops.shape_of(by_class, output_type="i32")
    classes, anchors = (ops.gather(counts, [i], 0) for i in (1, 2))
    rows = ops.concat([np.array([-1], np.int32), anchors, np.array([4], np.int32)], 0)
    flat = ops.reshape(ops.transpose(boxes, [0, 2, 1, 3]), rows, special_zero=False)
    single = ops.concat([np.array([-1, 1], np.int32), anchors], 0)
    (found,) = select(flat, ops.reshape(by_class, single, special_zero=False), size, overlap, score)
    row, anchor = (ops.gather(found, [i], 1) for i in (0, 2))
    return [ops.concat([ops.divide(row, classes), ops.mod(row, classes), anchor], 1).output(0)]


def select(boxes, scores, size, overlap, score) -> list[Any]:
    """boxes [b, n, 4], scores [b, c, n] -> int32 [s, 3], by image, class and score."""
    from openvino import opset13 as ops

    how: dict[str, Any] = {"box_encoding": "corner", "sort_result_descending": False, "output_type": "i32"}
    return [ops.non_max_suppression(boxes, scores, size, overlap, score, **how).output(0)]


def convert_resize(node) -> list[Any]:
    """ResizeBilinear: pictures by TensorFlow's own roundings, all else by OpenVINO's operation.

    That one divides by the quotient of the sizes, where TensorFlow multiplies by its inverse: a pixel's place is off by
    a hundred-thousandth, and a network may make a thousandth of it.
    """
    from openvino import opset13 as ops

    images, size = node.get_input(0), node.get_input(1)
    aligned, centred = (node.get_attribute(name) for name in ("align_corners", "half_pixel_centers"))
    channels = images.get_partial_shape()[3]
    if channels.is_dynamic or channels.get_length() > PICTURE_CHANNELS:
        place = "align_corners" if aligned else "half_pixel" if centred else "asymmetric"
        how = {"coordinate_transformation_mode": place, "shape_calculation_mode": "sizes"}
        found = ops.interpolate(ops.convert(images, "f32"), size, "linear_onnx", axes=np.array([1, 2], np.int32), **how)
        return [found.output(0)]
    counts, colours = ops.shape_of(images, output_type="i32"), channels.get_length()
    rows, columns = (
        sample_places(ops.gather(counts, i + 1, 0), ops.gather(size, i, 0), aligned=aligned, centred=centred)
        for i in (0, 1)
    )
    # Columns and colours as one, since what is innermost must be long to be fast.
    x = blend(ops.reshape(images, np.array([0, 0, -1], np.int32), special_zero=True), rows, axis=1)
    x = blend(x, [spread(places, colours) for places in columns[:2]] + [repeat(columns[2], colours)], axis=2)
    return [ops.reshape(x, np.array([0, 0, -1, colours], np.int32), special_zero=True).output(0)]


def spread(places, colours: int):
    """Of places [n] in rows of pixels those of their colours, [n * colours]."""
    from openvino import opset13 as ops

    first = ops.multiply(ops.unsqueeze(places, 1), np.int32(colours))
    return ops.reshape(ops.add(first, np.arange(colours, dtype=np.int32)), np.array([-1]), special_zero=False)


def repeat(values, times: int):
    """Each of [n] so often, [n * times]."""
    from openvino import opset13 as ops

    rows = ops.multiply(ops.unsqueeze(values, 1), np.ones((1, times), np.float32))
    return ops.reshape(rows, np.array([-1]), special_zero=False)


def sample_places(length, size, *, aligned: bool, centred: bool):
    """Along one axis: the lower and the upper place of each sample, int32 [size], and how near it is to the upper."""
    from openvino import opset13 as ops

    zero, one, half = np.int32(0), np.int32(1), np.float32(0.5)
    last = ops.subtract(length, one)
    # Not known as a constant, or OpenVINO multiplies by its inverse, and that by the numbers of the samples first.
    size_here = ops.maximum(size, ops.minimum(length, zero))
    scale = divide(length, size_here)
    if aligned:
        steps = ops.subtract(size_here, one)
        scale = ops.select(ops.equal(steps, zero), scale, divide(last, ops.maximum(steps, one)))
    place = ops.convert(ops.range(ops.constant(zero), size, ops.constant(one), "i32"), "f32")
    place = ops.subtract(ops.multiply(ops.add(place, half), scale), half) if centred else ops.multiply(place, scale)
    low = ops.floor(place)
    upper = ops.minimum(ops.convert(ops.ceiling(place), "i32"), last)
    return ops.maximum(ops.convert(low, "i32"), zero), upper, ops.subtract(place, low)


def divide(a, b):
    """The quotient of integers as float32, rounded once: OpenVINO's own, then what is left of it (Dekker 1971)."""
    from openvino import opset13 as ops

    a, b = (ops.convert(x, "f32") for x in (a, b))
    quotient, grid = ops.divide(a, b), np.float32(1024)
    high = ops.divide(ops.floor(ops.multiply(quotient, grid)), grid)
    low = ops.subtract(quotient, high)
    left = ops.subtract(ops.subtract(a, ops.multiply(high, b)), ops.multiply(low, b))
    return ops.add(quotient, ops.divide(left, b))


def blend(x, places, axis: int):
    """x [b, h, w] at places along an axis, between the two nearest: float32."""
    from openvino import opset13 as ops

    low, high, share = places
    first, second = (ops.convert(ops.gather(x, at, axis), "f32") for at in (low, high))
    share = ops.reshape(share, np.array([1, -1, 1] if axis == 1 else [1, 1, -1]), special_zero=False)
    return ops.add(first, ops.multiply(ops.subtract(second, first), share))


def convert_mean(node) -> list[Any]:
    """Mean: of large maps with the roundings of TensorFlow (see graph/means.py), all else by OpenVINO's operation."""
    from openvino import opset13 as ops

    x, axes, kept = node.get_input(0), node.get_input(1), node.get_attribute("keep_dims")
    axes = ops.reshape(axes, np.array([-1]), special_zero=False)  # a scalar its passes do not take
    shape, wanted = x.get_partial_shape(), constant_of(node.get_input(1))
    sizes = [d.get_length() if d.is_static else 0 for d in shape] if shape.rank.is_static else []
    if wanted is None or not means.is_large(sizes, wanted.reshape(-1).tolist()):
        return [ops.reduce_mean(x, axes, keep_dims=kept).output(0)]
    places, few = math.prod(sizes[1:-1]), means.SUMS
    rows = ops.reshape(x, np.array([0, places // few, few * sizes[-1]]), special_zero=True)
    sums = ops.reshape(ops.reduce_sum(rows, np.array([1])), np.array([0, few, sizes[-1]]), special_zero=True)
    mean = ops.divide(ops.reduce_sum(sums, np.array([1])), np.float32(places))
    ones = [1] * (len(sizes) - 2) if kept else []
    return [ops.reshape(mean, np.array([0, *ones, sizes[-1]]), special_zero=True).output(0)]


def convert_fake_quantization(node) -> list[Any]:
    """FakeQuantWithMinMaxVars, which rounds halves up, where OpenVINO's operation rounds them to even.

    The sum of two rounded maps may often lie half way between two steps, so it is rounded by operations of its own
    before; the other, which says what 8 bits hold, then finds nothing left to round.
    """
    from openvino import opset13 as ops

    x, bits, narrow = node.get_input(0), node.get_attribute("num_bits"), node.get_attribute("narrow_range")
    low, high = (float(np.squeeze(node.get_input(i).get_node().get_data())) for i in (1, 2))
    low, high, scale = steps(low, high, bits=bits, narrow_range=narrow)
    if not scale:
        return [ops.multiply(x, np.float32(0)).output(0)]
    if is_sum(x):
        places = ops.multiply(ops.subtract(ops.clamp(x, low, high), low), np.float32(1) / scale)
        x = ops.add(ops.multiply(ops.floor(ops.add(places, np.float32(0.5))), scale), low)
    return [ops.fake_quantize(x, low, high, low, high, levels=2**bits - int(narrow)).output(0)]


def is_sum(value) -> bool:
    """Whether it is one of two maps, and not of one and its bias."""
    node = value.get_node()
    return node.get_type_name() == "Add" and all(constant_of(given) is None for given in node.input_values())


def convert_gather(node) -> list[Any]:
    """GatherV2: what is gathered of each part of a batch by another operation than OpenVINO's first choice.

    Its Gather, of a batch that is known to be of one, reads and writes beyond rows of 2 to 16 values (2026.4), and its
    passes, which move transpositions past it, lose count of its axes: behind a reshape they do not.
    """
    from openvino import opset13 as ops

    x, places, axis, batched = *(node.get_input(i) for i in range(3)), node.get_attribute("batch_dims")
    if not batched:
        return [ops.gather(x, places, axis).output(0)]
    if (known := constant_of(axis)) is not None and int(known.item()) == batched:
        return [ops.gather_nd(x, ops.unsqueeze(places, np.int32(-1)), batched).output(0)]
    x = ops.reshape(x, ops.shape_of(x), special_zero=False)
    return [ops.gather(x, places, axis, batched).output(0)]


def convert_shape(node) -> list[Any]:
    """EnsureShape: sizes that TensorFlow knows, and that OpenVINO else forgets; it does not check them."""
    from openvino import opset13 as ops

    x, known = node.get_input(0), node.get_attribute("shape")
    if known.rank.is_dynamic or x.get_partial_shape().rank != known.rank:
        return [x]
    sizes = [d.get_length() if d.is_static else 0 for d in known]
    return [ops.reshape(x, np.array(sizes), special_zero=True).output(0)] if any(sizes) else [x]


def constant_of(value) -> np.ndarray | None:
    """The numbers of an operation's input, where they are a constant."""
    node = value.get_node()
    return node.get_data() if node.get_type_name() == "Constant" else None


# What the frontend is told of TensorFlow's operations; besides, of suppression.
CONVERSIONS = {
    "ResizeBilinear": convert_resize,
    "GatherV2": convert_gather,
    "Mean": convert_mean,
    "EnsureShape": convert_shape,
    "FakeQuantWithMinMaxVars": convert_fake_quantization,
}


def sort_unstably(network) -> None:
    """Takes top-k operations that are large, or whose values alone are read, out of their order of equal values."""
    from openvino import opset13 as ops

    for node in each_operation(network):
        if node.get_type_name() != "TopK" or not node.get_attributes().get("stable"):
            continue
        told, shape = node.get_attributes(), node.input(0).get_partial_shape()
        length, count = shape[told["axis"]], node.output(0).get_partial_shape()[told["axis"]]
        work = length.get_length() * count.get_length() if length.is_static and count.is_static else 0
        if work <= STABLE and node.output(1).get_target_inputs():
            continue
        kinds = {k: told[k] for k in ("axis", "mode", "sort", "index_element_type")}
        other = ops.topk(node.input_value(0), node.input_value(1), **kinds, stable=False)
        other.set_friendly_name(node.get_friendly_name())
        for mine, its in zip(node.outputs(), other.outputs(), strict=True):
            mine.replace(its)


def number_operations(network) -> None:
    """Names what OpenVINO names by a counter of its process by its place, so that each export is the same."""
    kept = {node.get_friendly_name() for node in (*network.get_parameters(), *network.get_results())}

    def rename(body, prefix: str) -> None:
        for number, node in enumerate(body.get_ordered_ops()):
            if not prefix and node.get_friendly_name() in kept:
                continue
            name = f"{prefix}{node.get_type_name()}_{number}"
            node.set_friendly_name(name)
            if node.get_type_name() not in ("Parameter", "Result"):
                for output in node.outputs():
                    output.set_names(set())
            for which, inner in enumerate(bodies_of(node)):
                rename(inner, f"{name}/{which}/")

    rename(network, "")


def each_operation(network) -> list[Any]:
    """Those of the branches and loops in it too."""
    found = []
    for node in network.get_ordered_ops():
        found.append(node)
        for body in bodies_of(node):
            found += each_operation(body)
    return found


def bodies_of(node) -> list[Any]:
    """The networks that an operation runs: two of a branch, one of a loop."""
    readers: dict[str, tuple[Callable, ...]] = {
        "If": (lambda n: n.get_then_body(), lambda n: n.get_else_body()),
        "Loop": (lambda n: n.get_function(),),
        "TensorIterator": (lambda n: n.get_body(),),
    }
    return [read(node) for read in readers.get(node.get_type_name(), ())]


def cut_suppression(path: Path) -> tuple[Any, list[str]]:
    """A model up to the outputs that need no suppression, and their names; none where all or no others are there."""
    import openvino

    network = openvino.Core().read_model(path)
    late: set[str] = set()
    for node in network.get_ordered_ops():
        inner = {o.get_type_name() for body in bodies_of(node) for o in each_operation(body)}
        sources = {value.get_node().get_friendly_name() for value in node.input_values()}
        if SUPPRESSION in inner | {node.get_type_name()} or sources & late:
            late.add(node.get_friendly_name())
    results = [r for r in network.get_results() if r.get_friendly_name() not in late]
    if not late or not results:
        return None, []
    names = [min(r.output(0).get_names(), default=r.get_friendly_name()) for r in results]
    cut: Any = openvino.Model
    return cut(results, network.get_parameters(), network.get_friendly_name()), names
