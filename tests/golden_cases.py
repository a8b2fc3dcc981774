"""The stored cases of the reference's answers: where they lie, their checkpoints, how an answer is compared.

A case is a folder with variables.json. Those of the project lie in tests/golden; where ../shared/golden/od is there,
its cases count too.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from places import SHARED, TESTS

from visionport.checkpoint.open import open_checkpoint
from visionport.config import read_config
from visionport.errors import UnsupportedError

GOLDEN = TESTS / "golden"

# Of the reference tensor's standard deviation, or absolute: what rounding in another order of operations does.
RELATIVE, ABSOLUTE = 1e-4, 1e-5
PREPROCESSED = 1e-4  # of values up to 255
PROPOSED = 0.98  # of the proposals of two-stage models
REFERENCE_NAMES = {"logits": "class_predictions_with_background"}  # in its prediction dict, where ours differ


def cases():
    """{name: folder} of the cases whose model can be built."""
    roots = (SHARED / "golden" / "od", GOLDEN)
    found = {f.parent.name: f.parent for root in roots for f in root.glob("*/variables.json")}
    return {name: folder for name, folder in sorted(found.items()) if supported(folder)}


def supported(folder):
    from visionport.models.build import meta_of

    try:
        config = read_config(folder / "pipeline.config")
        meta_of(config).normalization(config.model)
    except UnsupportedError:
        return False
    return True


CASES = cases()


def make_checkpoint(folder, out):
    command = [sys.executable, GOLDEN / "make_checkpoint.py", folder, out]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return Path(done.stdout.split()[-1])


def build_case(folder, prefix):
    """The model of a case with its checkpoint."""
    from visionport.models.build import build

    return build(read_config(folder / "pipeline.config"), open_checkpoint(prefix))


def goldens(folder):
    """(input image, stored arrays) of each image of a case."""
    for file in sorted(folder.glob("golden_*.npz")):
        image = np.load(GOLDEN / "images" / f"{file.stem.removeprefix('golden_')}.npz")["input_image"]
        yield image, np.load(file)


def is_stored(golden, name):
    return name in golden or f"{name}#sample" in golden


def stored(golden, name, found):
    """(reference, found) of an array stored whole or as a sample."""
    if name in golden:
        return golden[name], found
    assert tuple(golden[f"{name}#shape"]) == found.shape
    return golden[f"{name}#sample"], found.reshape(-1)[golden[f"{name}#index"]]


def assert_close(golden, name, found):
    if not is_stored(golden, name):  # real exports' graphs show their outputs alone
        return
    reference, found = stored(golden, name, np.asarray(found))
    assert reference.shape == found.shape, name
    bound = max(ABSOLUTE, RELATIVE * float(reference.std()))
    assert np.abs(reference.astype(np.float64) - found).max() <= bound, name


def assert_twins(golden, name, found):
    """Boxes [1, n, 4] in any order: two with nearly equal scores change places, and one may suppress the other."""
    if not is_stored(golden, name):
        return
    reference, found = golden[name][0], np.asarray(found)[0]
    nearest = np.abs(reference[:, None] - found[None]).max(2).min(1)
    assert np.mean(nearest <= RELATIVE * float(reference.std())) >= PROPOSED, name
