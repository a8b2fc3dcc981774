"""`visionport convert` of models that take pictures: pixels, labels, metadata, what 8 bits cost each layer."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionport import convert
from visionport.cli import main
from visionport.config import labels
from visionport.errors import InputError, OptionError
from visionport.inputs import pictures
from visionport.tflite import metadata as tflite_metadata
from visionport.tflite.contents import read_contents
from visionport.tflite.flatbuffer import parse

PICTURES = Path(str(pictures.example("digits/images")))
UNEVEN: dict[str, Any] = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}
EVEN: dict[str, Any] = {"mean": 127.5, "std": 127.5}
CLASSES = 10


@pytest.fixture(scope="module")
def model():
    """A concrete function of an image: maps and probabilities."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    first, second = (tf.constant(random.normal(size=s) / 4, tf.float32) for s in ((3, 3, 3, 8), (3, 3, 8, 8)))
    dense = tf.constant(random.normal(size=(8, CLASSES)), tf.float32)

    def run(image):
        maps = tf.nn.relu6(tf.nn.conv2d(image, first, 2, "SAME", name="stem"))
        maps = tf.nn.relu6(tf.nn.conv2d(maps, second, 2, "SAME", name="body"))
        return {"maps": maps, "probabilities": tf.nn.softmax(tf.reduce_mean(maps, [1, 2]) @ dense)}

    return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec([None, 32, 32, 3], name="image"))


@pytest.fixture
def names(tmp_path):
    """A label map's text as a file of that name."""

    def write(name, count, first=""):
        items = name.endswith(".pbtxt")
        lines = (f"item {{ id: {i} name: 'class {i}' }}" if items else f"class {i}" for i in range(1, count + 1))
        (tmp_path / name).write_text("\n".join(([first] if first else []) + [*lines]))
        return tmp_path / name

    return write


def metadata(file):
    data = file.read_bytes()
    return tflite_metadata.read(data, parse(data))["subgraphs"][0]  # pyright: ignore[reportOptionalSubscript]


def runner(file):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file))
    return interpreter.get_signature_runner()


@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic"])
def test_pixels_are_normalised_inside(model, tmp_path, quantize):
    import tensorflow as tf

    done = convert(model, tmp_path / "m.tflite", input_type="uint8", quantize=quantize, **UNEVEN)
    graph = read_contents(done.out.read_bytes())
    assert (graph.inputs[0].dtype, {t.dtype for t in graph.outputs}) == ("uint8", {"float32"})
    assert done.agrees
    assert max(c.measured for c in done.checks) < (1e-5 if quantize == "none" else 0.02)
    pixels = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    wanted = model(tf.constant(((pixels - UNEVEN["mean"]) / UNEVEN["std"]).astype(np.float32)))
    found = runner(done.out)(image=pixels)
    assert np.abs(found["probabilities"] - wanted["probabilities"].numpy()).max() < 0.01


@pytest.mark.parametrize("normal", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_pixels_of_8_bits_are_those_of_the_normalisation(model, tmp_path, normal):
    """Whatever the calibration pictures: black is black and white is white."""
    how = {"calibration": PICTURES, "output_arrays": "probabilities", **normal}
    done = convert(model, tmp_path / "m.tflite", quantize="uint8", **how)
    (source,) = read_contents(done.out.read_bytes()).inputs
    assert source.dtype == "uint8"
    assert source.quantization
    scale, zero = source.quantization
    low, high = ((v - zero) * scale for v in (0, 255))
    expected = (-1, 1) if normal is EVEN else (0, 255)
    assert (low, high) == pytest.approx(expected, abs=0.01 * (expected[1] - expected[0]))
    assert max(c.measured for c in done.checks) < 0.05


def test_what_8_bits_cost_each_layer(model, tmp_path):
    done = convert(model, tmp_path / "m.tflite", quantize="int8", calibration=PICTURES, **EVEN)
    assert {layer.op for layer in done.layers} >= {"CONV_2D", "FULLY_CONNECTED"}
    assert [layer.lost for layer in done.layers] == sorted((layer.lost for layer in done.layers), reverse=True)
    assert all(5 < layer.signal < 80 for layer in done.layers)


def test_the_command_prints_the_layers(model, tmp_path, capsys, names):
    import tensorflow as tf

    module = tf.Module()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=model)
    arguments = [tmp_path / "saved", "--out", tmp_path / "m.tflite", "--quantize", "int8", "--calibration", PICTURES]
    arguments += ["--mean", "127.5", "--std", "127.5", "--labels", names("ten.txt", CLASSES), "--quantize-exclude"]
    main(["convert", *map(str, arguments), "SOFTMAX"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "dB of signal to noise" in printed
    assert "CONV_2D" in printed
    assert "SOFTMAX" not in printed


@pytest.mark.parametrize(("excluded", "floats"), [("CONV_2D", 2), ("stem", 1), ("^maps$", 1), (("stem", "maps"), 2)])
def test_excluded_layers_stay_floats(model, tmp_path, excluded, floats):
    how = {"quantize": "int8", "calibration": PICTURES, **EVEN}
    done = convert(model, tmp_path / "m.tflite", quantize_exclude=excluded, **how)
    parsed = parse(done.out.read_bytes())
    (main_graph,) = parsed.subgraphs
    kernels = [t for t in main_graph.tensors if len(t.shape) == 4 and parsed.buffers[t.buffer].data is not None]
    assert sum(t.type == 0 for t in kernels) == floats  # FLOAT32


def test_an_image_is_described(model, tmp_path):
    done = convert(model, tmp_path / "m.tflite", **UNEVEN)
    (source,) = metadata(done.out)["inputs"]
    assert source["name"] == "image"
    assert (source["content"], source["color_space"]) == ("image", "RGB")
    assert source["mean"] == pytest.approx(UNEVEN["mean"], rel=1e-6)
    assert source["std"] == pytest.approx(UNEVEN["std"], rel=1e-6)
    assert [t["name"] for t in metadata(done.out)["outputs"]] == ["maps", "probabilities"]
    plain = convert(model, tmp_path / "n.tflite").out.read_bytes()
    assert tflite_metadata.read(plain, parse(plain)) is None


@pytest.mark.parametrize(
    ("name", "count", "first", "expected"),
    [
        ("ten.txt", 10, "", [f"class {i}" for i in range(1, 11)]),
        ("ten.pbtxt", 10, "", [f"class {i}" for i in range(1, 11)]),
        ("nine.pbtxt", 9, "", ["background", *(f"class {i}" for i in range(1, 10))]),
        ("nine.txt", 9, "background", ["background", *(f"class {i}" for i in range(1, 10))]),
    ],
)
def test_labels_belong_to_the_output_that_has_as_many(model, tmp_path, names, name, count, first, expected):
    done = convert(model, tmp_path / "m.tflite", labels=names(name, count, first), **EVEN)
    assert {t["name"]: t["files"] for t in metadata(done.out)["outputs"]} == {
        "maps": [],
        "probabilities": ["labels.txt"],
    }
    with zipfile.ZipFile(done.out) as archive:
        assert archive.read("labels.txt").decode().splitlines() == expected


def test_lines_of_labels(names):
    assert labels.lines(names("a.txt", 3), 3) == "class 1\nclass 2\nclass 3\n"
    assert labels.lines(names("a.txt", 3), 4) == ""  # whether the first is missing or the last, nobody knows
    assert labels.lines(names("a.txt", 3), 2) == ""
    assert labels.lines(names("b.pbtxt", 3), 5) == ""


def test_labels_without_a_normalisation_are_warned_of(model, tmp_path, names, capsys):
    convert(model, tmp_path / "m.tflite", labels=names("ten.txt", CLASSES))
    assert "--mean and --std" in capsys.readouterr().err
    convert(model, tmp_path / "n.tflite", labels=names("ten.txt", CLASSES), **UNEVEN)
    assert "--input-type uint8" in capsys.readouterr().err
    convert(model, tmp_path / "o.tflite", labels=names("ten.txt", CLASSES), **EVEN)
    assert not capsys.readouterr().err


WRONG = {
    "11 names, and no output": {"labels": 11, **EVEN},
    "puts the normalisation": {"input_type": "uint8"},
    "int16x8 takes": {"input_type": "uint8", "quantize": "int16x8", "calibration": PICTURES, **EVEN},
    "fits no op and no layer": {"quantize": "int8", "calibration": PICTURES, "quantize_exclude": "nothing", **EVEN},
    "is no regular expression": {"quantize": "int8", "calibration": PICTURES, "quantize_exclude": "(", **EVEN},
    "is for --quantize int8": {"quantize_exclude": "CONV_2D"},
    "above 0": {"mean": 0, "std": float("nan")},
    "no such file": {"labels": "nowhere"},
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_requests_are_told(model, tmp_path, names, text):
    how = dict(WRONG[text])
    if isinstance(how.get("labels"), int):
        how["labels"] = names("labels.txt", how["labels"])
    with pytest.raises((OptionError, InputError), match=text):
        convert(model, tmp_path / "m.tflite", **how)
    assert not (tmp_path / "m.tflite").exists()


def test_pixels_are_not_normalised_twice(tmp_path):
    import tensorflow as tf

    f = tf.function(lambda x: tf.cast(x, tf.float32) / 255.0)
    source = f.get_concrete_function(tf.TensorSpec([1, 32, 32, 3], tf.uint8, name="image"))
    with pytest.raises(OptionError, match="takes pixels as they are"):
        convert(source, tmp_path / "m.tflite", **EVEN)
    done = convert(source, tmp_path / "m.tflite", input_type="uint8")
    assert done.agrees
    assert metadata(done.out)["inputs"][0]["mean"] == [0, 0, 0]
    done = convert(source, tmp_path / "n.tflite", quantize="uint8", calibration=PICTURES)
    graph = read_contents(done.out.read_bytes())
    assert {t.dtype for t in (*graph.inputs, *graph.outputs)} == {"uint8"}
