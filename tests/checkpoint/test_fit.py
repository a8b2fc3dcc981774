"""`inspect --config` on checkpoints that people published: they fit, from the index alone."""

import pytest
from places import SHARED

from visionport.inspection.fit import fit_config

REAL = SHARED / "real"


def pairs():
    """(index, config) of every undamaged folder that has both."""
    for folder in sorted(f for f in REAL.glob("*") if f.is_dir() and "damaged" not in f.name):
        indexes = [f for f in sorted(folder.glob("*.index")) if not f.name.startswith("saved_model")]
        configs = sorted(folder.glob("*.config"))
        if indexes and len(configs) == 1:
            yield pytest.param(indexes[0], configs[0], id=folder.name)


@pytest.mark.parametrize(("index", "config"), list(pairs()))
def test_published_checkpoints_fit_their_configs(index, config):
    fitted = fit_config(index, path=config)
    assert fitted["fits"], fitted["problems"]


def test_another_number_of_classes_does_not_fit(digits):
    other = "model { ssd { num_classes: 11 } }"
    fitted = fit_config(digits / "tf2", path=digits / "tf2" / "pipeline.config", override=other)
    assert not fitted["fits"]
    (problem, *_) = fitted["problems"]
    assert problem["kind"] == "wrong shape"
    assert "ClassPredictor" in problem["name"]
