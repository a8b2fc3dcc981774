"""Experiments of Official Vision, files and overrides over them, and what they become."""

import json
from pathlib import Path

import pytest
from official_models import NAMES, variants
from places import SHARED

from visionport.config import CropAndResize, FitAndPad
from visionport.config.official import backbones, decoders, schema
from visionport.config.official.read import read
from visionport.config.official.text import parse, write_yaml
from visionport.config.official.write import write_params
from visionport.errors import ConfigError, UnsupportedError

VISION = SHARED / "golden" / "vision"
DIGITS = SHARED / "demo" / "vision"
CASES = sorted(path.parent for path in VISION.glob("*/params.yaml"))
WITHOUT_CLASSES = {
    "retinanet": "task.model.num_classes=N",
    "semantic_segmentation": "task.model.num_classes=N",
    "video_classification": "task.train_data.num_classes=N,task.validation_data.num_classes=N",
}

names = pytest.mark.skipif(not NAMES.is_dir(), reason="the reference's names are not here")
digits = pytest.mark.skipif(not DIGITS.is_dir(), reason="the digits models are not here")


# Experiments


@names
@pytest.mark.parametrize("name", schema.experiments())
def test_defaults_are_the_references(name):
    found = schema.experiment(name)
    reference = (NAMES / f"{name}.params.yaml").read_text()
    exported = found.exported(found.tree)
    assert exported == parse(reference, name)
    assert write_yaml(exported) == reference


@names
def test_there_are_the_references_experiments():
    assert len(schema.experiments()) == 31
    assert {*schema.experiments()} == {path.name.removesuffix(".params.yaml") for path in NAMES.glob("*.params.yaml")}


@pytest.mark.parametrize("name", schema.experiments())
def test_every_experiment_is_read_or_asks_for_its_classes(name):
    if name not in WITHOUT_CLASSES:
        config = read(name)
        assert config.architecture == name
        assert config.num_classes == config.model.num_classes - config.label_offset
        return
    with pytest.raises(ConfigError) as refused:
        read(name)
    assert f"--params-override {WITHOUT_CLASSES[name]}." in str(refused.value)
    assert read(name, (), WITHOUT_CLASSES[name].replace("N", "10")).model.num_classes == 10


@pytest.mark.parametrize("label", variants())
def test_every_variant_is_read(label):
    variant = variants()[label]
    size = tuple(variant["input_image_size"][-2:])
    config = read(variant["experiment"], (), variant["override"], image_size=size)
    if config.task == "video":
        assert config.model.crop_size == config.source.tree["task"]["train_data"]["feature_shape"][1]
    else:
        assert (config.model.resizer.height, config.model.resizer.width) == size


@pytest.mark.parametrize("kind", backbones.BACKBONES)
def test_every_backbone_is_read(kind):
    name = "video_classification_ucf101" if "3d" in kind else "resnet_imagenet"
    assert read(name, (), f"task.model.backbone.type={kind}").model.backbone


@pytest.mark.parametrize("kind", decoders.DECODERS)
def test_every_decoder_is_read(kind):
    decoder = read("seg_resnetfpn_pascal", (), f"task.model.decoder.type={kind}").model.decoder
    assert (decoder is None) == (kind == "identity")


# Values


def test_overrides_come_in_order(tmp_path):
    first, second = tmp_path / "1.yaml", tmp_path / "2.json"
    first.write_text("task: {model: {num_classes: 5, backbone: {resnet: {model_id: 18}}}}")
    second.write_text('{"task": {"model": {"num_classes": 6}}}')
    over = ["task.model.num_classes=7", "{task: {model: {num_classes: 8}}}"]
    assert read("resnet_imagenet", [first]).model.num_classes == 5
    assert read("resnet_imagenet", [first, second]).model.num_classes == 6
    assert read("resnet_imagenet", [second, first]).model.num_classes == 5
    assert read("resnet_imagenet", [first], over[0]).model.num_classes == 7
    config = read("resnet_imagenet", [first, second], over)
    assert config.model.num_classes == 8
    assert config.model.backbone.model_id == 18


def test_whole_numbers_may_be_written_with_a_point():
    config = read(
        "resnet_imagenet", (), "task.model.num_classes=1e1,trainer.train_steps=1e5,task.losses.label_smoothing=0"
    )
    assert repr(config.model.num_classes) == "10"
    assert "train_steps: 100000\n" in config.text
    assert "label_smoothing: 0\n" in config.text


def test_a_branch_has_its_own_defaults():
    model = read("resnet_imagenet", (), "task.model.backbone.type=efficientnet").model
    assert (model.backbone.model_id, model.backbone.activation) == ("b0", "relu")
    blocks = read("video_classification_ucf101", (), "task.model.backbone.type=resnet_3d_rs").model.backbone
    assert blocks.repeat_kernel_sizes
    assert [block.temporal_kernel_sizes for block in blocks.block_specs] == [(1,), (1,), (3,), (3,)]


def test_lists_of_mappings_are_merged_by_place():
    override = "{task: {model: {backbone: {resnet_3d: {block_specs: [{}, {use_self_gating: false}, {}, {}]}}}}}"
    found = read("video_classification_ucf101", (), override).model.backbone.block_specs
    assert [block.use_self_gating for block in found] == [True, False, True, True]
    assert found[1].temporal_kernel_sizes == (3, 1, 3, 1)
    head = "{task: {model: {head: {attribute_heads: [{name: depth}]}}}}"
    (attribute,) = read("retinanet_resnetfpn_coco", (), head).model.head.attribute_heads
    assert (attribute.name, attribute.type, attribute.size) == ("depth", "regression", 1)


def test_a_null_is_replaced_by_defaults_under_a_mapping():
    masks = "{task: {model: {include_mask: true, mask_head: {}, mask_sampler: {}, mask_roi_aligner: {}}}}"
    mask = read("fasterrcnn_resnetfpn_coco", (), masks).model.mask_head
    assert (mask.num_convs, mask.aligner.crop_size) == (4, 14)
    assert read("fasterrcnn_resnetfpn_coco").model.mask_head is None


def test_sizes():
    assert read("resnet_rs_imagenet").model.resizer == CropAndResize(height=160, width=160)
    assert read("mnv2_deeplabv3_cityscapes").model.resizer == FitAndPad(height=1024, width=2048)
    assert read("maskrcnn_mobilenet_coco").model.resizer == FitAndPad(height=512, width=512, multiple=64)
    config = read("image_classification")
    assert config.model.resizer == CropAndResize(height=224, width=224)
    assert "--image-size" in config.warnings[0]
    assert not read("image_classification", image_size=(64, 32)).warnings
    assert read("resnet_imagenet", (), "task.train_data.aug_crop=false").model.resizer.crop is None
    stretched = "task.train_data.preserve_aspect_ratio=false"
    resizer = read("seg_resnetfpn_pascal", (), stretched).model.resizer
    assert resizer == FitAndPad(height=512, width=512, keep_aspect_ratio=False)


def test_detectors_keep_what_inference_needs():
    cascade = read("cascadercnn_spinenet_coco").model
    assert cascade.cascade.stages == 3
    assert cascade.roi_generator.num_proposals == cascade.roi_generator.pre_nms_top_k == 1000  # of the test_ fields
    assert cascade.anchors.per_location == 3
    retinanet = read(
        "retinanet_mobile_coco",
        (),
        "{task: {model: {detection_generator: {nms_version: tflite, tflite_post_processing: {h_scale: 5.0}}}, "
        "export_config: {output_normalized_coordinates: true}}}",
        batch=1,
    ).model
    assert retinanet.detection_generator.nms_version == "tflite"
    assert retinanet.detection_generator.tflite.scales == (1.0, 1.0, 5.0, 1.0)
    assert retinanet.output_normalized_coordinates


def test_nms_of_a_fixed_batch_gives_way_to_a_dynamic_one():
    override = "task.model.detection_generator.nms_version=v1"
    config = read("maskrcnn_resnetfpn_coco", (), override, batch=None)
    assert config.model.detection_generator.nms_version == "batched"
    assert "nms_version: batched" in config.text
    assert "nms_version is batched, not v1" in config.warnings[0]
    kept = read("maskrcnn_resnetfpn_coco", (), override, batch=2)
    assert kept.model.detection_generator.nms_version == "v1"
    assert not kept.warnings


# What is refused


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        ("resnet_imagnet", "", "no experiment 'resnet_imagnet'; nearest: resnet_imagenet"),
        ("resnet_imagenet", "task.model.num_clases=1", "task.model has no key 'num_clases'; nearest: num_classes"),
        ("resnet_imagenet", "num_classes=1", "the config has no key 'num_classes'; there is task.model.num_classes"),
        ("resnet_imagenet", "trainer.train_step=1", "trainer has no key 'train_step'; nearest: train_steps"),
        ("resnet_imagenet", "task.model.num_classes=ten", "task.model.num_classes is 'ten'; it takes a whole number"),
        ("resnet_imagenet", "task.model.num_classes=true", "is True; it takes a whole number"),
        ("resnet_imagenet", "task.model.num_classes=1.5", "is 1.5; it takes a whole number"),
        ("resnet_imagenet", "task.model.input_size=64", "it takes a list of a whole number or null"),
        ("resnet_imagenet", "task.model.backbone=resnet", "task.model.backbone is 'resnet'; it takes a mapping"),
        ("resnet_imagenet", "task.model.backbone.type=resnett", "type is 'resnett'; nearest: resnet"),
        ("resnet_imagenet", "task.model.backbone.type=null", "task.model.backbone.type is not given"),
        ("resnet_imagenet", "task.model.backbone.resnet.stem_type=v9", "stem_type is 'v9'"),
        ("retinanet_spinenet_coco", "task.model.backbone.spinenet.model_id=96", "model_id is 96; it takes text"),
        ("retinanet_spinenet_coco", "task.model.min_level=4", "wants them equal"),
        ("retinanet_mobile_coco", "task.model.detection_generator.nms_version=v9", "nms_version is 'v9'"),
        ("video_classification_ucf101", "task.train_data.num_classes=5", "wants them equal. Set both"),
        ("maskrcnn_resnetfpn_coco", "task.model.mask_head=null", "include_mask is true, and mask_head is null"),
        ("maskrcnn_resnetfpn_coco", "task.model.outer_boxes_scale=0.5", "outer_boxes_scale is 0.5; it is from 1"),
        ("maskrcnn_resnetfpn_coco", "task.model.max_level=100000000", "max_level is 100000000; it is from 1 to 12"),
        ("maskrcnn_resnetfpn_coco", "task.model.min_level=7", "min_level is 7; it is from 1 to 6"),
        ("maskrcnn_resnetfpn_coco", "task.model.anchor.num_scales=0", "num_scales is 0; it is from 1 to 100"),
        ("resnet_imagenet", "task.model.input_size=[-1,5,3]", "input_size is -1; it is from 0 to 16,384"),
        ("retinanet_mobile_coco", "task.model.detection_generator.box_coder_weights=[1]", "it has 4 numbers"),
        ("vit_imagenet_finetune", "task.model.backbone.vit.pos_embed_shape=[14]", r"is \[14\]; it has 2 numbers"),
        ("vit_imagenet_finetune", "task.model.backbone.vit.model_name=vit-b8", "model_name is 'vit-b8'; nearest"),
    ],
)
def test_mistakes_are_named(name, override, said):
    with pytest.raises(ConfigError, match=said):
        read(name, (), override)


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        (
            "seg_resnetfpn_pascal",
            "task.model.head.feature_fusion=panoptic_fpn_fusion",
            "levels in it are not passed on",
        ),
        ("maskrcnn_resnetfpn_coco", "task.model.detection_generator.apply_nms=false", "include_mask=false"),
        ("cascadercnn_spinenet_coco", "task.model.roi_sampler.cascade_iou_thresholds=[0.5,0.6,0.7]", "two entries"),
        ("video_classification_ucf101", "task.train_data.output_audio=true", "exporter fails on it"),
    ],
)
def test_what_the_reference_cannot_build_is_refused(name, override, said):
    with pytest.raises(UnsupportedError, match=said):
        read(name, (), override)


# A run's own params.yaml


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_whole_config_is_read_and_written(folder):
    """Without an experiment's name; paths in it lead nowhere."""
    case = json.loads((folder / "meta.json").read_text())
    reference = (folder / "params.yaml").read_text()
    guessed = read(None, [folder], batch=1)
    named = read(case["experiment"], (), case["override"], batch=1)
    assert guessed.model == named.model
    assert guessed.architecture == case["experiment"]
    assert "no experiment was given" in guessed.warnings[0]
    if "vit" not in folder.name:  # of which the reference's is from before the model was built
        assert guessed.text == named.text == write_params(named) == reference


@names
def test_a_vits_numbers_are_written():
    text = read("vit_imagenet_finetune", (), "task.model.backbone.vit.model_name=vit-s16").text
    before = (NAMES / "vit_imagenet_finetune.params.yaml").read_text().splitlines()
    changed = [line.strip() for line in text.splitlines() if line not in before]
    assert changed == ["hidden_size: 384", "model_name: vit-s16", "mlp_dim: 1536", "num_heads: 6", "num_layers: 12"]


@digits
@pytest.mark.parametrize("name", ["classifier", "segmenter", "detector"])
def test_a_runs_config_is_enough(name):
    config = read(None, [DIGITS / name])
    assert config.text == (DIGITS / name / "params.yaml").read_text()
    assert config.num_classes == {"classifier": 10, "segmenter": 11, "detector": 10}[name]


@digits
def test_a_config_of_another_task_is_told():
    with pytest.raises(ConfigError, match="Is the experiment another one, such as seg_"):
        read("resnet_imagenet", [DIGITS / "segmenter"])


@digits
def test_labels_have_the_numbers_of_the_answers():
    labels = read(None, [DIGITS / "classifier"], labels=DIGITS / "labels.txt").labels
    assert labels
    assert (labels[0], labels[9]) == ("zero", "nine")
    labels = read(None, [DIGITS / "detector"], labels=DIGITS / "labels.txt").labels
    assert labels
    assert (labels[1], labels[10]) == ("zero", "nine")
    labels = read(None, [DIGITS / "segmenter"], labels=DIGITS / "labels.txt").labels
    assert labels
    assert (labels[0], labels[1], labels[10]) == ("background", "zero", "nine")


def test_a_part_of_a_config_does_not_tell(tmp_path):
    file = tmp_path / "part.yaml"
    file.write_text("task: {model: {head: {attribute_heads: []}}}")
    with pytest.raises(ConfigError, match=r"--experiment NAME\. It could be of: retinanet.*, retinanet_mobile_coco"):
        read(None, [file])
    with pytest.raises(ConfigError, match="No experiment is given"):
        read()
    file.write_text("nothing: 1")
    with pytest.raises(ConfigError, match="has no key 'nothing'; it has: runtime, task, trainer"):
        read(None, [Path(file)])
