"""TensorFlow.js models of the digits detector: in Node, and in a page of headless Chromium."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from places import ROOT

from visionport import Options, config, export, load
from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.formats import format_of
from visionport.formats.tfjs import runner
from visionport.inputs import preprocessing
from visionport.inspection.inspect import inspect

FORMAT = format_of("tfjs")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WEB = Path(runner.__file__).parent / "web"
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def modules():
    """The folder of TensorFlow.js's packages: that of VISIONPORT_TFJS, or one that npm fills once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = runner.modules_folder()
        if runner.missing() or not (folder / "node_modules" / "@tensorflow" / "tfjs").is_dir():
            folder = ROOT / "build" / "tfjs"
            patch.setenv(runner.MODULES, str(folder))
        if runner.missing():
            if not shutil.which("npm") or not shutil.which("node"):
                pytest.skip("no Node.js and npm here")
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(ROOT / "tests" / "tfjs" / name, folder / name)
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
            if subprocess.run(install, cwd=folder, capture_output=True).returncode:
                pytest.skip("TensorFlow.js's packages cannot be installed here")
        yield folder


def export_tfjs(digits, out, name="tf2", **how):
    places = {"config": digits / name, "checkpoint": digits / name, "out": out, "formats": ("tfjs",)}
    return export(Options(**places, labels=digits / "label_map.pbtxt", **how))


@pytest.fixture(scope="module")
def out(modules, digits, tmp_path_factory):
    """A verified export."""
    found = export_tfjs(digits, tmp_path_factory.mktemp("tfjs") / "out", images=(digits / "images" / "digits-0.jpg",))
    assert found.agrees, str(found)
    assert {c.what for c in found.checks} >= {"raw_detection_boxes", "raw_detection_scores", "detections matched"}
    return found.out


def test_it_answers_wherever_it_lies(out, exported, digits, tmp_path):
    alone = shutil.copytree(out / "tfjs", tmp_path / "moved")
    picture = digits / "images" / "digits-0.jpg"
    there, here, source = (load(p).predict(picture)["detections"] for p in (
        out / "tfjs" / "model.json", alone / "model.json", exported / "saved_model"
    ))  # fmt: skip
    assert there == here
    assert sorted(d["label"] for d in here) == ["five", "five", "six"]
    for one, other in zip(here, source, strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
        assert list(one["box"].values()) == pytest.approx(list(other["box"].values()), abs=0.05)


def test_what_the_folder_holds(out):
    names = {f.name for f in (out / "tfjs").iterdir()}
    assert names == {"model.json", "group1-shard1of1.bin", "detect.js", "index.html", "page.js"}
    found = inspect(out / "tfjs" / "model.json")
    assert "FusedBatchNormV3" not in found["ops"]
    assert found["inputs"] == [{"name": "input_tensor", "dtype": "float32", "shape": [1, 192, 192, 3]}]
    assert found["weights"]["bytes"] == (out / "tfjs" / "group1-shard1of1.bin").stat().st_size
    assert "three" in str(found)
    assert FORMAT.size(out / "tfjs" / "model.json") > found["weights"]["bytes"]


def test_quantised_files_are_smaller_and_answer(modules, out, digits, tmp_path):
    full = (out / "tfjs" / "group1-shard1of1.bin").stat().st_size
    picture = digits / "images" / "digits-0.jpg"
    again = export_tfjs(digits, tmp_path / "again", verify=False)
    for file in (out / "tfjs").iterdir():
        assert file.read_bytes() == (again.out / "tfjs" / file.name).read_bytes(), file.name
    for kind, most in (("float16", 0.6), ("uint8", 0.4)):
        found = export_tfjs(digits, tmp_path / kind, tfjs_quantize=kind, images=(picture,))
        assert found.agrees, str(found)
        assert (found.out / "tfjs" / "group1-shard1of1.bin").stat().st_size < most * full
        answers = load(found.out / "tfjs" / "model.json").predict(picture)["detections"]
        assert sorted(d["label"] for d in answers) == ["five", "five", "six"]


@pytest.mark.parametrize("name", ["classifier", "segmenter"])
def test_other_tasks(modules, digits, tmp_path, name):
    found = export_tfjs(digits, tmp_path / "out", name=name)
    assert found.agrees, str(found)


def test_raw_heads(modules, digits, tmp_path):
    found = export_tfjs(
        digits, tmp_path / "out", tfjs_head="raw", images=(digits / "images" / "digits-0.jpg",)
    )  # fmt: skip
    assert found.agrees, str(found)
    assert {c.what for c in found.checks} >= {"box_encodings", "class_scores"}
    assert not (found.out / "tfjs" / "detect.js").exists()


def test_where_node_has_no_packages_it_is_said(digits, tmp_path, monkeypatch):
    monkeypatch.setenv(runner.MODULES, str(tmp_path))
    found = export_tfjs(digits, tmp_path / "out", name="classifier")
    assert any("tfjs/model.json is not verified" in note and "npm install" in note for note in found.notes)
    with pytest.raises(OptionError, match="npm install"):
        load(found.out / "tfjs" / "model.json")


# ---------------------------------------------------------------- preprocessing in JavaScript

SIMILAR = """
import {{ prepare }} from {module};
const data = new Uint8Array({pixels});
const found = {hows}.map((how) => {{
  const {{ data: values, shape, extent }} = prepare({{ data, width: {width}, height: {height}, channels: 3 }}, how);
  return {{ data: Array.from(values), shape, extent }};
}});
process.stdout.write(JSON.stringify(found));
"""
PLAIN = config.Normalization(mean=(127.5, 120.0, 100.0), std=(127.5, 60.0, 58.0))
RESIZERS = (
    config.FixedShape(height=9, width=17),
    config.FixedShape(height=9, width=7, method="nearest", grayscale=True),
    config.KeepAspectRatio(min_dimension=7, max_dimension=11, pad_to_max=True, pad_value=(0.5, 0.25, 0.0)),
    config.ConditionalShape(condition="smaller", threshold=20),
    config.ConditionalShape(condition="greater", threshold=10),
    config.PadToMultiple(multiple=8),
    config.Identity(),
    config.CropAndResize(height=10, width=8),
    config.FitAndPad(height=15, width=20, multiple=8),
)


@pytest.mark.skipif(not shutil.which("node"), reason="no Node.js here")
def test_detect_js_prepares_pictures_as_the_model_does(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (13, 19, 3), np.uint8)
    hows = [preprocessing.describe(r, PLAIN) for r in RESIZERS]
    hows += [preprocessing.describe(RESIZERS[0], config.Normalization(mean=(1, 2, 3), std=(4, 5, 6), bgr=True))]
    text = SIMILAR.format(
        module=json.dumps((WEB / "detect.js").as_uri()), pixels=picture.flatten().tolist(), hows=json.dumps(hows),
        height=13, width=19,
    )  # fmt: skip
    (tmp_path / "prepare.mjs").write_text(text)
    ran = subprocess.run(["node", tmp_path / "prepare.mjs"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for how, found in zip(hows, json.loads(ran.stdout), strict=True):
        wanted, extent = preprocessing.prepare(picture, how)
        assert list(wanted.shape) == found["shape"], how
        np.testing.assert_allclose(np.reshape(found["data"], found["shape"]), wanted, atol=2e-6, err_msg=str(how))
        np.testing.assert_allclose(found["extent"], extent)


# ---------------------------------------------------------------- the page


@pytest.fixture
def served(out, modules, digits, tmp_path):
    """An address of the page, with the library and a picture beside it, and a hostile label."""
    folder = shutil.copytree(out / "tfjs", tmp_path / "page")
    shutil.copy(modules / "node_modules" / "@tensorflow" / "tfjs" / "dist" / "tf.min.js", folder)
    shutil.copy(digits / "images" / "digits-0.jpg", folder)
    content = json.loads((folder / "model.json").read_text())
    told = content["userDefinedMetadata"]["visionport"]
    told["labels"] = [HOSTILE if name == "six" else name for name in told["labels"]]
    (folder / "model.json").write_text(json.dumps(content))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_the_page_finds_the_three_digits(served, tmp_path):
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=120000", "--dump-dom", f"{served}?backend=cpu&picture=digits-0.jpg"]
    page = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    names = re.findall(r'<span class="name">(.*?)</span>', page)
    assert sorted(names) == sorted(["five", "five", '&lt;img src=x onerror="document.title=1"&gt;']), page
    assert "<title>ssd_mobilenet_v2_fpn_keras</title>" in page


# ---------------------------------------------------------------- refusals, and files of others


def test_refusals(digits, tmp_path):
    two = SimpleNamespace(family="faster_rcnn", path="p", architecture="faster_rcnn_resnet50", task="detection")
    with pytest.raises(UnsupportedError, match=r"two stages.*--format onnx"):
        FORMAT.check(two, SimpleNamespace(tfjs_head="detections"))
    with pytest.raises(OptionError, match="--tfjs-quantize 'int4' is unknown"):
        export_tfjs(digits, tmp_path / "out", tfjs_quantize="int4")
    override = "model { ssd { post_processing { batch_non_max_suppression { soft_nms_sigma: 0.5 } } } }"
    with pytest.raises(UnsupportedError, match="soft NMS: set soft_nms_sigma: 0"):
        export_tfjs(digits, tmp_path / "out", config_override=override)


def stranger(folder, **changes):
    weight = {"name": "w", "shape": [2], "dtype": "float32"}
    content = {
        "format": "graph-model",
        "modelTopology": {"node": [{"name": "x", "op": "Placeholder"}, {"name": "w", "op": "Const"}]},
        "weightsManifest": [{"paths": ["w.bin"], "weights": [weight]}],
    } | changes
    (folder / "w.bin").write_bytes(bytes(8))
    (folder / "model.json").write_text(json.dumps(content))
    return folder / "model.json"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"weightsManifest": [{"paths": ["../w.bin"], "weights": []}]}, "outside of its folder"),
        ({"weightsManifest": [{"paths": ["/etc/passwd"], "weights": []}]}, "outside of its folder"),
        ({"weightsManifest": [{"paths": ["http://x/w.bin"], "weights": []}]}, "no path beside it"),
        ({"weightsManifest": [{"paths": ["gone.bin"], "weights": []}]}, "needs 'gone.bin' beside it"),
        ({"weightsManifest": [{"paths": ["w.bin"], "weights": []}]}, "0 bytes, and the files beside it have 8"),
        ({"weightsManifest": [{"paths": ["w.bin"], "weights": [{"name": "w", "shape": [-1]}]}]}, "cannot be read"),
        ({"modelTopology": {"node": [{"op": "Evil"}]}}, "does not have: Evil"),
        ({"modelTopology": {"model_config": {}}}, "layers model"),
        ({"format": "layers-model"}, "layers model"),
        ({"modelTopology": []}, "no graph"),
        ({"weightsManifest": {}}, "no list of files"),
    ],
)
def test_strangers_are_checked(tmp_path, changes, match):
    path = stranger(tmp_path, **changes)
    assert FORMAT.recognises(path)
    with pytest.raises(ArtifactError, match=match):
        FORMAT.check_foreign(path)


def test_a_sound_stranger_passes(tmp_path):
    FORMAT.check_foreign(stranger(tmp_path))
