"""Two-stage detectors in OpenVINO: a sound model agrees, whatever places its proposals change; a wrong one does not."""

import numpy as np
import pytest
from golden_cases import CASES, make_checkpoint
from places import TESTS
from sampling import ALL

from visionport import Options, export
from visionport.formats import heads

pytest.importorskip("openvino")
CODES, LOGITS = "refined_box_encodings", "class_predictions_with_background"
ROWS = "rows of raw_detection_boxes and raw_detection_scores matched"
SMALL = TESTS / "golden_options" / "rfcn_batch_norm_tf2"
MORE = (
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8",
    "faster_rcnn_resnet50_v1_fpn_640x640_coco17_tpu-8",
    "faster_rcnn_resnet50_coco",
    "mask_rcnn_inception_v2_coco",
    "rfcn_resnet101_coco",
    "real_faster_rcnn_inception_v2",
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_checkpoint(SMALL, tmp_path_factory.mktemp("checkpoint"))


def exported(folder, checkpoint, out, **more):
    """(does it agree, what was judged of the OpenVINO model: {what: the worst check})."""
    done = export(Options(config=folder, checkpoint=checkpoint, out=out, formats=("openvino",), **more))
    worst: dict = {}
    for check in done.checks:
        if check.bound is not None and (check.what not in worst or check.used > worst[check.what].used):
            worst[check.what] = check
    return done.agrees, worst


def changed(prediction, change):
    """What a faulty converter might make of a prediction's second stage."""
    import tensorflow as tf

    logits, codes = prediction[LOGITS], prediction[CODES]
    if change == "two classes exchanged":
        order = np.arange(logits.shape[1])
        order[[1, 2]] = order[[2, 1]]
        return prediction | {LOGITS: tf.gather(logits, order, axis=1)}
    if change == "weights of its boxes":
        return prediction | {CODES: codes * 1.01}
    if change == "weights of its scores":
        return prediction | {LOGITS: logits * 1.01}
    assert change == "proposals of another picture"
    return prediction | {"proposal_boxes": prediction["proposal_boxes"][:, ::-1]}


def test_a_sound_model_agrees(checkpoint, tmp_path):
    agrees, judged = exported(SMALL, checkpoint, tmp_path / "out")
    assert agrees, judged
    assert {"outputs", ROWS, "detections matched"} <= judged.keys()


@pytest.mark.parametrize(
    "change",
    [
        "two classes exchanged",
        *(
            pytest.param(name, marks=pytest.mark.skipif(not ALL, reason="minutes"))
            for name in ("weights of its boxes", "weights of its scores", "proposals of another picture")
        ),
    ],
)
def test_a_wrong_second_stage_is_seen(checkpoint, tmp_path, monkeypatch, change):
    def answer_of(model, head):
        def answer(images, true_shapes, *side):
            prediction = changed(model.predict(images, true_shapes, *side), change)
            found = model.meta.postprocess(model.config.model, model.params.scope(), prediction, images, true_shapes)
            return model.meta.exported(model.config, found)

        return answer

    monkeypatch.setattr(heads, "answer_of", answer_of)
    agrees, judged = exported(SMALL, checkpoint, tmp_path / "out")
    assert not agrees
    assert not judged[ROWS].ok


@pytest.mark.skipif(not ALL, reason="minutes")
@pytest.mark.parametrize("head", ["detections", "raw", "decoded"])
@pytest.mark.parametrize("case", MORE)
def test_golden_cases_agree(tmp_path, case, head):
    if case not in CASES:
        pytest.skip("this golden case is not here")
    checkpoint = make_checkpoint(CASES[case], tmp_path / "checkpoint")
    agrees, judged = exported(CASES[case], checkpoint, tmp_path / "out", openvino_head=head)
    assert agrees, judged
