"""Small models of TF Official Vision: their configs, and what the reference answered.

In tests/golden_official a folder a case: names.json.xz ([[object path, shape], ...] of the reference's checkpoint) and
golden.npz (inN|..., outN|KEY of its export for the pictures of pictures.npz, backbone|LEVEL and decoder|LEVEL for the
first of them; large arrays sampled as in tests/golden). The weights are those of make_checkpoint.py's rule.
"""

import json
import lzma
from types import ModuleType
from typing import Any

import numpy as np
from golden_cases import ABSOLUTE, RELATIVE, assert_close, is_stored
from official_models import checkpoint_of, rule_of_values
from places import TESTS

from visionport.checkpoint.names import locator
from visionport.checkpoint.params import Params
from visionport.checkpoint.read import VALUE, Checkpoint, Entry
from visionport.config import CropAndResize, FitAndPad, Normalization
from visionport.config.backbones.resnet import DilatedResNet, ResNet
from visionport.config.backbones.resnet_3d import ResNet3D, ResNet3DBlock
from visionport.config.backbones.revnet import RevNet
from visionport.config.backbones.spinenet import SpineNet
from visionport.config.backbones.vit import Vit
from visionport.config.classification import Classifier
from visionport.config.decoders import Aspp, Fpn, NasFpn
from visionport.config.segmentation import MaskScoringHead, SegmentationHead, Segmenter
from visionport.config.video import VideoClassifier

GOLDEN = TESTS / "golden_official"
IMAGENET = Normalization(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def segmenter(size, **fields) -> Segmenter:
    resizer = FitAndPad(height=size[0], width=size[1])
    default: dict[str, Any] = {"num_classes": 5, "resizer": resizer, "normalization": IMAGENET}
    return Segmenter(**default | fields)


def stretched(height, width) -> FitAndPad:
    return FitAndPad(height=height, width=width, keep_aspect_ratio=False)


def classifier(size, backbone, **fields) -> Classifier:
    resizer = CropAndResize(height=size[0], width=size[1])
    default: dict[str, Any] = {"num_classes": 7, "resizer": resizer, "norm_epsilon": 1e-5}
    return Classifier(backbone=backbone, **default | fields)


def stage(kernels, strides=1, gating=False) -> ResNet3DBlock:
    return ResNet3DBlock(temporal_kernel_sizes=tuple(kernels), temporal_strides=strides, use_self_gating=gating)


def small(activation="relu") -> ResNet:
    return ResNet(model_id=10, depth_multiplier=0.25, activation=activation)


CASES: dict[str, Any] = {
    "pyramid_fusion": segmenter(
        (64, 64),
        backbone=small("swish"),
        decoder=Fpn(max_level=5, num_filters=24, activation="swish"),
        head=SegmentationHead(
            num_convs=3,
            num_filters=16,
            feature_fusion="pyramid_fusion",
            prediction_kernel_size=3,
            use_depthwise_convolution=True,
        ),
        resizer=stretched(64, 64),
        activation="swish",
    ),
    "aspp_v2": segmenter(
        (65, 97),
        backbone=small("swish"),
        decoder=Aspp(
            dilation_rates=(2, 3),
            num_filters=16,
            pool_kernel_size=(32, 48),
            use_depthwise_convolution=True,
            spp_layer_version="v2",
            output_tensor=True,
            activation="swish",
        ),
        head=SegmentationHead(
            level=4, num_convs=1, num_filters=16, feature_fusion="deeplabv3plus", low_level_num_filters=8
        ),
        activation="swish",
    ),
    "aspp_v1_pool": segmenter(
        (64, 96),
        backbone=small("swish"),
        decoder=Aspp(level=3, dilation_rates=(2,), num_filters=16, pool_kernel_size=(16, 16), activation="swish"),
        head=SegmentationHead(
            num_convs=1, num_filters=16, feature_fusion="deeplabv3plus_sum_to_merge", low_level_num_filters=16
        ),
        rescale_output=True,
        activation="swish",
    ),
    "mask_scoring": segmenter(
        (64, 64),
        backbone=small(),
        decoder=Fpn(
            min_level=2,
            max_level=6,
            num_filters=16,
            fusion_type="concat",
            use_separable_conv=True,
            use_keras_layer=True,
        ),
        head=SegmentationHead(level=2, num_convs=1, num_filters=16, upsample_factor=2, logit_activation="sigmoid"),
        mask_scoring_head=MaskScoringHead(
            num_convs=2, num_filters=12, fc_input_size=(5, 7), num_fcs=2, fc_dims=20, use_depthwise_convolution=True
        ),
        resizer=stretched(64, 64),
        rescale_output=True,
    ),
    "mask_scoring_plain": segmenter(
        (64, 96),
        backbone=small("swish"),
        decoder=Fpn(max_level=6, num_filters=16, activation="swish"),
        head=SegmentationHead(num_convs=0, logit_activation="softmax"),
        mask_scoring_head=MaskScoringHead(num_convs=1, num_filters=12, fc_input_size=(4, 6), num_fcs=1, fc_dims=20),
        activation="swish",
    ),
    "nas_fpn": segmenter(
        (128, 128),
        backbone=small(),
        decoder=NasFpn(num_filters=24, num_repeats=2, use_separable_conv=True),
        head=SegmentationHead(num_convs=0),
    ),
    "nas_fpn_equal_widths": segmenter(  # level 4 of ResNet-18 has 256 channels already
        (128, 128),
        backbone=ResNet(model_id=18, activation="swish"),
        decoder=NasFpn(num_repeats=1, activation="swish"),
        head=SegmentationHead(num_convs=0),
        activation="swish",
    ),
    "spinenet_some_levels": segmenter(
        (128, 256),
        backbone=SpineNet(model_id="49S", min_level=4, max_level=5),
        decoder=None,
        head=SegmentationHead(level=4, num_convs=0),
    ),
    "vit_maps": segmenter(
        (32, 48),
        backbone=Vit(model_name="vit-ti16", pooler="none", output_encoded_tokens=False, output_2d_feature_maps=True),
        decoder=Fpn(min_level=4, max_level=5, num_filters=16, activation="swish"),
        head=SegmentationHead(level=4, num_convs=0),
        activation="swish",
    ),
    "vit_gap": classifier(
        (48, 64),
        Vit(
            model_name="vit-ti16",
            pooler="gap",
            representation_size=12,
            layer_scale_init_value=0.1,
            pos_embed_shape=(3, 2),
        ),
    ),
    "resnet_50_d": classifier(
        (65, 97),
        ResNet(
            model_id=50,
            depth_multiplier=0.25,
            scale_stem=False,
            stem_type="v1",
            resnetd_shortcut=True,
            se_ratio=0.25,
            activation="swish",
            norm_epsilon=1e-5,
        ),
        add_head_batch_norm=True,
        multilabel=True,
    ),
    "resnet_18_conv_pool": classifier(
        (50, 75),
        ResNet(
            model_id=18,
            depth_multiplier=0.3,
            replace_stem_max_pool=True,
            resnetd_shortcut=True,  # basic units do not know it
            se_ratio=0.5,
            activation="hard_swish",
        ),
        resizer=stretched(50, 75),
    ),
    "resnet_26_mish": classifier(
        (64, 64),
        ResNet(model_id=26, depth_multiplier=0.25, stem_type="v1", activation="mish", norm_epsilon=1e-5),
    ),
    "dilated_resnet_4": classifier((33, 33), DilatedResNet(output_stride=4, norm_epsilon=1e-5)),
    "dilated_resnet_8": classifier(
        (65, 49),
        DilatedResNet(
            output_stride=8,
            multigrid=(1, 2, 4),
            last_stage_repeats=2,
            stem_type="v1",
            resnetd_shortcut=True,
            se_ratio=0.1,
            activation="relu6",
            norm_epsilon=1e-5,
        ),
    ),
    "dilated_resnet_16": classifier(
        (64, 80), DilatedResNet(multigrid=(3, 1, 2), replace_stem_max_pool=True, norm_epsilon=1e-5)
    ),
    "dilated_resnet_32": classifier((65, 65), DilatedResNet(output_stride=32, last_stage_repeats=3, norm_epsilon=1e-5)),
    "revnet_38": classifier(
        (64, 96),
        RevNet(model_id=38, activation="swish", norm_epsilon=0.01),
        add_head_batch_norm=True,
        norm_epsilon=0.01,
    ),
    "resnet_3d_50": VideoClassifier(
        num_classes=7,
        backbone=ResNet3D(
            stem_type="v1",
            stem_conv_temporal_kernel_size=3,
            stem_conv_temporal_stride=1,
            se_ratio=0.1,
            block_specs=(stage((1, 3, 5)), stage((3, 1, 3, 1), 2, True), stage([1] * 6, 1, True), stage((1, 3, 1))),
            activation="swish",
        ),
        frames=5,
        temporal_stride=3,
        min_image_size=44,
        crop_size=40,
        require_endpoints=("3", "5"),
        multilabel=True,
    ),
    "resnet_3d_50_gates": VideoClassifier(
        num_classes=7,
        backbone=ResNet3D(
            stem_pool_temporal_stride=1,
            block_specs=(stage([3] * 3, 1, True), stage([3] * 4), stage([1] * 6, 2), stage([3] * 3, 1, True)),
        ),
        frames=6,
        min_image_size=30,
        crop_size=33,
        aggregate_endpoints=True,
    ),
    "resnet_3d_rs_50": VideoClassifier(
        num_classes=7,
        backbone=ResNet3D(
            stem_type="v1",
            se_ratio=0.2,
            block_specs=(stage([1], 1, True), stage([1], 1, True), stage([3], 1, True), stage([3], 1, True)),
            repeat_kernel_sizes=True,
        ),
        frames=8,
        temporal_stride=2,
        min_image_size=36,
        crop_size=32,
    ),
    "vit_tokens": classifier((32, 48), Vit(model_name="vit-ti16", pooler="none", representation_size=12)),
}


class Weights:
    """A checkpoint of those names whose values are made by rule when they are asked for."""

    def __init__(self, case: str):
        names = json.loads(lzma.decompress((GOLDEN / case / "names.json.xz").read_bytes()))
        self.entries = {path: Entry(path, tuple(shape), "float32", 0) for path, shape in names}

    def key_of(self, path: str) -> str | None:
        return path if path in self.entries else None

    def classify(self, key: str) -> str:
        return "model"

    def __getitem__(self, key: str) -> np.ndarray:
        rule, full, shape = rule_of_values(), key + VALUE, self.entries[key].shape
        return rule.value({"key": full, "shape": shape, "kind": rule.kind_of(full, shape, "float32")})


def whole_checkpoint(case: str) -> Checkpoint:
    """The same as a checkpoint of the keys that an export's has."""
    weights = Weights(case)
    names = [(path + VALUE, entry.shape, entry.dtype) for path, entry in weights.entries.items()]
    return checkpoint_of(names, read=lambda key: weights[key.removesuffix(VALUE)])


def params_of(case: str, architecture: ModuleType) -> Params:
    """A case's weights, made once."""
    if case not in PARAMS:
        PARAMS[case] = Params(Weights(case), locator(architecture.names(CASES[case])))
    return PARAMS[case]


PARAMS: dict[str, Params] = {}


def pictures() -> dict[str, np.ndarray]:
    """Pictures uint8 [h, w, 3] by their size."""
    return dict(np.load(GOLDEN / "pictures.npz"))


def clip(picture: np.ndarray) -> np.ndarray:
    """A video of 11 frames, uint8 [11, h, w, 3], that moves over the picture."""
    return np.stack([np.roll(picture, (2 * i, 3 * i), (0, 1)) for i in range(11)])


def golden(case: str) -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / case / "golden.npz"))


# Answers

SCORE, BOX = 1e-4, 1e-4  # of detections: absolute, and of the input's longer side
MATCHED = 0.98  # of the detections: two proposals, or two boxes, with nearly equal scores change places


def assert_answers(stored, prefix: str, outputs: dict[str, np.ndarray]) -> None:
    """Against what is stored under the prefix: all of it, of its dtype and shape, dense or matched by detections."""
    names = {name.removeprefix(prefix).partition("#")[0] for name in stored if name.startswith(prefix)}
    assert names == set(outputs)
    if "detection_boxes" in names:
        assert_detections({name: stored[prefix + name] for name in names}, outputs)
        return
    for name, value in outputs.items():
        assert value.dtype == np.float32, name
        assert is_stored(stored, prefix + name)
        assert_close(stored, prefix + name, value)


def assert_detections(reference: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    """Of one picture: each has its twin of the same class, score, box and mask, in whatever order."""
    for name, value in reference.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
    np.testing.assert_allclose(found["image_info"], reference["image_info"], rtol=1e-6)
    count = int(reference["num_detections"][0])
    assert count
    assert abs(int(found["num_detections"][0]) - count) <= (1 - MATCHED) * count
    scores, there = found["detection_scores"][0], reference["detection_scores"][0]
    assert np.mean(np.abs(scores - there) <= SCORE) >= MATCHED
    near = np.abs(scores[None] - there[:, None]) <= SCORE
    near &= found["detection_classes"][0][None] == reference["detection_classes"][0][:, None]
    far = np.abs(found["detection_boxes"][0][None] - reference["detection_boxes"][0][:, None]).max(2)
    near &= far <= BOX * reference["image_info"][0, 1].max()
    twins = {i: int(np.where(near[i], far[i], np.inf).argmin()) for i in range(count) if near[i, : len(scores)].any()}
    assert len(twins) >= MATCHED * count
    if "detection_masks" in reference:
        masks = reference["detection_masks"][0]
        bound = max(ABSOLUTE, 10 * RELATIVE * float(masks.std()))
        worst = [np.abs(masks[i] - found["detection_masks"][0][j]).max() for i, j in twins.items()]
        assert np.mean(np.array(worst) <= bound) >= MATCHED
