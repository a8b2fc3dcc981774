"""The stored cases in OpenVINO, against the reference's own numbers: raw heads, and what is found."""

import numpy as np
import pytest
from golden_cases import (
    CASES,
    GOLDEN,
    REFERENCE_NAMES,
    assert_close,
    assert_twins,
    build_case,
    goldens,
    is_stored,
    make_checkpoint,
    stored,
)
from sampling import ALL

from visionport import Options
from visionport.formats import format_of
from visionport.formats.openvino.runner import OpenvinoRunner
from visionport.verification.bounds import OTHER_RUNTIME_PROPOSALS
from visionport.verification.checks import compare_lists

pytest.importorskip("openvino")
FORMAT = format_of("openvino")
OURS = [name for name in CASES if CASES[name].parent == GOLDEN]
NAMES = [name for name in CASES if ALL or name in OURS]
# What two-stage models list by proposal.
BY_PROPOSAL = ("proposal_boxes", "refined_box_encodings", "logits")


@pytest.fixture(scope="module", params=NAMES)
def case(request, tmp_path_factory):
    """(folder, model): one at a time."""

    folder = CASES[request.param]
    prefix = make_checkpoint(folder, tmp_path_factory.mktemp("checkpoint"))
    return folder, build_case(folder, prefix)


def heads_of(model):
    """A runner of all that the network says, a float32 output each: what the reference calls its prediction."""
    import tensorflow as tf

    from visionport.formats.openvino import conversion
    from visionport.ops.portable import portable
    from visionport.signatures import flat, sign_anew

    def answer(images, true_shapes, *side):
        prediction = model.predict(images, true_shapes, *side)
        return {name.replace("/", "|"): tf.identity(value) for name, value in flat(prediction)}

    with portable():
        signature = sign_anew(model, "image_tensor", conversion.sized(model, answer, None))
    names = {name: name for name in (signature.input_name, *signature.more)}
    return OpenvinoRunner(conversion.convert(signature.function, names, "heads"), "heads")


def feeds_of(model, image):
    sides = {i.name: np.zeros(i.shape, i.dtype) for i in model.side_inputs}
    return {model.config.lineage.input_name: image, **sides}


def test_raw_heads_are_the_references(case):
    folder, model = case
    two_stages = model.config.family == "faster_rcnn"
    runner = heads_of(model)
    for image, golden in goldens(folder):
        outputs = runner.call("serving_default", feeds_of(model, image))
        found = {name.replace("|", "/"): value for name, value in outputs.items()}
        compared = 0
        for name, value in found.items():
            wanted = f"predict/{REFERENCE_NAMES.get(name, name)}"
            if name.startswith("feature_maps_"):
                wanted = wanted.replace("maps_", "maps/")
            if two_stages and not name.startswith(("rpn_", "anchors", "feature_maps")):
                continue
            # A quantised network's maps were kept before the rewrite put fake quantisation behind them.
            if model.config.quantized:
                continue
            assert_close(golden, wanted, value)
            compared += is_stored(golden, wanted)
        assert compared >= 2 or model.config.quantized
        if two_stages:
            assert_proposals(golden, found)


def assert_proposals(golden, found):
    """The same proposals, and what the second stage says of each; in any order."""
    assert_twins(golden, "predict/proposal_boxes", found["proposal_boxes"])
    names = [n for n in BY_PROPOSAL if f"predict/{REFERENCE_NAMES.get(n, n)}" in golden]
    wanted = {name: golden[f"predict/{REFERENCE_NAMES.get(name, name)}"] for name in names}
    count = wanted["proposal_boxes"].shape[1]
    wanted, mine = ({n: values[n].reshape(count, -1) for n in names} for values in (wanted, found))
    (check,) = compare_lists("openvino", "", wanted, mine, names, tolerance=OTHER_RUNTIME_PROPOSALS)
    assert check.ok, check


def test_detections_are_the_references(case, tmp_path):
    folder, model = case
    options = Options(config=folder, checkpoint=folder, out=tmp_path, formats=("openvino",))
    signatures = sign(model)
    path = FORMAT.write(model, signatures, options, tmp_path, None)
    runner = FORMAT.open(path, FORMAT.reading(model, signatures, options))
    for image, golden in goldens(folder):
        found = runner.call("serving_default", feeds_of(model, image))
        assert_twins(golden, "output/detection_boxes", found["detection_boxes"])
        for name in ("num_detections", "detection_classes"):
            if model.config.family == "ssd" and is_stored(golden, f"output/{name}"):
                reference, value = stored(golden, f"output/{name}", found[name])
                assert np.mean(reference == value) >= 0.98, name


def sign(model):
    from visionport.signatures import sign

    return sign(model, ["image_tensor"])
