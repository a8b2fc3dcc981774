"""Damaged graphs end in a sentence before TensorFlow sees them, whose importer may end the process."""

import numpy as np
import pytest
import tensorflow as tf
from strangers import build_graph, save_v1, save_v2, v1, visionport, write_graph
from tensorflow.core.framework import graph_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from visionport.errors import InputError
from visionport.formats.saved_model import FORMAT as SAVED_MODEL
from visionport.graph import growth, soundness, sources

raw = tf.raw_ops


def doubled(x):
    inner = tf.function(lambda v: v * 2.0)
    return tf.function(lambda v: inner(v) + 1.0)(x)


def looped(x):
    v1.disable_control_flow_v2()
    try:
        return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [0, x])[1]
    finally:
        v1.enable_control_flow_v2()


def build(x):
    strings = tf.strings.join([tf.constant(["a", "b"]), "c"])
    parts = tf.split(tf.nn.relu(doubled(x)), 2, 1)
    return [*parts, strings, looped(x), tf.constant(np.arange(6, dtype=np.int64).reshape(2, 3), name="table")]


@pytest.fixture(scope="module")
def sound():
    return build_graph(build)


def node(graph, name):
    return next(n for n in graph.node if n.name == name)


def of_op(graph, op):
    bodies = [n for f in graph.library.function for n in f.node_def]
    return next(n for n in (*graph.node, *bodies) if n.op == op)


def set_type(name, number):
    def change(graph):
        node(graph, name).attr["dtype"].type = number

    return change


def of_table(**fields):
    """The constant "table", int64 [2, 3], with other fields."""

    def change(graph):
        tensor = node(graph, "table").attr["value"].tensor
        for key, value in fields.items():
            if key == "shape":
                del tensor.tensor_shape.dim[:]
                for size in value:
                    tensor.tensor_shape.dim.add(size=size)
            elif isinstance(value, list):
                getattr(tensor, key)[:] = value
            else:
                setattr(tensor, key, value)

    return change


def edit_input(name, index, value):
    def change(graph):
        node(graph, name).input[index] = value

    return change


def circle(graph):
    relu = of_op(graph, "Relu")
    relu.input[0] = graph.node.add(name="again", op="Relu", input=[relu.name]).name
    node(graph, "again").attr["T"].type = types_pb2.DT_FLOAT


def own_call(graph):
    functions = graph.library.function
    call = next(n for f in functions for n in f.node_def if n.op.endswith("PartitionedCall"))
    call.attr["f"].func.name = next(f.signature.name for f in functions if call in f.node_def)


def grow_calls(graph):
    """30 functions, each of which calls the next one twice, and a call of the first."""
    library, calls = graph.library, [graph.node.add(name="grows", op="PartitionedCall", input=["x"])]
    for i in range(31):
        function = library.function.add()
        function.signature.name = f"grow_{i}"
        function.signature.input_arg.add(name="a", type=types_pb2.DT_FLOAT)
        function.signature.output_arg.add(name="b", type=types_pb2.DT_FLOAT)
        function.ret["b"] = "a"
        for k in range(2 if i < 30 else 0):
            calls.append(function.node_def.add(name=f"c{k}", op="PartitionedCall", input=["a"]))
            calls[-1].attr["f"].func.name = f"grow_{i + 1}"
    calls[0].attr["f"].func.name = "grow_0"
    for call in calls:
        call.attr["Tin"].list.type.append(types_pb2.DT_FLOAT)
        call.attr["Tout"].list.type.append(types_pb2.DT_FLOAT)


def deep_attribute(graph):
    function = node(graph, "out").attr["deep"].func
    for _ in range(10):
        function = function.attr["deeper"].func
    function.attr["type"].type = 999


def change_op(op, change):
    return lambda graph: change(of_op(graph, op))


# What is done to the sound graph, and what is said of it.
DAMAGE = {
    "a type that is none": (set_type("x", 999), "is 999, which is no type"),
    "a type below all": (set_type("x", -1), "is -1, which is no type"),
    "a type deep in functions' attributes": (deep_attribute, "is 999, which is no type"),
    "a size below -1": (lambda g: node(g, "x").attr["shape"].shape.dim.add(size=-2), "with the size -2"),
    "a shape beyond all": (
        lambda g: (
            node(g, "x").attr["shape"].shape.dim.extend([type(node(g, "x").attr["shape"].shape).Dim(size=2**62)] * 3)
        ),
        "more than 2\\^63 elements",
    ),
    "too many dimensions": (
        lambda g: (
            node(g, "x").attr["shape"].shape.dim.extend([type(node(g, "x").attr["shape"].shape).Dim(size=1)] * 300)
        ),
        "304? dimensions|302 dimensions",
    ),
    "no such input": (edit_input("out", 0, "nothere"), "takes 'nothere', which is no node"),
    "no such output": (edit_input("out", 0, "x:7"), "x has 1 outputs"),
    "an output that is no number": (edit_input("out", 0, "x:a"), "which is no tensor"),
    "an input without a name": (edit_input("out", 0, ""), "without a name"),
    "too few inputs": (change_op("Relu", lambda n: n.input.pop()), "0 inputs instead of 1"),
    "too many inputs": (change_op("Relu", lambda n: n.input.append("x")), "2 inputs instead of 1"),
    "data behind an order": (change_op("Relu", lambda n: n.input.insert(0, "^x")), "data behind what orders it"),
    "two of one name": (lambda g: g.node.add(name="x", op="NoOp"), "two nodes are called x"),
    "no name": (lambda g: g.node.add(op="NoOp"), "is no name"),
    "a strange name": (lambda g: g.node.add(name="a b\x1b[2J", op="NoOp"), "is no name"),
    "an attribute of another kind": (
        change_op("Relu", lambda n: n.attr["T"].shape.dim.add(size=1)),
        "shape where type",
    ),
    "an attribute left out": (change_op("Relu", lambda n: n.attr["T"].Clear()), "nothing where type|has no 'T'"),
    "a type that the op does not take": (
        change_op("Relu", lambda n: setattr(n.attr["T"], "type", types_pb2.DT_STRING)),
        "which the op does not take",
    ),
    "very many outputs": (change_op("Split", lambda n: setattr(n.attr["num_split"], "i", 2**31)), "num_split is"),
    "less than none": (change_op("Split", lambda n: setattr(n.attr["num_split"], "i", -1)), "is -1"),
    "bytes that are too few": (of_table(tensor_content=b"123"), "3 bytes where its shape needs 48"),
    "a shape that its bytes do not fill": (of_table(shape=[2, 10**12]), "bytes where its shape needs"),
    "a value for very many": (
        of_table(shape=[10**6, 10**6], tensor_content=b"", int64_val=[1]),
        "stands for 1000000000000 values",
    ),
    "no value for very many": (of_table(shape=[10**10], tensor_content=b""), "stands for 10000000000 values"),
    "more values than its shape": (of_table(tensor_content=b"", int64_val=[1] * 9), "9 values where its shape has 6"),
    "an open constant": (of_table(shape=[-1]), "of an open shape"),
    "a value of another type": (of_table(dtype=types_pb2.DT_FLOAT), "bytes where|another type"),
    "a resource as a value": (of_table(dtype=types_pb2.DT_RESOURCE), "which no file can hold"),
    "a variant as a value": (of_table(dtype=types_pb2.DT_VARIANT), "which no file can hold"),
    "a circle": (circle, "circle"),
    "a function that is not there": (
        change_op("PartitionedCall", lambda n: setattr(n.attr["f"].func, "name", "nothere")),
        "'nothere', which is no function",
    ),
    "a function without a name": (
        change_op("PartitionedCall", lambda n: n.attr["f"].func.Clear()),
        "names no function",
    ),
    "a function that calls itself": (own_call, "calls itself"),
    "functions that double": (grow_calls, "in place of their calls"),
    "two functions of one name": (
        lambda g: g.library.function.add().CopyFrom(g.library.function[0]),
        "functions have the same name",
    ),
    "a call of other types": (
        change_op("PartitionedCall", lambda n: n.attr["Tout"].list.type.append(1)),
        "does not fit the function",
    ),
    "an output of a function that is not there": (
        lambda g: g.library.function[0].ret.update(dict.fromkeys(g.library.function[0].ret, "nothere:y:0")),
        "which is no node",
    ),
    "an output of a function that is not said": (
        lambda g: g.library.function[0].ret.clear(),
        "does not say what its output",
    ),
    "an input in a function": (
        lambda g: next(n for n in g.library.function[0].node_def if n.input).input.__setitem__(0, "nothere:y:0"),
        "which is no node or argument",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_said(tmp_path, sound, case):
    change, said = DAMAGE[case]
    graph = graph_pb2.GraphDef.FromString(sound.SerializeToString())
    change(graph)
    path = write_graph(tmp_path / "g.pb", graph)
    with pytest.raises(InputError, match=said):
        sources.read_graph_def(path)
    for command in (("inspect", path), ("freeze", path, "--output", "out", "--out", tmp_path / "f.pb")):
        code, printed = visionport(*command)
        assert code == 2, printed
        assert printed.startswith("error: ")
        assert "\x1b" not in printed


def test_a_sound_graph_passes(tmp_path, sound):
    path = write_graph(tmp_path / "g.pb", sound)
    assert visionport("inspect", path)[0] == 0
    assert visionport("freeze", path, "--output", "out", "--optimize", "--out", tmp_path / "f.pb")[0] == 0


def test_cut_files_are_refused(tmp_path, sound):
    data = sound.SerializeToString()
    for size in range(0, len(data), len(data) // 40):
        path = tmp_path / "g.pb"
        path.write_bytes(data[:size])
        assert visionport("inspect", path)[0] in (0, 2)


# --- SavedModels ---


def saved_with(folder, change):
    """A SavedModel of two functions, with its protobuf changed."""
    save_v2(folder, lambda x: {"out": doubled(x)})
    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved.meta_graphs[0])
    file.write_bytes(saved.SerializeToString())
    return folder


def signature(change):
    return lambda meta: change(meta.signature_def["serving_default"])


OBJECTS = {
    "a signature's node": (
        signature(lambda s: setattr(s.outputs["out"], "name", "nothere:0")),
        "'nothere:0', which is",
    ),
    "a signature's output": (
        signature(lambda s: setattr(s.inputs["x"], "name", "serving_default_x:9")),
        "no tensor of 1",
    ),
    "a signature's number": (
        signature(lambda s: setattr(s.inputs["x"], "name", "serving_default_x:a")),
        "no tensor of 1",
    ),
    "a name of bytes": (
        lambda m: setattr(m.graph_def.node[0].attr["shared_name"], "s", b"\xff\xfe"),
        "shared_name is no text",
    ),
    "a signature's type": (signature(lambda s: setattr(s.inputs["x"], "dtype", 999)), "is 999, which is no type"),
    "a signature's shape": (signature(lambda s: s.inputs["x"].tensor_shape.dim.add(size=-7)), "with the size -7"),
    "a saver's node": (lambda m: setattr(m.saver_def, "restore_op_name", "nothere"), "names 'nothere'"),
    "an object's part": (
        lambda m: m.object_graph_def.nodes[0].children.add(node_id=999),
        "has a part that does not exist",
    ),
    "an object's function": (
        lambda m: m.object_graph_def.nodes[0].function.concrete_functions.append("nothere"),
        "'nothere', which is no function",
    ),
    "an object's asset": (
        lambda m: setattr(m.object_graph_def.nodes.add().asset, "asset_file_def_index", 7),
        "an asset that does not exist",
    ),
    "a function's objects": (
        lambda m: next(iter(m.object_graph_def.concrete_functions.values())).bound_inputs.append(999),
        "bound to an object that does not exist",
    ),
}


@pytest.mark.parametrize("case", OBJECTS)
def test_damage_to_a_saved_model_is_said(tmp_path, case):
    change, said = OBJECTS[case]
    saved = saved_with(tmp_path / "sm", change)
    for command in (("inspect", saved), ("freeze", saved, "--out", tmp_path / "f.pb")):
        code, printed = visionport(*command)
        assert code == 2, printed
        assert said in printed
    with pytest.raises(InputError):
        SAVED_MODEL.check_foreign(saved)


def test_strange_names_are_not_markup(tmp_path):
    def rename(meta):
        meta.signature_def["[red]x[/x]"].CopyFrom(meta.signature_def["serving_default"])
        meta.meta_info_def.tags.append("[/y]")

    saved = saved_with(tmp_path / "sm", rename)
    code, printed = visionport("inspect", saved)
    assert code == 0
    assert "[red]x[/x]" in printed
    assert "[/y]" in printed


def test_an_empty_saved_model_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    for command in (("inspect", tmp_path), ("freeze", tmp_path, "--out", tmp_path / "f.pb")):
        code, printed = visionport(*command)
        assert code == 2
        assert "holds no graph" in printed


def test_a_broken_list_of_trainable_variables_is_refused(tmp_path):
    saved = save_v1(tmp_path / "sm", lambda x: [])
    file = saved / "saved_model.pb"
    content = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    content.meta_graphs[0].collection_def["trainable_variables"].bytes_list.value[:] = [b"\xff\xff"]
    file.write_bytes(content.SerializeToString())
    code, printed = visionport("freeze", saved, "--out", tmp_path / "f.pb")
    assert code == 2
    assert "trainable variables" in printed


# --- constants that grow ---


def zeros(x):
    return tf.zeros([10**5, 10**5], name="grown")


def of_shape(x):
    return tf.fill(tf.shape(x) * 100_000, 1.0, name="grown")


def concatenated(x):
    values = tf.zeros([1024])
    for _ in range(40):
        values = tf.concat([values, values], 0)
    return values


def outer(x):
    row = tf.range(0.0, 1e6, 1.0)
    return tf.multiply(row[None], row[:, None], name="grown")


GROWING = {
    "zeros": zeros,
    "of a shape": of_shape,
    "doubled": concatenated,
    "outer product": outer,
    "tiled": lambda x: tf.tile(tf.constant([[1.0, 2.0]]), [10**5, 10**5], name="grown"),
    "broadcast": lambda x: tf.broadcast_to(1.0, [10**6, 10**5], name="grown"),
    "range": lambda x: tf.cast(tf.range(0, 10**9), tf.float32),
    "one hot": lambda x: tf.one_hot(tf.range(10**5), 10**6, name="grown"),
    "padded": lambda x: tf.pad([1.0], [[0, 10**10]], name="grown"),
    "linear": lambda x: tf.linspace(0.0, 1.0, 10**9),
    "resized": lambda x: tf.image.resize(tf.zeros([1, 2, 2, 3]), [10**5, 10**5]),
    "scattered": lambda x: tf.scatter_nd([[0]], [1.0], [10**10], name="grown"),
    "segments": lambda x: tf.math.segment_sum([1.0], [2 * 10**9], name="grown"),
    "texts": lambda x: text_of(40),
    "picture": lambda x: tf.io.decode_png(tf.constant(b"\x89PNG"), name="grown"),
    "unpacked": lambda x: raw.DecodeCompressed(bytes=tf.constant(b"a" * 300_000), compression_type="ZLIB"),
    "list": lambda x: raw.TensorListLength(
        input_handle=raw.TensorListReserve(element_shape=-1, num_elements=2**31 - 1, element_dtype=tf.float32)
    ),
}


def text_of(count):
    text = tf.constant("aaaaaaaa")
    for _ in range(count):
        text = tf.strings.join([text, text])
    return text


@pytest.mark.parametrize("case", GROWING)
def test_constants_that_grow_are_refused(tmp_path, case):
    def build(x):
        made = GROWING[case](x)
        small = tf.strings.length(made) if made.dtype == tf.string else made
        return [tf.reduce_sum(small)]

    path = write_graph(tmp_path / "g.pb", build_graph(build))
    command = ("--output", "out", "--optimize", "--out", tmp_path / "f.pb")
    code, printed = visionport("freeze", path, *command)
    assert code == 2, printed
    assert "makes" in printed


def test_constants_that_grow_in_a_function_are_refused(tmp_path):
    saved = save_v2(tmp_path / "sm", lambda x: {"out": x + tf.reduce_sum(tf.zeros([10**5, 10**5]))})
    code, printed = visionport("convert", saved, "--out", tmp_path / "m.tflite")
    assert code == 2
    assert "makes a constant of 10000000000 elements" in printed
    with pytest.raises(InputError, match="10000000000"):
        SAVED_MODEL.check_foreign(saved)


@pytest.mark.parametrize("command", [("freeze", "--optimize"), ("convert", "--no-verify")])
def test_variables_that_grow_are_refused(tmp_path, command):
    """Their values are constants only once they are frozen."""
    size = tf.Variable(tf.constant([10**5, 10**5]))
    saved = save_v2(tmp_path / "sm", lambda x: {"out": x + tf.reduce_sum(tf.zeros(size))}, size=size)
    code, printed = visionport(command[0], saved, *command[1:], "--out", tmp_path / "out.file")
    assert code == 2, printed
    assert "makes a constant of 10000000000 elements" in printed


def test_a_branch_gives_as_many_values_as_its_function():
    """TensorFlow's optimizer reads beyond the function's outputs, and ends the process."""
    with tf.Graph().as_default() as made:
        x = v1.placeholder(tf.float32, [], name="x")
        tf.cond(x > 0, lambda: x + 1.0, lambda: x * 2.0)
    graph = made.as_graph_def()
    soundness.check_graph("g.pb", graph)
    del graph.library.function[0].signature.output_arg[:]
    with pytest.raises(InputError, match=r"does not fit the function|has no output"):
        soundness.check_graph("g.pb", graph)


def test_a_size_that_overflows_is_refused(tmp_path):
    """TensorFlow itself makes a negative size of a range that has no end."""
    graph = build_graph(lambda x: [tf.reduce_sum(raw.Range(start=tf.constant(0.0), limit=5.0, delta=1.0, name="r"))])
    limit = next(n for n in graph.node if n.name == next(m for m in graph.node if m.op == "Range").input[1])
    limit.attr["value"].tensor.float_val[:] = [float("nan")]
    with pytest.raises(InputError, match="makes a constant of more elements"):
        growth.check_growth("g.pb", graph)


def test_what_models_compute_of_constants_passes():
    def build(x):
        anchors = tf.stack(tf.meshgrid(tf.range(320.0), tf.range(320.0)), -1)
        weights = tf.cast(tf.constant(np.zeros([1000, 1000], np.float16)), tf.float32)
        return [tf.reshape(tf.tile(anchors[:, :, None], [1, 1, 9, 1]), [-1, 2]), weights * 2.0, text_of(3)]

    growth.check_growth("g.pb", build_graph(build))


def test_the_sound_graph_is_sound(sound):
    soundness.check_graph("g.pb", sound)


def test_lists_of_texts_are_not_converted(tmp_path):
    """TensorFlow's converter ends the process for them."""

    def build(x):
        handle = raw.TensorListReserve(element_shape=[1], num_elements=2, element_dtype=tf.complex128)
        size = raw.TensorListLength(input_handle=handle)
        tf.multiply(x, tf.cast(size, tf.float32), name="end")
        return []

    path = write_graph(tmp_path / "g.pb", build_graph(build))
    code, printed = visionport("convert", path, "--output-arrays", "end", "--out", tmp_path / "m.tflite")
    assert code == 2
    assert "lists values of complex128" in printed


def test_a_ragged_output_is_refused(tmp_path):
    saved = save_v2(tmp_path / "sm", lambda x: {"out": tf.RaggedTensor.from_tensor(x)})
    assert visionport("inspect", saved)[0] == 0
    code, printed = visionport("freeze", saved, "--out", tmp_path / "f.pb")
    assert code == 2
    assert "sparse or ragged" in printed
