"""8-bit files: scales are of each activation's own range, or of what of it counts, and an EfficientDet has 8 bits
throughout."""

from typing import Any

import numpy as np
import pytest

from visionport.checkpoint.params import Params
from visionport.config import BatchNorm, Bifpn, Hyperparams, WeightSharedPredictor
from visionport.config.backbones.efficientnet import EfficientNet
from visionport.tflite import layers
from visionport.tflite.contents import read_contents
from visionport.tflite.convert import FileRequest, convert_function

WIDTH = 16
SWISH = Hyperparams(activation="swish", use_bias=True, force_use_bias=True, batch_norm=BatchNorm())
BLOCKS = EfficientNet(se_ratio=0.25, activation="swish", se_inner_activation="swish")
PYRAMID = Bifpn(min_level=3, max_level=6, num_iterations=1)
PREDICTOR = WeightSharedPredictor(hyperparams=SWISH, depth=WIDTH, num_layers=1, use_depthwise=True)
RANDOM = np.random.default_rng(0)
COARSE, FINE = RANDOM.normal(size=(12, 1, 8, 8, 3)), RANDOM.normal(0, 0.3, (12, 1, 64, 64, 3))
PICTURES = (COARSE.repeat(8, 2).repeat(8, 3) + FINE).astype(np.float32)


class Invented(Params):
    """Weights of whatever name and shape are asked for, WIDTH wide where nothing says how wide."""

    def __init__(self):
        none: Any = {}
        super().__init__(none, str, dry=True)
        self.random, self.made = np.random.default_rng(0), {}

    def get(self, name, shape):
        if name not in self.made:
            self.made[name] = self.invented(name, tuple(d or WIDTH for d in shape)).astype(np.float32)
        return self.made[name]

    def invented(self, name, shape):
        if name.endswith(("gamma", "moving_variance", "bifpn_combine_weights")):
            return self.random.uniform(0.5, 2, shape)
        if name.endswith("ClassPredictor/biases"):
            return np.full(shape, -4.6)  # as training begins: few places hold anything
        if len(shape) == 1:
            return self.random.normal(0, 0.3, shape)
        gain = 8 if "ClassPredictor/pointwise" in name else 2 if name.endswith("stem/weights") else 1
        return gain * self.random.normal(size=shape) / np.sqrt(np.prod(shape) / shape[2 if "depthwise" in name else 3])


def network(image):
    """An EfficientDet of few and narrow layers: box encodings and class scores of an image [1, 64, 64, 3]."""
    import tensorflow as tf

    from visionport.models.backbones import efficientnet
    from visionport.models.heads import box_predictors
    from visionport.models.necks import bifpn

    s, maps = Invented().scope("s"), {}
    x = efficientnet.conv_bn(s / "stem", image, efficientnet.hyper(BLOCKS), kernel=3, stride=2)
    for level in (3, 4, 5):
        x = efficientnet.inverted_residual(s / f"{level}_down", x, 3, 2, True, BLOCKS)
        x = maps[level] = efficientnet.inverted_residual(s / f"{level}_same", x, 3, 1, True, BLOCKS)
    codes, logits = box_predictors.weight_shared(s, bifpn.forward(s, maps, PYRAMID, SWISH), PREDICTOR, [1] * 4, 3)
    return {"codes": codes, "scores": tf.sigmoid(logits)}


@pytest.fixture(scope="module")
def files():
    """That network as a float32 and as an 8-bit file."""
    import tensorflow as tf

    from visionport.ops import nn

    def heads(image):
        with nn.for_tflite():
            return network(image)

    function = tf.function(heads, autograph=False).get_concrete_function(tf.TensorSpec((1, 64, 64, 3), tf.float32))
    ends = {"inputs": ["image"], "outputs": ["codes", "scores"], "examples": [[picture] for picture in PICTURES]}
    return {kind: convert_function(function, FileRequest(quantize=kind, **ends)) for kind in ("none", "int8")}


def values(run, picture, names) -> dict[str, np.ndarray]:
    run.set_tensor(run.get_input_details()[0]["index"], picture)
    run.invoke()
    return {d["name"]: run.get_tensor(d["index"]) for d in run.get_tensor_details() if d["name"] in names}


def test_an_efficientdet_has_8_bits_throughout(files):
    ops = read_contents(files["int8"]).ops
    assert "ADD_N" not in ops
    assert (ops["QUANTIZE"], ops["DEQUANTIZE"]) == (1, 2)  # at its ends alone


@pytest.mark.parametrize(("head", "bound"), [("codes", 28), ("scores", 20)])
def test_its_heads_keep_their_signal(files, head, bound):
    runs = [layers.keeping_all(files[kind]) for kind in ("none", "int8")]
    exact, rounded = (np.stack([values(run, p, {head})[head] for p in PICTURES]) for run in runs)
    signal = np.sum((exact - exact.mean()) ** 2) / np.sum((exact - rounded) ** 2)
    assert 10 * np.log10(signal) > bound


def test_what_a_sum_adds_has_its_own_range(files):
    """TensorFlow's own calibration gives some of these the range of the sum."""
    run = layers.keeping_all(files["int8"])
    details = {d["index"]: d for d in run.get_tensor_details()}
    added = {i for op in run._get_ops_details() if op["op_name"] == "ADD" for i in op["inputs"]}
    scales = {details[i]["name"]: details[i]["quantization"][0] for i in added}
    exact = layers.keeping_all(files["none"])
    seen = [values(exact, p, scales) for p in PICTURES]
    assert len(seen[0]) == len(scales) >= 14
    for name, scale in scales.items():
        low, high = (f([f(v[name]) for v in seen] + [0]) for f in (np.min, np.max))
        assert scale * 255 == pytest.approx(high - low, rel=0.02), name


def test_what_a_sigmoid_does_not_tell_apart_takes_no_range(files):
    """Of logits and of what goes through a swish; other results are as they were."""
    run, exact = layers.keeping_all(files["int8"]), layers.keeping_all(files["none"])
    details = {d["index"]: d for d in run.get_tensor_details()}
    ops = [(op["op_name"], op["inputs"], op["outputs"]) for op in run._get_ops_details()]
    readers = {i: [name for name, inputs, _ in ops if i in inputs] for i in details}
    clipped = 0
    for i in {inputs[0] for name, inputs, _ in ops if name == "LOGISTIC"}:
        scale, zero = details[i]["quantization"]
        name, low, high = details[i]["name"], (-128 - zero) * scale, (127 - zero) * scale
        assert low > -7.2, name
        seen = [values(exact, p, {name})[name] for p in PICTURES[:4]]
        clipped += np.min(seen) < -7.2
        if readers[i] == ["LOGISTIC"]:
            assert high < 7.2, name
        else:
            assert high > np.max(seen) - scale, name
    assert clipped >= 2


def test_ranges_left_out_on_purpose_are_no_layers_loss(files):
    found = layers.layers(files["none"], files["int8"], lambda source: PICTURES[:4])
    assert len(found) > 150
    assert max(layer.lost for layer in found) < 8
    assert min(layer.signal for layer in found) > 20
