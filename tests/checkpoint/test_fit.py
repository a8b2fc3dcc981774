"""`inspect --config` on checkpoints that people published: they fit, from the index alone."""

import time

import pytest
from places import SHARED

from visionport.errors import UnsupportedError
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


@pytest.mark.parametrize("level", [1, 6])
def test_a_pyramid_that_begins_at_no_level_of_the_backbone(digits, level):
    other = f"model {{ ssd {{ feature_extractor {{ fpn {{ min_level: {level} max_level: 7 }} }} }} }}"
    with pytest.raises(
        UnsupportedError, match=f"begins at level {level}. ssd_mobilenet_v2_fpn_keras has levels 2 to 5"
    ):
        fit_config(digits / "tf2", path=digits / "tf2" / "pipeline.config", override=other)


@pytest.mark.parametrize(
    "other",
    [
        "num_classes: 1000",
        "box_predictor { weight_shared_convolutional_box_predictor { num_layers_before_predictor: 32 } }",
    ],
)
def test_large_numbers_are_answered_in_time(digits, other):
    """Seconds of the processor; what is done for each class and each missing tensor took a minute."""
    begun = time.process_time()
    fitted = fit_config(
        digits / "tf2", path=digits / "tf2" / "pipeline.config", override=f"model {{ ssd {{ {other} }} }}"
    )
    assert not fitted["fits"]
    assert time.process_time() - begun < 15
