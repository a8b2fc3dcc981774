"""Checkpoints of the V1 format: one file, or a file a device, and no index."""

import numpy as np
import pytest
import tensorflow as tf

from visionport.checkpoint.open import open_checkpoint
from visionport.errors import CheckpointError


def test_v1_format(tmp_path):
    path = tmp_path / "model.ckpt-9"
    tf.raw_ops.Save(filename=str(path), tensor_names=["a", "global_step"], data=[tf.ones([2, 3]), tf.constant(9)])
    for given in (path, tmp_path):
        checkpoint = open_checkpoint(given)
        assert (checkpoint.prefix, checkpoint.kind, checkpoint.step, checkpoint.complete) == (path, "tf1", 9, True)
        np.testing.assert_array_equal(checkpoint["a"], np.ones([2, 3]))


def v1_shards(folder, name="model.ckpt-9"):
    """A V1 checkpoint as `Saver(sharded=True)` wrote it: no index, a file a device."""
    parts = {"a": tf.ones([2, 3]), "b": tf.zeros([4]), "global_step": tf.constant(9)}
    for i, (key, value) in enumerate(parts.items()):
        path = folder / f"{name}-{i:05d}-of-{len(parts):05d}"
        tf.raw_ops.Save(filename=str(path), tensor_names=[key], data=[value])
    return folder / name


@pytest.mark.parametrize("given", ["", "model.ckpt-9", "model.ckpt-9-00001-of-00003", "model.ckpt-9-?????-of-00003"])
@pytest.mark.parametrize("state", [True, False])
def test_v1_shards(tmp_path, given, state):
    prefix = v1_shards(tmp_path)
    (tmp_path / "model.ckpt-9.meta").write_bytes(b"")
    if state:
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-9-?????-of-00003"\n')
    checkpoint = open_checkpoint(tmp_path / given)
    assert (checkpoint.prefix, checkpoint.kind, checkpoint.step, checkpoint.complete) == (prefix, "tf1", 9, True)
    assert set(checkpoint) == {"a", "b", "global_step"}
    np.testing.assert_array_equal(checkpoint["a"], np.ones([2, 3]))
    assert [path.name.removeprefix("model.ckpt-9-") for path in checkpoint.paths] == [
        f"{i:05d}-of-00003" for i in range(3)
    ]


def test_a_v1_shard_is_missing(tmp_path):
    v1_shards(tmp_path)
    (tmp_path / "model.ckpt-9-00002-of-00003").unlink()
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(tmp_path / "model.ckpt-9")
    for word in ("model.ckpt-9-00002-of-00003 is missing", "3 shards"):
        assert word in str(caught.value)
