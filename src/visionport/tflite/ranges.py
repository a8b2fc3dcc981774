"""The ranges of a network's activations on pictures, which become the scales of an 8-bit file."""

import itertools
import math
from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from visionport.tflite.flatbuffer import op_names, parse, serialize, text

IN_PLACE = ("ADD", "SUB", "MUL", "DIV")  # what they give may take the memory of what they were given
MOVES = ("RESHAPE", "CONCATENATION")  # what they give has the scale of what they were given
SATURATED = 7.0  # from there on, a LOGISTIC of 8 bits gives its least or its largest value: 0 or 255 of 256


def measure_ranges(converter) -> bytes:
    """The float32 file that the converter makes, with the least and the largest value of each activation.

    Goes once through the converter's representative_dataset.

    TensorFlow's calibrator looks at what an op was given once more after the op has run. Where the sum of a residual
    block then stands in the memory of one of the two, it takes the sum's range for that one's own, and the scale gets
    twice as coarse or more (TensorFlow issue 127842). So all such are outputs of the network while it is measured, and
    keep their memory.
    """
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    examples = iter(converter.representative_dataset())
    first = [*itertools.islice(examples, 1)]
    converter._experimental_calibrate_only = True
    converter.representative_dataset = lambda: iter(first)
    parsed = parse(converter.convert(), edit=True)
    for tensor in (t for graph in parsed.subgraphs for t in graph.tensors):
        if tensor.quantization:  # ranges of the first picture
            tensor.quantization.min = tensor.quantization.max = None
    main = parsed.subgraphs[0]
    outputs = main.outputs
    main.outputs = np.array([*outputs, *overwritten(parsed)], np.int32)
    calibrator = Calibrator(serialize(parsed))
    found: Any = calibrator.calibrate(lambda: itertools.chain(first, examples))
    parsed = parse(found, edit=True)
    parsed.subgraphs[0].outputs = outputs
    return serialize(parsed)


def overwritten(parsed) -> list[int]:
    """Indices of the main graph's activations in whose memory the only op that reads them may write.

    Not those of a LOGISTIC: their scale is always 1/256, and in large networks they take gigabytes.
    """
    main, names = parsed.subgraphs[0], [name for name, _ in op_names(parsed)]
    uses = Counter(i for op in main.operators for i in op.inputs)
    made = {i for op in main.operators if names[op.opcodeIndex] != "LOGISTIC" for i in op.outputs} - {*main.outputs}
    read = {i for op in main.operators if names[op.opcodeIndex] in IN_PLACE for i in op.inputs}
    return sorted(i for i in read & made if uses[i] == 1)


def narrow_ranges(model: bytes, float_ops: Collection[str] = (), float_layers: Collection[str] = ()) -> bytes:
    """The file with less of some ranges, for finer scales, where 8 bits tell nothing of what lies beyond.

    So it is with what only a LOGISTIC reads, as it does class logits: few places hold an object, and the others' reach
    far down. So it is with the negative side of what goes through a swish, x * LOGISTIC(x): it is 0 where the LOGISTIC
    is.
    float_ops, float_layers: ops, and layers by the names of their outputs, that stay float32.
    """
    parsed = parse(model, edit=True)
    main, names = parsed.subgraphs[0], [name for name, _ in op_names(parsed)]
    made = {i: op for op in main.operators for i in op.outputs}
    readers: dict[int, list] = {i: [] for i in range(-1, len(main.tensors))}
    for op in main.operators:
        for i in op.inputs:
            readers[i].append(op)

    def kind(op) -> str:
        name = names[op.opcodeIndex]
        stays = name in float_ops or text(main.tensors[op.outputs[0]].name) in float_layers
        return f"float32 {name}" if stays else name

    def narrow(i: int, most: float) -> None:
        ranges = main.tensors[i].quantization
        if ranges and ranges.min is not None and ranges.max is not None:
            ranges.min = np.maximum(ranges.min, -SATURATED)
            ranges.max = np.maximum(np.minimum(ranges.max, most), ranges.min)
        if i in made and kind(made[i]) in MOVES:
            for k in made[i].inputs:
                if len(readers[k]) == 1:
                    narrow(k, most)

    for op in main.operators:
        if kind(op) != "LOGISTIC" or op.inputs[0] in main.outputs:
            continue
        others = [r for r in readers[op.inputs[0]] if r is not op]
        if not others:
            narrow(op.inputs[0], SATURATED)
        elif all(kind(r) == "MUL" and op.outputs[0] in r.inputs for r in others):
            narrow(op.inputs[0], math.inf)
    return serialize(parsed)
