"""TensorFlow.js models of the stored cases, in Node's wasm backend, against the reference's own answers."""

from dataclasses import replace

import numpy as np
import pytest
from environments import tensorflow_js
from golden_cases import CASES, GOLDEN, assert_close, assert_twins, build_case, goldens, is_stored, make_checkpoint
from sampling import ALL

from visionport import Options
from visionport.formats import format_of
from visionport.formats.base import Asker
from visionport.inputs import preprocessing
from visionport.tasks import task_of

FORMAT = format_of("tfjs")
SLOW = "fpnlite"  # in the names of those of the project's own cases that take long
TWO_STAGES = ("rcnn", "rfcn")


def names() -> list[str]:
    """The project's own that are quick; with VISIONPORT_ALL=1 all that have one stage."""
    if ALL:
        return [name for name in CASES if not any(stage in name for stage in TWO_STAGES)]
    return [name for name in CASES if (GOLDEN / name).exists() and SLOW not in name]


@pytest.fixture(scope="module")
def modules():
    with tensorflow_js() as folder:
        yield folder


@pytest.fixture(scope="module", params=names())
def case(request, tmp_path_factory, modules):
    """(folder, model, options)."""

    folder = CASES[request.param]
    prefix = make_checkpoint(folder, tmp_path_factory.mktemp("checkpoint"))
    model = build_case(folder, prefix)
    return folder, model, Options(config=folder, checkpoint=prefix, out=folder, formats=("tfjs",))


def open_asker(case, out, **how) -> Asker:
    _, model, options = case
    options = replace(options, **how)
    path = FORMAT.write(model, (), options, out, None)
    reading = FORMAT.reading(model, (), options)
    described = preprocessing.describe(model.config.model.resizer, model.meta.normalization(model.config.model))
    return Asker(runner=FORMAT.open(path, reading), reading=reading, task=task_of(model.config.task), how=described)


def test_raw_heads_are_the_references(case, tmp_path):
    folder, model, _ = case
    asker = open_asker(case, tmp_path, tfjs_head="raw")
    if model.config.quantized:
        pytest.skip("one rounding that falls the other way moves all that follows")
    for image, golden in goldens(folder):
        found, _ = asker.ask(image)
        wanted = {name: golden_name(model, name) for name in found}
        assert all(is_stored(golden, name) for name in wanted.values() if "anchors" not in name)
        for name, value in found.items():
            assert_close(golden, wanted[name], value)


def golden_name(model, name: str) -> str:
    if model.config.family == "center_net":
        return f"predict/{name}/0"
    return "output/raw_detection_scores" if name == "class_scores" else f"predict/{name}"


def test_detections_are_the_references(case, tmp_path):
    folder, model, _ = case
    asker = open_asker(case, tmp_path)
    if model.config.quantized:
        pytest.skip("one rounding that falls the other way moves all that follows")
    for image, golden in goldens(folder):
        found = asker(image[0])
        count = int(golden["output/num_detections"][0])
        assert abs(len(found["detection_scores"]) - count) <= 1
        assert_twins(golden, "output/detection_boxes", found["detection_boxes"][None])
        rows = min(len(found["detection_scores"]), count)
        np.testing.assert_allclose(
            found["detection_scores"][:rows], golden["output/detection_scores"][0, :rows], atol=1e-4
        )
        for name in ("detection_keypoints", "detection_keypoint_scores", "detection_keypoint_depths"):
            assert_twins_of(golden, name, found, rows)


def assert_twins_of(golden, name: str, found, rows: int) -> None:
    """What detections have: nearly all of it, since one that is as good changes places with another."""
    if not is_stored(golden, f"output/{name}"):
        return
    far = np.abs(found[name][:rows] - golden[f"output/{name}"][0, :rows])
    assert np.mean(far <= 1e-4) >= 0.98, name
