"""A network with fake quantisation becomes a TFLite file of 8 bits, by the ranges that it was trained with."""

from collections.abc import Sequence

import numpy as np

from visionport.errors import UnsupportedError
from visionport.tflite.contents import read_contents
from visionport.tflite.convert import mute_converter
from visionport.tflite.flatbuffer import op_names, parse, serialize


def convert_trained(
    graph, *, input_name: str, output_names: Sequence[str], mean: float, std: float, custom_ops: bool = False
) -> bytes:
    """TFLite of a frozen GraphDef, uint8 throughout: its weights, activations, input and outputs.

    The input takes pixels from 0 to 255; the graph's placeholder is (pixel - mean) / std. Only the converter's old
    interface makes uint8 files; int8 has no asymmetric weights, and so would round these once more.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    v1, placed = tf.compat.v1, tf.Graph()
    with placed.as_default():
        v1.import_graph_def(graph, name="")
    inputs, outputs = ([placed.get_tensor_by_name(f"{n}:0") for n in side] for side in ((input_name,), output_names))
    with mute_converter(), v1.Session(graph=placed) as session:
        converter = v1.lite.TFLiteConverter.from_session(session, inputs, outputs)
        converter.inference_type = tf.uint8
        converter.quantized_input_stats = {input_name: (mean, std)}
        converter.allow_custom_ops = custom_ops
        try:
            data = converter.convert()
        except ConverterError as e:
            raise UnsupportedError(NO_RANGES.format(" ".join(str(e).split())[:200])) from e
    made = read_contents(data)
    left = [op for op in ("QUANTIZE", "DEQUANTIZE") if op in made.ops]
    own = {t.name for op in made.main if op.custom for t in op.outputs}  # floats, as those of the NMS op
    if left or any(t.dtype != "uint8" for t in (*made.inputs, *made.outputs) if t.name not in own):
        raise UnsupportedError(NO_RANGES.format(", ".join(left) or "its ends"))
    return centered(data, mean)


NO_RANGES = "parts of this network have no trained ranges, and stay float32 ({}). Take --quantize none."


def centered(data: bytes, mean: float) -> bytes:
    """The file with its first biases moved by what the input's zero point, a whole number, misses of `mean`.

    Else 127.5 would make every pixel half a level darker. Where the input goes elsewhere than to convolutions, it does.
    """
    parsed = parse(data, edit=True)
    main = parsed.subgraphs[0]
    (source,) = main.inputs
    missed = int(main.tensors[source].quantization.zeroPoint[0]) - mean
    codes = [name for name, _ in op_names(parsed)]
    for op in main.operators if missed else ():
        if codes[op.opcodeIndex] != "CONV_2D" or op.inputs[0] != source or len(op.inputs) != 3:
            continue
        weights, bias = (main.tensors[i] for i in op.inputs[1:])
        values, biases = (parsed.buffers[t.buffer].data for t in (weights, bias))
        if values is None or biases is None:  # not constants
            continue
        levels = values.reshape(weights.shape[0], -1).astype(np.int64) - int(weights.quantization.zeroPoint[0])
        moved = (np.frombuffer(biases, np.int32) + np.rint(missed * levels.sum(1))).astype(np.int32)
        parsed.buffers[bias.buffer].data = np.frombuffer(moved.tobytes(), np.uint8)
    return serialize(parsed)
