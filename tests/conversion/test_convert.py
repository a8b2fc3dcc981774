"""`visionport convert`: any SavedModel or frozen graph becomes a TFLite file that answers as its source does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionport.conversion.convert import run as convert
from visionport.conversion.request import Request
from visionport.errors import InputError, OptionError, OutputError, UnsupportedError
from visionport.inputs import pictures
from visionport.tflite.contents import read_contents

PICTURES = pictures.example("digits/images")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A SavedModel with variables, of two inputs and three outputs; one with an op that LiteRT lacks; frozen graphs."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("models")
    random = np.random.default_rng(0)

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(tf.constant(random.normal(size=(3, 3, 3, 64)) / 5, tf.float32))
            self.dense = tf.Variable(tf.constant(random.normal(size=(64, 500)) / 5, tf.float32))

        def scores(self, image):
            return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, self.kernel, 2, "SAME")), [1, 2]) @ self.dense

        @tf.function(autograph=False)
        def two(self, image, state):
            z = self.scores(image) + state
            return {"scores": tf.nn.softmax(z), "best": tf.argmax(z, -1, output_type=tf.int32), "a_state": z * 0.5}

        @tf.function(autograph=False)
        def one(self, image):
            return {"scores": self.scores(image), "product": tf.math.cumprod(tf.nn.sigmoid(self.scores(image)), 1)}

    model, image = Model(), tf.TensorSpec([None, 32, 32, 3], tf.float32, name="image")
    state = tf.TensorSpec([None, 500], tf.float32, name="state")
    one, two = model.one.get_concrete_function(image), model.two.get_concrete_function(image=image, state=state)
    tf.saved_model.save(model, str(folder / "model"), signatures={"serving_default": two, "one": one})

    def write(name, build):
        with tf.Graph().as_default() as graph:
            build(tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], name="image"))
        (folder / name).write_bytes(graph.as_graph_def().SerializeToString())

    kernel = random.normal(size=(3, 3, 3, 8)).astype(np.float32) / 5

    def plain(x):
        y = tf.nn.relu(tf.nn.conv2d(tf.identity(x, "preprocessed"), kernel, 2, "SAME"), name="features")
        tf.split(y, 2, 3, name="halves")

    def faked(x):
        fake = tf.quantization.fake_quant_with_min_max_args
        x = tf.ensure_shape(x, [1, 32, 32, 3])
        w = tf.quantization.fake_quant_with_min_max_args(kernel, -0.8, 0.8)
        y = fake(tf.nn.relu6(tf.nn.conv2d(fake(x, -1, 1), w, 2, "SAME")), 0, 6)
        tf.identity(y, name="features")

    write("plain.pb", plain)
    write("faked.pb", faked)
    return folder


def run(file, **inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    return interpreter.get_signature_runner()(**inputs)


def names(file):
    graph = read_contents(file.read_bytes())
    return [t.name for t in graph.inputs], [t.name for t in graph.outputs]


def test_a_saved_model_with_its_names_and_order(places, tmp_path):
    done = convert(Request(source=places / "model" / "saved_model.pb", out=tmp_path / "m.tflite"))
    assert done.agrees
    assert {c.what for c in done.checks} == {"scores", "best", "a_state"}
    assert all(c.bound for c in done.checks)
    assert names(done.out) == (["image", "state"], ["a_state", "best", "scores"])
    assert [t.shape for t in read_contents(done.out.read_bytes()).inputs] == [(1, 32, 32, 3), (1, 500)]
    found = run(done.out, image=np.ones((1, 32, 32, 3), np.float32), state=np.zeros((1, 500), np.float32))
    assert found["scores"].sum() == pytest.approx(1, abs=1e-5)


def test_chosen_arrays_in_the_order_asked_for(places, tmp_path):
    chosen = {"output_arrays": ("scores", "a_state"), "shapes": {"image": (2, 32, 32, 3), "state": (2, 500)}}
    done = convert(Request(source=places / "model", out=tmp_path / "m.tflite", **chosen))
    assert done.agrees
    assert names(done.out)[1] == ["scores", "a_state"]
    assert read_contents(done.out.read_bytes()).outputs[0].shape == (2, 500)


def test_a_frozen_graph_between_tensors(places, tmp_path):
    chosen = {"input_arrays": ("preprocessed",), "output_arrays": ("halves:1", "features")}
    done = convert(
        Request(source=places / "plain.pb", out=tmp_path / "m.tflite", shapes={"": (1, 16, 24, 3)}, **chosen)
    )
    assert done.agrees
    assert names(done.out) == (["preprocessed"], ["halves:1", "features"])
    assert [t.shape for t in read_contents(done.out.read_bytes()).outputs] == [(1, 8, 12, 4), (1, 8, 12, 8)]


@pytest.mark.parametrize(
    ("quantize", "more", "types"),
    [
        ("float16", {}, ("float32", "float32")),
        ("dynamic", {}, ("float32", "float32")),
        ("int8", {"calibration": PICTURES, "mean": (127.5,), "std": (127.5,)}, ("float32", "float32")),
        (
            "int8",
            {"calibration": PICTURES, "mean": (0.0,) * 3, "std": (255.0,) * 3, "input_type": "int8"},
            ("int8",) * 2,
        ),
        ("uint8", {"calibration": PICTURES, "mean": (127.5,), "std": (127.5,)}, ("uint8", "uint8")),
    ],
)
def test_quantised(places, tmp_path, quantize, more, types):
    chosen = {"signature": "one", "output_arrays": ("scores",), "quantize": quantize, **more}
    done = convert(Request(source=places / "model", out=tmp_path / "m.tflite", **chosen))
    graph = read_contents(done.out.read_bytes())
    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == types
    spread = 6  # of the scores on noise, about
    assert max(c.measured for c in done.checks) < 0.1 * spread


def test_calibrated_with_arrays(places, tmp_path):
    random = np.random.default_rng(1)
    arrays: Any = {"image": random.normal(size=(20, 32, 32, 3)), "state": random.normal(size=(20, 500))}
    np.savez(tmp_path / "examples.npz", **arrays)
    chosen = {"output_arrays": ("a_state",), "quantize": "int8", "calibration": tmp_path / "examples.npz"}
    done = convert(Request(source=places / "model", out=tmp_path / "m.tflite", **chosen))
    assert max(c.measured for c in done.checks) < 0.1
    np.savez(tmp_path / "examples.npz", image=arrays["image"])
    with pytest.raises(InputError, match="no array 'state'"):
        convert(Request(source=places / "model", out=tmp_path / "n.tflite", **chosen))


def test_trained_ranges_need_no_calibration(places, tmp_path):
    chosen = {"output_arrays": ("features",), "shapes": {"": (1, 32, 32, 3)}, "quantize": "uint8"}
    done = convert(
        Request(source=places / "faked.pb", out=tmp_path / "m.tflite", mean=(127.5,), std=(127.5,), **chosen)
    )
    graph = read_contents(done.out.read_bytes())
    assert {t.dtype for t in (*graph.inputs, *graph.outputs)} == {"uint8"}
    assert max(c.measured for c in done.checks) < 2.1 * 6 / 255  # two steps of the output
    with pytest.raises(OptionError, match="--mean and --std"):
        convert(Request(source=places / "faked.pb", out=tmp_path / "n.tflite", **chosen))


def test_ops_of_tensorflow_on_request_alone(places, tmp_path):
    with pytest.raises(UnsupportedError, match=r"Cumprod.*--allow-select-tf-ops"):
        convert(Request(source=places / "model", out=tmp_path / "m.tflite", signature="one"))
    assert not (tmp_path / "m.tflite").exists()
    done = convert(Request(source=places / "model", out=tmp_path / "m.tflite", signature="one", select_tf_ops=True))
    assert not done.checks  # nothing here runs it
    assert "FlexCumprod" in read_contents(done.out.read_bytes()).ops


def test_compared_on_the_users_own_inputs(places, tmp_path):
    arrays: Any = {"image": np.ones((4, 32, 32, 3)), "state": np.zeros((4, 500))}
    np.savez(tmp_path / "own.npz", **arrays)
    done = convert(Request(source=places / "model", out=tmp_path / "m.tflite", verify_input=tmp_path / "own.npz"))
    assert done.agrees
    assert {c.picture for c in done.checks} == {f"own.npz {i}" for i in (1, 2, 3, 4)}
    np.savez(tmp_path / "own.npz", image=arrays["image"])
    with pytest.raises(InputError, match=r"--verify-input .*no array 'state'"):
        convert(Request(source=places / "model", out=tmp_path / "n.tflite", verify_input=tmp_path / "own.npz"))


@pytest.mark.parametrize(
    ("power", "domain"), [(0.5, "noise from 0"), (-0.5, "noise from 0"), (None, "noise from 0 to 1")]
)
def test_made_up_inputs_are_of_the_sources_domain(tmp_path, power, domain):
    import tensorflow as tf

    def root(x):
        return {"y": tf.sqrt(1 - x) + tf.sqrt(x) if power is None else tf.pow(x, power)}

    source = tf.function(root).get_concrete_function(tf.TensorSpec([1, 64], name="x"))
    done = convert(Request(source=source, out=tmp_path / "m.tflite"))
    assert done.agrees
    assert {c.picture for c in done.checks} == {domain, f"more {domain}"}


def test_a_source_without_a_number_says_so(tmp_path, capsys):
    import tensorflow as tf

    source = tf.function(lambda x: x * float("nan")).get_concrete_function(tf.TensorSpec([1, 8], name="x"))
    assert convert(Request(source=source, out=tmp_path / "m.tflite")).agrees
    assert "--verify-input" in capsys.readouterr().err


def test_a_file_of_unknown_ops(tmp_path):
    """Converted, kept for a runtime that has the op, and not verified."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        tf.nn.relu(tf.compat.v1.placeholder(tf.float32, [1, 4], name="x"), name="y")
    definition = graph.as_graph_def()
    node = definition.node.add(name="post", op="SomebodysOwnOp", input=["y"])
    node.attr["_output_types"].list.type.append(tf.float32.as_datatype_enum)
    (tmp_path / "g.pb").write_bytes(definition.SerializeToString())
    chosen = {"output_arrays": ("post",), "out": tmp_path / "m.tflite"}
    with pytest.raises(UnsupportedError, match=r"SomebodysOwnOp.*--allow-custom-ops"):
        convert(Request(source=tmp_path / "g.pb", **chosen))
    done = convert(Request(source=tmp_path / "g.pb", custom_ops=True, **chosen))
    assert not done.checks
    assert "SomebodysOwnOp" in read_contents(done.out.read_bytes()).ops
    assert names(done.out) == (["x"], ["post"])


WRONG = {
    "no signature 'serve'.*It has: ": {"source": "model", "signature": "serve"},
    "no such tensor.*nearest: scores": {"source": "model", "output_arrays": ("scorse",)},
    "give --input-shape image=1": {"source": "plain.pb", "output_arrays": ("features",)},
    "does not fit its shape": {"source": "model", "shapes": {"image": (1, 16, 16, 3)}},
    "name one of the inputs, image, state": {"source": "model", "shapes": {"": (1, 32, 32, 3)}},
    "no signature says what comes out": {"source": "plain.pb"},
    "the model's own": {"source": "model", "signature": "one", "quantize": "int8", "calibration": PICTURES},
    "pictures are for one input": {"source": "model", "quantize": "int8", "calibration": PICTURES},
    "needs --calibration": {"source": "model", "quantize": "int8"},
    "of no use": {"source": "model", "calibration": PICTURES},
    "go together": {"source": "model", "mean": (1.0,)},
    "--verify-input is of no use": {"source": "model", "verify_input": PICTURES, "verify": False},
    "does not reach": {"source": "plain.pb", "input_arrays": ("halves",), "output_arrays": ("features",)},
    "needs --quantize int8": {"source": "model", "input_type": "int8"},
    "no such model": {"source": "nothing"},
    "is given twice": {"source": "model", "output_arrays": ("scores", "scores:0")},
    "is none of the 2 outputs": {"source": "plain.pb", "output_arrays": ("halves:7",), "shapes": {"": (1, 8, 8, 3)}},
    "nothing goes in": {"source": "model", "signature": "one", "shapes": {"": (0, 32, 32, 3)}},
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_requests_are_told(places, tmp_path, text):
    wrong = dict(WRONG[text])
    with pytest.raises((OptionError, InputError), match=text):
        convert(Request(source=places / wrong.pop("source"), out=tmp_path / "m.tflite", **wrong))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(places, tmp_path):
    (tmp_path / "m.tflite").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        convert(Request(source=places / "model", out=tmp_path / "m.tflite"))
    assert (tmp_path / "m.tflite").read_text() == "mine"


def test_a_device_is_not_replaced(places):
    with pytest.raises(OutputError, match="a device"):
        convert(Request(source=places / "model", out=Path("/dev/null"), overwrite=True))
    assert Path("/dev/null").is_char_device()


def test_a_graph_with_variables_is_to_be_frozen_first(tmp_path):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [1, 2], name="x")
        tf.matmul(x, tf.compat.v1.get_variable("w", [2, 2]), name="y")
    (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(OptionError, match="visionport freeze"):
        convert(Request(source=tmp_path / "g.pb", out=tmp_path / "m.tflite", output_arrays=("y",)))
