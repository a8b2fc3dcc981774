"""ONNX files: what is made of one before ONNX Runtime sees it, in another process first."""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from telling import READING, TOLD, read_told

from visionport.formats import format_of
from visionport.inspection.inspect import kind_of
from visionport.inspection.onnx import describe, render
from visionport.onnx import contents

SUFFIX = ".onnx"
FORMAT = format_of("onnx")


def seed(*, external: bool = False, branch: bool = False) -> bytes:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    weights = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    if external:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value="w.bin")
    nodes = [helper.make_node("Add", ["x", "w"], ["s"]), helper.make_node("NonMaxSuppression", ["s"], ["y"])]
    if branch:
        inner = helper.make_graph([helper.make_node("Relu", ["s"], ["r"])], "inner", [], [ends[1]])
        nodes.append(helper.make_node("If", ["s"], ["z"], then_branch=inner, else_branch=inner))
    model = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], [weights]))
    helper.set_model_props(model, {"visionport.record": json.dumps(TOLD), "labels": '["one"]'})
    return model.SerializeToString()


SEEDS = (seed(), seed(external=True), seed(branch=True))


def read(path: Path) -> None:
    kind_of(path)
    contents.is_onnx(path)
    model = contents.read(path)
    render(describe(path))
    FORMAT.signatures(path, READING)
    if names := contents.before(model, "NonMaxSuppression"):
        contents.without(model, {*names})
    read_told(FORMAT, path)
    FORMAT.check_foreign(path)
