"""ONNX files of the stored cases, in ONNX Runtime, against the reference's own answers."""

import json
import math

import numpy as np
import pytest
from golden_cases import (
    CASES,
    PROPOSED,
    REFERENCE_NAMES,
    RELATIVE,
    assert_close,
    assert_twins,
    build_case,
    goldens,
    is_stored,
)
from official_models import rule_of_values
from places import SHARED, TESTS
from sampling import ALL, sampled

from visionport import Options, export
from visionport.errors import UnsupportedError
from visionport.formats import format_of
from visionport.formats.base import Reading
from visionport.inputs import side_inputs

FORMAT = format_of("onnx")
SOFT = "ssd_soft_nms_mean_stddev_tf2"  # ONNX has no soft NMS


def size(folder):
    return sum(math.prod(entry["shape"]) for entry in json.loads((folder / "variables.json").read_text()))


def cases():
    """Those of the project, and of the others, which may be large, some."""
    options = sorted(file.parent for file in TESTS.glob("golden_options/*/variables.json"))
    own = [*(folder for folder in CASES.values() if folder.is_relative_to(TESTS)), *options]
    return [*sampled(own, 5), *sampled(sorted(set(CASES.values()) - set(own), key=size), 40)]


@pytest.fixture(scope="module", params=cases(), ids=lambda folder: folder.name)
def case(request, tmp_path_factory):
    """(folder, model, options, a folder to write to)."""

    folder, out = request.param, tmp_path_factory.mktemp("onnx")
    prefix = rule_of_values().write(folder, tmp_path_factory.mktemp("checkpoint"))
    model = build_case(folder, prefix)
    return folder, model, {"config": folder, "checkpoint": prefix, "out": out, "formats": ("onnx",)}, out


def answers(case, image, **how):
    _, model, base, out = case
    options = Options(**base, **how)
    path = FORMAT.write(model, (), options, out, None)
    reading = FORMAT.reading(model, (), options)
    runner = FORMAT.open(path, Reading(input=reading.input, type=reading.type))
    return runner.call("serving_default", {reading.input: image, **side_inputs.example(model.side_inputs)})


def test_detections_are_the_references(case):
    folder, model, *_ = case
    image, golden = next(iter(goldens(folder)))
    if folder.name == SOFT:
        with pytest.raises(UnsupportedError, match="soft NMS"):
            answers(case, image)
        return
    found = answers(case, image)
    assert_twins(golden, "output/detection_boxes", found["detection_boxes"])
    if model.config.family == "ssd" and not model.config.quantized:
        for name in ("raw_detection_boxes", "raw_detection_scores", "detection_scores"):
            assert_close(golden, f"output/{name}", found[name])
    np.testing.assert_array_equal(golden["output/num_detections"], found["num_detections"])


def test_raw_heads_are_the_references(case):
    folder, model, *_ = case
    image, golden = next(iter(goldens(folder)))
    if not any(name.startswith("predict/") for name in golden):
        pytest.skip("of a published graph, which shows its answers alone")
    found = answers(case, image, onnx_head="raw")
    compared = 0
    for name, value in found.items():
        stem = REFERENCE_NAMES.get(name, name)
        wanted = f"predict/{stem}/0" if model.config.family == "center_net" else f"predict/{stem}"
        if not is_stored(golden, wanted):
            continue
        compared += 1
        if model.config.family == "faster_rcnn":
            assert_same_rows(golden, wanted, value)
        elif not model.config.quantized or name == "anchors":
            assert_close(golden, wanted, value)
    assert compared


def assert_same_rows(golden, name, found):
    """What is listed by proposal, in any order: nearly all rows have their twin."""
    if name not in golden:  # of a sample no row is whole
        return
    reference = golden[name]
    assert reference.shape == found.shape, name
    if reference.ndim == 1:
        np.testing.assert_array_equal(reference, found)
        return
    bound = RELATIVE * float(reference.std())
    reference, found = (x.reshape(-1, *x.shape[2:]) if len(x) == 1 else x for x in (reference, found))
    found = found.reshape(len(found), -1)
    nearest = np.array([np.abs(row.reshape(1, -1) - found).max(1).min() for row in reference])
    assert np.mean(nearest <= bound) >= PROPOSED, name


def test_masks_in_given_boxes(tmp_path):
    """DeepMAC's second input."""
    folder = CASES["center_net_deepmac_resnet8"]
    prefix = rule_of_values().write(folder, tmp_path / "checkpoint")
    options = Options(
        config=folder,
        checkpoint=prefix,
        out=tmp_path / "out",
        formats=("onnx",),
        inputs=("image_and_boxes_tensor",),
    )
    found = export(options)
    assert found.agrees, str(found)
    assert any("mask" in check.what for check in found.checks)


@pytest.mark.skipif(not ALL, reason="some minutes")
@pytest.mark.parametrize("name", ["classifier", "segmenter", "detector"])
def test_official_vision(name, tmp_path):
    folder = SHARED / "demo" / "vision" / name
    if not folder.exists():
        pytest.skip("no ../shared")
    options = Options(config=folder, checkpoint=folder, out=tmp_path / "out", formats=("onnx",))
    found = export(options)
    assert found.agrees, str(found)
