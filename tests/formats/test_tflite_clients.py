"""How real clients read a TFLite detector, each rule as its source documents it, on every kind of file that we write.

The rules are theirs: which output is what, by position or by name, and what the numbers mean. All must find what
`visionport predict` finds.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
from environments import run_snippet
from PIL import Image

from visionport import Options, export, prediction
from visionport.inputs import pictures

PICTURES = Path(str(pictures.example("digits/images")))
KINDS = {
    "float": {},
    "float16": {"quantize": "float16"},
    "dynamic": {"quantize": "dynamic"},
    "int8": {"quantize": "int8", "calibration": PICTURES},
    "int8 input": {"quantize": "int8", "tflite_input": "int8", "calibration": PICTURES},
    "uint8": {"quantize": "uint8", "calibration": PICTURES},
    "pixels": {"tflite_input": "uint8"},
    "fast": {"tflite_nms": "fast", "max_detections": 10},
}
FILES = [(api, kind) for api in ("tf1", "tf2") for kind in KINDS]


@pytest.fixture(scope="module", params=FILES, ids=lambda f: "-".join(f).replace(" ", "-"))
def detector(request, tmp_path_factory, digits):
    """(an interpreter that has seen a picture, what `predict` finds there as [(class, score, box)])."""
    from ai_edge_litert.interpreter import Interpreter

    api, kind = request.param
    if not (digits / api).is_dir():
        pytest.skip(f"no {api} digits here")
    out = tmp_path_factory.mktemp("clients") / "out"
    places = {"config": digits / api, "checkpoint": digits / api, "labels": digits / "label_map.pbtxt", "out": out}
    export(Options(**places, formats=("tflite",), verify=False, **KINDS[kind]))
    picture = pictures.read(digits / "images" / "digits-0.jpg")
    run = prediction.load(out)
    found = run(picture)
    rows = zip(*(found[f"detection_{k}"] for k in ("classes", "scores", "boxes")), strict=True)

    interpreter = Interpreter(str(out / "model.tflite"))
    interpreter.allocate_tensors()
    feed(interpreter, picture)
    interpreter.invoke()
    return interpreter, [r for r in rows if r[1] >= 0.4]


def feed(interpreter, picture):
    """Pixels resized; normalised for a float input; by scale and zero point for an int8 one. As the examples do."""
    (source,) = interpreter.get_input_details()
    _, height, width, _ = source["shape"]
    pixels = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))[None]
    if source["dtype"] != np.uint8:
        pixels = (pixels.astype(np.float32) - 127.5) / 127.5
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        pixels = np.clip(np.rint(pixels / scale) + zero, -128, 127)
    interpreter.set_tensor(source["index"], pixels.astype(source["dtype"]))


def output(interpreter, i):
    return interpreter.get_tensor(interpreter.get_output_details()[i]["index"])


# --- the rules: each gives [(class from 0, score, (ymin, xmin, ymax, xmax))] above 0.4 ---


def edgetpu_engine(interpreter):
    """edgetpu's DetectionEngine: all outputs flattened behind each other; the fourth's first is the count."""
    sizes = [int(np.prod(d["shape"])) for d in interpreter.get_output_details()]
    assert len(sizes) == 4
    flat = np.concatenate([output(interpreter, i).ravel() for i in range(4)])
    boxes, classes, scores, count = np.cumsum([0, *sizes[:3]])
    found = []
    for i in range(round(float(flat[count]))):
        if flat[scores + i] > 0.4:
            y1, x1, y2, x2 = flat[boxes + 4 * i : boxes + 4 * i + 4]
            box = max(0.0, y1), max(0.0, x1), min(1.0, y2), min(1.0, x2)
            found.append((round(float(flat[classes + i])), flat[scores + i], box))
    return sorted(found, key=lambda f: -f[1])


def pycoral(interpreter):
    """pycoral 2's detect.get_objects: one signature's output_0 (count) to output_3 (boxes), where there is a signature;
    without, boxes, classes, scores, count where the fourth output has one value, else scores, boxes, count, classes."""
    signatures = interpreter._get_full_signature_list()
    if signatures:
        (signature,) = signatures.values()
        count, scores, classes, boxes = (interpreter.get_tensor(signature["outputs"][f"output_{i}"]) for i in range(4))
    elif output(interpreter, 3).size == 1:
        boxes, classes, scores, count = (output(interpreter, i) for i in range(4))
    else:
        scores, boxes, count, classes = (output(interpreter, i) for i in range(4))
    rows = zip(classes[0], scores[0], boxes[0], strict=True)
    return [(int(c), float(s), b) for c, s, b in list(rows)[: int(count[0])] if s >= 0.4]


def pycoral_without_signatures(interpreter):
    """pycoral 1: by position alone."""
    boxes, classes, scores, count = (output(interpreter, i) for i in range(4))
    assert output(interpreter, 3).size == 1
    return [(int(classes[0][i]), float(scores[0][i]), boxes[0][i]) for i in range(int(count[0])) if scores[0][i] >= 0.4]


def frigate(interpreter):
    """Frigate's cpu and edgetpu detectors: by position, at most 20, and it stops at the first score below 0.4."""
    boxes, classes, scores = (output(interpreter, i)[0] for i in range(3))
    rows = np.zeros((20, 6), np.float32)
    for i in range(int(output(interpreter, 3)[0])):
        if scores[i] < 0.4 or i == 20:
            break
        rows[i] = [classes[i], float(scores[i]), *boxes[i]]
    return [(int(r[0]), r[1], r[2:]) for r in rows if r[1] > 0]


def tensor_names(interpreter):
    """The TensorFlow examples that look for the op's tensor names, with ":1" to ":3"."""
    tensors = {d["name"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}
    boxes, classes, scores, count = (tensors[f"TFLite_Detection_PostProcess{s}"] for s in ("", ":1", ":2", ":3"))
    return [(int(classes[0][i]), scores[0][i], boxes[0][i]) for i in range(int(count[0])) if scores[0][i] >= 0.4]


def android(interpreter):
    """TensorFlow's Android and iOS examples: buffers given by position, [1, n, 4], [1, n], [1, n] and [1], of floats;
    the class is an index of the label file, behind a "???" line or not as that file has it."""
    details = interpreter.get_output_details()
    n = details[1]["shape"][1]
    assert [d["shape"].tolist() for d in details] == [[1, n, 4], [1, n], [1, n], [1]]
    assert {d["dtype"] for d in details} == {np.float32}
    boxes, classes, scores = (output(interpreter, i)[0] for i in range(3))
    count = min(n, int(output(interpreter, 3)[0]))
    return [(int(classes[i]), scores[i], boxes[i]) for i in range(count) if scores[i] >= 0.4]


RULES = (edgetpu_engine, pycoral, pycoral_without_signatures, frigate, tensor_names, android)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_reads_what_predict_finds(detector, rule):
    interpreter, expected = detector
    assert len(expected) > 1
    found = rule(interpreter)
    assert [c + 1 for c, _, _ in found] == [c for c, _, _ in expected]
    for (_, score, box), (_, wanted, place) in zip(found, expected, strict=True):
        assert score == pytest.approx(wanted, abs=0.02)  # another way to resize
        assert np.abs(np.clip(box, 0, 1) - place).max() < 0.02


def test_scores_fall_so_that_a_reader_may_stop_early(detector):
    interpreter, _ = detector
    scores = output(interpreter, 2)[0][: int(output(interpreter, 3)[0])]
    assert (np.diff(scores) <= 0).all()


def test_litert_signature_runner(detector, digits):
    interpreter, expected = detector
    (name,) = interpreter.get_signature_list()
    runner = interpreter.get_signature_runner(name)
    (source,) = interpreter.get_input_details()
    ((key, details),) = runner.get_input_details().items()
    assert (key, details["index"]) == ("normalized_input_image_tensor", source["index"])
    feed(interpreter, pictures.read(digits / "images" / "digits-0.jpg"))
    found = runner(**{key: interpreter.get_tensor(source["index"]).copy()})
    count = int(found["num_detections"][0])
    kept = [i for i in range(count) if found["detection_scores"][0][i] >= 0.4]
    assert [int(found["detection_classes"][0][i]) + 1 for i in kept] == [c for c, _, _ in expected]
    for old, new in zip(("boxes", "classes", "scores"), (3, 2, 1), strict=True):
        np.testing.assert_array_equal(found[f"detection_{old}"], found[f"output_{new}"])


def test_the_snippet_for_coral(digits, tmp_path_factory, tmp_path):
    """But for the accelerator, and what its compiler does."""
    out = tmp_path_factory.mktemp("coral") / "out"
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "out": out}
    export(Options(**places, formats=("tflite",), verify=False, **KINDS["uint8"]))
    without = {'[load_delegate("libedgetpu.so.1")]': "[]", "model_edgetpu": "model"}
    picture = digits / "images" / "digits-0.jpg"
    printed = run_snippet(sys.executable, "Coral", out, picture, tmp_path, **without)
    run = prediction.load(out)
    found = run(pictures.read(picture))
    expected = found["detection_classes"][found["detection_scores"] > 0.3]
    assert [int(line.split()[0]) + 1 for line in printed.splitlines()] == expected.tolist()
