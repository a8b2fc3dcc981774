"""Mobile backbones of TF Official Vision give the reference's feature maps."""

import dataclasses
import json
import lzma

import numpy as np
import official_goldens
import pytest
from golden_cases import ABSOLUTE, RELATIVE
from official_mobile_cases import CASES, picture, thinned
from official_models import rule_of_values
from sampling import sampled

from visionport.checkpoint.names import locator
from visionport.checkpoint.params import Params
from visionport.checkpoint.read import VALUE, Entry
from visionport.config.backbones.efficientnet import EfficientNet
from visionport.config.backbones.mobiledet import MobileDet
from visionport.config.backbones.mobilenet import MobileNet
from visionport.config.backbones.spinenet_mobile import SpineNetMobile
from visionport.errors import MismatchError, UnsupportedError
from visionport.models import backbones

FOLDER = official_goldens.GOLDEN / "mobile"
STORED = json.loads(lzma.decompress((FOLDER / "names.json.xz").read_bytes()))


class Weights(official_goldens.Weights):
    """A checkpoint of (key without ending, what make_checkpoint.py's rule needs)."""

    def __init__(self, rules: dict[str, dict]):
        self.rules = rules
        self.entries = {key: Entry(key, tuple(rule["shape"]), "float32", 0) for key, rule in rules.items()}

    def __getitem__(self, key):
        return rule_of_values().value(self.rules[key])


def weights_of(case) -> Weights:
    rule = rule_of_values()
    rules = {}
    for path, shape in STORED[case]["names"]:
        key = f"backbone/{path}"
        rules[key] = {"key": key + VALUE, "shape": shape, "kind": rule.kind_of(key + VALUE, shape, "float32")}
    return Weights(rules)


def params_of(config, weights, prefix, **how) -> Params:
    names = {scope: f"{prefix}/{path}" for scope, path in backbones.names(config).items()}
    return Params(weights, locator(names), **how)


def function_of(config, params, shape):
    """The backbone as a function of pictures of that shape, None where any size will do."""
    import tensorflow as tf

    run = tf.function(lambda images: backbones.backbone(params.scope(), images, config), autograph=False)
    return run.get_concrete_function(tf.TensorSpec(shape))


def assert_maps_agree(case, maps, samples):
    """Against the samples of the maps in the order of their names."""
    stored = STORED[case]["maps"]
    assert sorted(maps) == sorted(stored)
    for name, want in zip(sorted(stored), samples, strict=True):
        shape, deviation = stored[name]
        found = maps[name].numpy()
        assert found.shape == tuple(shape), name
        bound = max(ABSOLUTE, RELATIVE * deviation)
        assert np.abs(want.astype(np.float64) - thinned(found)).max() <= bound, name


@pytest.mark.parametrize("case", sampled(CASES, 3))
def test_maps_are_the_references(case):
    import tensorflow as tf

    config, size = CASES[case]
    params = params_of(config, weights_of(case), "backbone")
    maps = function_of(config, params, (None, *size, 3))(tf.constant(picture(size)))
    params.check(case, type(config).__name__)
    assert_maps_agree(case, maps, np.load(FOLDER / "samples.npz")[case])


@pytest.mark.parametrize("case", ["v2_stride8", "v4_hybrid_medium", "v4_hybrid_large", "spinenet_49s"])
def test_a_size_that_is_not_known_changes_nothing(case):
    import tensorflow as tf

    config, size = CASES[case]
    params = params_of(config, weights_of(case), "backbone")
    maps = function_of(config, params, (None, None, None, 3))(tf.constant(picture(size)))
    assert_maps_agree(case, maps, np.load(FOLDER / "samples.npz")[case])


@pytest.mark.parametrize(("case", "scale"), [("v4_small_stride8", 1.0), ("v1", 0.75), ("mobiledet_dsp", 1.0)])
def test_another_width_does_not_fit(case, scale):
    config, size = CASES[case]
    other = dataclasses.replace(config, filter_size_scale=scale)
    params = params_of(other, weights_of(case), "backbone", dry=True)
    function_of(other, params, (None, *size, 3))
    with pytest.raises(MismatchError, match="wrong shape"):
        params.check(case, "backbone")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MobileNet(model_id="MobileNetV3Larg"), "model_id.*MobileNetV3Large"),
        (MobileNet(filter_size_scale=0.0), "filter_size_scale"),
        (MobileNet(output_stride=3), "output_stride"),
        (MobileNet(model_id="MobileNetV1", output_stride=4), "output_stride"),
        (MobileDet(model_id="MobileDetCpu"), "model_id.*MobileDetCPU"),
        (EfficientNet(model_id="b8"), "model_id.*b7"),
        (SpineNetMobile(model_id="49XL"), "model_id.*49XS"),
        (SpineNetMobile(min_level=2), "levels 2 to 7"),
    ],
)
def test_what_the_reference_cannot_build_is_refused(config, message):
    with pytest.raises(UnsupportedError, match=message):
        backbones.names(config)


@pytest.mark.parametrize("config", [CASES[case][0] for case in ("v2_stride8", "multi_avg_seg", "mobiledet_gpu")])
def test_levels_have_their_widths(config):
    case = next(name for name, (other, _) in CASES.items() if other is config)
    shapes = {level: shape[-1] for level, (shape, _) in STORED[case]["maps"].items()}
    levels = backbones.levels(config)
    assert levels == {level: shapes[level] for level in levels}
    assert not set(shapes) - set(levels) - {max(shapes)} - {f"{level}/depthwise" for level in levels}
