"""Golden models through `visionport freeze`: the frozen graph, in a TF1 session, gives the SavedModel's answers.

TensorFlow fuses convolutions with constants in other ways than with variables, which changes the last digits (by up to
3e-6 here). So each case runs in a process of its own, without oneDNN and without the graph optimizer, where the same
graph gives the same numbers.
"""

import os
import subprocess
import sys

import pytest
from golden_cases import GOLDEN
from places import SHARED

ODS = SHARED / "golden" / "od"
MORE = (
    "ssd_mobilenet_v1_coco",
    "mask_rcnn_inception_v2_coco",
    "centernet_resnet50_v1_fpn_512x512_kpts_coco17_tpu-8",
)
CASES = sorted(f.parent for f in GOLDEN.glob("*/variables.json"))
CASES += [ODS / name for name in MORE if (ODS / name).is_dir()]

CODE = """
import sys
from pathlib import Path
import numpy as np, tensorflow as tf
from places import SHARED
from golden_cases import GOLDEN
from visionport.graph import freeze, edit
from visionport import Options, export

v1 = tf.compat.v1
case, checkpoint, image, out = map(Path, sys.argv[1:])
export(Options(config=case / "pipeline.config", checkpoint=checkpoint, out=out, verify=False))
frozen = freeze.freeze(freeze.GraphRequest(source=out / "saved_model"))
freeze.write_graph(frozen.graph, out / "frozen.pb")
graph = v1.GraphDef.FromString((out / "frozen.pb").read_bytes())
gone = {*edit.VARIABLES, *edit.CALLS, *edit.BRANCHES, "ReadVariableOp", "Assign", "AssignVariableOp"}
assert not gone & {n.op for n in graph.node}
assert not graph.library.function
signature = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"]
(name,) = signature.structured_input_signature[1]
pixels = np.load(image)["input_image"]
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
expected = signature(**{name: tf.constant(pixels)})
plain = v1.ConfigProto()
plain.graph_options.rewrite_options.disable_meta_optimizer = True
with tf.Graph().as_default() as imported, v1.Session(config=plain) as session:
    v1.import_graph_def(graph, name="")
    found = session.run({k: f"{k}:0" for k in expected}, {f"{name}:0": pixels})
    assert not imported.get_collection(v1.GraphKeys.GLOBAL_VARIABLES)
assert set(frozen.outputs) == set(expected)
for key, value in expected.items():
    np.testing.assert_allclose(found[key], value, atol=1e-6, rtol=1e-6, err_msg=key)
print(len(expected), "equal")
"""


@pytest.mark.parametrize("case", CASES, ids=lambda folder: folder.name)
def test_frozen_answers_are_the_saved_models(case, tmp_path):
    made = subprocess.run(
        [sys.executable, GOLDEN / "make_checkpoint.py", case, tmp_path / "checkpoint"],
        capture_output=True,
        text=True,
        check=True,
    )
    image = GOLDEN / "images" / "480x640.npz"
    done = subprocess.run(
        [sys.executable, "-c", CODE, case, made.stdout.split()[-1], image, tmp_path / "out"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TF_ENABLE_ONEDNN_OPTS": "0",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("equal\n")
