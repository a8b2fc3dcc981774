"""Stored cases of TF Official Vision, through the story: the reference's answers, its feature maps, its signatures.

Cases lie in ../shared/golden/vision; a new one needs no code. Small ones of the project: test_official_small.py.
"""

from typing import Any

import numpy as np
import official_models as official
import pytest
from golden_cases import ABSOLUTE, RELATIVE
from official_goldens import assert_answers
from sampling import sampled

from visionport.formats import saved_model
from visionport.models.build import build
from visionport.signatures import sign

SAMPLES = 2048  # at most, of a stored map
INSIDE = 2  # times the bound of heads: rounding is the largest in the middle of deep networks
FOLDERS = sampled(official.cases(), 4)


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def case(request) -> tuple[Any, Any]:
    """(folder, model): one at a time."""
    folder = request.param
    return folder, build(official.config_of_case(folder), official.checkpoint_of_case(folder))


def sources(folder) -> dict[str, Any]:
    """{input type: the stored inputs and outputs}."""
    files = sorted(file for file in folder.glob("*.npz") if file.stem != "probes")
    assert files
    return {file.stem: np.load(file) for file in files}


def questions(model, stored):
    """(number, what the signature takes) of each stored input."""
    for i in range(sum(name.startswith("in") for name in stored)):
        if f"in{i}_u8" in stored:
            yield i, normalized(model, stored[f"in{i}_u8"])
        else:
            given = stored[f"in{i}"]
            yield i, np.array([given.tobytes()], object) if given.ndim == 1 else given


def normalized(model, picture) -> np.ndarray:
    """float32 [1, h, w, 3] of the network's size as a client gives it to the input type tflite."""
    how = model.meta.normalization(model.config.model)
    return ((picture[None] - np.float32(how.mean)) / np.float32(how.std)).astype(np.float32)


def test_signatures_answer_as_the_references(case):
    import tensorflow as tf

    folder, model = case
    for source, stored in sources(folder).items():
        (signature,) = sign(model, [source])
        assert_signature(official.meta_of(folder)["signatures"][source], signature)
        for i, value in questions(model, stored):
            outputs = signature.function(tf.constant(value))
            assert_answers(stored, f"out{i}|", {name: x.numpy() for name, x in outputs.items()})


def assert_signature(reference, signature):
    """Names, dtypes and shapes; where the reference has a size of the batch, or of a clip, any may do here."""
    function = signature.function
    (name,) = reference["inputs"]
    assert signature.input_name == name
    assert set(function.structured_outputs) == set(reference["outputs"])
    given, there = function.inputs[0], reference["inputs"][name]
    assert (given.dtype.name, len(given.shape)) == (there["dtype"], len(there["shape"]))
    assert all(size in (None, wanted) for size, wanted in zip(given.shape, there["shape"], strict=True))
    for key, there in reference["outputs"].items():
        found = function.structured_outputs[key]
        assert found.dtype.name == there["dtype"], key
        assert list(found.shape)[1:] == there["shape"][1:], key


def test_maps_and_heads_are_the_references(case):
    import tensorflow as tf

    folder, model = case
    if not (folder / "probes.npz").exists():
        pytest.skip("no maps are stored")
    stored = np.load(folder / "probes.npz")
    prediction = model.predict(*model.preprocess(tf.constant(normalized(model, stored["model_input_u8"])), "tflite"))
    decoded = prediction.get("decoded", {})
    maps = {"backbone": prediction["feature_maps"], "decoder": decoded if isinstance(decoded, dict) else {"": decoded}}
    found = {f"{part}|{level}": x for part in maps for level, x in maps[part].items()}
    for names, times in ((found, INSIDE), (heads(model, prediction), 1)):
        judged = {name: x for name, x in names.items() if name in stored}
        assert judged
        for name, x in judged.items():
            flat, reference = np.ravel(x), stored[name].reshape(-1)
            places = flat[:: max(1, flat.size // SAMPLES)][: reference.size]
            bound = times * max(ABSOLUTE, RELATIVE * float(reference.std()))
            assert np.abs(places - reference.astype(np.float64)).max() <= bound, name


def heads(model, prediction) -> dict[str, Any]:
    """The raw answers by the names of the stored ones."""
    import tensorflow as tf

    if model.config.family == "retinanet":
        levels = model.meta.pyramid(model.config.model, constant=True)
        sizes = [len(anchors) for anchors in levels.values()]
        out = {}
        for name, key in (("cls_outputs", "logits"), ("box_outputs", "box_encodings")):
            parts = zip(levels, tf.split(prediction[key], sizes, 1), strict=True)
            out |= {f"out|{name}|{level}": x for level, x in parts}
        return out
    if model.config.family == "mask_rcnn":
        names = ("rpn_scores", "rpn_boxes")
        return {f"out|{name}|{level}": x for name in names for level, x in prediction[name].items()}
    return dict.fromkeys(("out", "out|logits"), prediction["logits"])


def test_every_tensor_is_read(case):
    _, model = case
    params = model.params
    assert set(params.keys.values()) == {key for key in params.model_keys() if not params.known_unread(key)}


def test_a_saved_model_answers_as_the_references(case, tmp_path):
    """Every stored input type in one."""
    folder, model = case
    known = sources(folder)
    if len(known) == 1:
        pytest.skip("of one input type: its signature is tested above")
    path = saved_model.FORMAT.write(model, sign(model, list(known)), None, tmp_path)
    runner = saved_model.SavedModelRunner(path)
    for source, stored in known.items():
        signature = runner.signatures[source]
        (given,) = signature.inputs
        assert {t.name for t in signature.outputs} == set(official.meta_of(folder)["signatures"][source]["outputs"])
        for i, value in questions(model, stored):
            assert_answers(stored, f"out{i}|", runner.call(source, {given.name: value}))
