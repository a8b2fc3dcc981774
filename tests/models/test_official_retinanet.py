"""RetinaNets of TF Official Vision: small ones answer as the reference, with each version of NMS.

In tests/golden_official/retinanet_* golden.npz holds VERSION/outN|KEY, for the pictures of pictures.npz.
"""

import dataclasses
import functools
import json

import numpy as np
import official_models as official
import pytest
from golden_cases import assert_close
from official_goldens import GOLDEN as SMALL
from official_goldens import Weights, golden, pictures

from visionport.checkpoint.names import locator
from visionport.checkpoint.params import Params
from visionport.config.official.read import read
from visionport.errors import MismatchError, UnsupportedError
from visionport.inputs import types
from visionport.models.retinanet import architecture
from visionport.tasks.detection.answers import read_answer

STRINGS = {"image_bytes": types.prepare_encoded, "tf_example": types.prepare_examples}
EXPERIMENT = "retinanet_resnetfpn_coco"
# Boxes in pixels, of sizes of some hundreds: what rounding alone does.
BOX, SCORE = 2e-3, 1e-5


def assert_detections(outputs, reference):
    """The same rows; those whose scores are nearly equal may change places."""
    outputs = {name: value.numpy() for name, value in outputs.items()}
    assert set(outputs) == set(reference)
    for name, value in outputs.items():
        assert value.dtype == reference[name].dtype, name
        assert value.shape == reference[name].shape, name
    for name in ("image_info", "num_detections"):
        np.testing.assert_array_equal(outputs[name], reference[name])
    np.testing.assert_allclose(outputs["detection_scores"], reference["detection_scores"], atol=SCORE)
    kept = int(reference["num_detections"][0])
    boxes, scores, classes = (reference[f"detection_{k}"][0] for k in ("boxes", "scores", "classes"))
    np.testing.assert_array_equal(outputs["detection_classes"][0, kept:], classes[kept:])
    found = list(zip(*(outputs[f"detection_{k}"][0, :kept] for k in ("boxes", "scores", "classes")), strict=True))
    unmatched = 0
    for box, score, number in zip(boxes[:kept], scores[:kept], classes[:kept], strict=True):
        near = [i for i, (b, s, n) in enumerate(found) if n == number and abs(s - score) < SCORE]
        near = [i for i in near if np.abs(found[i][0] - box).max() < BOX]
        unmatched += not near
        if near:
            found.pop(near[0])
    assert unmatched <= kept // 50


# Small models: what no case stores beside the project

BASE = {
    "num_classes": 5,
    "min_level": 3,
    "max_level": 5,
    "anchor": {"num_scales": 2, "aspect_ratios": [0.5, 1.0, 2.0], "anchor_size": 3.0},
    "backbone": {"type": "resnet", "resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"type": "fpn", "fpn": {"num_filters": 16}},
    "norm_activation": {"activation": "swish", "norm_epsilon": 2.0},  # so large that scores are between 0 and 1
}
TOWER = {"type": "regression", "prediction_tower_name": "tower"}
HEADS = {
    "retinanet_apart": {"num_convs": 1, "share_level_convs": False, "use_separable_conv": True},
    "retinanet_attributes": {
        "num_convs": 2,
        "attribute_heads": [
            {"name": "depth", "size": 1, "num_convs": 1, "num_filters": 8} | TOWER,
            {"name": "boxes", "size": 3} | TOWER | {"type": "classification"},
            {"name": "kind", "type": "classification", "size": 2},
        ],
    },
    "retinanet_stretched": {
        "num_convs": 1,
        "share_classification_heads": True,
        "attribute_heads": [
            {"name": "depth", "type": "regression", "size": 1, "num_convs": 2},
            {"name": "kind", "type": "classification", "size": 2},
        ],
    },
}
SIZES = {"retinanet_apart": (64, 96), "retinanet_attributes": (70, 100), "retinanet_stretched": (64, 32)}
VERSIONS = {
    "v2": {},
    "v2_low": {"nms_iou_threshold": 0.3},
    "v2_few": {"pre_nms_score_threshold": 0.66, "max_num_detections": 40},
    "v2_top_k": {"pre_nms_top_k": 30, "nms_iou_threshold": 0.7},
    "v2_agnostic": {"use_class_agnostic_nms": True, "pre_nms_score_threshold": 0.6},
    "v2_weights": {"box_coder_weights": [10.0, 10.0, 5.0, 5.0], "nms_iou_threshold": 0.1},
    "v1": {"nms_version": "v1", "pre_nms_top_k": 60},
    "v1_soft": {"nms_version": "v1", "soft_nms_sigma": 0.4, "pre_nms_score_threshold": 0.3},
    "v1_few": {"nms_version": "v1", "pre_nms_score_threshold": 0.66},
    "v3": {"nms_version": "v3", "pre_nms_top_k": 150},
    "v3_all": {"nms_version": "v3", "pre_nms_score_threshold": 0.8, "nms_iou_threshold": 0.3},
    "batched": {"nms_version": "batched", "nms_iou_threshold": 0.4},
    "decoded": {"apply_nms": False},
    "raw": {"apply_nms": False, "decode_boxes": False},
    "v3_decoded": {"apply_nms": False, "nms_version": "v3", "pre_nms_top_k": 150},
    "normalized": {},
    "normalized_decoded": {"apply_nms": False},
}
CASTS = {"cast_num_detections_to_float": True, "cast_detection_classes_to_float": True}
EXPORTS = {
    "normalized": {"output_normalized_coordinates": True, "output_intermediate_features": True} | CASTS,
    "normalized_decoded": {"output_normalized_coordinates": True},
}
ANSWERS = [("retinanet_apart", version) for version in VERSIONS]
ANSWERS += [("retinanet_attributes", "v1"), ("retinanet_stretched", "v1")]


def small(case, version="v2", **changes):
    """The Config of a small model."""
    generator = VERSIONS[version] if case == "retinanet_apart" else VERSIONS[version] | {"pre_nms_top_k": 5000}
    model = BASE | {"head": {"num_filters": 12} | HEADS[case], "detection_generator": generator | changes}
    task = {"model": model, "export_config": EXPORTS.get(version, {})}
    if case == "retinanet_stretched":
        task["train_data"] = {"parser": {"keep_aspect_ratio": False}}
    return read(EXPERIMENT, (), json.dumps({"task": task}), image_size=SIZES[case], batch=1)


@functools.cache
def params_of(case):
    return Params(Weights(case), locator(architecture.names(small(case).model)))


def answers(case, model, images, sizes):
    scope = params_of(case).scope()
    return architecture.postprocess(model, scope, architecture.predict(model, scope, images), images, sizes)


@pytest.mark.parametrize(("case", "version"), ANSWERS)
def test_small_models_answer_as_the_reference(case, version):
    import tensorflow as tf

    model = small(case, version).model
    for i, picture in enumerate(pictures().values()):
        stored = {k.partition("|")[2]: v for k, v in golden(case).items() if k.startswith(f"{version}/out{i}|")}
        outputs = answers(case, model, *architecture.preprocess(model, tf.constant(picture[None])))
        dense = {name for name in outputs if not name.startswith(("detection_", "num_detections", "image_info"))}
        assert set(outputs) == set(stored)
        for name in dense:
            assert_close(stored, name, outputs[name])
        if "detection_boxes" in outputs:
            assert_detections(*({k: v for k, v in x.items() if k not in dense} for x in (outputs, stored)))
    params_of(case).check(case, case)


def test_strings_of_different_sizes_are_answered_together():
    """The reference cannot: its pictures must be of one size."""
    import tensorflow as tf

    model = small("retinanet_apart").model
    two = list(pictures().values())
    assert two[0].shape != two[1].shape
    for source, prepare in STRINGS.items():
        feed = types.feed_encoded if source == "image_bytes" else types.feed_examples
        preprocess = functools.partial(architecture.preprocess, model, source=source)
        data = tf.constant([feed(picture[None])[0] for picture in two])
        together = answers("retinanet_apart", model, *prepare(preprocess, data))
        for i, picture in enumerate(two):
            alone = answers("retinanet_apart", model, *architecture.preprocess(model, picture[None]))
            for name, value in together.items():
                np.testing.assert_allclose(value[i], alone[name][0], atol=1e-3)


def test_an_answer_is_of_the_picture_whatever_its_boxes_are():
    picture = next(iter(pictures().values()))
    found = []
    for version in ("v2", "normalized"):
        whole = small("retinanet_apart", version)
        outputs = answers("retinanet_apart", whole.model, *architecture.preprocess(whole.model, picture[None]))
        outputs = {k: v.numpy() for k, v in outputs.items()}
        found.append(read_answer(outputs, architecture.reading(whole), np.ones(2)))
    assert len(found[0]["detection_boxes"]) == 100
    np.testing.assert_allclose(found[0]["detection_boxes"], found[1]["detection_boxes"], atol=1e-6)
    assert found[0]["detection_classes"].min() >= 1
    assert found[0]["detection_boxes"].max() <= 1


def test_preprocessed_images_are_of_the_size_that_was_asked_for():
    import tensorflow as tf

    model = small("retinanet_attributes", "v1").model
    images, sizes = architecture.preprocess(model, tf.zeros((1, 96, 128, 3)), "tflite")
    for given in (sizes, None):
        info = answers("retinanet_attributes", model, images, given)["image_info"]
        np.testing.assert_array_equal(info, [[[70, 100], [70, 100], [1, 1], [0, 0]]])


REFUSED = {
    "levels": ({"anchors": {"max_level": 6}}, "3, 4, 5"),
    "tower": ({"head": {"share_classification_heads": True}}, "exclude each other"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    changes, message = REFUSED[what]
    model = small("retinanet_attributes").model
    fields = {name: dataclasses.replace(getattr(model, name), **given) for name, given in changes.items()}
    with pytest.raises(UnsupportedError, match=message):
        official.fit(architecture, dataclasses.replace(model, **fields), Weights("retinanet_attributes"), (96, 128, 3))


def test_another_number_of_classes_does_not_fit():
    model = dataclasses.replace(small("retinanet_apart").model, num_classes=6)
    with pytest.raises(MismatchError, match="wrong shape"):
        official.fit(architecture, model, Weights("retinanet_apart"), (64, 96, 3))


def test_small_cases_are_there():
    assert {folder.name for folder in SMALL.glob("retinanet_*")} == set(HEADS)
