"""Inputs besides the image, as Context R-CNN's: as asked for, as the old scripts have them, and what feeds them."""

import numpy as np
import pytest

from visionport.config import SideInput, read_config
from visionport.config.faster_rcnn import FasterRcnn
from visionport.errors import ConfigError, InputError, OptionError, UnsupportedError
from visionport.inputs import side_inputs
from visionport.options import Options
from visionport.scripts import exports
from visionport.scripts.flags import parse

FEATURES = SideInput(name="context_features", dtype="float32", shape=(None, 8, 3))
SIZE = SideInput(name="valid_context_size", dtype="int32", shape=(None,))

CONFIG = """
model { faster_rcnn {
  num_classes: 2
  image_resizer { fixed_shape_resizer { height: 64 width: 64 } }
  feature_extractor { type: "faster_rcnn_resnet50%s" }
  first_stage_anchor_generator { grid_anchor_generator { scales: 1.0 aspect_ratios: 1.0 } }
  first_stage_box_predictor_conv_hyperparams { op: CONV }
  initial_crop_size: 14 maxpool_kernel_size: 2 maxpool_stride: 2
  second_stage_box_predictor { mask_rcnn_box_predictor { fc_hyperparams { op: FC } } }
  context_config { max_num_context_features: 8 context_feature_length: 3 %s } %s
} }
"""


def context_rcnn(tmp_path, *, keras="", fields="", more=""):
    path = tmp_path / "pipeline.config"
    path.write_text(CONFIG % (keras, fields, more))
    model = read_config(path).model
    assert isinstance(model, FasterRcnn)
    return model


def test_a_config_says_what_they_are(tmp_path):
    assert context_rcnn(tmp_path).side_inputs == (FEATURES, SIZE)


@pytest.mark.parametrize("dtype", ["float32", "float", "tf.float32"])
@pytest.mark.parametrize("shape", ["1,2000,2057", "[1, 2000, 2057]"])
def test_asked_for(dtype, shape):
    found = side_inputs.parse(f"context_features:{dtype}:{shape}")
    assert found == SideInput(name="context_features", dtype="float32", shape=(1, 2000, 2057))
    assert side_inputs.parse("valid_context_size:int:-1") == SIZE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("context_features", "name:dtype:shape"),
        ("context_features:float64:1,2,3", "float32 or int32"),
        ("context_features:float32:1,x", "shape is numbers"),
        ("context_features:float32:1,0", "from 1"),
    ],
)
def test_nonsense_is_refused(text, message):
    with pytest.raises(OptionError, match=message):
        side_inputs.parse(text)


def test_options_refuse_the_same_name_twice(tmp_path):
    twice = ("valid_context_size:int32:1",) * 2
    with pytest.raises(OptionError, match="twice"):
        Options(config=tmp_path, checkpoint=tmp_path, out=tmp_path, side_inputs=twice).check()


def test_shapes_that_were_asked_for_and_the_batch():
    wanted = side_inputs.parse("context_features:float32:1,5,3")
    assert side_inputs.choose((FEATURES, SIZE), (), 2) == (
        SideInput(name="context_features", dtype="float32", shape=(2, 8, 3)),
        SideInput(name="valid_context_size", dtype="int32", shape=(2,)),
    )
    assert side_inputs.choose((FEATURES, SIZE), (wanted,), None) == (wanted, SIZE)


@pytest.mark.parametrize(
    ("own", "text", "message"),
    [
        ((), "context_features:float32:1,8,3", "image alone"),
        ((FEATURES, SIZE), "context_feature:float32:1,8,3", "nearest: context_features"),
        ((FEATURES, SIZE), "context_features:int32:1,8,3", r"takes float32 \[any, 8, 3\]"),
        ((FEATURES, SIZE), "context_features:float32:1,8", r"takes float32 \[any, 8, 3\]"),
        ((FEATURES, SIZE), "context_features:float32:4,8,3", "--batch is 2"),
    ],
)
def test_what_the_model_does_not_take_is_refused(own, text, message):
    with pytest.raises(OptionError, match=message):
        side_inputs.choose(own, (side_inputs.parse(text),), 2)


def test_verification_feeds_features_of_which_half_count():
    values = side_inputs.example((FEATURES, SIZE))
    assert values["context_features"].shape == (1, 8, 3)
    assert values["context_features"].any()
    assert values["valid_context_size"].tolist() == [4]
    again = side_inputs.example((FEATURES, SIZE))
    np.testing.assert_array_equal(values["context_features"], again["context_features"])
    assert not any(v.any() for v in side_inputs.nothing((FEATURES, SIZE)).values())


def test_features_from_a_file(tmp_path):
    path = tmp_path / "features.npz"
    np.savez(path, context_features=np.ones((8, 3)), valid_context_size=np.array(2))
    found = side_inputs.read(path, (FEATURES, SIZE))
    assert {k: (v.shape, v.dtype.name) for k, v in found.items()} == {
        "context_features": ((1, 8, 3), "float32"),
        "valid_context_size": ((1,), "int32"),
    }


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"context_features": np.ones((8, 3))}, "the model takes context_features, valid_context_size"),
        ({"context_features": np.ones((7, 3)), "valid_context_size": np.array(2)}, r"float64 \[1, 7, 3\]"),
        ({"context_features": np.full((8, 3), "a"), "valid_context_size": np.array(2)}, "the model takes float32"),
    ],
)
def test_a_file_that_does_not_fit(arrays, message, tmp_path):
    path = tmp_path / "features.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message):
        side_inputs.read(path, (FEATURES, SIZE))


@pytest.mark.parametrize("content", [b"no archive", b"", None])
def test_a_file_that_is_no_npz(content, tmp_path):
    path = tmp_path / "features.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        side_inputs.read(path, (FEATURES, SIZE))
    with pytest.raises(InputError, match="image alone"):
        side_inputs.read(path, ())


def old_flags(text):
    return exports.given_side_inputs(parse(exports.side_inputs(""), text.split()))


def test_the_old_scripts_flags():
    shapes = "--side_input_shapes=1,2000,2057/1 --side_input_names=context_features,valid_context_size"
    wanted = ("context_features:{}:1,2000,2057", "valid_context_size:{}:1")
    for types in ("tf.float32,tf.int32", "float,int"):
        found = old_flags(f"--use_side_inputs True {shapes} --side_input_types={types}")
        assert found == tuple(w.format(t) for w, t in zip(wanted, types.split(","), strict=True))
        assert [i.shape for i in map(side_inputs.parse, found)] == [(1, 2000, 2057), (1,)]
    assert old_flags(shapes) == ()
    with pytest.raises(OptionError, match="needs --side_input_types"):
        old_flags(f"--use_side_inputs {shapes}")
    with pytest.raises(OptionError, match="2 names, 1 types, 2 shapes"):
        old_flags(f"--use_side_inputs {shapes} --side_input_types=float")


@pytest.mark.parametrize(
    ("keras", "fields", "more", "error", "message"),
    [
        ("_keras", "use_self_attention: true", "", UnsupportedError, "TF1 only"),
        ("_keras", "num_attention_heads: 2", "", UnsupportedError, "TF1 only"),
        ("", "use_long_term_attention: false", "", ConfigError, "neither"),
        ("", "attention_temperature: 0", "", ConfigError, "above 0"),
        ("", "num_attention_heads: 0", "", ConfigError, "from 1"),
        ("", "max_num_context_features: 0", "", ConfigError, "from 1"),
        ("", "", "output_final_box_features: true", UnsupportedError, "with context"),
        ("", "", "number_of_stages: 3", UnsupportedError, "with context"),
    ],
)
def test_configs_that_cannot_be_built(keras, fields, more, error, message, tmp_path):
    with pytest.raises(error, match=message):
        context_rcnn(tmp_path, keras=keras, fields=fields, more=more)


def test_attention_of_the_two_apis(tmp_path):
    """What only one of them does is in the config that they become, not in the model's code."""
    tf1 = context_rcnn(tmp_path, fields="use_self_attention: true attention_position: POST_RPN").context
    assert tf1
    assert (tf1.adds_input, tf1.use_bias, tf1.self_attention, tf1.position) == (True, False, True, "post_rpn")
    tf2 = context_rcnn(tmp_path, keras="_keras").context
    assert tf2
    assert (tf2.adds_input, tf2.use_bias, tf2.position) == (False, True, "post_box_classifier")
