"""MediaPipe loads TFLite files as they are: its ObjectDetector finds what `visionport predict` does, its
ImageClassifier what a converted classifier does."""

import json
from pathlib import Path

import numpy as np
import pytest
from environments import interpreter, run, run_snippet
from PIL import Image

from visionport import Options, convert, export, prediction
from visionport.inputs import pictures as images

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


CALIBRATED = {"calibration": Path(str(images.example("digits/images")))}
KINDS = {  # with eight, four and four names in the signature
    "float": {},
    "float16": {"quantize": "float16", "tflite_outputs": "named"},
    "dynamic": {"quantize": "dynamic", "tflite_outputs": "numbered"},
    "int8": {"quantize": "int8", **CALIBRATED},
    "uint8": {"quantize": "uint8", **CALIBRATED},
    "pixels": {"tflite_input": "uint8"},
}


@pytest.mark.parametrize(("api", "kind"), [(api, kind) for api in ("tf1", "tf2") for kind in KINDS])
def test_the_same_detections(python, digits, tmp_path, api, kind):
    """MediaPipe suppresses once more, over all classes: of those with one box in whole pixels it keeps the best."""
    out, labels = tmp_path / "out", digits / "label_map.pbtxt"
    places = {"config": digits / api, "checkpoint": digits / api, "labels": labels, "out": out}
    export(Options(**places, formats=("tflite",), verify=False, **KINDS[kind]))
    # Without its own decoding of JPEG and its own way to resize: these have the input's size.
    pictures = [tmp_path / f"{i}.png" for i in range(3)]
    for i, picture in enumerate(pictures):
        Image.open(digits / "images" / f"digits-{i}.jpg").save(picture)
    printed = run(python, DETECT, out / "model.tflite", *pictures)
    for line, mine in zip(printed.splitlines(), prediction.predict(out, pictures), strict=True):
        theirs, ours, seen = json.loads(line), mine["detections"], []
        assert theirs
        for label, score, *place in theirs:
            found = [d for d in ours if d["label"] == label and close(d, place, 1.01)]  # whole pixels
            assert [d["score"] for d in found] == pytest.approx([score], abs=1e-3)
            seen += found
        for left in (d for d in ours if d not in seen):
            assert any(close(left, place, 2.01) and score >= left["score"] - 1e-3 for _, score, *place in theirs)


def close(detection, place, most) -> bool:
    """place: x, y, width, height."""
    box = detection["box"]
    mine = box["xmin"], box["ymin"], box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]
    return place == pytest.approx(mine, abs=most)


def test_the_snippet_in_the_documents(python, exported, digits, tmp_path):
    picture = digits / "images" / "digits-0.jpg"
    assert run_snippet(python, "MediaPipe", exported, picture, tmp_path).strip()


CLASSIFY = """
import json, sys
import mediapipe
from mediapipe.tasks import python
from mediapipe.tasks.python import vision

model, *pictures = sys.argv[1:]
options = vision.ImageClassifierOptions(python.BaseOptions(model_asset_path=model), max_results=-1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    for picture in pictures:
        (found,) = classifier.classify(mediapipe.Image.create_from_file(picture)).classifications
        print(json.dumps({c.category_name: c.score for c in found.categories}))
"""


@pytest.mark.parametrize("kind", ["float", "uint8", "quantised"])
def test_a_converted_classifier(python, tmp_path, kind):
    import tensorflow as tf

    random = np.random.default_rng(0)
    kernel, dense = (tf.constant(random.normal(size=s) / 3, tf.float32) for s in ((3, 3, 3, 8), (8, 4)))
    means, deviations = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
    if kind == "float":  # MediaPipe takes no other for each channel
        means, deviations = (127.5,) * 3, (60.0,) * 3

    @tf.function(input_signature=[tf.TensorSpec([1, 32, 32, 3], name="image")], autograph=False)
    def classify(image):
        maps = tf.nn.relu(tf.nn.conv2d(image, kernel, 2, "SAME"))
        return {"probabilities": tf.nn.softmax(tf.reduce_mean(maps, [1, 2]) @ dense)}

    names, pictures = ["background", "a cat", "a dog", "a bird"], tmp_path / "pictures"
    (tmp_path / "names.txt").write_text("\n".join(names))
    pictures.mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 100 * (i + 1) - 45, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(noise).save(pictures / f"{i}.png")
    kinds: dict[str, dict] = {
        "float": {},
        "uint8": {"input_type": "uint8"},
        "quantised": {"quantize": "uint8", "calibration": pictures},
    }
    how = {"mean": means, "std": deviations, "labels": tmp_path / "names.txt", **kinds[kind]}
    done = convert(classify, tmp_path / "m.tflite", **how)
    assert done.agrees
    printed = run(python, CLASSIFY, done.out, *sorted(pictures.iterdir()))
    for line, picture in zip(printed.splitlines(), sorted(pictures.iterdir()), strict=True):
        pixels = np.asarray(Image.open(picture), np.float32)[None]
        wanted = classify(((pixels - means) / deviations).astype(np.float32))["probabilities"].numpy()[0]
        close = 0.02 if kind == "quantised" else 1e-3
        assert json.loads(line) == pytest.approx(dict(zip(names, map(float, wanted), strict=True)), abs=close)
