"""No silent damage: each kind of broken TFLite file is an error that says why."""

import json

import numpy as np
import pytest

from visionport.errors import ArtifactError
from visionport.tflite import checks as tflite_checks
from visionport.tflite import convert as tflite_convert
from visionport.tflite import edit
from visionport.tflite.contents import read_contents
from visionport.tflite.flatbuffer import make, parse, serialize


def frozen(build, shape):
    """(a concrete function of constants, its GraphDef)."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    function = tf.function(build, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32, name="x"))
    function = convert_to_constants.convert_variables_to_constants_v2(function)
    return function, function.graph.as_graph_def()


def request(**how):
    return tflite_convert.FileRequest(inputs=["x"], outputs=["y"], **how)


def converted(function, quantize="none", select=False):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    tflite_convert.configure_converter(converter, request(quantize=quantize))
    if select:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    return converter.convert()


@pytest.fixture(scope="module")
def dense():
    """A layer of 4 MB: (function, GraphDef, its file)."""
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).normal(size=(1024, 1024)), tf.float32)
    function, graph = frozen(lambda x: {"y": tf.nn.relu(x @ weights)}, [1, 1024])
    return function, graph, converted(function)


def test_a_whole_file_passes(dense):
    function, graph, data = dense
    tflite_checks.ops(data, "m.tflite")
    tflite_checks.size(data, "m.tflite", graph, "none")
    tflite_convert.check_file(data, function, request())
    assert tflite_checks.weights_of(graph)[0] == 4 << 20


def test_variables_that_the_converter_kept():
    import tensorflow as tf

    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.count = tf.Variable(tf.zeros([1, 4]))

        @tf.function(autograph=False)
        def add(self, x):
            return self.count.assign_add(x)

    module = Counter()
    function = module.add.get_concrete_function(tf.TensorSpec([1, 4], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    converter.experimental_enable_resource_variables = True
    with pytest.raises(ArtifactError, match=r"READ_VARIABLE.*Freeze the model first"):
        tflite_checks.ops(converter.convert(), "m.tflite")


def test_ops_that_only_tensorflow_runs():
    import tensorflow as tf

    function, _ = frozen(lambda x: {"y": tf.math.cumprod(x)}, [8])
    data = converted(function, select=True)
    with pytest.raises(ArtifactError, match=r"only TensorFlow: Cumprod.*--allow-select-tf-ops"):
        tflite_checks.ops(data, "m.tflite")
    tflite_checks.ops(data, "m.tflite", select=True)
    with pytest.raises(ArtifactError, match="LiteRT does not take the file"):
        tflite_checks.runs(data, "m.tflite")


def renamed_op(data, name="", code=None):
    """The file with its first operation of another kind."""
    parsed = parse(data)
    kind = parsed.operatorCodes[0]
    if name:
        kind.customCode, kind.builtinCode, kind.deprecatedBuiltinCode = name, 32, 32  # CUSTOM
    else:
        kind.builtinCode, kind.deprecatedBuiltinCode = code, 127
    return serialize(parsed)


def test_ops_that_nobody_knows(dense):
    unknown = renamed_op(dense[2], name="MyOwnOp")
    with pytest.raises(ArtifactError, match="custom ops that LiteRT does not know: MyOwnOp"):
        tflite_checks.ops(unknown, "m.tflite")
    tflite_checks.ops(unknown, "m.tflite", custom=True)
    tflite_checks.ops(renamed_op(dense[2], name="TFLite_Detection_PostProcess"), "m.tflite")
    with pytest.raises(ArtifactError, match="newer than the installed LiteRT: BUILTIN_9999"):
        tflite_checks.ops(renamed_op(dense[2], code=9999), "m.tflite")


def test_weights_that_were_not_quantised(dense):
    function, graph, data = dense
    tflite_checks.size(converted(function, "dynamic"), "m.tflite", graph, "dynamic")
    with pytest.raises(ArtifactError, match="were not quantised"):
        tflite_checks.size(data, "m.tflite", graph, "dynamic")
    tflite_checks.size(data, "m.tflite", graph, "dynamic", partly=True)


def test_weights_that_are_there_twice(dense):
    _, graph, data = dense
    parsed = parse(data)
    largest = max(range(len(parsed.buffers)), key=lambda i: 0 if (d := parsed.buffers[i].data) is None else len(d))
    buffer = make(type(parsed.buffers[0]), data=np.flip(parsed.buffers[largest].data))
    parsed.buffers.append(buffer)
    (main,) = parsed.subgraphs
    main.tensors.append(
        make(type(main.tensors[0]), name="copy", shape=np.array([1 << 20]), buffer=len(parsed.buffers) - 1)
    )
    with pytest.raises(ArtifactError, match="were copied"):
        tflite_checks.size(serialize(parsed), "m.tflite", graph, "none")


def zeroed(data):
    """The file with weights of zero."""
    parsed = parse(data)
    for buffer in parsed.buffers:
        if buffer.data is not None and len(buffer.data) > 1 << 16:
            buffer.data = np.zeros_like(buffer.data)
    return serialize(parsed)


def test_weights_that_are_missing(dense):
    _, graph, data = dense
    parsed = parse(data)
    for buffer in parsed.buffers:
        if buffer.data is not None and len(buffer.data) > 1 << 16:
            buffer.data = buffer.data[:1024]
            for tensor in parsed.subgraphs[0].tensors:
                if parsed.buffers[tensor.buffer] is buffer:
                    tensor.shape = np.array([1, 256], np.int32)
    with pytest.raises(ArtifactError, match="weights are missing"):
        tflite_checks.size(serialize(parsed), "m.tflite", graph, "none")


def test_answers_of_zeros(dense):
    function, _, data = dense
    (output,) = read_contents(data).outputs
    data = edit.rename_tensors(data, {output.name: "y"})
    with pytest.raises(ArtifactError, match="y is 0 everywhere, where the source's is not"):
        tflite_convert.check_file(zeroed(data), function, request())


def test_a_source_may_be_constant_itself():
    import tensorflow as tf

    function, _ = frozen(lambda x: {"y": tf.nn.relu(-tf.abs(x))}, [1, 64])
    tflite_convert.check_file(converted(function), function, request())


def test_export_looks_at_its_file(digits, tmp_path, monkeypatch):
    from visionport import Options, export

    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt"}
    monkeypatch.setattr(tflite_checks, "LEAST", 3.0)  # as if two thirds were missing
    with pytest.raises(ArtifactError, match="weights are missing"):
        export(Options(**places, out=tmp_path / "out", formats=("tflite",), verify=False))
    assert not list(tmp_path.iterdir())


def test_what_fast_nms_loses(exported, digits):
    from visionport import manifest
    from visionport.inputs import pictures as images
    from visionport.inputs.preprocessing import prepare
    from visionport.tflite import nms

    pictures = {"digits-3": images.read(digits / "images" / "digits-3.jpg")}
    how = manifest.read(exported)["preprocessing"]
    feeds = {name: prepare(picture, how)[0] for name, picture in pictures.items()}
    found = nms.compare_modes(exported / "model.tflite", feeds)
    assert found
    (kept,) = found.kept.values()
    assert 0 < kept.share < 1  # one class a place
    assert kept.in_words.startswith(f"{kept.kept} of {kept.all} kept; ")
    assert kept.in_words.endswith("above 0.3")
    assert found.fast > 0
    assert "fast NMS takes" in found.in_words
    recorded = [c for c in json.loads((exported / "verify.json").read_text())["checks"] if "fast NMS" in c["what"]]
    assert [c["state"] for c in recorded] == ["not judged"] * len(images.BUNDLED)
