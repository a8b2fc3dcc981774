"""What the NMS op of a TFLite file costs, against the same file cut before it."""

import pytest

from visionport.inputs import pictures
from visionport.inputs.preprocessing import prepare
from visionport.tflite import nms, preprocessing
from visionport.tflite.nms import Cost


def test_it_is_told_where_it_is_more_than_the_network():
    told = Cost(whole=0.77, network=0.12, threshold=1e-8).in_words
    assert "770.0 ms" in told
    assert "120.0 ms" in told
    assert "1e-08" in told
    assert "--score-threshold" in told
    assert not Cost(whole=0.2, network=0.12, threshold=1e-8).in_words


def test_the_file_without_its_op(exported, digits):
    """It gives what goes into the op, which decodes to what the whole file gives."""
    path = exported / "model.tflite"
    whole, cut = nms.loaded(path.read_bytes()), nms.loaded(nms.without_op(path.read_bytes()))
    how, _ = preprocessing.read(path)
    feed, _ = prepare(pictures.read(digits / "images" / "digits-0.jpg"), how)
    for interpreter in (whole, cut):
        assert nms.run_once(interpreter, feed) > 0
    boxes, scores = (cut.get_tensor(d["index"]) for d in cut.get_output_details())
    assert boxes.shape == (1, scores.shape[1], 4)
    detected = whole.get_tensor(whole.get_output_details()[2]["index"])
    assert scores[0, :, 1:].max() == pytest.approx(detected.max(), abs=1e-6)
    cost = nms.measure(path, feed)
    assert cost
    assert cost.threshold == pytest.approx(nms.options_of(nms.parse(path.read_bytes()))["nms_score_threshold"])


def test_a_threshold_from_the_command_is_in_the_op_and_in_the_manifest(tmp_path, digits):
    import json

    from visionport import Options, export, reverify

    places = {"config": digits / "tf2", "checkpoint": digits / "tf2", "labels": digits / "label_map.pbtxt"}
    out = export(Options(**places, out=tmp_path / "out", formats=("tflite",), score_threshold=0.4)).out
    options = nms.options_of(nms.parse((out / "model.tflite").read_bytes()))
    assert options["nms_score_threshold"] == pytest.approx(0.4)
    assert json.loads((out / "manifest.json").read_text())["options"]["score_threshold"] == 0.4
    assert "score_threshold: 0.4" in (out / "pipeline.config").read_text()
    assert reverify.verify(out).agrees
