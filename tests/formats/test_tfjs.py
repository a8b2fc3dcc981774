"""TensorFlow.js models of the digits detector: in Node, and in a page of headless Chromium."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from environments import tensorflow_js
from places import SHARED
from sampling import sampled

from visionport import Options, benchmark, config, export, limits, load
from visionport.benchmarking.worker import timed
from visionport.errors import ArtifactError, OptionError, UnsupportedError
from visionport.formats import format_of
from visionport.formats.base import Reading
from visionport.formats.tfjs import runner
from visionport.inputs import pictures, preprocessing, tfrecords
from visionport.inspection.inspect import inspect
from visionport.tfjs.convert import convert

FORMAT = format_of("tfjs")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WEB = Path(runner.__file__).parent / "web"
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def modules():
    with tensorflow_js() as folder:
        yield folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path | None:
    """Of the digits' 200 validation pictures every fourth; None where they are not here."""
    import tensorflow as tf

    if not (SHARED / "demo" / "val.tfrecord").exists():
        return None
    path = tmp_path_factory.mktemp("labelled") / "val.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as file:
        for data in sampled(tfrecords.read(SHARED / "demo" / "val.tfrecord", "val"), 4):
            file.write(data)
    return path


def export_tfjs(digits, out, name="tf2", **how):
    places = {"config": digits / name, "checkpoint": digits / name, "out": out, "formats": ("tfjs",)}
    return export(Options(**places, labels=digits / "label_map.pbtxt", **how))


def assert_nothing_lost(done) -> None:
    """The mean average precision is the checkpoint's."""
    (check,) = (check for check in done.checks if "mAP" in check.what)
    ((mine, source),) = (map(float, found) for found in re.findall(r"^([\d.]+) of ([\d.]+)", check.notes))
    assert source > 0.9
    assert mine == pytest.approx(source, abs=0.002)


@pytest.fixture(scope="module")
def done(modules, digits, labelled, tmp_path_factory):
    """A verified and measured export."""
    picture = digits / "images" / "digits-0.jpg"
    return export_tfjs(digits, tmp_path_factory.mktemp("tfjs") / "out", images=(picture,), evaluate=labelled)


@pytest.fixture(scope="module")
def out(done):
    assert done.agrees, str(done)
    assert {c.what for c in done.checks} >= {"raw_detection_boxes", "raw_detection_scores", "detections matched"}
    return done.out


def test_the_metric_is_the_checkpoints(done, labelled, digits, tmp_path):
    if labelled is None:
        pytest.skip("the validation pictures are not here")
    assert_nothing_lost(done)
    first = export_tfjs(digits, tmp_path / "tf1", "tf1", evaluate=labelled)
    assert first.agrees, str(first)
    assert_nothing_lost(first)


def test_the_metric_of_float16_is_the_checkpoints(modules, labelled, digits, tmp_path):
    if labelled is None:
        pytest.skip("the validation pictures are not here")
    assert_nothing_lost(export_tfjs(digits, tmp_path / "out", tfjs_quantize="float16", evaluate=labelled))


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
    nodes = {n["name"]: n for n in json.loads((out / "tfjs" / "model.json").read_text())["modelTopology"]["node"]}
    kernels = Counter(n["input"][1] for n in nodes.values() if n["op"] in ("Conv2D", "DepthwiseConv2dNative"))
    norms = [n for n in nodes.values() if n["op"] == "FusedBatchNormV3"]
    assert norms
    # Of kernels that levels share, of which there would be copies.
    assert all(kernels[nodes[n["input"][0]]["input"][1]] > 1 for n in norms)
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


def test_what_node_takes_is_counted(out, digits):
    asker = load(out / "tfjs" / "model.json").asker
    picture = pictures.read(digits / "images" / "digits-0.jpg")
    before = asker.runner.spent()
    cost, _ = timed(lambda: asker(picture), asker.runner)
    spent = asker.runner.spent()
    assert spent.memory > 1 << 20
    assert 0 < 0.9 * (spent.cpu - before.cpu) <= cost.cpu
    row = benchmark(out / "tfjs" / "model.json", runs=3, seconds=0).rows[0]
    assert row.calls, row.error
    assert row.versions
    assert {"node", "tfjs"} <= set(row.versions)
    assert row.calls.cpu_ms > 1


def opened(folder: Path, function, x: np.ndarray):
    """A runner of a function of x, and its answer in TensorFlow by name."""
    import tensorflow as tf

    from visionport.graph.function import freeze_function

    spec = tf.TensorSpec(x.shape, tf.float32, name="x")
    concrete = tf.function(function, autograph=False).get_concrete_function(spec)
    made = convert(freeze_function(concrete, {"x": "x"}), ["x"], sorted(concrete.structured_outputs), metadata={})
    for name, data in made.shards.items():
        (folder / name).write_bytes(data)
    path = folder / "model.json"
    path.write_text(json.dumps(made.content))
    return FORMAT.open(path, Reading(input="x", type="preprocessed")), concrete


def test_a_graph_that_never_ends(modules, tmp_path, monkeypatch):
    import tensorflow as tf

    def count(x):
        return {"y": tf.while_loop(lambda i: tf.reduce_all(i > -1), lambda i: (i + 1) % 1000, [x])[0]}

    monkeypatch.setattr(limits, "TFJS_SECONDS", 3)
    runner_, _ = opened(tmp_path, count, np.ones((1, 2), np.float32))
    for match in ("more than 3 seconds of the CPU for one call: it may never end", "is closed"):
        with pytest.raises(ArtifactError, match=match):
            runner_.call("serving_default", {"x": np.ones((1, 2), np.float32)})


def test_a_graph_that_takes_all_memory(modules, tmp_path, monkeypatch):
    import tensorflow as tf

    def pile(x):
        """Held are 256 MiB at last, for ever."""

        def grow(i, held):
            more = tf.where(i < 16, tf.shape(held)[0], 0)
            return tf.minimum(i + 1, 16), tf.concat([held, held[:more]], 0)

        shapes = [tf.TensorShape([]), tf.TensorShape([None, 1024])]
        first = [tf.constant(0), tf.reshape(x, (1, 1)) + tf.zeros((1, 1024))]
        return {"y": tf.while_loop(lambda i, _: i >= 0, grow, first, shapes)[1]}

    value = np.ones((1, 1), np.float32)
    runner_, _ = opened(tmp_path, pile, value)
    monkeypatch.setattr(limits, "TFJS_MEMORY", 1 << 28)
    with pytest.raises(ArtifactError, match="of memory"):
        runner_.call("serving_default", {"x": value})
    with pytest.raises(ArtifactError, match="is closed"):
        runner_.call("serving_default", {"x": value})


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("side", [128, 125])
def test_means_are_rounded_as_tensorflows(modules, tmp_path, kept, side):
    """Of maps that are even but for a part, in which roundings do not cancel out."""
    import tensorflow as tf

    maps = np.full((1, side, side, 32), 0.1, np.float32)
    maps[:, :20] = np.random.default_rng(0).random(maps[:, :20].shape, np.float32)

    def function(x):
        return {"y": tf.reduce_mean(x, [1, 2], keepdims=kept), "other": tf.reduce_mean(x, [1])}

    runner_, source = opened(tmp_path, function, maps)
    found = runner_.call("serving_default", {"x": maps})
    wanted = {name: value.numpy() for name, value in source(tf.constant(maps)).items()}
    assert {name: value.shape for name, value in found.items()} == {n: v.shape for n, v in wanted.items()}
    np.testing.assert_allclose(found["y"], wanted["y"], rtol=2e-7 if side == 128 else 1e-3)
    np.testing.assert_allclose(found["other"], wanted["other"], rtol=1e-5)


def test_operations_that_are_spelt_out(modules, tmp_path):
    """What TensorFlow.js passes on unchanged, or does wrongly."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    x = random.normal(size=(1, 3, 20, 2)).astype(np.float32)
    places = random.integers(0, 20, (1, 3, 7))

    def function(x):
        moved = (places + tf.cast(x[0, 0, 0, 0] * 0, tf.int64)) % 20
        narrow = tf.quantization.fake_quant_with_min_max_vars(x, -0.7, 2.1, narrow_range=True)
        return {
            "gathered": tf.gather(x, moved, batch_dims=2),
            "of_rank_3": tf.gather(x[..., 0], moved, batch_dims=2),
            "rounded": tf.quantization.fake_quant_with_min_max_vars(x, -1.5, 1.0, num_bits=4),
            "narrow": narrow,
            "empty": tf.quantization.fake_quant_with_min_max_vars(x, 0.0, 0.0),
        }

    runner_, source = opened(tmp_path, function, x)
    found = runner_.call("serving_default", {"x": x})
    for name, value in source(tf.constant(x)).items():
        np.testing.assert_allclose(found[name], value, atol=1e-6, err_msg=name)


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


# Tells the server when there is an answer; the page counts as loaded only then, since /held is answered no sooner.
WATCH = """
const told = () => document.querySelector("#answer .name") || document.querySelector("#status[data-state=error]");
const timer = setInterval(() => { if (told()) { clearInterval(timer); fetch("/told"); } }, 100);
"""


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
    (folder / "watch.js").write_text(WATCH)
    page = (folder / "index.html").read_text()
    assert "</body>" in page
    page = page.replace("</body>", '<img src="/held" hidden><script src="watch.js"></script></body>')
    (folder / "index.html").write_text(page)
    answered = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path not in ("/held", "/told"):
                super().do_GET()
                return
            if self.path == "/told":
                answered.set()
            answered.wait(PATIENCE)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/page/index.html"
    answered.set()
    server.shutdown()
    server.server_close()


PATIENCE = 240  # seconds for an answer in a browser, on a slow machine


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_the_page_finds_the_three_digits(served, tmp_path):
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--dump-dom", f"{served}?backend=cpu&picture=digits-0.jpg"]
    page = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE + 60, check=True).stdout
    names = re.findall(r'<span class="name">(.*?)</span>', page)
    assert sorted(names) == sorted(["five", "five", '&lt;img src=x onerror="document.title=1"&gt;']), page
    assert "<title>ssd_mobilenet_v2_fpn_keras</title>" in page


# ---------------------------------------------------------------- refusals, and files of others


def test_refusals(digits, tmp_path):
    two = SimpleNamespace(family="faster_rcnn", path="p", architecture="faster_rcnn_resnet50", task="detection")
    with pytest.raises(UnsupportedError, match=r"two stages.*--format onnx"):
        FORMAT.check(two, SimpleNamespace(tfjs_head="detections"))
    with pytest.raises(UnsupportedError, match="one picture at a time, and --batch 4 asks for more"):
        export_tfjs(digits, tmp_path / "out", batch=4)
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
