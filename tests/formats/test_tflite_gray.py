"""TFLite files of models that look at gray pictures (convert_to_grayscale), with every input."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionport import Options, config, export, prediction
from visionport.inputs import pictures, preprocessing
from visionport.tflite import description
from visionport.tflite.contents import read_contents

GRAY = "fixed_shape_resizer { height: 192 width: 192 convert_to_grayscale: true }"
FILES: dict[str, dict[str, Any]] = {
    "float": {},
    "pixels": {"tflite_input": "uint8"},
    "uint8": {"quantize": "uint8"},
    "int8": {"quantize": "int8", "tflite_input": "int8"},
    "float16 pixels": {"quantize": "float16", "tflite_input": "uint8"},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, digits) -> Path:
    """The bundled detector with one channel in: its first kernel added up, which for gray pictures is the same."""
    import tensorflow as tf

    reader, folder = tf.train.load_checkpoint(str(digits / "tf2")), tmp_path_factory.mktemp("gray")
    names = sorted(reader.get_variable_to_shape_map())
    values = [reader.get_tensor(n) for n in names]
    first = [getattr(v, "shape", ())[2:3] == (3,) for v in values]
    assert any(first)
    tensors = [v.sum(2, keepdims=True) if one else v for v, one in zip(values, first, strict=True)]
    empty = [""] * len(names)
    tf.raw_ops.SaveV2(prefix=str(folder / "ckpt-1"), tensor_names=names, shape_and_slices=empty, tensors=tensors)
    return folder


@pytest.fixture(scope="module")
def gray_picture(tmp_path_factory, digits) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("pictures") / "gray.png"
    Image.open(digits / "images" / "digits-0.jpg").convert("L").save(path)
    return path


@pytest.mark.parametrize("kind", FILES)
def test_every_input_detects_what_the_colour_model_does(checkpoint, gray_picture, exported, digits, tmp_path, kind):
    from ai_edge_litert.interpreter import Interpreter

    out, more = tmp_path / "out", FILES[kind]
    more = more | ({"calibration": digits / "images"} if "8" in str(more.get("quantize")) else {})
    places = {"config": digits / "tf2", "checkpoint": checkpoint, "labels": digits / "label_map.pbtxt", "out": out}
    override = f"model {{ ssd {{ image_resizer {{ {GRAY} }} }} }}"
    assert export(Options(**places, formats=("tflite",), config_override=override, **more)).agrees
    file = out / "model.tflite"
    (source,) = read_contents(file.read_bytes()).inputs
    wanted_type = more.get("tflite_input", "uint8" if kind == "uint8" else "float")
    assert (list(source.shape), source.dtype.removesuffix("32")) == ([1, 192, 192, 1], wanted_type)
    (said,) = description.describe_tflite(file)["metadata"]["subgraphs"][0]["inputs"]
    assert said["color_space"] == "grayscale"
    assert said["mean"] == pytest.approx([127.5], rel=1e-3)

    (wanted,), (found,) = (prediction.predict(f, [gray_picture]) for f in (exported / "model.tflite", out))
    assert len(wanted["detections"]) > 2
    pairs = [sorted(f["detections"], key=lambda d: (d["label"], d["box"]["xmin"])) for f in (found, wanted)]
    for a, b in zip(*pairs, strict=True):
        assert a["label"] == b["label"]
        assert a["score"] == pytest.approx(b["score"], abs=0.05)
        assert list(a["box"].values()) == pytest.approx(list(b["box"].values()), abs=5)
    copy = Path(shutil.copy(file, tmp_path))
    assert prediction.predict(copy, [gray_picture]) == [found]

    # By hand, as a camera's gray pixels come: what is normalised is so by the metadata.
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    value = pictures.read(gray_picture)[None, :, :, :1]
    if source.dtype != "uint8":
        value = (value - np.float32(said["mean"])) / np.float32(said["std"])
    if source.dtype == "int8":
        scale, zero = source.quantization or (1, 0)
        value = np.rint(value / scale + zero)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value.astype(source.dtype))
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[2]["index"])[0]
    best = [d["score"] for d in found["detections"]]
    assert sorted(scores[: len(best)], reverse=True) == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("bgr", [False, True])
def test_a_gray_pixels_mean_and_deviation(bgr):
    """Of channels normalised each otherwise: what the model's own preprocessing makes of gray pixels."""
    n = config.Normalization(mean=(123.68, 116.779, 103.939), std=(58.4, 57.1, 50.0), bgr=bgr)
    resizer = config.FixedShape(height=1, width=256, grayscale=True)
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, -1)
    description = preprocessing.describe(resizer, n)
    value, _ = preprocessing.prepare(pixels, description)
    one = preprocessing.of_pixels(resizer, n)
    np.testing.assert_allclose(value[0, 0, :, 0], (np.arange(256) - one.mean[0]) / one.std[0], atol=1e-5)
    back, _ = preprocessing.prepare(pixels, description, np.uint8)
    np.testing.assert_array_equal(back[0, 0, :, 0], np.arange(256))
