"""Segmenters of TF Official Vision: pictures of different sizes, sizes of logits, what is refused."""

import dataclasses
import functools

import numpy as np
import official_models as official
import pytest
from official_goldens import CASES as SMALL
from official_goldens import Weights, params_of, pictures

from visionport.errors import MismatchError, UnsupportedError
from visionport.inputs import types
from visionport.models.segmentation import architecture

STRINGS = {"image_bytes": types.prepare_encoded, "tf_example": types.prepare_examples}


def outputs_of(case, images, sizes, **changes):
    model = dataclasses.replace(SMALL[case], **changes)
    scope = params_of(case, architecture).scope()
    return architecture.postprocess(model, scope, architecture.predict(model, scope, images), images, sizes)


def encoded(picture, source):
    return (types.feed_encoded if source == "image_bytes" else types.feed_examples)(picture[None])[0]


@pytest.mark.parametrize("source", STRINGS)
@pytest.mark.parametrize("rescale", [False, True])
def test_strings_of_different_sizes_are_answered_together(source, rescale):
    """The reference cannot: its pictures must be of one size, and of one alone where logits are rescaled."""
    import tensorflow as tf

    case = "aspp_v1_pool"
    two = list(pictures().values())
    assert two[0].shape != two[1].shape
    preprocess = functools.partial(architecture.preprocess, SMALL[case], source=source)
    data = tf.constant([encoded(picture, source) for picture in two])
    together = outputs_of(case, *STRINGS[source](preprocess, data), rescale_output=rescale)
    for i, picture in enumerate(two):
        alone = outputs_of(case, *architecture.preprocess(SMALL[case], picture[None]), rescale_output=rescale)
        np.testing.assert_allclose(together["image_info"][i], alone["image_info"][0])
        height, width = alone["logits"].shape[1:3]
        found = together["logits"][i].numpy()
        np.testing.assert_allclose(found[:height, :width], alone["logits"][0], atol=1e-4)
        assert not found[height:].any()
        assert not found[:, width:].any()
    assert together["logits"].shape[1:3] == ((90, 80) if rescale else (64, 96))


def test_logits_are_of_the_input_or_of_the_picture():
    images, sizes = architecture.preprocess(SMALL["aspp_v1_pool"], next(iter(pictures().values()))[None])
    assert outputs_of("aspp_v1_pool", images, sizes)["logits"].shape == (1, 48, 80, 5)
    assert outputs_of("aspp_v1_pool", images, sizes, rescale_output=False)["logits"].shape == (1, 64, 96, 5)
    with pytest.raises(UnsupportedError, match="tflite"):
        outputs_of("aspp_v1_pool", images, None)


def test_a_stretched_picture_may_be_of_any_shape():
    """The reference takes square inputs alone there: it turns height and width round."""
    model = SMALL["mask_scoring"]
    resizer = dataclasses.replace(model.resizer, height=64, width=128)
    picture = next(iter(pictures().values()))
    images, sizes = architecture.preprocess(dataclasses.replace(model, resizer=resizer), picture[None])
    out = outputs_of("mask_scoring", images, sizes, resizer=resizer, rescale_output=False)
    assert out["logits"].shape == (1, 64, 128, 5)
    np.testing.assert_allclose(out["image_info"][0], [[48, 80], [64, 128], [64 / 48, 1.6], [0, 0]], rtol=1e-6)


REFUSED = {
    "panoptic_fpn_fusion": ("pyramid_fusion", {"feature_fusion": "panoptic_fpn_fusion"}, "decoder_min_level"),
    "unknown fusion": ("pyramid_fusion", {"feature_fusion": "pyramid_fusio"}, "nearest: pyramid_fusion"),
    "fusion above the lowest": ("pyramid_fusion", {"level": 4}, "the lowest of them"),
    "level": ("pyramid_fusion", {"level": 6, "feature_fusion": None}, "decoder's outputs are 3, 4, 5"),
    "low level": ("aspp_v1_pool", {"low_level": 7}, "backbone's outputs are 2, 3, 4, 5"),
    "sum of different widths": ("aspp_v1_pool", {"low_level_num_filters": 8}, "low_level_num_filters: 16"),
    "activation": ("pyramid_fusion", {"logit_activation": "exp"}, "One of: null, linear"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    case, changes, message = REFUSED[what]
    model = dataclasses.replace(SMALL[case], head=dataclasses.replace(SMALL[case].head, **changes))
    with pytest.raises(UnsupportedError, match=message):
        official.fit(architecture, model, Weights(case), (64, 96, 3))


def test_another_number_of_classes_does_not_fit():
    """The reference takes the checkpoint's in silence."""
    model = dataclasses.replace(SMALL["aspp_v2"], num_classes=6)
    with pytest.raises(MismatchError, match="wrong shape"):
        official.fit(architecture, model, Weights("aspp_v2"), (65, 97, 3))
