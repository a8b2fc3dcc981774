"""ONNX files of the stored cases, in ONNX Runtime, against the reference's own answers."""

import os

import numpy as np
import pytest
from golden_cases import CASES, assert_close, assert_twins, goldens, is_stored, make_checkpoint
from places import SHARED

from visionport import Options, export
from visionport.checkpoint.open import open_checkpoint
from visionport.config import read_config
from visionport.formats import format_of
from visionport.formats.base import Reading

FORMAT = format_of("onnx")
PLAIN = ("ssd_mobilenet_v2_320x320_coco17_tpu-8",)
MORE = (
    "ssd_efficientdet_d0_512x512_coco17_tpu-8",
    "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8",
    "centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8",
    "faster_rcnn_resnet50_v1_640x640_coco17_tpu-8",
    "mask_rcnn_inception_v2_coco",
    "ssd_mobilenet_v2_quantized_300x300_coco",
)
NAMES = (*PLAIN, *(MORE if os.environ.get("VISIONPORT_ALL") else ()))


@pytest.fixture(scope="module", params=[name for name in NAMES if name in CASES])
def case(request, tmp_path_factory):
    """(folder, model, options, a folder to write to)."""
    from visionport.models.build import build

    folder, out = CASES[request.param], tmp_path_factory.mktemp("onnx")
    prefix = make_checkpoint(folder, tmp_path_factory.mktemp("checkpoint"))
    model = build(read_config(folder / "pipeline.config"), open_checkpoint(prefix))
    return folder, model, {"config": folder, "checkpoint": prefix, "out": out, "formats": ("onnx",)}, out


def answers(case, image, **how):
    _, model, base, out = case
    options = Options(**base, **how)
    path = FORMAT.write(model, (), options, out, None)
    reading = FORMAT.reading(model, (), options)
    runner = FORMAT.open(path, Reading(input=reading.input, type=reading.type))
    return runner.call("serving_default", {reading.input: image})


def test_detections_are_the_references(case):
    folder, model, *_ = case
    image, golden = next(iter(goldens(folder)))
    found = answers(case, image)
    assert_twins(golden, "output/detection_boxes", found["detection_boxes"])
    if model.config.family == "ssd" and not model.config.quantized:
        for name in found:
            assert_close(golden, f"output/{name}", found[name])
    np.testing.assert_array_equal(golden["output/num_detections"], found["num_detections"])


def test_raw_heads_are_the_references(case):
    folder, model, *_ = case
    image, golden = next(iter(goldens(folder)))
    found = answers(case, image, onnx_head="raw")
    compared = 0
    for name, value in found.items():
        wanted = f"predict/{name}/0" if model.config.family == "center_net" else f"predict/{name}"
        if name == "proposal_boxes":
            assert_twins(golden, wanted, value)
        elif model.config.family != "faster_rcnn" and not model.config.quantized:  # in the order of the proposals
            assert_close(golden, wanted, value)
        compared += is_stored(golden, wanted)
    assert compared >= 2


@pytest.mark.skipif(not os.environ.get("VISIONPORT_ALL"), reason="some minutes")
@pytest.mark.parametrize("name", ["classifier", "segmenter", "detector"])
def test_official_vision(name, tmp_path):
    folder = SHARED / "demo" / "vision" / name
    if not folder.exists():
        pytest.skip("no ../shared")
    options = Options(config=folder, checkpoint=folder, out=tmp_path / "out", formats=("onnx",))
    found = export(options)
    assert found.agrees, str(found)
