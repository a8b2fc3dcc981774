"""Decoders of TF Official Vision: the reference's names below detectors' backbones, and what cannot be built.

What they answer, test_official_segmentation.py and test_official_small.py say.
"""

import pytest
from official_goldens import Weights

from visionport.checkpoint.params import Params
from visionport.config.decoders import Aspp, Fpn, NasFpn
from visionport.errors import UnsupportedError
from visionport.models.necks import aspp, decoders, fpn, nas_fpn


def placeholders(sizes, width=8):
    import tensorflow as tf

    return {n: tf.raw_ops.Placeholder(dtype=tf.float32, shape=(None, *size, width)) for n, size in sizes.items()}


HALVING = {"3": (16, 16), "4": (8, 8), "5": (4, 4)}
REFUSED = {
    "fusion": (fpn.fpn, Fpn(fusion_type="summ"), HALVING, "nearest: sum"),
    "no such level": (fpn.fpn, Fpn(min_level=2), HALVING, "outputs are 3, 4, 5"),
    "endpoints": (fpn.fpn, Fpn(), HALVING | {"3/depthwise": (16, 16)}, "numbered levels"),
    "no levels": (fpn.fpn, Fpn(), {}, "outputs are none"),
    "odd size": (fpn.fpn, Fpn(), HALVING | {"5": (5, 4)}, "cannot join level 5"),
    "NAS-FPN of other levels": (nas_fpn.nas_fpn, NasFpn(min_level=2), HALVING, "levels 3 to 7"),
    "NAS-FPN of no repeats": (nas_fpn.nas_fpn, NasFpn(num_repeats=0), HALVING, "at least 1"),
    "NAS-FPN of an odd size": (nas_fpn.nas_fpn, NasFpn(), HALVING | {"3": (17, 16)}, "multiple of 128"),
    "ASPP version": (aspp.aspp, Aspp(spp_layer_version="v3"), HALVING, "One of: v1, v2"),
    "ASPP level": (aspp.aspp, Aspp(level=6), HALVING, "outputs are 3, 4, 5"),
    "ASPP pool": (aspp.aspp, Aspp(pool_kernel_size=(8, 16)), HALVING, "at least 16"),
    "activation": (fpn.fpn, Fpn(max_level=7, activation="swosh"), HALVING, "nearest: swish"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    import tensorflow as tf

    function, config, sizes, message = REFUSED[what]
    with tf.__internal__.FuncGraph("refused").as_default(), pytest.raises(UnsupportedError, match=message):
        function(Params(Weights("vit_gap"), str, dry=True).scope("decoder"), placeholders(sizes), config)


def test_nothing_is_between_a_backbone_and_its_heads_without_a_decoder():
    maps = {"3": object(), "4/depthwise": object()}
    assert decoders.decode(None, maps, None, ["3"]) is maps
    assert decoders.names(None, {"3": None}) == {}
