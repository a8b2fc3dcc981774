"""Video classifiers of TF Official Vision: which frames they take, how these are cut, what is classified."""

from typing import Any

import numpy as np
import pytest

from visionport.config.video import VideoClassifier
from visionport.errors import UnsupportedError
from visionport.models.video import architecture


def classifier(**fields) -> VideoClassifier:
    sizes: dict[str, Any] = {"frames": 4, "temporal_stride": 2, "min_image_size": 8, "crop_size": 8}
    return VideoClassifier(num_classes=1, backbone=None, **sizes | fields)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (8, [0, 2, 4, 6]),
        (11, [1, 3, 5, 7]),  # (11 - 8) // 2 frames before
        (20, [6, 8, 10, 12]),
        (5, [0, 2, 4, 1]),  # a short video is repeated
        (1, [0, 0, 0, 0]),
    ],
)
def test_the_middle_clip(length, expected):
    frames = np.broadcast_to(np.arange(length, dtype=np.uint8)[None, :, None, None, None], (2, length, 8, 8, 3))
    found, sizes = architecture.preprocess(classifier(), frames)
    assert found.shape == (2, 4, 8, 8, 3)
    np.testing.assert_allclose(found[1, :, 0, 0, 0] * 255, expected, atol=1e-4)
    np.testing.assert_array_equal(sizes, [[8, 8, 3]] * 2)


@pytest.mark.parametrize(("height", "width"), [(20, 30), (33, 21), (16, 16), (40, 8)])
def test_frames_are_resized_cut_to_whole_numbers_and_cropped(height, width):
    import tensorflow as tf

    model = classifier(frames=1, temporal_stride=1, min_image_size=16, crop_size=10)
    frames = np.random.default_rng(0).integers(0, 256, (1, 1, height, width, 3), np.uint8)
    size = (max(16, height * 16 // width), max(16, width * 16 // height))
    whole = np.floor(tf.image.resize(frames[0], size))
    top, left = (size[0] - 10) // 2, (size[1] - 10) // 2
    found, _ = architecture.preprocess(model, frames)
    np.testing.assert_allclose(found[0], whole[:, top : top + 10, left : left + 10] / 255, atol=1e-6)


def test_a_sequence_example_is_its_middle_clip_decoded():
    import tensorflow as tf

    from visionport.ops import video

    frames = np.random.default_rng(0).integers(0, 256, (9, 12, 14, 3), np.uint8)
    encoded = [
        tf.train.Feature(bytes_list=tf.train.BytesList(value=[tf.io.encode_png(frame).numpy()])) for frame in frames
    ]
    lists = tf.train.FeatureLists(feature_list={"image/encoded": tf.train.FeatureList(feature=encoded)})
    data = tf.train.SequenceExample(feature_lists=lists).SerializeToString()
    model = classifier(frames=3)
    clip = video.decode_sequence_example(data, model.frames, model.temporal_stride)
    np.testing.assert_array_equal(clip, frames[[1, 3, 5]])
    given, _ = architecture.preprocess(model, data, "tf_example")
    whole, _ = architecture.preprocess(model, frames[None])
    np.testing.assert_array_equal(given, whole)


def test_the_endpoints_that_are_classified():
    known = ["2", "3", "4", "5"]
    assert architecture.levels(classifier(), known) == ["5"]
    assert architecture.levels(classifier(aggregate_endpoints=True), known) == known
    assert architecture.levels(classifier(require_endpoints=("3", "5")), known) == ["3", "5"]
    with pytest.raises(UnsupportedError, match=r"no endpoint '6'\. There are 2, 3, 4, 5"):
        architecture.levels(classifier(require_endpoints=("6",)), known)


@pytest.mark.parametrize(("kernel", "stride"), [((3, 3, 3), (2, 2, 2)), ((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (3, 2, 1))])
def test_pooling_written_for_tflite_is_the_same(kernel, stride):
    from visionport.ops import nn

    clip = np.random.default_rng(0).normal(size=(2, 7, 10, 13, 5)).astype(np.float32)
    plain = nn.max_pool3d(clip, kernel, stride)
    with nn.for_tflite():
        import tensorflow as tf

        np.testing.assert_array_equal(nn.max_pool3d(tf.constant(clip), kernel, stride), plain)
