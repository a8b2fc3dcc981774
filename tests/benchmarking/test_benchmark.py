"""`visionport benchmark`: figures, artifacts of any maker, what goes wrong, the table, the JSON and the report."""

import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import visionport
from visionport import cli, manifest
from visionport.benchmarking import benchmark as benchmarking
from visionport.benchmarking import machine, table, worker
from visionport.benchmarking.figures import Accuracy, Calls, Cost, Row
from visionport.benchmarking.worker import Request
from visionport.errors import InputError, OptionError, UnsupportedError
from visionport.formats import FORMATS
from visionport.prediction import load
from visionport.report.benchmark import write_into_reports
from visionport.tflite import nms

QUICK: dict[str, Any] = {"runs": 3, "seconds": 0}
DEFAULTS: dict[str, Any] = {**QUICK, "batch": 1, "patience": 10, "evaluate": None}
CALLS = Calls(
    batch=1, runs=50, min_ms=9.5, p50_ms=10, p90_ms=123.4, p99_ms=99999, cpu_ms=0.125, pictures_per_second=12345.6
)


@pytest.fixture
def invoke(monkeypatch):
    """Runs a command in this process, with what it tells on standard error."""
    monkeypatch.setattr(cli, "mute_tensorflow", lambda: None)
    terminate = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: CliRunner().invoke(cli.main, [str(a) for a in arguments])
    signal.signal(signal.SIGTERM, terminate)


@pytest.fixture(scope="module")
def measured(exported, digits):
    """All artifacts of the digits export, once."""
    return visionport.benchmark(exported, images=[digits / "images" / "digits-0.jpg"], batch=2, threads=1, **QUICK)


def measure(path: Path, kind: str, **given) -> Row:
    """A foreign artifact's figures, taken in this process, to spare importing TensorFlow."""
    request = Request(path=str(path), format=kind, folder=None, images=(), threads=None, **DEFAULTS | given)
    figures = {k: v for told in worker.measure(request) for k, v in told.items()}
    return Row.read({"path": str(path), "format": kind, "title": "", "size": 0, **figures})


def test_percentiles_of_a_known_series():
    """1 to 100 ms in any order: linear between two calls; pictures a second over all of them."""
    order = np.random.default_rng(0).permutation(100) + 1
    found = Calls.of(4, [Cost(wall=n / 1e3, cpu=n / 500) for n in order])
    assert (found.batch, found.runs) == (4, 100)
    figures = found.min_ms, found.p50_ms, found.p90_ms, found.p99_ms, found.cpu_ms, found.pictures_per_second
    assert figures == pytest.approx((1, 50.5, 90.1, 99.01, 101, 4 * 100 / 5.05))


def test_every_artifact_of_an_export_has_its_figures(measured, exported):
    assert [row.format for row in measured.rows] == ["saved_model", "frozen_graph", "tflite"]
    assert not measured.failed
    for row in measured.rows:
        assert row.load
        assert row.first
        assert row.calls
        assert row.size == sum(f.stat().st_size for f in [*Path(row.path).rglob("*"), Path(row.path)] if f.is_file())
        c = row.calls
        assert 0 < c.min_ms <= c.p50_ms <= c.p90_ms <= c.p99_ms
        assert c.runs == 3
        assert c.pictures_per_second == pytest.approx(1e3 / c.p50_ms, rel=3)
        assert row.first.wall > 0
        assert 1 << 20 < (row.memory or 0) < 1 << 30
        assert row.precision == "float32"
        assert row.threads == 1
        assert c.cpu_ms <= c.p50_ms * 1.5
    graph, frozen, tflite = measured.rows
    assert graph.input == frozen.input == "uint8 [1, 192, 192, 3]"
    assert tflite.input == "float32 [1, 192, 192, 3]"
    assert (graph.bare or 0) > 3 * (tflite.bare or 0)  # TensorFlow's import and LiteRT's
    assert "tensorflow" in (graph.versions or {})
    assert "ai_edge_litert" in (tflite.versions or {})
    assert graph.batched
    assert graph.batched.batch == 2
    assert not tflite.batched
    assert any("takes 1 a call" in note for note in tflite.notes)
    assert not graph.network
    assert "raw_detection_boxes" in frozen.network_is
    assert tflite.network
    assert "TFLite_Detection_PostProcess" in tflite.network_is


def test_the_record_is_json_with_rows_machine_and_settings(measured):
    record = json.loads(measured.text())
    assert {"visionport", "rows", "machine", "threads", "batch", "runs", "seconds", "pictures", "notes"} == {*record}
    assert {"processor", "cores", "system", "python", "load", "date"} == {*record["machine"]}
    assert (record["batch"], record["runs"], record["threads"]) == (2, 3, 1)
    assert Row.read(record["rows"][0]) == measured.rows[0]


def test_accuracy_by_the_tasks_metric_and_artifacts_of_another_maker(exported, tmp_path, digits):
    """A SavedModel, a graph and a TFLite file with no manifest, in a folder; labelled pictures made of own answers."""
    pytest.importorskip("pycocotools")
    names = {"saved_model": "saved_model", "frozen_graph": "frozen_inference_graph.pb", "tflite": "model.tflite"}
    for name in names.values():
        copy = shutil.copytree if (exported / name).is_dir() else shutil.copy
        copy(exported / name, tmp_path / name)
    found = {s.format: s for s in benchmarking.find_subjects(tmp_path)}
    assert {kind: s.path.name for kind, s in found.items()} == names
    assert not any(s.folder for s in found.values())
    labelled = label(tmp_path / "labelled.tfrecord", exported, sorted((digits / "images").glob("*.jpg"))[:3])
    for kind, subject in found.items():
        row = measure(subject.path, kind, evaluate=str(labelled))
        assert row.accuracy
        assert row.accuracy.name == "mAP@0.5"
        assert row.accuracy.value == pytest.approx(1, abs=0.02)
        assert row.calls
        assert row.calls.runs == 3


def label(path: Path, exported: Path, images) -> Path:
    """A TFRecord that says of each picture what the exported detector answers clearly."""
    import tensorflow as tf

    detector = load(exported, format="tflite")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image in images:
            answer = detector(image)
            clear = answer["detection_scores"] > 0.3
            boxes, classes = answer["detection_boxes"][clear], answer["detection_classes"][clear].astype(int)
            floats = {
                f"image/object/bbox/{n}": tf.train.Feature(float_list=tf.train.FloatList(value=boxes[:, i]))
                for i, n in enumerate(("ymin", "xmin", "ymax", "xmax"))
            }
            encoded = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.read_bytes()]))
            labels = tf.train.Feature(int64_list=tf.train.Int64List(value=classes))
            features = {**floats, "image/encoded": encoded, "image/object/class/label": labels}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return path


def test_signatures_that_take_strings_or_floats(tmp_path):
    """Encoded pictures and tf.Examples, floats of a fixed size, two inputs: what is understood is called."""
    import tensorflow as tf

    def decoded(data):
        return {"mean": tf.map_fn(lambda one: tf.reduce_mean(tf.io.decode_png(one)), data, tf.uint8)}

    def parsed(data):
        kind = tf.io.FixedLenFeature([], tf.string)
        return decoded(tf.io.parse_example(data, {"image/encoded": kind})["image/encoded"])

    def small(images):
        return {"mean": tf.reduce_mean(images, (1, 2, 3))}

    strings, floats = tf.TensorSpec([None], tf.string), tf.TensorSpec([1, 8, 6, 3], tf.float32)
    for name, function, spec in (
        ("png", decoded, strings),
        ("example", parsed, strings),
        ("floats", small, floats),
        ("numbers", lambda x: {"y": x}, tf.TensorSpec([2], tf.int32)),
    ):
        concrete = tf.function(function).get_concrete_function(spec)
        tf.saved_model.save(tf.Module(), str(tmp_path / name), signatures=concrete)
    rows = [measure(tmp_path / name, "saved_model") for name in ("png", "example", "floats")]
    assert [row.input for row in rows] == ["string [1]", "string [1]", "float32 [1, 8, 6, 3]"]
    with pytest.raises(UnsupportedError, match=r"x int32 \[2\], and one of them must be a picture"):
        measure(tmp_path / "numbers", "saved_model")


def test_what_crashes_is_a_row_and_the_others_go_on(exported, tmp_path, monkeypatch, invoke):
    """A process that is killed, one that ends early, a damaged file: each says why; the exit status is 1."""
    shutil.copy(exported / "model.tflite", tmp_path / "good.tflite")
    (tmp_path / "bad.tflite").write_bytes((exported / "model.tflite").read_bytes()[:5000])
    (tmp_path / "bad.pb").write_bytes(b"no graph")
    out = tmp_path / "out.json"
    done = invoke("benchmark", tmp_path, "--runs", 3, "--seconds", 0, "--json", out)
    assert done.exit_code == 1
    rows = {Path(row["path"]).name: row for row in json.loads(out.read_text())["rows"]}
    assert rows["good.tflite"]["calls"]["runs"] == 3
    assert "damaged" in rows["bad.tflite"]["error"]
    assert "holds no GraphDef" in rows["bad.pb"]["error"]
    assert done.output.count("not measured: ") == 2

    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    for script, reason in (
        ("kill -9 $$", "most likely for want of memory"),
        ("kill -11 $$", "SIGSEGV"),
        ("exit 5", "5"),
    ):
        python.write_text(f"#!/bin/sh\necho '{{\"bare\": 1}}'\n{script}\n")
        python.chmod(0o755)
        (row,) = visionport.benchmark(tmp_path / "good.tflite", threads=4, **QUICK).rows
        assert row.threads == 1  # regular NMS, see tflite/nms.py
        assert row.bare == 1
        assert reason in row.error


def test_bad_input_is_told_before_anything_is_measured(exported, tmp_path, monkeypatch, invoke):
    monkeypatch.setattr(benchmarking, "measure", lambda *_: pytest.fail("measured"))
    (tmp_path / "notes.txt").write_text("none")
    picture = tmp_path / "half.jpg"
    picture.write_bytes(b"\xff\xd8\xff")
    wrong: tuple[tuple[list, dict[str, Any], str], ...] = (
        ([tmp_path / "none"], {}, "no such artifact"),
        ([tmp_path / "notes.txt"], {}, "no artifact"),
        ([tmp_path], {}, "holds none"),
        ([picture], {}, "a picture"),
        ([], {}, "nothing to benchmark"),
        ([exported], {"images": [picture]}, "half.jpg"),
        ([exported], {"runs": 0}, "--runs 0"),
        ([exported], {"threads": -1}, "--threads -1"),
        ([exported], {"seconds": float("nan")}, "--seconds"),
    )
    for paths, given, said in wrong:
        with pytest.raises((InputError, OptionError), match=said):
            visionport.benchmark(paths, **given)
    out = tmp_path / "out.json"
    out.write_text("mine")
    for more, said in ((["--json", str(out)], "add --overwrite"), (["--runs", "0"], "--runs 0")):
        done = invoke("benchmark", exported, *more)
        assert done.exit_code == 2
        assert said in done.output
    done = invoke("benchmark", exported / "model.tflite", "--into-report")
    assert done.exit_code == 2
    assert "no export directory" in done.output
    assert out.read_text() == "mine"


def test_the_table_fits_80_columns(measured):
    row = Row(
        path="some/where/saved_model",
        format="saved_model",
        title="SavedModel",
        size=123456789,
        load=Cost(wall=123.456, cpu=1),
        first=Cost(wall=12.3456, cpu=1),
        calls=CALLS,
        batched=replace(CALLS, batch=128),
        network=CALLS,
        network_is="without something with a long name, which is told below the figures of the artifact itself",
        memory=5 << 30,
        accuracy=Accuracy(name="mAP@0.5", value=0.9737, data="val.tfrecord"),
    )
    text = str(replace(measured, rows=(row, replace(row, calls=None, error="its process crashed (SIGSEGV)"))))
    assert max(map(len, text.splitlines())) <= 80
    lines = [line.split() for line in text.splitlines()]
    begun = ["123.46", "12346", "9.50", "10.0", "123", "99999", "0.125", "12346", "5120"]
    assert ["batch", "1", *begun] in lines
    assert ["network", "alone", *begun[2:-1]] in lines
    assert "mAP@0.5 0.9737 on val.tfrecord" in text
    assert "not measured: its process crashed (SIGSEGV)" in text


def test_a_machine_that_is_not_calm_is_told(measured):
    here = replace(measured.machine, load=0.0, cores=4)
    calm = [replace(row, others=0.01) for row in measured.rows]
    assert not benchmarking.unrest(here, calm)
    (said,) = benchmarking.unrest(replace(here, load=3.0), [*calm, replace(calm[0], others=0.5)])
    assert "load average 3.0 on 4 cores" in said
    assert "50%" in said


def test_the_share_of_others_is_what_this_process_did_not_take(monkeypatch):
    """Of 400 ticks, 300 were busy, and 100 of those were this process's own."""
    ticks = iter([(1000, 5000), (1300, 5400)])
    monkeypatch.setattr(machine, "busy_and_all", lambda: next(ticks))
    seconds = iter([1.0, 1.0 + 100 / os.sysconf("SC_CLK_TCK")])
    assert machine.Watch(lambda: next(seconds)).others() == pytest.approx(0.5)


def test_into_the_report_again_and_again(measured, exported, tmp_path):
    """The figures stand there once; the report stays a file of the export, and nothing else changes."""
    copy = tmp_path / "exported"
    shutil.copytree(exported, copy)
    moved = [replace(row, path=str(copy / Path(row.path).relative_to(exported))) for row in measured.rows]
    before, was = (copy / "report.html").read_text(), manifest.read(copy)
    for notes in (("earlier",), ("a <note>",)):
        assert write_into_reports(replace(measured, rows=tuple(moved), notes=notes), [copy]) == [copy / "report.html"]
    page = (copy / "report.html").read_text()
    assert page.count('id="benchmark"') == 1
    assert "earlier" not in page
    assert "a &lt;note&gt;" in page
    assert all(page.count(f">{table.number(row.calls.p99_ms)}<") for row in moved if row.calls)
    head, _, rest = page.partition("<!-- benchmark -->")
    assert before == head + "<!-- benchmark --><!-- /benchmark -->" + rest.partition("<!-- /benchmark -->")[2]
    now = manifest.read(copy)
    assert now["files"].pop("report.html") == manifest.file_record(copy / "report.html")
    was["files"].pop("report.html")
    assert now == was
    (copy / "report.html").write_text(before.replace("<!-- benchmark -->", ""))
    with pytest.raises(InputError, match="earlier version"):
        write_into_reports(measured, [copy])


def test_regular_nms_takes_one_thread(exported, digits):
    """With two, LiteRT's op loses a class; see tflite/nms.py. Answers must not depend on the number asked for."""
    assert nms.is_regular(exported / "model.tflite")
    data = (exported / "model.tflite").read_bytes()
    assert not nms.is_regular(nms.in_mode(data, False))
    assert not nms.is_regular(nms.without_op(data))
    for image in sorted((digits / "images").glob("*.jpg"))[:4]:
        one, four = (load(exported, format="tflite", threads=n)(image) for n in (1, 4))
        np.testing.assert_array_equal(one["detection_classes"], four["detection_classes"])


def test_the_command_names_no_format():
    """Everything goes through Format, Runner, Asker and Task."""
    folder = Path(benchmarking.__file__).parent
    text = "".join((folder / name).read_text() for name in ("benchmark.py", "worker.py", "foreign.py", "figures.py"))
    assert not [name for name in (*FORMATS, "detection_") if f'"{name}' in text]


def test_signals_have_names():
    assert benchmarking.reason_of(-signal.SIGABRT, ["what it said"]).endswith("(SIGABRT): what it said")
