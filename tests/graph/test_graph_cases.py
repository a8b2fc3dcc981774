"""The small graphs of ../shared/cases/graphs, each made after a public report: what is right, from the command line."""

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image
from places import SHARED

from visionport.cli import main
from visionport.graph.sources import read_graph_def
from visionport.tflite.contents import read_contents

CASES = SHARED / "cases" / "graphs"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs ../shared/cases/graphs")
v1 = tf.compat.v1
X = np.array([[1, 2, 3, 4]], np.float32)


def visionport(command: str, *arguments: object):
    """(exit status, what was printed) of a command; CASE/ stands for the cases' folder."""
    words = [w.replace("CASE/", f"{CASES}/") for w in command.split()]
    with mock.patch("visionport.cli.mute_tensorflow"):  # it takes the process's standard error away
        done = CliRunner().invoke(main, [*words, *map(str, arguments)])
    return done.exit_code, done.output


def make(command: str, out, status: int = 0):
    code, printed = visionport(command, "--out", out)
    assert code == status, printed
    return out


def run_graph(path, output, **inputs):
    graph, _ = read_graph_def(path)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.import_graph_def(graph, name="")
        return session.run(output, {f"{k}:0": v for k, v in inputs.items()})


def run_file(path, **inputs):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path)).get_signature_runner()(**inputs)


def mean():
    return tf.train.load_checkpoint(str(CASES / "1_phase_train")).get_tensor("mean")


PHASE = "CASE/1_phase_train.meta --checkpoint CASE/1_phase_train"


@pytest.mark.parametrize(
    "command",
    [
        f"freeze {PHASE} --output y",
        f"freeze {PHASE} --output y --unfrozen",
        "export --meta CASE/1_phase_train.meta --outputs y",
        "convert CASE/1_phase_train.meta --output-arrays y",
    ],
)
def test_an_update_behind_a_branch_is_refused(tmp_path, command):
    code, printed = visionport(command, "--out", tmp_path / "out")
    assert code == 2
    assert "the variable mean" in printed
    assert "--set phase_train=false" in printed
    assert not list(tmp_path.iterdir())


def test_a_branch_that_is_decided_goes(tmp_path):
    out = make(f"freeze {PHASE} --output y --set phase_train=false", tmp_path / "f.pb")
    np.testing.assert_allclose(run_graph(out, "y:0", x=X), X - mean())
    ops = {n.op for n in read_graph_def(out)[0].node}
    assert ops <= {"Placeholder", "Const", "Identity", "Sub"}
    out = make("export --meta CASE/1_phase_train.meta --outputs y --set phase_train=false", tmp_path / "saved")
    answer = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"](x=tf.constant(X))
    np.testing.assert_allclose(answer["y"], X - mean())
    file = make(f"convert {out / 'saved_model'}", tmp_path / "m.tflite")
    np.testing.assert_allclose(run_file(file, x=X)["y"], X - mean())
    code, printed = visionport(f"freeze {PHASE} --output y --set phase_train=true", "--out", tmp_path / "no.pb")
    assert (code, "cond/AssignSub" in printed) == (2, True)


def test_ops_that_nobody_knows(tmp_path):
    file = make("convert CASE/2b_unknown_op.pb --output-arrays y", tmp_path / "m.tflite")
    np.testing.assert_array_equal(run_file(file, x=-X)["y"], 0 * X)
    code, printed = visionport("convert CASE/2b_unknown_op.pb --output-arrays post", "--out", tmp_path / "n.tflite")
    assert code == 2
    assert "SomebodysOwnOp" in printed
    assert "--allow-custom-ops" in printed


def test_scalars(tmp_path):
    for shape in ("flag=", "flag=scalar"):
        file = make(
            f"convert CASE/3_scalar.pb --input-arrays x,flag --output-arrays z --input-shape {shape} --overwrite",
            tmp_path / "m.tflite",
        )
        taken = run_file(file, x=X, flag=np.array(True))["z"], run_file(file, x=X, flag=np.array(False))["z"]
        np.testing.assert_allclose(taken, (X + 1, X - 1))
    file = make("convert CASE/3_scalar.pb --output-arrays z --set flag=true", tmp_path / "n.tflite")
    np.testing.assert_allclose(run_file(file, x=X)["z"], X + 1)


def test_open_sizes(tmp_path):
    file = make("convert CASE/4_open_size.pb --output-arrays y --input-shape 1,-1,-1,1", tmp_path / "m.tflite")
    assert read_contents(file.read_bytes()).inputs[0].shape == (1, -1, -1, 1)


def test_second_outputs_as_inputs(tmp_path):
    recipe = "convert CASE/5_second_output.pb --input-arrays top,top:1 --output-arrays y"
    file = make(recipe, tmp_path / "m.tflite")
    assert [t.name for t in read_contents(file.read_bytes()).inputs] == ["top", "top:1"]
    values, places = np.ones((4, 2), np.float32), np.full((4, 2), 3, np.int32)
    source = run_graph(CASES / "5_second_output.pb", "y:0", top=values, Cast=places)
    np.testing.assert_allclose(run_file(file, **{"top": values, "top:1": places})["y"], source)
    frozen = make("freeze CASE/5_second_output.pb --input top:1 --output y", tmp_path / "f.pb")
    assert {n.name for n in read_graph_def(frozen)[0].node if n.op == "Placeholder"} == {"x", "top_1"}


def test_custom_ops_that_the_runtime_has(tmp_path):
    file = make("convert CASE/6_mfcc.pb --output-arrays y", tmp_path / "m.tflite")
    pcm = np.sin(np.arange(1600, dtype=np.float32) / 9)[:, None]
    source = run_graph(CASES / "6_mfcc.pb", "y:0", pcm=pcm)
    np.testing.assert_allclose(run_file(file, pcm=pcm)["y"], source, atol=1e-4)


def test_inputs_of_the_models_domain(tmp_path):
    code, printed = visionport("convert CASE/7_nan_minimum.pb --output-arrays y", "--out", tmp_path / "m.tflite")
    assert code == 0
    assert "agrees" in printed
    assert "warning" not in printed


def test_a_signature_that_feeds_a_variable(tmp_path):
    frozen = make("freeze CASE/8_variable_input", tmp_path / "f.pb")
    value = np.array([5.0], np.float32)
    shape = next(n for n in read_graph_def(frozen)[0].node if n.name == "a").attr["shape"].shape.dim
    value = np.full([d.size for d in shape], 5, np.float32)
    found = run_graph(frozen, "y:0", a=value)
    file = make("convert CASE/8_variable_input", tmp_path / "m.tflite")
    np.testing.assert_allclose(run_file(file, a=value)["y"], found)
    assert not np.allclose(found, run_graph(frozen, "y:0", a=2 * value))


def test_a_queue_feeds_it(tmp_path):
    queue = "freeze CASE/9_queue.meta --checkpoint CASE/9_queue --output logits"
    code, printed = visionport(f"{queue} --input labels", "--out", tmp_path / "f.pb")
    assert code == 2
    assert "labels does not reach logits" in printed
    assert "nearest node to feed: images" in printed
    assert visionport(queue, "--out", tmp_path / "f.pb")[0] == 2
    make(f"{queue} --input images", tmp_path / "f.pb")


def test_what_freeze_wrote_convert_takes(tmp_path):
    frozen = make("freeze CASE/10_lstm", tmp_path / "f.pb")
    file = make(f"convert {frozen} --output-arrays output_0", tmp_path / "m.tflite")
    (source,) = read_contents(file.read_bytes()).inputs
    x = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    np.testing.assert_allclose(
        run_file(file, keras_tensor=x)["output_0"], run_graph(frozen, "output_0:0", keras_tensor=x), atol=1e-6
    )


def test_shapes_of_old_graphs(tmp_path):
    code, printed = visionport("inspect CASE/11_legacy.pb")
    assert code == 0
    assert "scalar" not in printed
    assert "float32 any" in printed
    file = make("convert CASE/11_legacy.pb --output-arrays y --input-shape 1,4", tmp_path / "m.tflite")
    assert run_file(file, x=X)["y"][0, 0] == 10


def test_web_pages(tmp_path):
    page = (CASES / "12_page.config").read_bytes()
    said = "this is a web page (HTML), not a {}: download the raw file"
    assert said.format("config") in visionport("inspect CASE/1_phase_train --config CASE/12_page.config")[1]
    for name, kind in (("m.tflite", "TFLite file"), ("g.pb", "graph"), ("ckpt-1.index", "checkpoint")):
        (tmp_path / name).write_bytes(page)
        code, printed = visionport(f"inspect {tmp_path / name}")
        assert (code, said.format(kind) in printed) == (2, True), printed


def test_the_old_recipe_of_tf1(digits, tmp_path):
    """tflite_graph.pb, as the script writes it, gives the file that the old converter makes."""
    from visionport.scripts.export_tflite_ssd_graph import main as export

    (index,) = (digits / "tf1").glob("*.index")
    config, out = digits / "tf1" / "pipeline.config", tmp_path / "out"
    flags = [f"--pipeline_config_path={config}", f"--trained_checkpoint_prefix={index.with_suffix('')}"]
    export([*flags, f"--output_directory={out}"])
    op = "TFLite_Detection_PostProcess"
    outputs = [op, *(f"{op}:{i}" for i in (1, 2, 3))]
    graph = out / "tflite_graph.pb"
    code, printed = visionport(
        f"convert {graph} --output-arrays {','.join(outputs)} --allow-custom-ops", "--out", tmp_path / "m.tflite"
    )
    assert code == 0, printed
    assert f"{op} input 1" in printed
    old = v1.lite.TFLiteConverter.from_frozen_graph(
        str(graph), ["normalized_input_image_tensor"], outputs, {"normalized_input_image_tensor": [1, 192, 192, 3]}
    )
    old.allow_custom_ops = True
    data = old.convert()
    mine, theirs = read_contents((tmp_path / "m.tflite").read_bytes()), read_contents(data)
    assert mine.ops == theirs.ops
    assert [t.name for t in mine.outputs] == [t.name for t in theirs.outputs] == outputs
    with Image.open(digits / "images" / "digits-0.jpg") as picture:
        image = np.asarray(picture.convert("RGB").resize((192, 192)), np.float32)[None] / 127.5 - 1
    found, wanted = (run_positions(d, image) for d in ((tmp_path / "m.tflite").read_bytes(), data))
    count = int(wanted[3][0])
    assert (count > 0, int(found[3][0])) == (True, count)
    for a, b in zip(found[:3], wanted[:3], strict=True):  # rows beyond the count mean nothing
        np.testing.assert_allclose(a[0, :count], b[0, :count], atol=1e-5)


def run_positions(data, image):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
