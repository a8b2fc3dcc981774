"""SpineNet and Vision Transformers of TF Official Vision: their blocks and positions, and what is refused.

Their feature maps are tested with classifiers, segmenters and detectors.
"""

import numpy as np
import pytest
from official_goldens import Weights, params_of, pictures

from visionport.checkpoint.params import Params
from visionport.config.backbones.spinenet import SpineNet
from visionport.config.backbones.vit import Vit
from visionport.errors import MismatchError, UnsupportedError
from visionport.models.backbones import spinenet, vit
from visionport.models.classification import architecture as classifier


def test_only_blocks_that_the_levels_need_are_there():
    """As in the reference, whose model has no others in its checkpoints."""
    whole, some = (spinenet.network(SpineNet(min_level=n, max_level=7 if n < 4 else 5)) for n in (2, 4))
    assert len(whole) == 18
    assert set(some) == {*range(13), 14}
    assert whole[12].more == ()
    assert {i: b.more for i, b in whole.items() if b.more} == {14: (11,)}


SPINENETS_REFUSED = {
    "size": ({}, (256, 224), "multiples of 128"),
    "model id": ({"model_id": "49L"}, (256, 256), "nearest: 49"),
    "levels": ({"max_level": 8}, (256, 256), "levels 2 to 7"),
    "activation": ({"activation": "relu6"}, (256, 256), "relu or swish"),
}


@pytest.mark.parametrize("what", SPINENETS_REFUSED)
def test_spinenets_refused(what):
    fields, size, message = SPINENETS_REFUSED[what]
    with pytest.raises(UnsupportedError, match=message):
        spinenet.check(SpineNet(**fields), size)


# Vision Transformers


def vit_of(case, size, config):
    """A backbone with the weights of a small case, on a blank picture."""
    return vit.vit(params_of(case, classifier).scope("backbone"), np.zeros((1, *size, 3), np.float32), config)


def test_another_input_size_is_an_error_that_says_both():
    config = Vit(model_name="vit-ti16", pooler="none", representation_size=12)
    with pytest.raises(MismatchError) as e:
        vit_of("vit_tokens", (48, 64), config)
    assert "of 6 patches" in str(e.value)
    assert "3x4 patches (48x64 pixels)" in str(e.value)
    assert "pos_embed_shape: [ROWS, COLUMNS]" in str(e.value)
    assert "of 196 patches (224x224 pixels), the input is of 24x24 patches (384x384 pixels)" in vit.size_problem(
        196, (24, 24), vit.NETWORKS["vit-b16"]
    )


def test_position_embeddings_are_interpolated_on_request():
    at_once = vit_of("vit_tokens", (32, 48), Vit(model_name="vit-ti16", pooler="none", representation_size=12))
    other = Vit(model_name="vit-ti16", pooler="none", representation_size=12, pos_embed_shape=(2, 3))
    np.testing.assert_array_equal(at_once["encoded_tokens"], vit_of("vit_tokens", (32, 48), other)["encoded_tokens"])
    assert vit_of("vit_tokens", (64, 80), other)["encoded_tokens"].shape == (1, 20, 12)


class Positions:
    """A scope that holds position embeddings alone."""

    def __init__(self, values):
        self.values = values

    def __call__(self, leaf, shape):
        import tensorflow as tf

        return tf.constant(self.values)


@pytest.mark.parametrize(("pooler", "token"), [("gap", 0), ("token", 1)])
def test_the_class_tokens_place_is_left_as_it_is(pooler, token):
    """The reference interpolates without a class token alone."""
    net = vit.NETWORKS["vit-ti16"]
    values = np.repeat(np.arange(4 + token, dtype=np.float32)[None, :, None], net.hidden_size, 2)
    config = Vit(model_name="vit-ti16", pooler=pooler, pos_embed_shape=(2, 2))
    found = vit.positions(Positions(values), (4, 4), net, config)[0, :, 0].numpy()
    assert found.shape == (16 + token,)
    grid = found[token:].reshape(4, 4)
    assert (grid[0, 0], grid[3, 3]) == (token, token + 3)
    np.testing.assert_allclose(grid[1], token + np.array([0.5, 0.75, 1.25, 1.5]))
    assert token == 0 or found[0] == 0


VITS_REFUSED = {
    "model name": (Vit(model_name="vit-b14"), (224, 224), "nearest: vit-"),
    "pooler": (Vit(pooler="tokens"), (224, 224), "nearest: token"),
    "no size": (Vit(), (None, 224), "one input size"),
    "too small": (Vit(model_name="vit-b32"), (224, 31), "one patch of 32"),
}


@pytest.mark.parametrize("what", VITS_REFUSED)
def test_vits_refused(what):
    import tensorflow as tf

    config, size, message = VITS_REFUSED[what]
    with tf.__internal__.FuncGraph("refused").as_default():
        scope = Params(Weights("vit_gap"), str, dry=True).scope("backbone")
        images = tf.raw_ops.Placeholder(dtype=tf.float32, shape=(None, *size, 3))
        with pytest.raises(UnsupportedError, match=message):
            vit.vit(scope, images, config)


def test_a_picture_that_patches_do_not_fill_is_cut():
    config = Vit(model_name="vit-ti16", pooler="none", representation_size=12)
    picture = next(iter(pictures().values()))[None].astype(np.float32) / 100
    scope = params_of("vit_tokens", classifier).scope("backbone")
    whole, cut = picture[:, :47, :60], picture[:, :32, :48]
    np.testing.assert_allclose(
        vit.vit(scope, whole, config)["encoded_tokens"], vit.vit(scope, cut, config)["encoded_tokens"], atol=1e-5
    )
