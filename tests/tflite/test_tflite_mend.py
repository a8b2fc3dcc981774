"""`visionport edit`: files of other makers get the order, names, metadata and labels that clients look for."""

import numpy as np
import pytest

from visionport.errors import InputError, OptionError
from visionport.inputs import pictures
from visionport.tflite import edit, metadata
from visionport.tflite.contents import read_contents
from visionport.tflite.flatbuffer import parse
from visionport.tflite.mend import NAMES, MendRequest, mend_file, without_metadata
from visionport.tflite.packed import labels_of

SCRAMBLED = ("count", "scores", "boxes", "classes")
ORDER = (2, 3, 1, 0)  # of boxes, classes, scores and count in it


@pytest.fixture(scope="module")
def whole(exported):
    return (exported / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def scrambled(whole):
    """As a converter of TF2 leaves it: another order, other names, no metadata."""
    bare = without_metadata(whole)
    names = [read_contents(bare).outputs[i].name for i in (3, 2, 0, 1)]
    return edit.name_ends(bare, ["normalized_input_image_tensor"], names, ["image"], SCRAMBLED)


def answers(data, digits):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    picture = pictures.read(digits / "images" / "digits-0.jpg")[: source["shape"][1], : source["shape"][2]]
    value = np.zeros(source["shape"], np.float32)
    value[0, : picture.shape[0], : picture.shape[1]] = picture / 127.5 - 1
    interpreter.set_tensor(source["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def test_a_scrambled_detector(scrambled, digits):
    done = mend_file(scrambled, MendRequest(labels=digits / "label_map.pbtxt", mean=(127.5,), std=(127.5,)))
    assert done.outputs == tuple(zip((SCRAMBLED[i] for i in ORDER), NAMES, strict=True))
    after = read_contents(done.data)
    assert [t.name for t in after.outputs] == list(NAMES)
    assert [len(t.shape) for t in after.outputs] == [3, 2, 2, 1]
    (signature,) = after.parsed.signatureDefs
    keys = {e.name.decode(): e.tensorIndex for e in signature.outputs}
    assert keys["detection_boxes"] == keys["output_3"] == after.parsed.subgraphs[0].outputs[0]
    before = answers(scrambled, digits)
    for i, found in zip(ORDER, answers(done.data, digits), strict=True):
        np.testing.assert_array_equal(found, before[i])
    said = metadata.read(done.data, parse(done.data))
    assert said
    assert said["subgraphs"][0]["inputs"][0]["mean"] == [127.5] * 3
    assert [t["name"] for t in said["subgraphs"][0]["outputs"]][:2] == ["location", "category"]
    assert labels_of(done.data)[:3] == ["zero", "one", "two"]
    assert mend_file(scrambled, MendRequest()).outputs == done.outputs  # known by the op, not by names


def test_what_is_in_order_stays(whole):
    """Metadata and labels of before are kept; nothing else changes."""
    done = mend_file(whole, MendRequest())
    assert all(old == new for old, new in done.outputs)
    before, after = (metadata.read(d, parse(d)) for d in (whole, done.data))
    assert before == after
    assert labels_of(done.data) == labels_of(whole)
    assert read_contents(done.data).constant_bytes >= read_contents(without_metadata(whole)).constant_bytes


def test_names_and_order_as_asked(scrambled):
    done = mend_file(scrambled, MendRequest(outputs=("boxes", "3", "scores", "count"), names={"image": "x"}))
    assert [old for old, _ in done.outputs] == ["boxes", "classes", "scores", "count"]
    assert read_contents(done.data).inputs[0].name == "x"
    done = mend_file(scrambled, MendRequest(outputs=("scores", "boxes", "count", "classes"), names={"boxes": "b"}))
    assert [new for _, new in done.outputs] == ["scores", "b", "count", "classes"]


def test_a_classifier(tmp_path):
    import tensorflow as tf

    import visionport

    weights = tf.constant(np.random.default_rng(0).normal(size=(3, 4)), tf.float32)
    f = tf.function(lambda image: {"p": tf.nn.softmax(tf.reduce_mean(image, [1, 2]) @ weights)})
    file = visionport.convert(
        f.get_concrete_function(tf.TensorSpec([1, 8, 8, 3], name="image")), tmp_path / "m.tflite", verify=False
    ).out
    (tmp_path / "l.txt").write_text("a\nb\nc\nd\n")
    done = mend_file(file.read_bytes(), MendRequest(labels=tmp_path / "l.txt", name="mine"))
    assert "--mean" in done.incomplete
    assert labels_of(done.data) == ["a", "b", "c", "d"]
    said = metadata.read(done.data, parse(done.data))
    assert said
    assert said["name"] == "mine"
    done = mend_file(done.data, MendRequest(mean=(0.0,), std=(255.0,)))
    assert not done.incomplete
    assert labels_of(done.data) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"outputs": ("boxs",)}, "no such output; nearest: boxes"),
        ({"outputs": ("boxes",)}, "each output once"),
        ({"names": {"boxs": "b"}}, "no input or output; nearest: boxes"),
        ({"mean": (1.0,)}, "go together"),
        ({"mean": (1.0,), "std": (0.0,)}, "above 0"),
        ({"names": {"boxes": "b", "count": "b"}}, "the same new name"),
    ],
)
def test_wrong_requests_are_told(scrambled, wrong, text):
    with pytest.raises(OptionError, match=text):
        mend_file(scrambled, MendRequest(**wrong))


def test_labels_that_are_missing(scrambled, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        mend_file(scrambled, MendRequest(labels=tmp_path / "nothing"))


def test_the_command(scrambled, tmp_path):
    from click.testing import CliRunner

    from visionport.cli import main

    (tmp_path / "a.tflite").write_bytes(scrambled)
    arguments = ["edit", str(tmp_path / "a.tflite"), "-o", str(tmp_path / "b.tflite")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "boxes -> TFLite_Detection_PostProcess, classes -> " in done.output
    assert CliRunner().invoke(main, arguments).exit_code == 2  # it is there
