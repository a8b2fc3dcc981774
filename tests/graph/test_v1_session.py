"""A script of TF1's days loads our frozen graphs by the old names."""

import sys

import numpy as np
import pytest
from environments import assert_same_detections, run
from golden_cases import CASES, make_checkpoint
from PIL import Image

from visionport import Options, export
from visionport.formats import frozen_graph
from visionport.graph import edit

SCRIPT = """
import sys
import numpy as np
import tensorflow.compat.v1 as tf

tf.disable_v2_behavior()
path, images, answers = sys.argv[1:]
graph = tf.Graph()
with graph.as_default():
    definition = tf.GraphDef()
    with tf.gfile.GFile(path, "rb") as f:
        definition.ParseFromString(f.read())
    tf.import_graph_def(definition, name="")
with tf.Session(graph=graph) as session:
    names = ["num_detections", "detection_boxes", "detection_scores", "detection_classes"]
    tensors = [graph.get_tensor_by_name(name + ":0") for name in names]
    found = session.run(tensors, feed_dict={graph.get_tensor_by_name("image_tensor:0"): np.load(images)})
np.savez(answers, **dict(zip(names, found)))
"""


def check(out, digits, folder):
    import tensorflow as tf

    graph = frozen_graph.read_graph_def(out / "frozen_inference_graph.pb")
    ops = {n.op for n in graph.node}
    assert not ops & {*edit.VARIABLES, *edit.CALLS, *edit.BRANCHES}
    assert not graph.library.function
    images = np.stack([np.array(Image.open(digits / "images" / f"digits-{i}.jpg")) for i in range(2)])
    np.save(folder / "images.npy", images)
    run(sys.executable, SCRIPT, out / "frozen_inference_graph.pb", folder / "images.npy", folder / "answers.npz")
    signature = tf.saved_model.load(out / "saved_model").signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    wanted = {k: v.numpy() for k, v in signature(**{name: tf.constant(images)}).items()}
    assert wanted["num_detections"].min() > 0
    assert_same_detections(np.load(folder / "answers.npz"), wanted)


def test_ssd(frozen, digits, tmp_path):
    check(frozen, digits, tmp_path)


def test_faster_rcnn(digits, tmp_path):
    case = "faster_rcnn_resnet50_coco"
    if case not in CASES:
        pytest.skip("this golden case is not here")
    prefix, out = make_checkpoint(CASES[case], tmp_path / "checkpoint"), tmp_path / "out"
    formats = ("frozen_graph", "saved_model")
    export(Options(config=CASES[case], checkpoint=prefix, out=out, formats=formats, verify=False))
    check(out, digits, tmp_path)
