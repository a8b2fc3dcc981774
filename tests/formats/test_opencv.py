"""OpenCV loads the frozen graph with `opencv.pbtxt` and finds what `visionport predict` does."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environments import interpreter, run, run_snippet
from golden_cases import CASES, make_checkpoint
from PIL import Image

from visionport import Options, export, prediction
from visionport.config import read_config
from visionport.errors import OptionError, UnsupportedError
from visionport.formats import opencv

# The program in the head of the file, around which there are only lines that read and print.
PROGRAM = """
import os, sys
import cv2, json

folder, *pictures = sys.argv[1:]
os.chdir(folder)
for picture in pictures:
    image, found = cv2.imread(picture), []
{program}
        found.append([float(v) for v in (label, score, ymin, xmin, ymax, xmax)])
    print(json.dumps([row for row in found if row[1] > 0]))
"""


@pytest.fixture(scope="module", params=["opencv-python-headless", "opencv-python-headless<5"])
def python(request, tmp_path_factory) -> Path:
    return interpreter(tmp_path_factory.mktemp("opencv"), request.param, "cv2", "numpy")


def detections(python, folder, pictures):
    """Rows of (class id, score, ymin, xmin, ymax, xmax) of each picture, by the program in the file's head."""
    head = re.findall(r"^# ?(.*)$", (folder / opencv.NAME).read_text(), re.MULTILINE)
    first = next(i for i, line in enumerate(head) if line.startswith("net ="))
    last = next(i for i, line in enumerate(head) if line.startswith("for "))
    program = "\n".join(f"    {line}" for line in head[first : last + 1])
    return [
        np.array(json.loads(row))
        for row in run(python, PROGRAM.format(program=program), folder, *pictures).splitlines()
    ]


def overlap(a, b):
    """Intersection over union of boxes (ymin, xmin, ymax, xmax): [n, 4] and [4] -> [n]."""
    low, high = np.maximum(a[:, :2], b[:2]), np.minimum(a[:, 2:], b[2:])
    both = np.prod(np.clip(high - low, 0, None), 1)
    return both / (np.prod(a[:, 2:] - a[:, :2], 1) + np.prod(b[2:] - b[:2]) - both)


def test_the_same_detections(python, frozen, digits, tmp_path):
    # Without its own decoding of JPEG and its own way to resize: these have the input's size.
    pictures = [tmp_path / f"{i}.png" for i in range(6)]
    for i, picture in enumerate(pictures):
        Image.open(digits / "images" / f"digits-{i}.jpg").save(picture)
    for found, mine in zip(detections(python, frozen, pictures), prediction.predict(frozen, pictures), strict=True):
        found = found[found[:, 1] >= 0.3]
        size = [mine["height"], mine["width"]] * 2
        boxes = [[d["box"][side] for side in ("ymin", "xmin", "ymax", "xmax")] for d in mine["detections"]]
        assert found[:, 0].tolist() == [d["class"] for d in mine["detections"]]
        assert found[:, 1] == pytest.approx([d["score"] for d in mine["detections"]], abs=1e-4)
        assert np.clip(found[:, 2:], 0, 1) * size == pytest.approx(np.array(boxes), abs=0.02)  # of pixels; rounded


# Pyramids by upsampling; depthwise kernels over a map of one pixel, squeeze and excitation; swish, no background class,
# padding.
@pytest.fixture(
    scope="session",
    params=[
        "ssd_mobilenet_v2_fpnlite_320x320_coco17_tpu-8",
        "ssdlite_mobilenet_v3_small_320x320_coco",
        "ssd_efficientdet_d0_512x512_coco17_tpu-8",
    ],
)
def golden(request, tmp_path_factory) -> Path:
    """The export of a golden case."""
    if request.param not in CASES:
        pytest.skip("this golden case is not here")
    folder, config = tmp_path_factory.mktemp("golden"), CASES[request.param]
    prefix, out = make_checkpoint(config, folder / "checkpoint"), folder / "out"
    # Few enough that scores differ: weights by a rule give crowds of equal ones.
    few = "max_detections_per_class: 20 max_total_detections: 20"
    override = f"model {{ ssd {{ post_processing {{ batch_non_max_suppression {{ {few} }} }} }} }}"
    how: dict[str, Any] = {"formats": ("saved_model", "frozen_graph"), "opencv": True, "verify": False}
    return export(Options(config=config, checkpoint=prefix, out=out, config_override=override, **how)).out


def test_golden_cases(python, digits, golden, tmp_path):
    import tensorflow as tf

    resizer: Any = read_config(golden).model.resizer
    side = getattr(resizer, "width", None) or resizer.max_dimension
    Image.open(digits / "images" / "digits-1.jpg").resize((side, side)).save(tmp_path / "image.png")
    (found,) = detections(python, golden, [tmp_path / "image.png"])
    signature = tf.saved_model.load(golden / "saved_model").signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    wanted = signature(**{name: tf.constant(np.array(Image.open(tmp_path / "image.png"))[None])})
    keys = "detection_classes", "detection_scores", "detection_boxes", "num_detections"
    classes, scores, boxes, count = (wanted[k].numpy()[0] for k in keys)
    assert len(found) == count == 20
    offset = 1 if "id less 1" in (golden / opencv.NAME).read_text() else 0
    for label, score, box in zip(classes, scores, boxes, strict=True):
        same = (found[:, 0] + offset == label) & (abs(found[:, 1] - score) < 1e-3)
        assert overlap(np.clip(found[same, 2:], 0, 1), box).max(initial=0) > 0.99


def test_kernels_over_one_pixel_lose_what_sees_only_padding():
    import tensorflow as tf

    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 1)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        x = tf.raw_ops.Placeholder(dtype=tf.float32, shape=(1, 1, 5, 4))
        y = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "SAME")
    definition = graph.as_graph_def()
    opencv.narrow(definition)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.import_graph_def(definition, name="")
        taps = session.graph.get_operation_by_name(y.op.name).inputs[1]
        given = {x.name: np.random.default_rng(1).normal(size=(1, 1, 5, 4))}
        narrowed = session.run(y.name, given)
        assert taps.shape == (1, 3, 4, 1)
    with tf.compat.v1.Session(graph=graph) as session:
        assert narrowed == pytest.approx(session.run(y.name, given), abs=1e-6)


def options(digits, tmp_path, **more):
    return Options(config=digits / "tf2", checkpoint=digits / "tf2", out=tmp_path / "out", opencv=True, **more)


def test_it_goes_with_the_frozen_graph(digits, tmp_path):
    with pytest.raises(OptionError, match="add --format frozen_graph"):
        export(options(digits, tmp_path))


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 } }", "soft NMS"),
        ("post_processing { batch_non_max_suppression { use_class_agnostic_nms: true } }", "class-agnostic NMS"),
        ("image_resizer { fixed_shape_resizer { height: 192 width: 192 convert_to_grayscale: true } }", "grayscale"),
    ],
)
def test_what_opencv_cannot_do(digits, tmp_path, override, what):
    override = f"model {{ ssd {{ {override} }} }}"
    with pytest.raises(UnsupportedError, match=f"--opencv cannot do {what}"):
        export(options(digits, tmp_path, formats=("frozen_graph",), config_override=override))
    assert not (tmp_path / "out").exists()


def test_the_snippet_in_the_documents(python, frozen, digits, tmp_path):
    picture = digits / "images" / "digits-0.jpg"
    assert run_snippet(python, "OpenCV", frozen, picture, tmp_path, **{"(300, 300)": "(192, 192)"}).strip()
