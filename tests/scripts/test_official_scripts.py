"""TF Official Vision's scripts by name: the lines in people's notes, on the bundled digits classifier."""

import importlib
import json
import shlex

import numpy as np
import pytest
from places import SHARED

from visionport.cli import main as command_line
from visionport.errors import OptionError, UnsupportedError
from visionport.inputs import pictures

RECORDS = SHARED / "demo" / "vision" / "classification_calibration.tfrecord"
OPTIONAL, REQUIRED = (None, False), (None, True)
COMMON = {"experiment": OPTIONAL, "config_file": OPTIONAL, "params_override": ("", False)}
EXPORT = COMMON | {
    "export_dir": REQUIRED,
    "checkpoint_path": REQUIRED,
    "batch_size": OPTIONAL,
    "input_image_size": ("224,224", False),
}


def script(name):
    return importlib.import_module(f"visionport.scripts.{name}")


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        (
            "export_saved_model",
            EXPORT
            | {"input_type": ("image_tensor", False), "input_name": OPTIONAL, "function_keys": ("", False)}
            | {"export_checkpoint_subdir": ("checkpoint", False), "export_saved_model_subdir": ("saved_model", False)}
            | dict.fromkeys(("log_model_flops_and_params", "add_tpu_function_alias"), (False, False)),
        ),
        (
            "export_tflite",
            COMMON
            | {"saved_model_dir": REQUIRED, "tflite_path": REQUIRED, "quant_type": OPTIONAL}
            | {"calibration_steps": (500, False), "denylisted_ops": ("", False)},
        ),
        ("export_tfhub", EXPORT | {"skip_logits_layer": (False, False)}),
    ],
)
def test_what_the_originals_have(name, flags):
    """Names and defaults; what an export cannot do without is required."""
    own = {"allow_unsafe_ops"}  # where foreign graphs are run
    assert {f.name: (f.default, f.required) for f in script(name).FLAGS if f.name not in own} == flags


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


@pytest.fixture(scope="module")
def model(digits) -> str:
    folder = digits / "classifier"
    return f"--experiment=resnet_imagenet --checkpoint_path={folder} --config_file={folder}/params.yaml"


def picture(digits) -> np.ndarray:
    return pictures.read(sorted((digits / "tiles").glob("*.jpg"))[0])


def test_image_bytes_counts_and_the_alias(model, digits, tmp_path, capsys):
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    out = tmp_path / "out"
    line = f"{model} --export_dir={out} --input_type=image_bytes --input_image_size=64,64 "
    status, told = run("export_saved_model", line + "--log_model_flops_and_params --add_tpu_function_alias", capsys)
    assert status == 0, told.err
    found = understood(told.out)
    assert (found["inputs"], found["image_size"]) == ((("image_bytes",),), (64, 64))
    assert found["flops"]
    assert found["tpu_alias"]
    assert {"params.yaml", "saved_model", "checkpoint", "model_flops.txt", "model_params.txt"} <= {
        f.name for f in out.iterdir()
    }
    assert (out / "checkpoint" / "ckpt-1.index").is_file()
    assert "_TFProfRoot (--/12.86m flops)" in (out / "model_flops.txt").read_text()
    parameters = json.loads((out / "manifest.json").read_text())["model"]["parameters"]
    assert (out / "model_params.txt").read_text().endswith(f"Total params: {parameters}\n")
    assert "Float operations" in (out / "report.html").read_text()
    saved = saved_model_pb2.SavedModel.FromString((out / "saved_model" / "saved_model.pb").read_bytes())
    assert "tpu_candidate" in saved.meta_graphs[0].meta_info_def.function_aliases.values()
    infer = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"]
    data = sorted((digits / "tiles").glob("*.jpg"))[0].read_bytes()
    assert int(infer(tf.constant([data]))["probs"].numpy().argmax()) == 6


@pytest.fixture(scope="module")
def several(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("keys") / "out"
    keys = "tf_example:serving_default,image_tensor:serving_image_tensor"
    script("export_saved_model").main(
        shlex.split(f"{model} --export_dir={out} --function_keys={keys} --input_image_size=64,64")
    )
    return out


def test_function_keys_name_signatures(several, digits):
    import tensorflow as tf

    from visionport.inputs.types import feed_examples

    loaded = tf.saved_model.load(str(several / "saved_model"))
    assert set(loaded.signatures) == {"serving_default", "serving_image_tensor"}
    pixels = picture(digits)[None]
    example = loaded.signatures["serving_default"](tf.constant(feed_examples(pixels)))["logits"].numpy()
    tensor = loaded.signatures["serving_image_tensor"](tf.constant(pixels))["logits"].numpy()
    np.testing.assert_allclose(example, tensor, atol=0.1)  # what is decoded becomes whole numbers
    assert example.argmax() == 6


def test_an_export_with_named_signatures_is_asked_as_any(several, digits):
    import visionport

    path = sorted((digits / "tiles").glob("*.jpg"))[0]
    assert visionport.load(several).predict(path)["classes"][0]["class"] == 6


def test_tflite_of_an_export_of_encoded_pictures(several, digits, tmp_path, capsys):
    """Its weights are taken: TFLite decodes nothing, and the original refuses it."""
    file = tmp_path / "m.tflite"
    line = f"--experiment=resnet_imagenet --config_file={digits}/classifier/params.yaml --saved_model_dir={several} "
    status, told = run(
        "export_tflite", f"{line} --tflite_path={file} --quant_type=fp16 --calibration_steps=500", capsys
    )
    assert status == 0, told.err
    assert understood(told.out)["quantize"] == "float16"
    assert 500_000 < file.stat().st_size < 800_000


@pytest.fixture(scope="module")
def floats(model, tmp_path_factory):
    """Of preprocessed pictures, straight in its folder, without a checkpoint."""
    out = tmp_path_factory.mktemp("floats") / "out"
    subdirs = "--export_saved_model_subdir= --export_checkpoint_subdir="
    script("export_saved_model").main(
        shlex.split(f"{model} --export_dir={out} --input_type=tflite --batch_size=1 --input_image_size=64,64 {subdirs}")
    )
    return out


def test_empty_folders(floats):
    names = {f.name for f in floats.iterdir()}
    assert {"saved_model.pb", "variables", "params.yaml", "manifest.json"} <= names
    assert not {"saved_model", "checkpoint"} & names
    assert json.loads((floats / "manifest.json").read_text())["artifacts"][0]["path"] == "."
    assert json.loads((floats / "verify.json").read_text())["agrees"]


def ends(file) -> tuple[set[str], set[str]]:
    from visionport.tflite.contents import read_contents

    graph = read_contents(file.read_bytes())
    return {t.dtype for t in graph.inputs}, {t.dtype for t in graph.outputs}


@pytest.mark.parametrize(
    ("kind", "dtype", "share"),
    [
        ("", "float32", 1),
        ("fp16", "float32", 0.5),
        *((kind, "float32", 0.25) for kind in ("default", "uint8", "int8", "int8_mine", "int8_full_fp32_io")),
        ("int8_full", "uint8", 0.25),
        ("int8_full_int8_io", "int8", 0.25),
    ],
)
def test_quantisation_types(kind, dtype, share, floats, digits, tmp_path, capsys):
    file = tmp_path / "m.tflite"
    line = f"--experiment=resnet_imagenet --config_file={digits}/classifier/params.yaml --saved_model_dir={floats} "
    if kind.startswith("int8"):
        if not RECORDS.exists():
            pytest.skip("needs the shared data")
        line += f"--params_override=task.train_data.input_path={RECORDS} --calibration_steps=20 "
    status, told = run("export_tflite", f"{line} --tflite_path={file} --quant_type={kind}", capsys)
    assert status == 0, told.err
    assert ends(file) == ({dtype}, {dtype})
    assert file.stat().st_size == pytest.approx(share * 1_270_000, rel=0.2)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("--quant_type=qat", UnsupportedError, "no fake quantisation"),
        ("--quant_type=qat_fp32_io", UnsupportedError, "no fake quantisation"),
        ("--quant_type=int4", OptionError, "unknown"),
    ],
)
def test_refused_quantisation(line, error, message, floats, digits, tmp_path):
    from visionport.scripts.flags import parse

    module = script("export_tflite")
    given = (
        f"--config_file={digits}/classifier/params.yaml --saved_model_dir={floats} --tflite_path={tmp_path}/m.tflite"
    )
    with pytest.raises(error, match=message):
        module.run(parse(module.FLAGS, shlex.split(f"{given} {line}")))
    assert not (tmp_path / "m.tflite").exists()


def test_int8_needs_the_experiments_pictures(floats, digits, tmp_path, capsys):
    line = f"--config_file={digits}/classifier/params.yaml --saved_model_dir={floats} --tflite_path={tmp_path}/m.tflite"
    status, told = run("export_tflite", f"{line} --quant_type=int8_full", capsys)
    assert status == 2
    assert "task.train_data.input_path" in told.err


@pytest.mark.parametrize(("skip", "name", "width"), [("", "dense", 10), ("--skip_logits_layer", None, 128)])
def test_tfhub(skip, name, width, model, tmp_path, capsys):
    import tensorflow as tf

    status, told = run("export_tfhub", f"{model} --export_dir={tmp_path} --input_image_size=64,64 {skip}", capsys)
    assert status == 0, told.err
    assert {f.name for f in tmp_path.iterdir()} == {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
    loaded = tf.saved_model.load(str(tmp_path))
    images = tf.zeros((3, 64, 64, 3))
    (key,) = loaded.signatures["serving_default"].structured_outputs
    assert key == (name or "global_average_pooling2d")
    assert loaded(images).shape == (3, width)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("export_saved_model", "--function_keys=tf_example", "TYPE:SIGNATURE"),
        ("export_saved_model", "--input_image_size=64", "HEIGHT,WIDTH"),
        ("export_saved_model", "--input_type=encoded", "unknown"),
        ("export_saved_model", "--export_saved_model_subdir=../x", "a folder in the export"),
        ("export_tfhub", "--config_file=nowhere.yaml", "nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_told(name, line, message, model, tmp_path, capsys):
    size = "" if "image_size" in line else "--input_image_size=64,64"
    status, told = run(name, f"{model} --export_dir={tmp_path}/out {size} {line}", capsys)
    assert status == 2
    assert message in told.err
    assert not (tmp_path / "out").exists()


def test_without_an_experiment(tmp_path, capsys):
    status, told = run("export_saved_model", f"--checkpoint_path=c --export_dir={tmp_path}/out", capsys)
    assert status == 2
    assert "--experiment" in told.err


def test_an_experiment_without_a_config_file(digits, tmp_path, capsys):
    """The config is the experiment and what is changed of it: no file of it is read or recorded."""
    out, folder = tmp_path / "out", digits / "classifier"
    line = f"--experiment=resnet_imagenet --params_override={folder}/params.yaml --checkpoint_path={folder} "
    status, told = run("export_saved_model", line + f"--export_dir={out} --input_image_size=64,64", capsys)
    assert status == 0, told.err
    assert {*json.loads((out / "manifest.json").read_text())["inputs"]} == {
        "ckpt-1.index",
        "ckpt-1.data-00000-of-00001",
    }
