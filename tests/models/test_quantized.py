"""Quantisation-aware TF1 checkpoints: where fake quantisation stands, and the 8-bit TFLite file that it becomes."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from arrays import scope_of

from visionport import Options
from visionport.checkpoint.params import show
from visionport.config import BatchNorm, Hyperparams, read_config
from visionport.errors import MismatchError, OptionError, UnsupportedError
from visionport.formats.tflite import heads as tflite_heads
from visionport.tasks.detection.comparison import compare_answers
from visionport.tflite import edit
from visionport.tflite import trained as tflite_trained
from visionport.tflite.contents import read_contents
from visionport.verification.bounds import FAKE_QUANTIZED
from visionport.verification.checks import agree

RANDOM = np.random.default_rng(0)
BN = {
    "BatchNorm/gamma": RANDOM.uniform(0.5, 1.5, 4),
    "BatchNorm/beta": RANDOM.normal(size=4),
    "BatchNorm/moving_mean": RANDOM.normal(size=4),
    "BatchNorm/moving_variance": RANDOM.uniform(0.5, 2, 4),
}
SEPARABLE = {
    "depthwise_weights": RANDOM.normal(size=(3, 3, 3, 1)),
    "pointwise_weights": RANDOM.normal(size=(1, 1, 3, 4)),
}
RELU6 = Hyperparams()
X = RANDOM.normal(size=(1, 6, 6, 3)).astype(np.float32)


def span(name, low, high):
    return {f"{name}/min": low, f"{name}/max": high}


scope: Any = partial(scope_of, quantized=True)


def fake(x, low, high, steps=255):
    """TensorFlow's fake quantisation: the range moved so that 0 is one of its steps (Jacob et al. 2018, section 3)."""
    step = (high - low) / steps
    zero = np.rint(-low / step)
    return (np.clip(np.rint(x / step + zero), 0, steps) - zero) * step


def test_a_layer_rounds_folded_weights_and_its_output():
    import tensorflow as tf

    from visionport.ops import nn

    w = RANDOM.normal(size=(3, 3, 3, 4))
    s = scope({"weights": w, **BN, **span("weights_quant", -1.5, 1.2), **span("act_quant", 0, 3)})
    found = nn.layer(s, tf.constant(X), RELU6, kernel=3)
    factor = BN["BatchNorm/gamma"] / np.sqrt(BN["BatchNorm/moving_variance"] + BatchNorm().epsilon)
    folded = fake(w * factor, -1.5, 1.2, steps=254)  # narrow: symmetric weights keep their symmetry
    y = tf.nn.conv2d(X, folded.astype(np.float32), 1, "SAME") + np.float32(
        BN["BatchNorm/beta"] - BN["BatchNorm/moving_mean"] * factor
    )
    # A value between two steps may go either way, by the order of additions.
    off = np.abs(found - fake(np.clip(y, 0, 6), 0, 3))
    assert np.mean(off > 1e-4) < 0.01
    assert off.max() < 3 / 255 + 1e-4
    assert {k.removeprefix("s/") for k in s.params.keys} == {k.removeprefix("s/") for k in s.params.checkpoint}


def test_without_the_rewrite_no_range_is_read():
    import tensorflow as tf

    from visionport.ops import nn

    s = scope({"weights": np.ones((1, 1, 3, 4)), **BN, **span("act_quant", 0, 3)}, quantized=False)
    same = nn.complete(s, nn.conv(s, tf.constant(X), kernel=1), RELU6)
    np.testing.assert_array_equal(nn.layer(s, tf.constant(X), RELU6, kernel=1), same)
    assert not any("quant" in k for k in s.params.keys)


def test_a_separable_layer_rounds_between_its_halves_and_shared_weights_by_the_first_range():
    import tensorflow as tf

    from visionport.ops import nn

    ranges = {**span("separable_conv2d/weights_quant", -3, 3), **span("weights_quant", -2, 2)}
    outputs = {**span("level/separable_conv2d/act_quant", -1, 1), **span("level/act_quant", 0, 2)}
    s = scope({**SEPARABLE, "biases": np.zeros(4), **ranges, **outputs})
    hyper = Hyperparams(activation="relu", batch_norm=None, use_bias=True)
    found = nn.layer(s, tf.constant(X), hyper, nn.separable, ranges=s / "level", shared=s, kernel=3)
    inner = nn.fake_quant(
        s / "separable_conv2d" / "weights_quant", np.float32(SEPARABLE["depthwise_weights"]), narrow=True
    )
    y = nn.fake_quant(s / "level/separable_conv2d/act_quant", tf.nn.depthwise_conv2d(X, inner, (1, 1, 1, 1), "SAME"))
    outer = nn.fake_quant(s / "weights_quant", np.float32(SEPARABLE["pointwise_weights"]), narrow=True)
    np.testing.assert_array_equal(
        found, nn.fake_quant(s / "level/act_quant", tf.nn.relu(tf.nn.conv2d(y, outer, 1, "SAME")))
    )
    assert len(s.params.keys) == len(s.params.checkpoint)


def test_weights_without_a_range_are_missing_a_tensor():
    import tensorflow as tf

    from visionport.ops import nn

    s = scope({"weights": np.ones((1, 1, 3, 4)), **BN})
    with tf.Graph().as_default():
        nn.layer(s, tf.constant(X), RELU6, kernel=1)
    assert {p.name for p in s.params.problems} == {"s/weights_quant/min", "s/weights_quant/max"}
    assert all((p.kind, p.wanted) == ("missing", show(())) for p in s.params.problems)


def test_the_error_tells_of_the_rewrite():
    unread = scope({"act_quant/min": 0, "act_quant/max": 6}, quantized=False)
    with pytest.raises(MismatchError, match=r"its config has graph_rewriter \{"):
        unread.params.check("ckpt", "ssd")
    unread.params.quantized = True
    with pytest.raises(MismatchError, match="places"):
        unread.params.check("ckpt", "ssd")


def test_batch_norm_behind_a_bias_is_refused():
    import tensorflow as tf

    from visionport.ops import nn

    with pytest.raises(UnsupportedError, match="force_use_bias"):
        nn.layer(scope({}), tf.constant(X), Hyperparams(batch_norm=BatchNorm(), use_bias=True))


TF1 = "model { ssd { feature_extractor { type: 'ssd_mobilenet_v2' } } }"


@pytest.fixture
def tf1(digits):
    """The bundled detector's config as one of TF1, with any text merged into it."""
    path = digits / "tf1" if (digits / "tf1").is_dir() else digits / "tf2"
    return lambda text="": read_config(path, f"{TF1} {text}")


@pytest.mark.parametrize("text", ["graph_rewriter { }", "graph_rewriter { quantization { delay: 5 symmetric: true } }"])
def test_the_config_says_so(tf1, text):
    assert not tf1().quantized
    assert tf1(text).quantized


def test_other_bits_are_refused(tf1):
    with pytest.raises(UnsupportedError, match="weight_bits 4"):
        tf1("graph_rewriter { quantization { weight_bits: 4 } }")


def test_tf2_does_not_read_it(digits):
    config = read_config(digits / "tf2", "graph_rewriter { quantization { } }")
    assert not config.quantized
    assert any("graph_rewriter is ignored" in w for w in config.warnings)


def asked(**options) -> Options:
    given = Options(config="c", checkpoint="c", out="o", formats=("tflite",), **options)  # pyright: ignore[reportArgumentType]
    given.check_tflite(given.formats)
    return given


WRONG = {
    "gives them by itself": {"quantize": "dynamic"},
    "was trained with its ranges": {"quantize": "uint8", "calibration": "photos"},
    "takes pixels": {"tflite_input": "float"},
    "all of its network": {"quantize": "uint8", "quantize_exclude": ("ADD",)},
    "Take raw": {"tflite_head": "decoded"},
}


@pytest.mark.parametrize("text", WRONG)
def test_what_the_8_bits_cannot_do(tf1, text):
    with pytest.raises(OptionError, match=text):
        tflite_heads.check_quantization(tf1("graph_rewriter { }"), asked(**WRONG[text]))


def test_8_bits_are_the_default_of_such_a_checkpoint_alone(tf1):
    quantized, plain = tf1("graph_rewriter { }"), tf1()
    assert tflite_heads.settled_quantization(quantized, asked()) == "uint8"
    assert tflite_heads.settled_quantization(plain, asked()) == "none"
    for options in ({}, {"quantize": "none", "tflite_input": "float"}, {"tflite_head": "raw"}, {"quantize": "uint8"}):
        tflite_heads.check_quantization(quantized, asked(**options))
    with pytest.raises(OptionError, match="needs --calibration"):
        tflite_heads.check_quantization(plain, asked(quantize="uint8"))


@pytest.fixture(scope="module")
def network():
    """Four anchors' codes and scores of 2 classes by a fake-quantised network, as a frozen graph."""
    import tensorflow as tf

    from visionport.graph.function import freeze_function
    from visionport.ops import nn

    s = scope({
        "weights": RANDOM.normal(size=(1, 1, 3, 7)) / 2, "biases": RANDOM.normal(size=7) / 4,
        **span("weights_quant", -1, 1.1), **span("act_quant", -3, 3),
    })  # fmt: skip

    def heads(image):
        y = tf.reshape(nn.layer(s, image, nn.BIASED, kernel=1), (1, 4, 7))
        codes, logits = tf.split(y, (4, 3), axis=-1)
        return {"box_encodings": codes, "class_scores": tf.sigmoid(logits)}

    spec = tf.TensorSpec((1, 2, 2, 3), tf.float32, name="image")
    return freeze_function(tf.function(heads, autograph=False).get_concrete_function(spec), {"image": "image"})


PIXELS = RANDOM.integers(0, 256, (1, 2, 2, 3), np.uint8)
ANCHORS = np.array([[y, x, 0.5, 0.5] for y in (0.25, 0.75) for x in (0.25, 0.75)], np.float32)
OP: Any = dict.fromkeys(("y_scale", "x_scale", "h_scale", "w_scale"), 10.0) | {
    "num_classes": 2, "max_detections": 4, "detections_per_class": 4,
    "nms_score_threshold": 1e-8, "nms_iou_threshold": 1.0, "use_regular_nms": True,
}  # fmt: skip


def run(data, value) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
    interpreter.invoke()
    return interpreter


def converted(graph):
    how = {"input_name": "image", "output_names": ("box_encodings", "class_scores")}
    return tflite_trained.convert_trained(graph, mean=127.5, std=127.5, **how)


def test_the_file_has_8_bits_throughout_and_the_networks_answers(network):
    import tensorflow as tf

    assert [n.op for n in network.node].count("FakeQuantWithMinMaxVars") == 2  # of the weights and of the output
    data = converted(network)
    graph = read_contents(data)
    assert {t.dtype for t in (*graph.inputs, *graph.outputs)} == {"uint8"}
    assert not {"QUANTIZE", "DEQUANTIZE"} & {*graph.ops}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.import_graph_def(network, name="")
        wanted = session.run(["box_encodings:0", "class_scores:0"], {"image:0": PIXELS / np.float32(127.5) - 1})
    interpreter = run(data, PIXELS)
    exact = (1e-4, 0.51 / 256)  # scores have 256 levels of their own
    for detail, value, bound in zip(interpreter.get_output_details(), wanted, exact, strict=True):
        scale, zero = detail["quantization"]
        found = (interpreter.get_tensor(detail["index"]).astype(np.float32) - zero) * scale
        assert detail["name"] == ("box_encodings", "class_scores")[value.shape[-1] == 3]
        off = np.abs(found - value)
        assert np.mean(off > bound) < 0.1  # a value between two steps may go either way
        assert off.max() <= 1.01 * 6 / 255


def test_a_network_without_ranges_is_no_8_bit_file(network):
    from tensorflow.core.framework import graph_pb2, types_pb2

    bare = graph_pb2.GraphDef.FromString(network.SerializeToString())
    for node in bare.node:
        if node.op == "FakeQuantWithMinMaxVars":
            node.op = "Identity"
            del node.input[1:]
            node.attr.clear()
            node.attr["T"].type = types_pb2.DT_FLOAT
    with pytest.raises(UnsupportedError, match="no trained ranges"):
        converted(bare)


def test_the_op_reads_8_bit_scores_and_whole_codes(network):
    data = converted(network)
    heads: Any = {"box_encodings": "box_encodings", "class_scores": "class_scores", "anchors": ANCHORS}
    whole = edit.append_detection_postprocess(data, **heads, **OP)
    assert read_contents(whole).ops["DEQUANTIZE"] == 1
    assert {t.dtype for t in read_contents(whole).outputs} == {"float32"}
    raw, interpreter = run(data, PIXELS), run(whole, PIXELS)
    boxes, classes, scores, count = (interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details())
    values: dict[str, Any] = {}
    for detail in raw.get_output_details():
        scale, zero = detail["quantization"]
        values[detail["name"]] = (raw.get_tensor(detail["index"])[0].astype(np.float32) - zero) * scale
    foreground = values["class_scores"][:, 1:]
    assert count[0] == 4
    np.testing.assert_allclose(scores[0], np.sort(foreground, axis=None)[:-5:-1], atol=1e-6)
    best, kind = np.unravel_index(np.argmax(foreground), foreground.shape)
    code, anchor = values["box_encodings"][best] / 10, ANCHORS[int(best)]
    center, half = code[:2] * anchor[2:] + anchor[:2], np.exp(code[2:]) * anchor[2:] / 2
    np.testing.assert_allclose(boxes[0, 0], [*(center - half), *(center + half)], atol=1e-6)
    assert classes[0, 0] == kind


@pytest.mark.parametrize(("off", "agrees"), [(0.19, True), (0.21, False)])
def test_artifacts_are_judged_by_what_a_moved_picture_does_to_the_checkpoint(off, agrees):
    def answer(moved, boxes):
        raw = np.linspace(0, 1, 50) + moved
        rows = {
            "detection_boxes": np.tile(boxes, (4, 1)),
            "detection_scores": np.ones(4),
            "detection_classes": np.ones(4),
        }
        return {"raw_detection_scores": raw, **rows}

    here = np.array([0, 0, 0.5, 0.5])
    how: Any = {"tolerance": FAKE_QUANTIZED, "moved": answer(0.1, here)}
    checks = compare_answers("frozen_graph", "a.jpg", answer(0, here), answer(off, here), **how)
    assert [c.what for c in checks[:2]] == [f"raw_detection_scores, {w}" for w in ("median", "99th percentile")]
    assert agree(checks) == agrees
    # Where moving the picture loses no detection, an artifact may not either.
    assert not agree(compare_answers("frozen_graph", "a.jpg", answer(0, here), answer(0, here + 0.1), **how))
