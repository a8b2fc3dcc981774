"""MediaPipe's ImageClassifier and ImageSegmenter load classifiers' and segmenters' files as they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from environments import interpreter, run
from PIL import Image

from visionport import convert
from visionport.tflite import edit, metadata
from visionport.tflite.flatbuffer import parse

NAMES = ["background", "a cat", "a dog", "a bird"]


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    return interpreter(tmp_path_factory.mktemp("mediapipe"), "mediapipe", "mediapipe.tasks.python.vision")


@pytest.fixture
def picture(tmp_path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    Image.fromarray(noise).resize((32, 32), Image.Resampling.NEAREST).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def classify(pixels):
    import tensorflow as tf

    random = np.random.default_rng(1)
    kernel, dense = (tf.constant(random.normal(size=s), tf.float32) for s in ((3, 3, 3, 8), (8, 4)))
    maps = tf.nn.relu(tf.nn.conv2d((pixels - 127.5) / 60, kernel, 2, "SAME"))
    logits = tf.reduce_mean(maps, [1, 2]) @ dense
    return {"logits": logits, "probs": tf.nn.softmax(logits)}


def segment(pixels):
    import tensorflow as tf

    random = np.random.default_rng(1)
    kernel, scores = (tf.constant(random.normal(size=s), tf.float32) for s in ((3, 3, 3, 4), (4, 4)))
    logits = tf.nn.conv2d((pixels - 127.5) / 60, kernel, 1, "SAME")
    return {"logits": logits, "mask_scores": tf.sigmoid(tf.reduce_mean(logits, [1, 2]) @ scores)}


def made(function, out: Path, activation: str = "softmax") -> Path:
    """The function of pixels as a TFLite file that takes them, with metadata."""
    import tensorflow as tf

    spec = tf.TensorSpec([1, 32, 32, 3], tf.float32, name="image")
    concrete = tf.function(function, input_signature=[spec], autograph=False)
    shapes = {name: tuple(t.shape) for name, t in concrete.get_concrete_function().structured_outputs.items()}
    data = edit.reorder_outputs(convert(concrete, out).out.read_bytes(), metadata.in_order(shapes))
    about = {"name": "a model", "description": "of four classes", "labels": "".join(f"{n}\n" for n in NAMES)}
    image = metadata.Image(mean=(0.0,) * 3, std=(1.0,) * 3)
    out.write_bytes(
        metadata.add(data, image=image, outputs=metadata.outputs_for(shapes, len(NAMES), activation), **about)
    )
    return out


def test_what_the_metadata_says(tmp_path):
    data = made(segment, tmp_path / "m.tflite").read_bytes()
    found = metadata.read(data, parse(data))
    assert found
    assert found["min_parser_version"] == "1.5.0"
    scores, logits = found["subgraphs"][0]["outputs"]
    assert (logits["name"], logits["content"], logits["color_space"]) == ("logits", "image", "grayscale")
    assert (scores["name"], scores["content"]) == ("mask_scores", "feature")
    assert logits["files"] == scores["files"] == ["labels.txt"]
    data = made(classify, tmp_path / "c.tflite").read_bytes()
    found = metadata.read(data, parse(data))
    assert found
    assert found["min_parser_version"] == "1.2.0"
    assert [o["files"] for o in found["subgraphs"][0]["outputs"]] == [["labels.txt"]] * 2


def test_outputs_with_a_number_for_each_class():
    shapes = {"logits": (1, 8, 8, 5), "probs": (1, 5), "image_info": (1, 4, 2), "features": (1, 8, 8, 6)}
    assert set(metadata.outputs_for(shapes, 5)) == {"logits", "probs"}
    assert {o.activation for o in metadata.outputs_for(shapes, 5, "sigmoid").values()} == {"sigmoid", ""}


CLASSIFY = """
import json, sys
import mediapipe
from mediapipe.tasks import python
from mediapipe.tasks.python import vision

model, picture = sys.argv[1:]
options = vision.ImageClassifierOptions(python.BaseOptions(model_asset_path=model), max_results=-1)
with vision.ImageClassifier.create_from_options(options) as classifier:
    heads = classifier.classify(mediapipe.Image.create_from_file(picture)).classifications
    print(json.dumps({h.head_name: {c.category_name: c.score for c in h.categories} for h in heads}))
"""


def test_a_classifier(python, picture, tmp_path):
    found = json.loads(run(python, CLASSIFY, made(classify, tmp_path / "m.tflite"), picture))
    wanted = classify(np.asarray(Image.open(picture), np.float32)[None])
    assert list(found) == ["probs", "logits"]
    for head, scores in found.items():
        mine = dict(zip(NAMES, map(float, wanted[head].numpy()[0]), strict=True))
        assert scores == pytest.approx(mine, abs=1e-3)


SEGMENT = """
import json, sys
import mediapipe
from mediapipe.tasks import python
from mediapipe.tasks.python import vision

model, picture = sys.argv[1:]
options = vision.ImageSegmenterOptions(
    python.BaseOptions(model_asset_path=model), output_category_mask=True, output_confidence_masks=True
)
with vision.ImageSegmenter.create_from_options(options) as segmenter:
    found = segmenter.segment(mediapipe.Image.create_from_file(picture))
    print(json.dumps({
        "labels": segmenter.labels,
        "classes": found.category_mask.numpy_view().squeeze().tolist(),
        "confidences": [mask.numpy_view().squeeze().tolist() for mask in found.confidence_masks],
    }))
"""


@pytest.mark.parametrize("activation", ["softmax", ""])
def test_a_segmenter(python, picture, tmp_path, activation):
    import tensorflow as tf

    found = json.loads(run(python, SEGMENT, made(segment, tmp_path / "m.tflite", activation), picture))
    logits = segment(np.asarray(Image.open(picture), np.float32)[None])["logits"]
    wanted = (tf.nn.softmax(logits) if activation else logits).numpy()[0]
    assert found["labels"] == NAMES
    np.testing.assert_array_equal(found["classes"], wanted.argmax(-1))
    np.testing.assert_allclose(np.moveaxis(found["confidences"], 0, -1), wanted, atol=1e-3)
