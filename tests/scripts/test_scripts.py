"""The old scripts: the flags they have, their files, and what they refuse."""

import importlib
import json
import re
import shlex

import numpy as np
import pytest
from places import ROOT, SHARED

from visionport import scripts
from visionport.cli import main as command_line
from visionport.errors import OptionError, UnsupportedError
from visionport.scripts.flags import parse, shown


def script(name):
    return importlib.import_module(f"visionport.scripts.{name}")


def test_what_the_originals_have():
    """Names, defaults and which are required, by the reference's own definitions."""
    found = {
        name: {f.name: (f.default, f.required) for f in script(name).FLAGS}
        for name in scripts.NAMES
        if name not in ("freeze_graph", "export_saved_model", "export_tflite", "export_tfhub")
    }
    side = ("use_side_inputs", "side_input_shapes", "side_input_types", "side_input_names")
    required = (None, True)
    both = {"pipeline_config_path": required, "output_directory": required, "config_override": ("", False)}
    assert found == {
        "exporter_main_v2": both
        | {"trained_checkpoint_dir": required, "input_type": ("image_tensor", False)}
        | dict.fromkeys(side, ("", False))
        | {"use_side_inputs": (False, False)},
        "export_inference_graph": both
        | {"trained_checkpoint_prefix": required, "input_type": ("image_tensor", False)}
        | dict.fromkeys((*side, "input_shape", "additional_output_tensor_names"), (None, False))
        | dict.fromkeys(("use_side_inputs", "write_inference_graph"), (False, False)),
        "export_tflite_graph_tf2": both
        | {"trained_checkpoint_dir": required, "max_detections": (10, False), "keypoint_label_map_path": (None, False)}
        | dict.fromkeys(("ssd_use_regular_nms", "centernet_include_keypoints"), (False, False)),
        "export_tflite_ssd_graph": both
        | {"trained_checkpoint_prefix": required, "max_detections": (10, False)}
        | {"max_classes_per_detection": (1, False), "detections_per_class": (100, False)}
        | {"add_postprocessing_op": (True, False), "use_regular_nms": (False, False)},
    }


@pytest.mark.parametrize("name", scripts.NAMES)
def test_migrate_lists_each_flag_and_its_default(name):
    text = (ROOT / "docs" / "migrate.md").read_text()
    _, _, section = text.partition(f"\n## `{name}`\n")
    rows = re.findall(r"^\| `--(\w+)` \| (.*?) \| .+ \|$", section.partition("\n## ")[0], re.MULTILINE)
    expected = [(f.name, "required" if f.required else shown(f.default)) for f in script(name).FLAGS]
    assert [(flag, default.strip("`")) for flag, default in rows] == expected


def run(name, line, capsys):
    """A script's exit status (0 without SystemExit) and what it printed."""
    try:
        script(name).main(shlex.split(line))
        status = 0
    except SystemExit as e:
        status = e.code
    return status, capsys.readouterr()


def understood(printed: str):
    """The `visionport` command that a script printed, parsed by that command: its parameters."""
    (line,) = (text for text in printed.splitlines() if text.startswith("visionport "))
    _, name, *arguments = shlex.split(line)
    return command_line.commands[name].make_context(name, arguments).params


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def picture():
    from visionport.inputs import pictures

    return next(iter(pictures.load(()).values()))


# --- TF2: the digits detector ---


@pytest.fixture(scope="module")
def exported_v2(digits, tmp_path_factory):
    """exporter_main_v2 of a prefix, into a directory that holds another file."""
    out = tmp_path_factory.mktemp("v2") / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (prefix,) = {f.with_suffix("") for f in (digits / "tf2").glob("*.index")}
    script("exporter_main_v2").main(
        [
            "--input_type=image_tensor",
            f"--pipeline_config_path={digits / 'tf2' / 'pipeline.config'}",
            f"--trained_checkpoint_dir={prefix}",
            f"--output_directory={out}",
        ]
    )
    return out


def test_exporter_main_v2_writes_what_guides_expect_beside_what_was_there(exported_v2):
    names = {f.name for f in exported_v2.iterdir()}
    assert {"saved_model", "frozen_inference_graph.pb", "checkpoint", "pipeline.config", "notes.txt"} <= names
    assert (exported_v2 / "checkpoint" / "ckpt-0.index").is_file()
    assert (exported_v2 / "saved_model" / "variables" / "variables.data-00000-of-00001").is_file()
    assert (exported_v2 / "notes.txt").read_text() == "mine"


def test_guides_load_it_by_position(exported_v2):
    import tensorflow as tf

    infer = tf.saved_model.load(str(exported_v2 / "saved_model")).signatures["serving_default"]
    output = infer(tf.constant(picture()[None]))
    assert output["detection_boxes"].shape[2] == 4
    assert float(output["detection_scores"][0, 0]) > 0.5


def test_what_is_in_the_way_is_named_and_stays(exported_v2, digits, capsys):
    before = manifest(exported_v2)
    line = f"--pipeline_config_path {digits}/tf2/pipeline.config --trained_checkpoint_dir {digits}/tf2"
    status, told = run("exporter_main_v2", f"{line} --output_directory {exported_v2}", capsys)
    assert status == 2
    assert "saved_model" in told.err
    assert "notes.txt" not in told.err
    assert manifest(exported_v2) == before


def test_the_command_it_stands_for_is_printed(digits, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("visionport.commands.export.run_export", lambda *_, **__: None)
    (tmp_path / "file").touch()
    override = "model { ssd { num_classes: 10 } }"
    line = (
        f"--pipeline_config_path {digits}/tf2/pipeline.config --trained_checkpoint_dir {digits}/tf2 "
        f"--input_type tf_example --output_directory {tmp_path} --config_override '{override}'"
    )
    status, told = run("exporter_main_v2", line, capsys)
    assert status == 0
    found = understood(told.out)
    assert found["config_override"] == override
    assert found["inputs"] == (("tf_example",),)
    assert found["merge"] is True
    line = (
        f"--pipeline_config_path {digits}/tf2/pipeline.config --trained_checkpoint_prefix {digits}/tf2/ckpt-5 "
        f"--output_directory {tmp_path}/new --input_shape=2,96,128,3"
    )
    status, told = run("export_inference_graph", line, capsys)
    found = understood(told.out)
    assert (found["batch"], found["image_size"], found["verify"], found["merge"]) == (2, (96, 128), False, False)


SIDE = "--side_input_names=context_features --side_input_types=float --side_input_shapes=1,2000,2057"


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("exporter_main_v2", "--use_side_inputs", "needs --side_input_names"),
        ("exporter_main_v2", "--input_type=image_and_boxes_tensor", "DeepMAC"),
        ("export_inference_graph", f"--use_side_inputs=true {SIDE}", "image alone"),
        ("export_inference_graph", "--additional_output_tensor_names=Postprocessor/raw_box_score", "nearest: Post"),
        ("export_inference_graph", "--input_shape=1,300,300", "four numbers"),
        ("export_inference_graph", "--input_shape=1,300,-1,3", "both fixed"),
        ("export_inference_graph", "--input_shape=1,3,3,3 --input_type=tf_example", "tf_example"),
        ("export_tflite_ssd_graph", "--max_classes_per_detection=2", "counts places"),
        ("exporter_main_v2", "--pipeline_config_path=nowhere/x.config", "no such file"),
    ],
)
def test_what_is_not_supported_is_refused(name, line, message, digits, tmp_path):
    given = f"--pipeline_config_path={digits}/tf2/pipeline.config --output_directory={tmp_path}/out"
    checkpoint = next(f.name for f in script(name).FLAGS if f.name.startswith("trained_checkpoint"))
    values = parse(script(name).FLAGS, shlex.split(f"{given} --{checkpoint}={digits}/tf2 {line}"))
    with pytest.raises((UnsupportedError, OptionError), match=message):
        script(name).run(values)
    assert not (tmp_path / "out").exists()


def test_help_and_missing_flags(capsys):
    status, told = run("exporter_main_v2", "--help", capsys)
    assert status == 0
    assert "--[no]use_side_inputs" in told.out
    assert "--trained_checkpoint_dir" in told.out
    status, told = run("exporter_main_v2", "--input_type=image_tensor", capsys)
    assert status == 2
    assert "--pipeline_config_path" in told.err


@pytest.fixture(scope="module")
def tflite_v2(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("tflite") / "out"
    script("export_tflite_graph_tf2").main(
        shlex.split(
            f"--pipeline_config_path {digits}/tf2/pipeline.config --trained_checkpoint_dir {digits}/tf2 "
            f"--output_directory {out} --max_detections 7 --ssd_use_regular_nms=true"
        )
    )
    return out


def detect(model: bytes, image):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    return runner(**{name: image})


def test_export_tflite_graph_tf2(tflite_v2):
    """The file and its SavedModel, converted as guides convert it, give the same."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(tflite_v2 / "saved_model"))
    converter.allow_custom_ops = True
    data = (tflite_v2 / "model.tflite").read_bytes()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 192, 192, 3)).astype(np.float32)
    details = interpreter_input(data)
    image = np.resize(image, details)
    ours, theirs = detect(data, image), detect(converter.convert(), image)
    assert set(ours) == set(theirs) == {f"output_{i}" for i in range(4)}
    assert ours["output_3"].shape == (1, 7, 4)
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-4)


def interpreter_input(data):
    from visionport.tflite.contents import read_contents

    return read_contents(data).inputs[0].shape


# --- TF1: the same detector's other checkpoint ---


@pytest.fixture(scope="module")
def tf1():
    """(config, prefix)"""
    folder = SHARED / "demo" / "tf1"
    if not folder.is_dir():
        pytest.skip("needs the shared data")
    return folder / "pipeline.config", max(folder.glob("*.index")).with_suffix("")


def given(tf1, out, checkpoint="trained_checkpoint_prefix"):
    return f"--pipeline_config_path={tf1[0]} --{checkpoint}={tf1[1]} --output_directory={out} "


def test_export_inference_graph(tf1, tmp_path, capsys):
    out = tmp_path / "out"
    line = given(tf1, out) + "--input_type image_tensor --write_inference_graph --input_shape=1,-1,-1,3"
    status, told = run("export_inference_graph", line, capsys)
    assert status == 0, told.err
    assert {
        "frozen_inference_graph.pb",
        "saved_model",
        "model.ckpt.index",
        "model.ckpt.meta",
        "model.ckpt.data-00000-of-00001",
        "checkpoint",
        "pipeline.config",
        "inference_graph.pbtxt",
    } <= {f.name for f in out.iterdir()}
    variables = {f.name: f.stat().st_size for f in (out / "saved_model" / "variables").iterdir()}
    assert variables["variables.data-00000-of-00001"] > 100_000
    text = (out / "inference_graph.pbtxt").read_text()
    assert 'op: "VarHandleOp"' in text
    assert 'name: "detection_boxes"' in text


@pytest.mark.parametrize(
    ("line", "node", "dtype", "shape"),
    [
        ("--input_type encoded_image_string_tensor", "encoded_image_string_tensor", "DT_STRING", [-1]),
        ("--input_type=tf_example", "tf_example", "DT_STRING", [-1]),
        ("--input_shape 1,300,300,3", "image_tensor", "DT_UINT8", [1, 300, 300, 3]),
        ("--input_shape=-1,96,128,3", "image_tensor", "DT_UINT8", [-1, 96, 128, 3]),
    ],
)
def test_input_types_and_shapes(tf1, tmp_path, capsys, line, node, dtype, shape):
    from visionport.formats import frozen_graph

    more = "Postprocessor/raw_box_scores,Postprocessor/raw_box_locations"
    out = tmp_path / "out"
    line = given(tf1, out) + f"{line} --additional_output_tensor_names {more}"
    status, told = run("export_inference_graph", line, capsys)
    assert status == 0, told.err
    nodes = {n.name: n for n in frozen_graph.read_graph_def(out / "frozen_inference_graph.pb").node}
    assert nodes[node].op == "Placeholder"
    assert nodes[node].attr["dtype"].type == TYPES[dtype]
    assert [d.size for d in nodes[node].attr["shape"].shape.dim] == shape
    assert {name: list(nodes[name].input) for name in more.split(",")} == {
        "Postprocessor/raw_box_scores": ["raw_detection_scores"],
        "Postprocessor/raw_box_locations": ["raw_detection_boxes"],
    }


TYPES = {"DT_STRING": 7, "DT_UINT8": 4}


def test_exporter_main_v2_takes_tf1_checkpoints(tf1, tmp_path, capsys):
    out = tmp_path / "out"
    nms = "max_total_detections: 5 max_detections_per_class: 5"
    override = f"model {{ ssd {{ post_processing {{ batch_non_max_suppression {{ {nms} }} }} }} }}"
    line = given(tf1, out, "trained_checkpoint_dir") + f"--config_override '{override}'"
    status, told = run("exporter_main_v2", line, capsys)
    assert status == 0, told.err
    assert {"saved_model", "frozen_inference_graph.pb", "pipeline.config"} <= {f.name for f in out.iterdir()}
    assert re.search(r"max_total_detections:\s*5", (out / "pipeline.config").read_text())


def graph_of(folder):
    from google.protobuf import text_format
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef.FromString((folder / "tflite_graph.pb").read_bytes())
    assert text_format.Parse((folder / "tflite_graph.pbtxt").read_text(), graph_pb2.GraphDef()) == graph
    return {n.name: n for n in graph.node}


def test_export_tflite_ssd_graph(tf1, tmp_path, capsys):
    from visionport.tflite.contents import read_contents

    override = (
        "model { ssd { post_processing { batch_non_max_suppression { score_threshold: 0.0 iou_threshold: 0.5 } } } }"
    )
    out = tmp_path / "out"
    line = given(tf1, out) + f'--config_override "{override}" --max_detections=12'
    status, told = run("export_tflite_ssd_graph", line, capsys)
    assert status == 0, told.err
    nodes = graph_of(out)
    assert nodes["normalized_input_image_tensor"].op == "Placeholder"
    op = nodes["TFLite_Detection_PostProcess"]
    assert list(op.input) == ["raw_outputs/box_encodings", "raw_outputs/class_predictions", "anchors"]
    assert all(name in nodes for name in op.input)
    assert op.attr["max_detections"].i == 12
    assert op.attr["nms_score_threshold"].f == 0
    assert op.attr["nms_iou_threshold"].f == 0.5
    assert op.attr["use_regular_nms"].b is False
    assert op.attr["detections_per_class"].i == 100
    assert op.attr["num_classes"].i == 10
    assert read_contents((out / "model.tflite").read_bytes()).outputs[0].shape == (1, 12, 4)


def test_tflite_graph_without_the_op_runs_as_the_tflite_file(tf1, tmp_path, capsys):
    import tensorflow as tf

    from visionport.formats import frozen_graph

    out = tmp_path / "out"
    status, told = run("export_tflite_ssd_graph", given(tf1, out) + "--noadd_postprocessing_op", capsys)
    assert status == 0, told.err
    nodes = graph_of(out)
    assert "TFLite_Detection_PostProcess" not in nodes
    shape = [d.size for d in nodes["normalized_input_image_tensor"].attr["shape"].shape.dim]
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.import_graph_def(frozen_graph.read_graph_def(out / "tflite_graph.pb"), name="")
        names = ["raw_outputs/box_encodings:0", "raw_outputs/class_predictions:0", "anchors:0"]
        codes, scores, anchors = session.run(names, {"normalized_input_image_tensor:0": image})
    assert codes.shape == (1, len(anchors), 4)
    assert scores.shape == (1, len(anchors), 11)
    assert scores.min() >= 0
    assert scores.max() <= 1
