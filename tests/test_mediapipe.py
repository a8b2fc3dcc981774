"""MediaPipe's ObjectDetector loads the TFLite file as it is, and finds what `visionport predict` does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
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
    """An interpreter that has MediaPipe: of VISIONPORT_MEDIAPIPE, or of an environment made here."""
    given = os.environ.get("VISIONPORT_MEDIAPIPE")
    made = Path(given) if given else tmp_path_factory.mktemp("mediapipe") / "bin" / "python"
    if not given:
        steps = [[sys.executable, "-m", "venv", made.parents[1]], [made, "-m", "pip", "install", "-q", "mediapipe"]]
        if any(subprocess.run(step, capture_output=True).returncode for step in steps):
            pytest.skip("MediaPipe cannot be installed here")
    loads = subprocess.run([made, "-c", "from mediapipe.tasks.python import vision"], capture_output=True)
    if loads.returncode:
        pytest.skip("MediaPipe does not load on this machine")
    return made


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
    run = subprocess.run(
        [python, "-c", DETECT, out / "model.tflite", *pictures], capture_output=True, text=True, check=True
    )
    for line, mine in zip(run.stdout.splitlines(), predict.predict(out, pictures), strict=True):
        theirs, ours = json.loads(line), one_a_place(mine["detections"])
        assert [t[0] for t in theirs] == [d["label"] for d in ours]
        for (_, score, x, y, width, height), detection in zip(theirs, ours, strict=True):
            box = detection["box"]
            assert score == pytest.approx(detection["score"], abs=1e-3)
            sides = box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
            assert (x, y, width, height) == pytest.approx((box["xmin"], box["ymin"], *sides), abs=1.01)  # whole pixels
