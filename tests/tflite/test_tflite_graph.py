"""The custom op that we append to a TFLite file gives what plain NumPy non-maximum suppression gives."""

from typing import Any

import numpy as np
import pytest

from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.tflite.contents import read_contents
from visionport.tflite.edit import (
    REFERENCE_SIGNATURE_OUTPUTS,
    append_detection_postprocess,
    rename_tensors,
    reorder_outputs,
)
from visionport.tflite.flatbuffer import parse, serialize

CLASSES = 3
SIDE = 6  # SIDE x SIDE cells, one anchor each
N = SIDE * SIDE
OPTIONS: dict[str, Any] = {
    "box_encodings": "box_encodings",
    "class_scores": "class_scores",
    "num_classes": CLASSES,
    "max_detections": 20,
    "detections_per_class": 8,
    "nms_score_threshold": 0.5,
    "nms_iou_threshold": 0.5,
    "use_regular_nms": True,
    "y_scale": 10.0,
    "x_scale": 8.0,
    "h_scale": 5.0,
    "w_scale": 4.0,
}


def convert(columns):
    """A TFLite file: one convolution, whose channels are four codes and `columns` scores a cell."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(7).normal(size=(3, 3, 3, 4 + columns)), tf.float32)

    def heads(image):
        codes, logits = tf.split(tf.nn.conv2d(image, kernel, strides=1, padding="SAME"), [4, columns], axis=3)
        return {
            "box_encodings": tf.reshape(codes, [1, N, 4]),
            "class_scores": tf.sigmoid(tf.reshape(logits, [1, N, columns])),
        }

    image = tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32, name="image")
    function = tf.function(heads, autograph=False).get_concrete_function(image)
    return tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module()).convert()


@pytest.fixture(scope="module", params=[CLASSES, CLASSES + 1], ids=["no_background", "background"])
def heads(request):
    return convert(request.param)


@pytest.fixture(scope="module")
def anchors():
    rng = np.random.default_rng(3)
    return np.hstack([rng.uniform(0.3, 0.7, (N, 2)), rng.uniform(0.2, 0.5, (N, 2))]).astype(np.float32)


@pytest.fixture
def image():
    return np.random.default_rng(11).normal(size=(1, SIDE, SIDE, 3)).astype(np.float32)


def interpreter(model):
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_content=model)
    made.allocate_tensors()
    return made


def run(model, image):
    """The outputs by position."""
    lite = interpreter(model)
    lite.set_tensor(lite.get_input_details()[0]["index"], image)
    lite.invoke()
    return [lite.get_tensor(output["index"]) for output in lite.get_output_details()]


def decode(codes, anchors, options):
    y, x, h, w = (codes / [options[f"{axis}_scale"] for axis in "yxhw"]).T
    ya, xa, ha, wa = anchors.astype(np.float64).T
    center, size = np.stack([y * ha + ya, x * wa + xa], 1), np.stack([np.exp(h) * ha, np.exp(w) * wa], 1)
    return np.hstack([center - size / 2, center + size / 2])


def iou(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = np.prod(np.maximum(sides, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


def suppress(boxes, scores, limit, options):
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if len(kept) == limit or scores[i] < options["nms_score_threshold"]:
            break
        if all(iou(boxes[i], boxes[j]) <= options["nms_iou_threshold"] for j in kept):
            kept.append(i)
    return kept


def expected(codes, scores, anchors, options):
    """(boxes, classes, scores) as the op should find them, best first."""
    boxes = decode(codes[0], anchors, options)
    scores = scores[0, :, scores.shape[2] - CLASSES :]  # without the background
    if options["use_regular_nms"]:
        per_class = [suppress(boxes, scores[:, c], options["detections_per_class"], options) for c in range(CLASSES)]
        found = [(scores[i, c], c, i) for c, kept in enumerate(per_class) for i in kept]
    else:
        best = scores.max(1)
        found = [(best[i], scores[i].argmax(), i) for i in suppress(boxes, best, options["max_detections"], options)]
    found = sorted(found, key=lambda row: -row[0])[: options["max_detections"]]
    return boxes[[i for _, _, i in found]], [c for _, c, _ in found], [score for score, _, _ in found]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_detections": 7},
        {"max_detections": 1},
        {"detections_per_class": 2},
        {"nms_score_threshold": 0.9},
        {"nms_score_threshold": 2.0},
        {"nms_iou_threshold": 1.0, "nms_score_threshold": 0.0, "max_detections": 50, "detections_per_class": 50},
    ],
    ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()) or "default",
)
@pytest.mark.parametrize("regular", [True, False], ids=["regular", "fast"])
def test_detections(heads, anchors, image, changes, regular):
    options = OPTIONS | changes | {"use_regular_nms": regular}
    raw = interpreter(heads).get_signature_runner()(image=image)
    boxes, classes, scores = expected(raw["box_encodings"], raw["class_scores"], anchors, options)
    m, n = options["max_detections"], len(scores)

    got = run(append_detection_postprocess(heads, anchors=anchors, **options), image)

    assert [output.shape for output in got] == [(1, m, 4), (1, m), (1, m), (1,)]
    assert all(output.dtype == np.float32 for output in got)
    assert got[3] == n
    np.testing.assert_allclose(got[0][0, :n], np.reshape(boxes, (-1, 4)), atol=1e-5)
    np.testing.assert_array_equal(got[1][0, :n], classes)
    np.testing.assert_allclose(got[2][0, :n], scores, atol=1e-6)
    if regular:
        assert not any(output[0, n:].any() for output in got[:3])


def test_the_default_detections_are_worth_testing(heads, anchors, image):
    raw = interpreter(heads).get_signature_runner()(image=image)
    _, classes, _ = expected(raw["box_encodings"], raw["class_scores"], anchors, OPTIONS)
    assert len(set(classes)) == CLASSES
    assert CLASSES < len(classes) < (raw["class_scores"] > 0.5).sum()


def test_two_classes_a_box_in_fast_mode(heads, anchors, image):
    options = OPTIONS | {"use_regular_nms": False, "max_detections": 3}
    one = run(append_detection_postprocess(heads, anchors=anchors, **options), image)
    two = run(append_detection_postprocess(heads, anchors=anchors, max_classes_per_detection=2, **options), image)
    assert two[0].shape == (1, 6, 4)
    np.testing.assert_array_equal(two[0][0, ::2], one[0][0])
    np.testing.assert_array_equal(two[1][0, ::2], one[1][0])
    assert (two[2][0, ::2] >= two[2][0, 1::2]).all()


def test_names_and_signature(heads, anchors, image):
    model = append_detection_postprocess(heads, anchors=anchors, **OPTIONS)
    lite = interpreter(model)
    by_name = dict(zip([output["name"] for output in lite.get_output_details()], run(model, image), strict=True))
    name = "TFLite_Detection_PostProcess"
    assert list(by_name) == [name, f"{name}:1", f"{name}:2", f"{name}:3"]

    keys = ["detection_boxes", "detection_classes", "detection_scores", "num_detections"]
    assert lite.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": keys}}
    answers = lite.get_signature_runner()(image=image)
    for key, output in zip(keys, by_name.values(), strict=True):
        np.testing.assert_array_equal(answers[key], output)

    names = REFERENCE_SIGNATURE_OUTPUTS
    model = append_detection_postprocess(heads, anchors=anchors, signature_outputs=names, **OPTIONS)
    other = interpreter(model).get_signature_runner()(image=image)
    for key, same in zip(keys, names, strict=True):
        np.testing.assert_array_equal(answers[key], other[same])


def test_a_model_without_signature_gets_one(heads, anchors, image):
    parsed = parse(heads)
    parsed.signatureDefs = None
    bare = serialize(parsed)
    outputs = list(parsed.subgraphs[0].outputs)
    signature = parse(heads).signatureDefs[0].outputs
    positions: dict[str, Any] = {entry.name.decode(): outputs.index(entry.tensorIndex) for entry in signature}
    model = append_detection_postprocess(bare, anchors=anchors, **(OPTIONS | positions))
    model = rename_tensors(model, {read_contents(model).inputs[0].name: "normalized_input_image_tensor"})
    expected = run(append_detection_postprocess(heads, anchors=anchors, **OPTIONS), image)
    for got, want in zip(run(model, image), expected, strict=True):
        np.testing.assert_array_equal(got, want)
    assert interpreter(model).get_input_details()[0]["name"] == "normalized_input_image_tensor"


def test_read_graph(heads, anchors):
    model = append_detection_postprocess(heads, anchors=anchors, **OPTIONS)
    before, after = read_contents(heads), read_contents(model)
    assert after.inputs == before.inputs
    assert after.inputs[0].shape == (1, SIDE, SIDE, 3)
    assert [(output.shape, output.dtype) for output in after.outputs] == [
        ((1, 20, 4), "float32"),
        ((1, 20), "float32"),
        ((1, 20), "float32"),
        ((1,), "float32"),
    ]
    assert after.ops == {**before.ops, "TFLite_Detection_PostProcess": 1}
    assert before.ops["CONV_2D"] == 1
    assert after.constant_bytes == before.constant_bytes + anchors.nbytes
    assert after.constant_bytes < len(model)


def test_variables_and_quantization():
    import tensorflow as tf

    class Counter(tf.Module):
        def __init__(self):
            super().__init__()
            self.count = tf.Variable(tf.zeros([1, 4]))

        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])
        def add(self, x):
            return self.count.assign_add(x)

    module = Counter()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.add.get_concrete_function()], module)
    converter.experimental_enable_resource_variables = True
    assert "READ_VARIABLE" in read_contents(converter.convert()).ops

    double = tf.function(lambda x: tf.nn.relu(x * 2.0)).get_concrete_function(tf.TensorSpec([None, 4], tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([double], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.full((1, 4), x, np.float32)] for x in (-1, 1))
    converter.inference_input_type = tf.uint8
    graph = read_contents(converter.convert())
    assert graph.inputs[0].shape == (-1, 4)
    assert graph.inputs[0].dtype == "uint8"
    assert graph.inputs[0].quantization is not None
    np.testing.assert_allclose(graph.inputs[0].quantization, (2 / 255, 128), atol=1)
    assert graph.inputs[0].quantization[0] == pytest.approx(2 / 255, rel=0.01)
    assert graph.outputs[0].quantization is None


def test_same_bytes_and_alignment(heads, anchors):
    model = append_detection_postprocess(heads, anchors=anchors, **OPTIONS)
    assert model == append_detection_postprocess(heads, anchors=anchors, **OPTIONS)
    assert serialize(parse(model)) == model
    for blob in (buffer.data for buffer in parse(model).buffers):
        if blob is not None and blob.size:
            start = blob.__array_interface__["data"][0] - np.frombuffer(model, np.uint8).__array_interface__["data"][0]
            assert start % 16 == 0


def test_rename_and_reorder(heads, image):
    first, second = (output.name for output in read_contents(heads).outputs)
    swapped = reorder_outputs(heads, [second, first])
    assert [output.name for output in read_contents(swapped).outputs] == [second, first]
    for got, want in zip(run(swapped, image), run(heads, image)[::-1], strict=True):
        np.testing.assert_array_equal(got, want)
    signed = run(reorder_outputs(heads, ["class_scores", "box_encodings"]), image)
    assert [output.shape[2] == 4 for output in signed][1]
    with pytest.raises(ArtifactError, match="each output once"):
        reorder_outputs(heads, [first, first])

    renamed = rename_tensors(heads, {first: second, second: first})
    assert [output.name for output in read_contents(renamed).outputs] == [second, first]
    with pytest.raises(ArtifactError, match="0 tensors are called 'nothing'"):
        rename_tensors(heads, {"nothing": "x"})
    with pytest.raises(ArtifactError, match="another tensor"):
        rename_tensors(heads, {first: second})


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"box_encodings": "boxes"}, ArtifactError, "no output is called 'boxes'.*'box_encodings'"),
        ({"class_scores": 5}, ArtifactError, "no output 5"),
        ({"num_classes": 9}, ArtifactError, r"class scores must be float32 or uint8 \[1, 36, 9 or 10\]"),
        ({"anchors": np.ones((5, 4), np.float32)}, ArtifactError, "box encodings must be"),
        ({"anchors": np.ones((N, 4))}, ArtifactError, "float64"),
        ({"anchors": -np.ones((N, 4), np.float32)}, ArtifactError, "negative"),
        ({"max_detections": 0}, OptionError, "max_detections"),
        ({"nms_iou_threshold": 0.0}, OptionError, "nms_iou_threshold"),
        ({"nms_score_threshold": float("nan")}, OptionError, "nms_score_threshold"),
        ({"w_scale": 0.0}, OptionError, "w_scale"),
        ({"signature_outputs": ("a", "b")}, OptionError, "four"),
        ({"max_classes_per_detection": 2}, UnsupportedError, "fast mode"),
    ],
)
def test_refusals(heads, anchors, changes, error, match):
    with pytest.raises(error, match=match):
        append_detection_postprocess(heads, **OPTIONS | {"anchors": anchors} | changes)


def test_files_that_cannot_be_edited(heads, anchors, monkeypatch):
    model = append_detection_postprocess(heads, anchors=anchors, **OPTIONS)
    positions: dict[str, Any] = {"box_encodings": 0, "class_scores": 1}
    with pytest.raises(ArtifactError, match="already"):
        append_detection_postprocess(model, anchors=anchors, **(OPTIONS | positions))
    with pytest.raises(ArtifactError, match="not a TFLite file"):
        read_contents(b"")
    with pytest.raises(ArtifactError, match="damaged"):
        read_contents(model[:60])
    with pytest.raises(ArtifactError, match="metadata last"):
        rename_tensors(model + b"PK\5\6" + bytes(18), {})
    from visionport.tflite import flatbuffer

    monkeypatch.setattr(flatbuffer, "MAX_BYTES", len(heads) - 1)
    with pytest.raises(ArtifactError, match="at most"):
        read_contents(heads)
