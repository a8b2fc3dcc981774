"""R-CNNs of TF Official Vision: the reference's detections and masks, its names, what is refused."""

import functools
import json

import numpy as np
import official_models as official
import pytest
from golden_cases import ABSOLUTE, PROPOSED, RELATIVE
from official_goldens import Weights, golden, pictures
from sampling import sampled

from visionport.checkpoint.names import locator
from visionport.checkpoint.params import Params
from visionport.config.mask_rcnn import MaskRcnn
from visionport.config.official.read import read
from visionport.errors import MismatchError, UnsupportedError
from visionport.formats.tflite.format import architecture_of
from visionport.inputs import types
from visionport.models.mask_rcnn import architecture
from visionport.ops import roi

GOLDEN = [folder for folder in official.cases() if "rcnn" in official.meta_of(folder)["experiment"]]
STRINGS = {"image_bytes": types.prepare_encoded, "tf_example": types.prepare_examples}


def runner(model: MaskRcnn, params: Params):
    """The network as a function of a preprocessed batch and sizes: (outputs, raw answers)."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def run(images, sizes=None):
        prediction = architecture.predict(model, params.scope(), images)
        return architecture.postprocess(model, params.scope(), prediction, images, sizes), prediction

    return run


def assert_agrees(stored: dict, found: dict, least: float = PROPOSED):
    """The same outputs, dtypes and shapes; of the detections nearly all, since close ones change places."""
    assert set(found) == set(stored)
    found = {name: np.asarray(value) for name, value in found.items()}
    for name, value in found.items():
        assert (value.shape, value.dtype) == (stored[name].shape, stored[name].dtype), name
    np.testing.assert_allclose(found["image_info"], stored["image_info"], rtol=1e-6)
    if "num_detections" in found:
        np.testing.assert_array_equal(found["num_detections"], stored["num_detections"])
    side = float(stored["image_info"][0, 1].max())
    rows = stored[next(name for name in stored if "boxes" in name)].shape[1]
    same = np.ones((rows, rows), bool)
    for name in set(found) - {"image_info", "num_detections"}:
        one, other = (x[name][0].reshape(rows, -1).astype(np.float32) for x in (stored, found))
        off = np.array([np.abs(other - row).max(1) for row in one])
        same &= off <= 1e-4 * (side if "boxes" in name else 1)
    assert same.any(1).mean() >= least
    assert same.any(0).mean() >= least


def numbered(stored: dict, prefix: str) -> dict:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


@pytest.mark.parametrize("folder", sampled(GOLDEN, 3), ids=lambda folder: folder.name)
def test_raw_answers_are_the_references(folder):
    """Of the stages that look at proposals; see test_official_golden.py for all else."""
    import tensorflow as tf

    from visionport.ops import image

    config = official.config_of_case(folder)
    locate = locator(architecture.names(config.model))
    params = Params(official.checkpoint_of_case(folder), locate, known_unread=architecture.known_unread(config.model))
    stored = dict(np.load(folder / "probes.npz"))
    pixels = tf.cast(stored["model_input_u8"][None], tf.float32)
    _, prediction = runner(config.model, params)(image.normalize(pixels, config.model.normalization))
    scores, moves = prediction["class_outputs"], prediction["box_outputs"]
    found = {f"class_outputs{suffix}": x for suffix, x in zip(("", "_1", "_2"), scores, strict=False)}
    # The reference calls the last stage's like the first.
    found |= {f"box_outputs{suffix}": x for suffix, x in zip(("", "_1", "_2"), [moves[-1], *moves[1:]], strict=False)}
    assert len(found) == 2 * len(scores)
    for name, value in found.items():
        assert share(stored[f"out|{name}"], value) >= PROPOSED, name


def share(stored, value) -> float:
    """Of the sampled places, those that agree."""
    flat = value.numpy().reshape(-1)
    flat = flat[:: max(1, flat.size // 2048)][: stored.size]
    return float((np.abs(stored.astype(np.float64) - flat) <= max(ABSOLUTE, RELATIVE * stored.std())).mean())


BASE = {
    "num_classes": 5,
    "min_level": 3,
    "max_level": 5,
    "anchor": {"num_scales": 2, "aspect_ratios": [0.5, 1.0, 2.0], "anchor_size": 3.0},
    "backbone": {"resnet": {"model_id": 10, "depth_multiplier": 0.25}},
    "decoder": {"fpn": {"num_filters": 16}},
    "norm_activation": {"activation": "swish"},
    "rpn_head": {"num_convs": 2, "num_filters": 12},
    "roi_generator": {"test_num_proposals": 60, "test_pre_nms_top_k": 200},
    "detection_head": {"num_convs": 1, "num_filters": 12, "num_fcs": 1, "fc_dims": 20},
    "mask_head": {"num_convs": 1, "num_filters": 12},
    "roi_aligner": {"crop_size": 5},
    "mask_roi_aligner": {"crop_size": 6},
    "detection_generator": {"max_num_detections": 20},
}
SEPARABLE = {
    "rpn_head": {"use_separable_conv": True, "num_convs": 1},
    "detection_head": {"use_separable_conv": True, "num_convs": 2, "num_fcs": 2},
    "mask_head": {"use_separable_conv": True, "num_convs": 2, "class_agnostic": True, "upsample_factor": 3},
    "roi_aligner": {"crop_size": 4, "sample_offset": 0.25},
    "mask_roi_aligner": {"crop_size": 3, "sample_offset": 0.75},
    "outer_boxes_scale": 1.3,
}
CASCADE = {
    "include_mask": False,
    "roi_sampler": {"cascade_iou_thresholds": [0.6, 0.7]},
    "detection_head": {
        "class_agnostic_bbox_pred": True,
        "cascade_class_ensemble": True,
        "num_convs": 0,
        "num_fcs": 2,
    },
}
DECODED = {"include_mask": False, "detection_head": {"num_convs": 0}}

# Of each folder in tests/golden_official: the model, the input's size, what else the task says.
SMALL = {
    "rcnn_plain": ({}, (64, 96), {}),
    "rcnn_separable": (SEPARABLE, (70, 100), {}),
    "rcnn_cascade": (CASCADE, (64, 64), {"train_data": {"parser": {"keep_aspect_ratio": False}}}),
    "rcnn_decoded": (DECODED, (64, 64), {}),
}
# Answers of one model by its post-processing: the folder, what changes.
VERSIONS = {
    "v2": ("rcnn_plain", {}),
    "v1": ("rcnn_plain", {"detection_generator": {"nms_version": "v1", "pre_nms_top_k": 40}}),
    "v1_soft": (
        "rcnn_plain",
        {"detection_generator": {"nms_version": "v1", "soft_nms_sigma": 0.4, "pre_nms_score_threshold": 0.2}},
    ),
    "batched": (
        "rcnn_plain",
        {
            "detection_generator": {"nms_version": "batched", "nms_iou_threshold": 0.4},
            "roi_generator": {"use_batched_nms": True, "test_pre_nms_score_threshold": 0.52},
        },
    ),
    "low": (
        "rcnn_plain",
        {
            "detection_generator": {"nms_iou_threshold": 0.3, "use_sigmoid_probability": True},
            "roi_generator": {"test_nms_iou_threshold": 0.4},
        },
    ),
    "large": (
        "rcnn_plain",
        {
            "roi_generator": {
                "test_pre_nms_min_size_threshold": 14.0,
                "test_pre_nms_score_threshold": 0.51,
                "test_nms_iou_threshold": 0.6,
            }
        },
    ),
    "without_nms": ("rcnn_plain", {"roi_generator": {"test_nms_iou_threshold": 0.0}}),
    "separable": ("rcnn_separable", {}),
    "cascade": ("rcnn_cascade", {}),
    "last": ("rcnn_cascade", {"detection_head": {"cascade_class_ensemble": False}}),
    "cascade_decoded": ("rcnn_cascade", {"detection_generator": {"apply_nms": False}}),
    "decoded": ("rcnn_decoded", {"detection_generator": {"apply_nms": False}}),
}
STORED = {"separable": "v2", "cascade": "v2", "cascade_decoded": "decoded"}  # what golden.npz calls them


def merged(tree: dict, change: dict) -> dict:
    """The tree with what differs, at any depth."""
    nested = {k: merged(tree.get(k, {}), v) if isinstance(v, dict) else v for k, v in change.items()}
    return tree | nested


@functools.cache
def small(version: str):
    """(model's config, its network, its weights)."""
    case, changes = VERSIONS[version]
    model, size, more = SMALL[case]
    tree = {"task": merged({"model": merged(merged(BASE, model), changes)}, more)}
    config = read("maskrcnn_resnetfpn_coco", (), json.dumps(tree), image_size=size, batch=1).model
    params = Params(Weights(case), locator(architecture.names(config)))
    return config, runner(config, params), params


@pytest.mark.parametrize("version", VERSIONS)
def test_small_models_answer_as_the_reference(version):
    import tensorflow as tf

    model, run, params = small(version)
    stored = numbered(golden(VERSIONS[version][0]), f"{STORED.get(version, version)}/")
    for i, picture in enumerate(pictures().values()):
        outputs, _ = run(*architecture.preprocess(model, tf.constant(picture[None])))
        assert_agrees(numbered(stored, f"out{i}|"), outputs, least=0.95)  # but one of 20
    params.check(version, "R-CNN")


@pytest.mark.parametrize("source", STRINGS)
def test_strings_of_different_sizes_are_answered_together(source):
    """The reference cannot: its pictures must be of one size."""
    import tensorflow as tf

    model, run, _ = small("v2")
    two = list(pictures().values())
    assert two[0].shape != two[1].shape
    feed = types.feed_encoded if source == "image_bytes" else types.feed_examples
    preprocess = functools.partial(architecture.preprocess, model, source=source)
    together, _ = run(*STRINGS[source](preprocess, tf.constant([feed(p[None])[0] for p in two])))
    for i, picture in enumerate(two):
        alone, _ = run(*architecture.preprocess(model, picture[None]))
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][i], value[0], atol=2e-3, err_msg=name)


def test_prepared_images_count_as_of_the_size_that_was_asked_for():
    import tensorflow as tf

    model, run, _ = small("separable")
    images, sizes = architecture.preprocess(model, tf.zeros((1, 96, 128, 3)), "tflite")
    outputs, _ = run(images, sizes)
    np.testing.assert_array_equal(outputs["image_info"], [[[70, 100], [70, 100], [1, 1], [0, 0]]])
    assert outputs["detection_boxes"].numpy()[..., 2].max() <= 70


def test_outer_boxes_grow_around_their_middle_inside_the_picture():
    model, _, _ = small("separable")
    boxes = np.array([[[10, 20, 30, 40], [0, 0, 70, 100], [60, 2, 70, 12]]], np.float32)
    found = architecture.outer_boxes(model, boxes).numpy()
    np.testing.assert_allclose(found, [[[7, 17, 33, 43], [0, 0, 70, 100], [58.5, 0.5, 70, 13.5]]], rtol=1e-5)


def test_crops_are_samples_between_pixels():
    """Of a map that rises by one a pixel the samples are their own places; past the last pixel it stays flat."""
    import tensorflow as tf

    rise = tf.range(8, dtype=tf.float32)[None, :, None, None] + tf.zeros((1, 1, 8, 1))
    boxes = tf.constant(
        [[[4.0, 4.0, 20.0, 20.0], [16.0, 0.0, 32.0, 8.0], [0.0, 0.0, 0.0, 0.0], [32.0, 32.0, 32.0, 32.0]]]
    )
    found = roi.align({"2": rise}, boxes, 2, offset=0.5).numpy()[:, :, 0, 0]
    np.testing.assert_allclose(found, [[2, 4], [5, 7], [0, 0], [7, 7]])


def test_boxes_are_cropped_from_the_level_of_their_size():
    boxes = [[0, 0, side, side] for side in (0, 10, 111.9, 112.1, 223, 224.1, 448.1, 5000)]
    np.testing.assert_array_equal(roi.pyramid_level(np.array(boxes, np.float32), 2, 6), [2, 2, 2, 3, 3, 4, 5, 6])


def test_levels_that_are_not_there_are_refused():
    tree = {"task": {"model": {"decoder": {"type": "identity"}, "max_level": 6}}}
    model = read("maskrcnn_resnetfpn_coco", (), json.dumps(tree), image_size=(64, 64)).model
    with pytest.raises(UnsupportedError, match="level 6, but the decoder's outputs are 2, 3, 4, 5"):
        official.fit(architecture, model, Weights("rcnn_plain"), (64, 64, 3))


def test_another_number_of_classes_does_not_fit():
    """The reference takes the checkpoint's in silence."""
    tree = {"task": {"model": BASE | {"num_classes": 6}}}
    model = read("maskrcnn_resnetfpn_coco", (), json.dumps(tree), image_size=(64, 96)).model
    with pytest.raises(MismatchError, match="wrong shape"):
        official.fit(architecture, model, Weights("rcnn_plain"), (64, 96, 3))


def test_there_is_no_tflite_file():
    config = read("fasterrcnn_resnetfpn_coco", image_size=(64, 64))
    with pytest.raises(UnsupportedError, match="no op that crops a feature map at proposals"):
        architecture_of(config).check(config, None)
