"""MediaPipe's ObjectDetector loads the TFLite file as it is, and finds what `visionport predict` does."""

import json
from pathlib import Path

import pytest
from environments import interpreter, run, run_snippet
from PIL import Image

from visionport import Options, export, predict

DETECT = """
import json, sys
import mediapipe
from mediapipe.tasks import python
from mediapipe.tasks.python import vision

model, *pictures = sys.argv[1:]
options = vision.ObjectDetectorOptions(python.BaseOptions(model_asset_path=model), score_threshold=0.3, max_results=-1)
with vision.ObjectDetector.create_from_options(options) as detector:
    for picture in pictures:
        found = detector.detect(mediapipe.Image.create_from_file(picture)).detections
        boxes = [(d.bounding_box, d.categories[0]) for d in found]
        print(json.dumps([(c.category_name, c.score, b.origin_x, b.origin_y, b.width, b.height) for b, c in boxes]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return interpreter(tmp_path_factory.mktemp("mediapipe"), "mediapipe", "mediapipe.tasks.python.vision")


def one_a_place(detections):
    """MediaPipe suppresses once more, over all classes: of those in one place it keeps the best."""
    kept = []
    for d in detections:
        if all(max(abs(d["box"][k] - other["box"][k]) for k in d["box"]) > 3 for other in kept):
            kept.append(d)
    return kept


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_the_same_detections(python, digits, tmp_path, kind):
    out, labels = tmp_path / "out", digits / "label_map.pbtxt"
    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": labels, "out": out}
    export(Options(**places, formats=("tflite",), tflite_input=kind, verify=False))
    # Without its own decoding of JPEG and its own way to resize: these have the input's size.
    pictures = [tmp_path / f"{i}.png" for i in range(3)]
    for i, picture in enumerate(pictures):
        Image.open(digits / "images" / f"digits-{i}.jpg").save(picture)
    printed = run(python, DETECT, out / "model.tflite", *pictures)
    for line, mine in zip(printed.splitlines(), predict.predict(out, pictures), strict=True):
        theirs, ours = json.loads(line), one_a_place(mine["detections"])
        assert [t[0] for t in theirs] == [d["label"] for d in ours]
        for (_, score, x, y, width, height), detection in zip(theirs, ours, strict=True):
            box = detection["box"]
            assert score == pytest.approx(detection["score"], abs=1e-3)
            sides = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
            assert (x, y, width, height) == pytest.approx((box["xmin"], box["ymin"], *sides), abs=1.01)  # whole pixels


def test_the_snippet_in_the_documents(python, exported, digits, tmp_path):
    picture = digits / "images" / "digits-0.jpg"
    assert run_snippet(python, "MediaPipe", exported, picture, tmp_path).strip()
