"""Every published config, and some odd ones, against the names and shapes of the reference's own checkpoint.

zoo.json.xz holds for each config what decides the model, and its variables as the reference builds them: [key, shape],
and the dtype where it is not float32.
"""

import json
import lzma
from pathlib import Path
from types import MappingProxyType

import pytest
from places import SHARED, TESTS

from visionport.checkpoint.read import VALUE, Checkpoint, Entry
from visionport.config import read_config
from visionport.models.build import check

ZOO = json.loads(lzma.decompress((TESTS / "zoo.json.xz").read_bytes()))


def index_of(variables) -> Checkpoint:
    """A checkpoint of which only the index is there."""
    entries = {}
    for key, shape, *dtype in variables:
        entries[key] = Entry(key, tuple(shape), *dtype or ["float32"], nbytes=0)
    return Checkpoint(
        prefix=Path("ckpt-0"),
        kind="tf2" if any(key.endswith(VALUE) for key in entries) else "tf1",
        entries=MappingProxyType(entries),
        warnings=(),
        data_problem="there is no data",
        _reader=None,
        _has_graph=False,
    )


@pytest.mark.parametrize("name", ZOO)
def test_no_tensor_is_missing_or_unread(name, tmp_path):
    file = tmp_path / "pipeline.config"
    file.write_text(ZOO[name]["config"])
    params = check(read_config(file), index_of(ZOO[name]["variables"]))  # raises where they do not fit
    assert len(params.keys) > 100


@pytest.mark.parametrize("config", sorted(SHARED.glob("configs/od/tf?/*.config")), ids=lambda file: file.stem)
def test_the_published_config_is_the_stored_one(config, tmp_path):
    if config.stem not in ZOO:
        assert "context_rcnn" in config.stem  # the reference no longer builds them
        return
    stored = tmp_path / "pipeline.config"
    stored.write_text(ZOO[config.stem]["config"])
    assert read_config(stored).model == read_config(config).model
