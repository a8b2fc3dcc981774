"""A converted file beside its source: what it must not be, and how far its answers are off."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from visionport import freezing
from visionport.converting_inputs import example_inputs
from visionport.errors import InputError
from visionport.formats import tflite_checks
from visionport.formats.tflite_flatbuffer import op_names, parse
from visionport.quantization import dequantized, quantized
from visionport.verify import QUANTIZED, TOLERANCES, Check, difference


def check(data: bytes, function, network, request) -> None:
    """See formats/tflite_checks.py."""
    name = request.out.name
    tflite_checks.ops(data, name, select=request.select_tf_ops, custom=request.custom_ops)
    tflite_checks.size(data, name, function.graph.as_graph_def(), request.quantize)
    interpreter = interpreter_of(data, request)
    if interpreter and not any(d < 0 for g in network.inputs for d in g.spec):
        quantization = {d["name"]: d["quantization"] for d in interpreter.get_input_details()}

        def answer(inputs):
            import tensorflow as tf

            values = [
                tf.constant(dequantized(inputs[g.key], *quantization[g.key]).astype(g.dtype)) for g in network.inputs
            ]
            return dict(zip((k for k, _ in network.outputs), (v.numpy() for v in function(*values)), strict=True))

        tflite_checks.alive(interpreter, name, answer)


def interpreter_of(data: bytes, request):
    """What runs the file; None where it has ops of TensorFlow's or unknown ones, which no interpreter here has."""
    custom = [op for op, is_custom in op_names(parse(data)) if is_custom and op not in tflite_checks.KNOWN]
    return None if custom else tflite_checks.runs(data, request.out.name)


def verify(data: bytes, source: freezing.Source, network, feeds, request) -> list[Check]:
    """The file beside the source, on inputs that are the same every time: each output's worst difference."""
    interpreter = interpreter_of(data, request)
    if interpreter is None:
        return []
    tolerance = QUANTIZED[request.quantize] if request.quantize != "none" else TOLERANCES["tflite"]
    details = {d["name"]: d for d in interpreter.get_input_details()}
    outputs = {d["name"]: d["quantization"] for d in interpreter.get_output_details()}
    checks, examples = [], list(example_inputs(network.inputs, feeds))
    with source_of(source, request.tags) as answer:
        for title, inputs in examples:
            wanted = answer(inputs)
            given = {k: quantized(v, details[k]["dtype"], *details[k]["quantization"]) for k, v in inputs.items()}
            found = tflite_checks.run(interpreter, given)
            for key, _ in network.outputs:
                pair = wanted[key], dequantized(found[key], *outputs[key])
                checks.append(difference("tflite", title, key, *pair, tolerance=tolerance))
    return checks


@contextmanager
def source_of(source: freezing.Source, tags: Sequence[str]) -> Iterator[Callable[[Mapping], Mapping]]:
    """A function from {key: input} to {key: output}: the source itself, in a session of TensorFlow's."""
    import tensorflow as tf
    from tensorflow.python.saved_model import loader_impl

    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        if source.path.is_dir():
            sets = [set(m.meta_info_def.tags) for m in loader_impl.parse_saved_model(str(source.path)).meta_graphs]
            wanted = set(tags or ("serve",))
            loader_impl.SavedModelLoader(str(source.path)).load(session, wanted if wanted in sets else sets[0])
        else:
            v1.import_graph_def(source.graph, name="")

        def run(inputs):
            given = {source.inputs.get(k, f"{k}:0"): v for k, v in inputs.items()}
            try:
                return session.run(dict(source.outputs), given)
            except tf.errors.OpError as e:
                why = e.message.splitlines()[0]
                raise InputError(f"{source.path} itself fails on noise: {why}. Add --no-verify.") from None

        yield run
