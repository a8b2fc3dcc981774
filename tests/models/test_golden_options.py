"""Options of models that no published config has, each against the reference's own answers for small images.

Cases lie in tests/golden_options, as those of test_golden.py but smaller: outputs, heads and features, sampled. A new
case needs no code. Side inputs are what verification feeds (side_inputs.example).
"""

import numpy as np
import pytest
from golden_cases import ABSOLUTE, GOLDEN, PREPROCESSED, REFERENCE_NAMES, RELATIVE, make_checkpoint
from places import TESTS

from visionport.checkpoint.open import open_checkpoint
from visionport.config import read_config
from visionport.inputs import side_inputs

CASES = sorted(f.parent for f in TESTS.glob("golden_options/*/variables.json"))


@pytest.mark.parametrize("folder", CASES, ids=lambda f: f.name)
def test_options_against_the_reference(folder, tmp_path):
    import tensorflow as tf

    from visionport.models.build import build

    model = build(read_config(folder / "pipeline.config"), open_checkpoint(make_checkpoint(folder, tmp_path)))
    side = [tf.constant(v) for v in side_inputs.example(model.side_inputs).values()]
    (file,) = folder.glob("golden_*.npz")
    golden = np.load(file)
    image = np.load(GOLDEN / "images" / f"{file.stem.removeprefix('golden_')}.npz")["input_image"]
    prepared, shapes = model.preprocess(tf.constant(image))
    np.testing.assert_allclose(shapes, golden["preprocess/true_shape"], atol=PREPROCESSED)
    heads = {k: v for k, v in model.predict(prepared, shapes, *side).items() if not isinstance(v, list)}
    found = {f"predict/{REFERENCE_NAMES.get(k, k)}": v for k, v in heads.items()}
    found |= {f"output/{k}": v for k, v in model.detect(prepared, shapes, *side).items()}
    names = {k.partition("#")[0] for k in golden.files} - {"preprocess/true_shape"}
    assert {n for n in names if n.startswith("output/")} == {n for n in found if n.startswith("output/")}
    for name in sorted(names):
        assert_same(golden, name, np.asarray(found[name], np.float64))


def assert_same(golden, name, found):
    if name in golden:
        reference, deviation = golden[name], golden[name].std()
        assert reference.shape == found.shape, name
    else:
        assert tuple(golden[f"{name}#shape"]) == found.shape, name
        reference, found = golden[f"{name}#sample"], found.reshape(-1)[golden[f"{name}#index"]]
        deviation = golden[f"{name}#std"]
    worst = np.abs(reference - found).max(initial=0)
    assert worst <= max(ABSOLUTE, RELATIVE * float(deviation)), (name, worst)


def test_attention_matters():
    """Else the cases above would prove nothing: other features, other answers."""
    import tensorflow as tf

    from visionport.config.faster_rcnn import Context
    from visionport.models.faster_rcnn import context

    class Weights:
        """Any scope: small random weights, batch norms that do nothing."""

        def __truediv__(self, name):
            return self

        def __call__(self, leaf, shape):
            if leaf in ("weights", "beta"):
                shape = [d or 5 for d in shape]
                return tf.constant(np.random.Generator(np.random.PCG64(len(shape))).standard_normal(shape), tf.float32)
            return tf.ones(shape) if leaf in ("gamma", "moving_variance") else tf.zeros(shape)

    c = Context(
        max_features=4, feature_length=3, temperature=0.5, position="post_rpn", adds_input=False, use_bias=False
    )
    boxes, memory = tf.ones((2, 1, 1, 6)), tf.reshape(tf.range(12.0), (1, 4, 3))

    def attend(memory, valid):
        return context.attend(c, Weights(), boxes, 2, tf.constant([2]), memory, tf.constant([valid])).numpy()

    assert np.abs(attend(memory, 2) - attend(memory[:, ::-1], 2)).max() > 1e-3
    # What does not count is not looked at.
    padded = tf.concat([memory[:, :2], 100 * memory[:, 2:]], 1)
    np.testing.assert_allclose(attend(memory, 2), attend(padded, 2), atol=1e-6)
