"""A RetinaNet's TFLite files: the op's answers are the model's, raw and decoded heads, what cannot be asked."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from official_goldens import GOLDEN, Weights

from visionport.config.official.read import read
from visionport.errors import OptionError, UnsupportedError
from visionport.formats.base import Asker
from visionport.formats.tflite import retinanet
from visionport.formats.tflite.format import FORMAT
from visionport.inputs import preprocessing
from visionport.options import Options
from visionport.tasks import task_of

CASE = "retinanet_apart"
OVERRIDE = """
task:
  model:
    num_classes: 5
    min_level: 3
    max_level: 5
    anchor: {num_scales: 2, aspect_ratios: [0.5, 1.0, 2.0], anchor_size: 3.0}
    backbone: {type: resnet, resnet: {model_id: 10, depth_multiplier: 0.25}}
    decoder: {type: fpn, fpn: {num_filters: 16}}
    norm_activation: {activation: swish, norm_epsilon: 2.0}
    head: {num_convs: 1, num_filters: 12, share_level_convs: false, use_separable_conv: true}
    detection_generator: {nms_iou_threshold: 0.6, box_coder_weights: [2.0, 2.0, 1.5, 1.5]}
"""

TASK = task_of("detection")


class Checkpoint(Weights):
    prefix, kind, hint = Path(CASE), "tf2", ""


def config_of(override=""):
    return read("retinanet_resnetfpn_coco", (), (OVERRIDE, override), image_size=(60, 90), batch=1)


@pytest.fixture(scope="module")
def model():
    from visionport.models.build import build

    return build(config_of(), Checkpoint(CASE), batch=1)


@pytest.fixture(scope="module")
def picture():
    return next(iter(dict(np.load(GOLDEN / "pictures.npz")).values()))


def options_of(**asked):
    return Options(checkpoint=Path("ckpt"), out=Path("out"), config=Path("params.yaml"), formats=("tflite",), **asked)


def write(model, folder, **asked):
    """(the file's answer to a picture, as a function; the options)."""
    options = FORMAT.settle(model.config, options_of(**asked))
    FORMAT.check(model.config, options)
    path = FORMAT.write(model, (), options, folder)
    reading = FORMAT.reading(model, (), options)
    how = preprocessing.describe(model.config.model.resizer, model.meta.normalization(model.config.model))
    return Asker(runner=FORMAT.open(path, reading), reading=reading, task=TASK, how=how), options


def model_answer(model, picture):
    outputs = {name: value.numpy() for name, value in model.detect(*model.preprocess(picture[None])).items()}
    return TASK.answer(outputs, model.reading, np.ones(2))


def test_detections_are_the_models(model, picture, tmp_path):
    ask, options = write(model, tmp_path)
    assert FORMAT.differs(model, options) == ""
    source, found = model_answer(model, picture), ask(picture)
    (matched,) = (
        check
        for check in TASK.compare("tflite", "picture", source, found, tolerance=FORMAT.tolerance(model, options))
        if check.what == "detections matched"
    )
    assert len(source["detection_scores"]) == 100
    assert matched.measured >= 0.95


def test_the_op_keeps_what_the_config_says(model, tmp_path):
    from visionport.tflite.flatbuffer import parse
    from visionport.tflite.nms import options_of as op_options

    write(model, tmp_path)
    found = op_options(parse((tmp_path / "model.tflite").read_bytes()))
    assert found["use_regular_nms"]
    assert (found["max_detections"], found["detections_per_class"], found["num_classes"]) == (100, 100, 4)
    assert found["nms_iou_threshold"] == pytest.approx(0.6)
    assert found["nms_score_threshold"] > np.float32(0.05)
    assert [found[f"{side}_scale"] for side in "yxhw"] == [1, 1, 1, 1]


def test_thresholds_of_the_op_where_the_config_asks_for_it():
    config = config_of("task.model.detection_generator.nms_version=tflite")
    attributes = retinanet.op_attributes(config.model, options_of())
    assert (attributes["max_detections"], attributes["detections_per_class"]) == (200, 200)
    assert attributes["nms_score_threshold"] == pytest.approx(0.1)


def test_class_agnostic_suppression_is_the_fast_mode():
    config = config_of("task.model.detection_generator.use_class_agnostic_nms=true")
    assert not retinanet.op_attributes(config.model, options_of())["use_regular_nms"]
    assert retinanet.differs(config, options_of()) == ""
    assert "fast NMS" in retinanet.differs(config_of(), options_of(tflite_nms="fast"))


def test_raw_and_decoded_heads(model, picture, tmp_path):
    import tensorflow as tf

    images, sizes = model.preprocess(picture[None])
    prediction = model.predict(images, sizes)
    wanted = {"raw": (prediction["box_encodings"], tf.sigmoid(prediction["logits"]))}
    generator = dataclasses.replace(model.config.model.detection_generator, apply_nms=False)
    changed = dataclasses.replace(model.config.model, detection_generator=generator)
    boxes = model.meta.postprocess(changed, None, prediction, images, sizes)["decoded_boxes"][:, :, 0]
    wanted["decoded"] = (boxes / np.array([64, 96, 64, 96], "float32"), wanted["raw"][1])
    for head, arrays in wanted.items():
        ask, _ = write(model, tmp_path, tflite_head=head)
        outputs, _ = ask.ask(picture[None])
        for name, array in zip(retinanet.ssd.HEADS[head], arrays, strict=True):
            found = outputs[name]
            if head == "decoded" and found.shape[-1] == 4:  # not cut to the picture
                found = np.clip(found, 0, np.array([60 / 64, 90 / 96] * 2, "float32"))
            np.testing.assert_allclose(found, array, atol=2e-5, rtol=1e-4)


def test_eight_bits(model, picture, tmp_path):
    """Boxes and scores have scales of their own; the op decodes them."""
    from PIL import Image

    for i in range(3):
        Image.fromarray(np.roll(picture, 7 * i, 1)).save(tmp_path / f"{i}.png")
    ask, options = write(model, tmp_path, quantize="int8", calibration=tmp_path)
    source, found = model_answer(model, picture), ask(picture)
    assert not retinanet.cuts(options)
    assert len(found["detection_scores"]) > 50
    assert abs(source["detection_scores"].max() - found["detection_scores"].max()) < 0.1


REFUSED = {
    "no suppression": ("task.model.detection_generator.apply_nms=false", {}, UnsupportedError, "decoded or raw"),
    "soft": (
        "{task: {model: {detection_generator: {nms_version: v1, soft_nms_sigma: 0.5}}}}",
        {},
        UnsupportedError,
        "soft_nms_sigma",
    ),
    "a batch": ("", {"batch": 2}, UnsupportedError, "batch of 2"),
    "keypoints": ("", {"tflite_keypoints": False}, OptionError, "no CenterNet"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    override, asked, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        retinanet.check(config_of(override), options_of(**asked))
