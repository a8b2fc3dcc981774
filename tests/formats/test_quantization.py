"""What quantisation loses, told by layer and as mean average precision, and what is excluded from it."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_tflite_options import PICTURES, asked

from visionport import export
from visionport.errors import InputError, OptionError
from visionport.inputs import pictures as images
from visionport.tasks.base import Measure
from visionport.tasks.detection import metric
from visionport.tflite.contents import read_contents
from visionport.verification.bounds import OTHER_RUNTIME
from visionport.verification.run import Candidate, metric_check


def record(path: Path, boxes, classes, image: np.ndarray) -> None:
    """A TFRecord with one labelled picture."""
    import tensorflow as tf

    data = io.BytesIO()
    Image.fromarray(image).save(data, "PNG")
    kinds = {"bytes_list": tf.train.BytesList, "float_list": tf.train.FloatList, "int64_list": tf.train.Int64List}
    values: dict[str, Any] = {"image/encoded": ("bytes_list", [data.getvalue()])}
    for i, side in enumerate(("ymin", "xmin", "ymax", "xmax")):
        values[f"image/object/bbox/{side}"] = "float_list", [float(b[i]) for b in boxes]
    values["image/object/class/label"] = "int64_list", classes
    feature = {k: tf.train.Feature(**{kind: kinds[kind](value=v)}) for k, (kind, v) in values.items()}
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def answer(boxes, scores, classes):
    rows = {"boxes": boxes, "scores": scores, "classes": classes}
    return lambda image: {f"detection_{k}": np.asarray(v, np.float32) for k, v in rows.items()}


def test_mean_average_precision_of_known_answers(tmp_path):
    path = tmp_path / "labelled.tfrecord"
    boxes = [[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]]
    record(path, boxes, [1, 2], np.zeros((100, 200, 3), np.uint8))
    runs = {
        "right": answer(boxes, [0.9, 0.8], [1, 2]),
        "half": answer(boxes, [0.9, 0.8], [1, 1]),  # one class found, the other missed
        "shifted": answer([[0.1, 0.1, 0.5, 0.4], boxes[1]], [0.9, 0.8], [1, 2]),  # an overlap of 0.75
        "nothing": answer(np.zeros((0, 4)), [], []),
    }
    found = metric.evaluate(runs, path)
    assert found["right"].value == pytest.approx(1)
    assert found["right"].more == "IoU 0.5 to 0.95: 1.0000"
    assert found["half"].value == pytest.approx(0.5)
    assert found["shifted"].value == pytest.approx(1)
    mean = float(found["shifted"].more.rpartition(" ")[2])
    assert mean == pytest.approx(0.8, abs=0.051)  # 5 or 6 of ten thresholds for one of two classes
    assert found["nothing"] == Measure(value=0.0, more="IoU 0.5 to 0.95: 0.0000")


def test_a_loss_is_judged_by_what_rounds_the_file(tmp_path):
    def judge(**more):
        candidate = Candidate(format="tflite", open=lambda: None, tolerance=OTHER_RUNTIME, **more)  # type: ignore
        return metric_check("mAP@0.5", candidate, Measure(value=0.89), Measure(value=0.9), tmp_path)

    assert judge(loss="").state == "disagrees"
    assert judge(loss="int8").state == "agrees"
    told = judge(by_design="fast NMS keeps one class a place")
    assert (told.bound, told.state) == (None, "differs by design")


def test_what_cannot_be_evaluated(tmp_path, digits):
    with pytest.raises(InputError, match="no such TFRecord"):
        export(asked(digits, tmp_path / "out", evaluate=tmp_path / "none"))
    with pytest.raises(InputError, match=r"--evaluate .* is no TFRecord"):
        list(metric.labelled(digits / "images" / "digits-0.jpg"))
    path = tmp_path / "unlabelled.tfrecord"
    record(path, [], [], np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="not one of its pictures has a label"):
        list(metric.labelled(path))
    with pytest.raises(OptionError, match="leave out --no-verify"):
        asked(digits, evaluate=path, verify=False).check()


@pytest.fixture(scope="module")
def partly(tmp_path_factory, digits):
    """int8, but for depthwise convolutions; on request, evaluated."""
    folder = tmp_path_factory.mktemp("partly")
    picture = images.read(digits / "images" / "digits-0.jpg")
    record(folder / "labelled.tfrecord", [[0.1, 0.1, 0.5, 0.5]], [7], picture)
    options = {"quantize": "int8", "quantize_exclude": ("DEPTHWISE_CONV_2D",), **PICTURES}
    return export(asked(digits, folder / "out", evaluate=folder / "labelled.tfrecord", **options))


def kinds_of(op_name, folder):
    """The types of what an export's operations of that name give."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / "model.tflite"))
    kinds = {d["index"]: d["dtype"] for d in interpreter.get_tensor_details()}
    return {kinds[op["outputs"][0]] for op in interpreter._get_ops_details() if op["op_name"] == op_name}


def test_excluded_ops_stay_float32(partly):
    assert kinds_of("DEPTHWISE_CONV_2D", partly.out) == {np.float32}
    assert kinds_of("CONV_2D", partly.out) == {np.int8}


def test_layers_and_precision_are_told(partly):
    told = {c.what: c for c in partly.checks}
    layers = [c for what, c in told.items() if what.startswith("layer ")]
    assert len(layers) == 10
    assert all(c.bound is None and 10 < c.measured < 60 for c in layers)
    assert any(re.search("FeatureExtractor/MobilenetV2/.*", c.what) for c in layers)
    assert "mAP@0.5 lost" in told


def test_layers_are_excluded_by_name(digits, tmp_path):
    options = {"quantize": "int8", "verify": False, **PICTURES}
    out = export(asked(digits, tmp_path / "out", quantize_exclude=(r"MobilenetV2/Conv\d*(;|$)",), **options)).out
    counts = read_contents((out / "model.tflite").read_bytes()).ops
    whole = export(asked(digits, tmp_path / "whole", **options)).out
    before = read_contents((whole / "model.tflite").read_bytes()).ops
    assert counts["CONV_2D"] == before["CONV_2D"]
    assert counts["QUANTIZE"] == before["QUANTIZE"]  # the input goes in as it is, and is quantised behind that layer
    scores = export(asked(digits, tmp_path / "scores", quantize_exclude=("^class_scores$",), **options)).out
    assert kinds_of("LOGISTIC", whole) == {np.int8}
    assert kinds_of("LOGISTIC", scores) == {np.float32}  # an output goes by its own name
    with pytest.raises(OptionError, match="DEPTHWISE_CONV_2D"):
        export(asked(digits, tmp_path / "no", quantize_exclude=("DEPTHWISE_CONV",), **options))
    assert not (tmp_path / "no").exists()


def test_exclusions_are_of_int8(digits):
    with pytest.raises(OptionError, match="int8 and uint8"):
        asked(digits, quantize="dynamic", quantize_exclude=("CONV_2D",)).check()
