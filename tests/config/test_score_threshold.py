"""`--score-threshold` is the config's own threshold, in the dataclass and in the text that an export writes."""

import json
import lzma

import pytest
from places import TESTS

from visionport.config import read_config
from visionport.errors import OptionError

ZOO = json.loads(lzma.decompress((TESTS / "zoo.json.xz").read_bytes()))


def read(tmp_path, text: str, **more):
    (tmp_path / "pipeline.config").write_text(text)
    return read_config(tmp_path / "pipeline.config", **more)


def threshold_of(config) -> float:
    model = config.model
    post = getattr(model, "post_processing", None) or model.second_stage.post_processing
    return post.nms.score_threshold


def zoo(kind: str) -> str:
    return next(ZOO[n]["config"] for n in sorted(ZOO) if ZOO[n]["config"].startswith(f"model {{ {kind} "))


def test_ssd(tmp_path):
    text = zoo("ssd")
    assert threshold_of(read(tmp_path, text)) != pytest.approx(0.25)
    config = read(tmp_path, text, score_threshold=0.25)
    assert threshold_of(config) == pytest.approx(0.25)
    assert threshold_of(read(tmp_path, config.text)) == pytest.approx(0.25)  # so that an export verifies again


def test_with_an_override(tmp_path):
    override = "model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0.7 } } } }"
    assert threshold_of(read(tmp_path, zoo("ssd"), override=override, score_threshold=0.25)) == pytest.approx(0.25)


def test_two_stages(tmp_path):
    """That of the second: the first proposes."""
    config = read(tmp_path, zoo("faster_rcnn"), score_threshold=0.25)
    message = config.source.message.model.faster_rcnn
    assert message.second_stage_post_processing.batch_non_max_suppression.score_threshold == pytest.approx(0.25)
    assert read(tmp_path, config.text).model == config.model


def test_without_nms(tmp_path):
    with pytest.raises(OptionError, match="has no NMS: a CenterNet gives the highest peaks"):
        read(tmp_path, zoo("center_net"), score_threshold=0.25)
    with pytest.raises(OptionError, match="resnet_imagenet has no NMS"):
        read_config(experiment="resnet_imagenet", score_threshold=0.25)


@pytest.mark.parametrize("name", ["retinanet_resnetfpn_coco", "fasterrcnn_resnetfpn_coco"])
def test_official(tmp_path, name):
    config = read_config(experiment=name, score_threshold=0.25)
    assert config.model.detection_generator.pre_nms_score_threshold == 0.25
    (tmp_path / "params.yaml").write_text(config.text)
    again = read_config(tmp_path / "params.yaml", experiment=name)
    assert again.model.detection_generator.pre_nms_score_threshold == 0.25
