"""`--openvino-head model_api`: outputs as OpenVINO's Model API and Deep Learning Streamer read them."""

import json
from pathlib import Path

import numpy as np
import pytest
from environments import interpreter, run
from PIL import Image
from places import SHARED
from sampling import ALL

import visionport
from visionport import Options, export
from visionport.config.layers import FitAndPad
from visionport.errors import UnsupportedError
from visionport.formats import format_of
from visionport.formats.base import Reading
from visionport.formats.openvino import ir, model_api
from visionport.tasks.segmentation.answers import class_map

pytest.importorskip("openvino")
FORMAT = format_of("openvino")
ROW = ("image", "label", "score", "xmin", "ymin", "xmax", "ymax")


@pytest.fixture(scope="module")
def made(tmp_path_factory, digits) -> Path:
    """A detector beside its SavedModel, verified."""
    out = tmp_path_factory.mktemp("model_api") / "made"
    given: dict = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt"}
    given |= {"formats": ("saved_model", "openvino"), "openvino_head": "model_api"}
    done = export(Options(**given, out=out))
    assert done.agrees
    judged = {c.what for c in done.checks if c.artifact == "openvino" and c.bound is not None}
    assert judged == {"outputs", "detections matched"}
    return out


def runner_of(path: Path, **how):
    return FORMAT.open(path, Reading(input="input_tensor", type="image_tensor"), **how)


def pictures(digits, count):
    return np.stack([np.array(Image.open(digits / "images" / f"digits-{i}.jpg")) for i in range(count)])


def test_rows_are_the_saved_models_detections(made, digits):
    import openvino

    path = made / "openvino" / "model.xml"
    (output,) = ir.read(path).outputs
    assert (output.name, output.shape[0], output.shape[1], output.shape[3]) == ("detection_out", 1, 1, 7)
    batch = pictures(digits, 3)
    wanted = visionport.load(made, format="saved_model").asker.ask(batch)[0]
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = compiled(batch)[0][0, 0]
    assert rows.shape == (3 * wanted["detection_boxes"].shape[1], len(ROW))
    images = rows[:, 0]
    counts = wanted["num_detections"].astype(int)
    assert (images[: counts.sum()] == np.repeat(range(3), counts)).all()  # no gap between those of two images
    np.testing.assert_array_equal(rows[counts.sum() :], np.tile(model_api.NOBODY, (len(rows) - counts.sum(), 1)))
    for i, count in enumerate(counts):
        mine = rows[images == i]
        ymin, xmin, ymax, xmax = wanted["detection_boxes"][i, :count].T
        np.testing.assert_allclose(mine[:, 3:], np.stack([xmin, ymin, xmax, ymax], 1), atol=2e-5)
        np.testing.assert_allclose(mine[:, 2], wanted["detection_scores"][i, :count], atol=2e-5)
        np.testing.assert_array_equal(mine[:, 1] + 1, wanted["detection_classes"][i, :count])


def test_it_is_asked_like_any_other(made, digits):
    found, wanted = (
        visionport.load(made, format=name).predict(pictures(digits, 1)[0]) for name in ("openvino", "saved_model")
    )
    labels = [d["label"] for d in found["detections"]]
    assert labels == [d["label"] for d in wanted["detections"]]
    assert "six" in labels
    facts = ir.read(made / "openvino" / "model.xml").facts
    assert facts["model_info/model_type"] == "SSD"
    assert facts["model_info/labels"].split()[:2] == ["zero", "one"]


def test_rows_as_the_detections_of_each_image():
    rows = [[0, 1, 0.9, 0.1, 0.2, 0.3, 0.4], [1, 0, 0.8, 0.5, 0.6, 0.7, 0.8], model_api.NOBODY, model_api.NOBODY]
    found = model_api.detections_of(np.array([[rows]]), 2)
    np.testing.assert_allclose(found["detection_boxes"][:, 0], [[0.2, 0.1, 0.4, 0.3], [0.6, 0.5, 0.8, 0.7]], atol=1e-6)
    assert found["num_detections"].tolist() == [1, 1]
    assert found["detection_classes"][:, 0].tolist() == [1, 0]


def test_what_it_refuses():
    video = type("Config", (), {"task": "video", "path": "params.yaml"})
    with pytest.raises(UnsupportedError, match="Model API reads no video"):
        model_api.check(video, "--openvino-head model_api")
    model = type("Model", (), {"rescale_output": False, "resizer": FitAndPad(height=8, width=8)})
    padded = type("Config", (), {"task": "segmentation", "path": "params.yaml", "model": model})
    with pytest.raises(UnsupportedError, match=r"stretch over the picture.*rescale_output=true"):
        model_api.check(padded, "--openvino-head model_api")


def vision(kind: str, out: Path) -> Options:
    """Of a trained model of Official Vision."""
    folder = SHARED / "demo" / "vision" / kind
    if not folder.exists():
        pytest.skip("no ../shared")
    more: dict = {"params_override": "task.export_config.rescale_output=true"} if kind == "segmenter" else {}
    given: dict = {"config": folder, "checkpoint": folder, "formats": ("openvino",), "openvino_head": "model_api"}
    return Options(**given, out=out, **more)


def test_a_detector_whose_boxes_are_in_pixels(tmp_path):
    """And a segmenter, whose logits go before the places."""
    for kind, output in (("detector", "detection_out"), ("segmenter", "segmentation")):
        out = tmp_path / kind
        done = export(vision(kind, out))
        assert done.agrees, str(done)
        assert [t.name for t in ir.read(out / "openvino" / "model.xml").outputs] == [output]


MODEL_API = """
import json, sys
import numpy as np
from model_api.models import Model
from PIL import Image

model = Model.create_model(sys.argv[1], device="CPU")
model.set_param("confidence_threshold", 0.3) if "confidence_threshold" in model.parameters() else None
answer = model(np.asarray(Image.open(sys.argv[2]).convert("RGB")))
if hasattr(answer, "top_labels"):
    print(json.dumps(answer.top_labels[0].name))
elif hasattr(answer, "bboxes"):
    print(json.dumps([answer.bboxes.tolist(), list(map(str, answer.label_names)), answer.scores.tolist()]))
else:
    np.save(sys.argv[3], answer.resultImage)
    print(json.dumps(list(answer.resultImage.shape)))
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Path:
    if not ALL:
        pytest.skip("minutes")
    return interpreter(tmp_path_factory.mktemp("api"), "openvino-model-api", "model_api")


def told(client, *arguments):
    return json.loads(run(client, MODEL_API, *arguments).splitlines()[-1])


def test_the_model_api_reads_a_classifier(client, digits, tmp_path):
    out, folder = tmp_path / "out", digits / "classifier"
    export(Options(config=folder, checkpoint=folder, out=out, formats=("openvino",), labels=digits / "labels.txt"))
    picture = digits / "tiles" / "digit-0.jpg"
    wanted = visionport.predict(out, picture)[0]["classes"][0]["label"]
    assert told(client, out / "openvino" / "model.xml", picture) == wanted


@pytest.mark.parametrize("size", [None, (240, 320)])
def test_the_model_api_reads_a_detector(client, digits, made, tmp_path, size):
    out = made
    picture = digits / "images" / "digits-0.jpg"
    if size:
        out = tmp_path / "out"
        given: dict = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt"}
        export(Options(**given, out=out, formats=("openvino",), openvino_head="model_api", batch=1, image_size=size))
    boxes, labels, scores = told(client, out / "openvino" / "model.xml", picture)
    wanted = visionport.predict(made, picture, format="saved_model")[0]["detections"]
    wanted = [d for d in wanted if d["score"] > 0.3]
    assert labels == [d["label"] for d in wanted]
    for box, score, one in zip(boxes, scores, wanted, strict=True):
        assert abs(score - one["score"]) < (1e-3 if not size else 0.1)
        sides = [one["box"][side] for side in ROW[3:]]
        assert np.abs(np.subtract(box, sides)).max() <= (1 if not size else 6), one


def test_the_model_api_reads_a_segmenter(client, digits, tmp_path):
    out = tmp_path / "out"
    export(vision("segmenter", out))
    picture = digits / "images" / "digits-0.jpg"
    shape = told(client, out / "openvino" / "model.xml", picture, tmp_path / "map.npy")
    width, height = Image.open(picture).size
    assert shape == [height, width]
    wanted = class_map(visionport.load(out, format="openvino").asker(np.asarray(Image.open(picture))), (height, width))
    assert np.mean(np.load(tmp_path / "map.npy") == wanted) > 0.97  # its own resizing takes the nearest
