"""`visionport batch` on Beam's local and portable runners. Needs Beam: tests/batch/test_in_environment.py runs it."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import sampling
from batch_inputs import DIGITS, rows, write_broken, write_examples, write_pictures, write_table

pytest.importorskip("apache_beam", reason="run by tests/batch/test_in_environment.py")

from visionport import batch, cli, load
from visionport.batch import local
from visionport.batch.parts import Parts, StoppedError
from visionport.errors import InputError, OptionError, OutputError


@pytest.fixture
def model(detector) -> Path:
    return detector / "model.tflite"


def test_a_folder_to_lines_of_json(model, photos, wanted, tmp_path):
    done = batch.run(model, [photos], tmp_path / "a.jsonl")
    assert (done.pictures, done.answered, dict(done.errors), done.errors_file) == (40, 40, {}, None)
    assert rows(tmp_path / "a.jsonl") == wanted
    assert any(row["detections"] for row in wanted)
    assert [f.name for f in tmp_path.iterdir()] == ["a.jsonl"]


def test_every_way_to_name_pictures(model, photos, wanted, tmp_path):
    """Each picture once, whoever names it twice."""
    paths = [row["image"] for row in wanted]
    (tmp_path / "list.txt").write_text("\n".join([*paths[::-1], paths[3], ""]))
    (tmp_path / "again.jsonl").write_text(json.dumps({"image": paths[0], "error": "none", "kind": "none"}))
    given = {
        "pattern": [str(photos / "*" / "*.jpg")],
        "folders": [photos / "a", photos / "b"],
        "list": [f"@{tmp_path / 'list.txt'}", f"@{tmp_path / 'again.jsonl'}", paths[5]],
    }
    for name, inputs in given.items():
        batch.run(model, inputs, tmp_path / f"{name}.out.jsonl")
        assert rows(tmp_path / f"{name}.out.jsonl") == wanted, name


def unnamed(found: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if k != "image"} for row in found]


def test_data_sets(model, photos, wanted, tmp_path):
    files = [Path(row["image"]) for row in wanted]
    sets = [
        write_examples(tmp_path / "in.tfrecord-00000-of-00001", files),
        write_table(tmp_path / "nested.parquet", files, nested=True),
        write_table(tmp_path / "plain.parquet", files, nested=False),
    ]
    for path in sets:
        out = tmp_path / f"{path.stem}.jsonl"
        assert batch.run(model, [path], out).answered == 40
        found = rows(out)
        assert {row["image"] for row in found} == {f"{path}#{i}" for i in range(40)}
        by_number = sorted(found, key=lambda row: int(row["image"].rpartition("#")[2]))
        assert unnamed(by_number) == unnamed(wanted)
    with pytest.raises(InputError, match="no column 'picture'"):
        batch.run(model, [sets[1]], tmp_path / "x.jsonl", image_key="picture")
    done = batch.run(model, [sets[0]], tmp_path / "y.jsonl", image_key="image/other")
    assert dict(done.errors) == {"no picture in it": 40}


def test_every_output_says_the_same(model, photos, wanted, tmp_path):
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    for name in ("a.parquet", "a.csv", "a.json"):
        batch.run(model, [photos], tmp_path / name)
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert sorted(table, key=lambda row: row["image"]) == wanted

    with open(tmp_path / "a.csv") as file:
        lines = list(csv.DictReader(file))
    assert {line["image"] for line in lines} == {row["image"] for row in wanted}
    flat = [(r["image"], d["label"], str(d["score"]), str(d["box"]["xmax"])) for r in wanted for d in r["detections"]]
    assert sorted(flat) == sorted((x["image"], x["label"], x["score"], x["xmax"]) for x in lines if x["label"])

    coco = json.loads((tmp_path / "a.json").read_text())
    assert len(coco) == sum(len(row["detections"]) for row in wanted)
    first = next(row for row in wanted if row["detections"])
    mine = [
        c for c in coco if c["image_id"] == Path(first["image"]).stem and c["score"] == first["detections"][0]["score"]
    ]
    box = first["detections"][0]["box"]
    assert mine[0]["category_id"] == first["detections"][0]["class"]
    assert mine[0]["bbox"] == pytest.approx(
        [box["xmin"], box["ymin"], box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]], abs=0.02
    )


def test_a_tfrecord_of_detections(model, photos, wanted, tmp_path):
    """As the Object Detection API's evaluation reads it: the labels that came in, and detections, normalised."""
    import tensorflow as tf

    files = [Path(row["image"]) for row in wanted[:10]]
    labels = {"image/object/bbox/ymin": [0.25, 0.5], "image/object/class/label": [3, 4]}
    path = write_examples(tmp_path / "val.record", files, **labels)
    batch.run(model, [path], tmp_path / "found.tfrecord", min_score=0.0)
    found = [
        tf.train.Example.FromString(r)
        for r in tf.data.TFRecordDataset(str(tmp_path / "found.tfrecord")).as_numpy_iterator()
    ]
    answers = load(model)([str(f) for f in files])
    assert len(found) == 10
    for example in found:
        features = example.features.feature
        answer = answers[int(features["image/source_id"].bytes_list.value[0])]
        assert "image/encoded" not in features
        assert list(features["image/object/bbox/ymin"].float_list.value) == [0.25, 0.5]
        assert list(features["image/object/class/label"].int64_list.value) == [3, 4]
        assert list(features["detection/score"].float_list.value) == pytest.approx(answer["detection_scores"], abs=1e-6)
        assert list(features["detection/label"].int64_list.value) == answer["detection_classes"].astype(int).tolist()
        for i, side in enumerate(("ymin", "xmin", "ymax", "xmax")):
            values = list(features[f"detection/bbox/{side}"].float_list.value)
            assert values == pytest.approx(answer["detection_boxes"][:, i], abs=1e-6)


def test_raw_outputs(model, photos, wanted, tmp_path):
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    batch.run(model, [photos / "b"], tmp_path / "raw.jsonl", raw=True)
    batch.run(model, [photos / "b"], tmp_path / "raw.parquet", raw=True)
    row = rows(tmp_path / "raw.jsonl")[4]
    answer = load(model)(row["image"])
    assert np.allclose(row["raw"]["detection_boxes"], answer["detection_boxes"], atol=1e-6)
    (other,) = [r for r in parquet.read_table(tmp_path / "raw.parquet").to_pylist() if r["image"] == row["image"]]
    boxes = dict(other["raw"])["detection_boxes"]
    assert boxes["shape"] == list(answer["detection_boxes"].shape)
    assert np.allclose(boxes["values"], answer["detection_boxes"].ravel(), atol=1e-6)
    with pytest.raises(OptionError, match="csv has no place for arrays"):
        batch.run(model, [photos], tmp_path / "raw.csv", raw=True)


def test_a_folder_of_parts(model, photos, wanted, tmp_path):
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    out = tmp_path / "parts"
    write_pictures(tmp_path / "more", 1)
    (tmp_path / "more" / "bad.jpg").write_bytes(b"")
    batch.run(model, [photos, tmp_path / "more"], out, to="parquet")
    assert {r["image"] for r in parquet.read_table(out).to_pylist()} > {row["image"] for row in wanted}
    content = json.loads((out / "_batch.json").read_text())
    assert (content["pictures"], content["errors"]) == (42, {"empty": 1})
    assert [r["kind"] for r in rows(out / "_errors.jsonl")] == ["empty"]
    with pytest.raises(OutputError, match="not empty"):
        batch.run(model, [photos], out, to="parquet")
    batch.run(model, [photos / "b"], out, to="jsonl", overwrite=True)
    assert sum(len(rows(f)) for f in out.glob("part-*.jsonl")) == 15
    assert not list(out.glob("*.parquet"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(OutputError, match="no output of `visionport batch`"):
        batch.run(model, [photos], tmp_path / "mine", to="jsonl", overwrite=True)


def test_broken_pictures_are_rows_and_the_others_are_answered(model, photos, wanted, tmp_path, capsys):
    folder = tmp_path / "broken"
    folder.mkdir()
    kinds = write_broken(folder, Path(wanted[0]["image"]).read_bytes())
    (tmp_path / "list.txt").write_text("\n".join(kinds))
    record = write_examples(tmp_path / "in.tfrecord", [Path(row["image"]) for row in wanted[:3]])
    damaged = bytearray(record.read_bytes())
    damaged[300] ^= 255  # in the first record's data
    record.write_bytes(damaged[:-20])  # and the last is cut
    out = tmp_path / "a.jsonl"
    arguments = ["batch", str(model), str(photos), f"@{tmp_path / 'list.txt'}", str(record), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        cli.main.commands["batch"].main(arguments[1:], standalone_mode=False)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert f"{len(kinds) + 2} pictures failed: " in said
    assert "2 damaged record" in said
    found = rows(out)
    assert [row for row in found if not row["image"].startswith(str(record))] == wanted
    assert [row["image"] for row in found if row["image"].startswith(str(record))] == [f"{record}#1"]
    errors = {row["image"]: row for row in rows(tmp_path / "a.errors.jsonl")}
    assert {path: row["kind"] for path, row in errors.items()} == kinds | {
        f"{record}#0": "damaged record",
        f"{record}#2": "damaged record",
    }
    assert all(path in row["error"] for path, row in errors.items())


def test_max_errors_ends_the_run_and_keeps_what_is_done(model, photos, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(f"{tmp_path}/none-{i}.jpg" for i in range(30)))
    given, out = [photos, f"@{tmp_path / 'list.txt'}"], tmp_path / "a.jsonl"
    with pytest.raises(StoppedError, match="--max-errors 3"):
        batch.run(model, given, out, max_errors=3)
    assert not out.exists()
    done = batch.run(model, given, out, max_errors=30, resume=True)
    assert (done.answered, dict(done.errors)) == (40, {"no such file": 30})


def test_nothing_answered_is_an_error(model, tmp_path, capsys):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="1 picture failed: 1 empty"):
        cli.main.commands["batch"].main(
            [str(model), str(tmp_path / "a.jpg"), "--out", str(tmp_path / "a.jsonl")], standalone_mode=False
        )


KILLED = """
import os, sys
from visionport.batch import parts, run
from visionport.batch.pipeline import quiet_beam
quiet_beam()
moment, model, out, *given = sys.argv[1:]
done, write, join = 0, parts.Parts.write, parts.Parts._join
def dying_write(self, *arguments):
    global done
    done += 1
    if moment == "between the part and its mark" and done == 2:
        put = parts.files.write_bytes
        parts.files.write_bytes = lambda path, data: os.kill(os.getpid(), 9) if "/done/" in path else put(path, data)
    if moment == "before the part" and done == 2:
        os.kill(os.getpid(), 9)
    write(self, *arguments)
def dying_join(self, target, *arguments):
    if moment == "while the output is written":
        parts.outputs.shutil.copyfileobj = lambda *a: os.kill(os.getpid(), 9)
    join(self, target, *arguments)
parts.Parts.write, parts.Parts._join = dying_write, dying_join
run(model, given, out, resume=True)
"""


def test_a_killed_run_goes_on(model, photos, wanted, tmp_path):
    out = tmp_path / "a.jsonl"
    (photos / "a" / "bad.jpg").write_bytes(b"")
    try:
        for moment in ("before the part", "between the part and its mark", "while the output is written"):
            command = [sys.executable, "-c", KILLED, moment, model, out, photos]
            assert subprocess.run(command, capture_output=True).returncode == -9, moment
            assert not out.exists()
        with pytest.raises(OutputError, match="add --resume"):
            batch.run(model, [photos], out)
        with pytest.raises(OptionError, match=r"min-score was 0\.3, is 0\.4"):
            batch.run(model, [photos], out, resume=True, min_score=0.4)
        done = batch.run(model, [photos], out, resume=True)
    finally:
        (photos / "a" / "bad.jpg").unlink()
    assert (done.pictures, done.done_before, dict(done.errors)) == (41, 41, {"empty": 1})
    assert rows(out) == wanted
    assert {f.name for f in tmp_path.iterdir()} == {"a.jsonl", "a.errors.jsonl"}


def test_two_processes_give_the_same_rows_and_one_may_die(model, photos, wanted, tmp_path, monkeypatch):
    """The run begins anew with the pieces that are left."""
    from visionport.batch import pipeline

    killed, wait = [], local.wait

    def wait_and_kill(run, lost):
        def lost_or_killed():
            if not killed and list(tmp_path.glob("a.jsonl.batch/done/*")):
                folder = next(Path(tempfile.gettempdir()).glob(f"visionport-workers-{os.getpid()}-*"))
                killed.extend(int(f.name) for f in folder.iterdir())
                os.kill(killed[0], signal.SIGKILL)
            return lost()

        wait(run, lost_or_killed)

    monkeypatch.setattr(local, "wait", wait_and_kill)
    monkeypatch.setattr(local, "GRACE", 0.2)
    out = tmp_path / "a.jsonl"
    done = pipeline.run(model, [photos], out, workers=2)
    assert (done.answered, rows(out)) == (40, wanted)
    assert killed


def test_the_portable_runner_gives_the_same_rows(model, photos, wanted, tmp_path):
    from apache_beam.runners.portability import local_job_service  # pyright: ignore[reportMissingImports]

    service = local_job_service.LocalJobServicer()
    port = service.start_grpc_server()
    try:
        options = ["--runner", "PortableRunner", f"--job_endpoint=localhost:{port}", "--environment_type", "LOOPBACK"]
        arguments = [str(model), str(photos), "--out", str(tmp_path / "a.jsonl"), *options]
        cli.main.commands["batch"].main(arguments, standalone_mode=False)
    finally:
        service.stop()
    assert rows(tmp_path / "a.jsonl") == wanted


def test_signatures_and_drawing(detector, photos, tmp_path):
    given = sorted((photos / "b").glob("*.jpg"))[:6]
    batch.run(detector, given, tmp_path / "a.jsonl", draw_dir=tmp_path / "drawn")
    batch.run(detector, given, tmp_path / "b.jsonl", signature="encoded_image_string_tensor")
    assert rows(tmp_path / "a.jsonl") == rows(tmp_path / "b.jsonl")
    drawn = sorted(p.name for p in (tmp_path / "drawn").rglob("*.png"))
    assert drawn == [f"{p.name}_detections.png" for p in given]
    with pytest.raises(OptionError, match="no such signature; nearest: tf_example"):
        batch.run(detector, given, tmp_path / "c.jsonl", signature="tf_exampl")


@pytest.mark.parametrize("name", ["classifier", "segmenter"] if sampling.ALL else ["classifier"])
def test_other_tasks(tmp_path, name):
    """Each by its own rows; pictures of two sizes."""
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    from visionport import Options, export, predict
    from visionport.demo import DEMOS

    place, demo = DIGITS / name, DEMOS[name]
    how = {"experiment": demo.experiment, "labels": DIGITS / demo.labels, "formats": ("saved_model",), "verify": False}
    export(Options(config=place / demo.config, checkpoint=place, out=tmp_path / "exported", **how))
    files = sorted((DIGITS / demo.pictures).glob("*.jpg"))[:4]
    wanted = predict(tmp_path / "exported", files)
    for suffix in (".jsonl", ".parquet", ".csv", ".tfrecord"):
        assert batch.run(tmp_path / "exported", files, tmp_path / f"a{suffix}").answered == len(files)
    found = {row["image"]: row for row in rows(tmp_path / "a.jsonl")}
    table = {row["image"]: row for row in parquet.read_table(tmp_path / "a.parquet").to_pylist()}
    for row in wanted:
        assert [c["class"] for c in found[row["image"]]["classes"]] == [c["class"] for c in row["classes"]]
        for mine in (found, table):
            close = [c.get("score", c.get("share")) for c in row["classes"]]
            assert [c.get("score") or c["share"] for c in mine[row["image"]]["classes"]] == pytest.approx(
                close, abs=1e-5
            )
    with open(tmp_path / "a.csv") as file:
        assert len(list(csv.DictReader(file))) == sum(len(row["classes"]) for row in wanted)
    with pytest.raises(OptionError, match=r"COCO's results hold boxes"):
        batch.run(tmp_path / "exported", files, tmp_path / "a.json")


def test_what_is_typed_wrong(model, photos, tmp_path):
    command = cli.main.commands["batch"]

    def ask(*arguments):
        command.main([str(model), str(photos), "--out", str(tmp_path / "a.jsonl"), *arguments], standalone_mode=False)

    with pytest.raises(OptionError, match=r"no such option: --runer.*nearest: --runner"):
        ask("--runer", "x")
    with pytest.raises(OptionError, match="--batch-size 0"):
        ask("--batch-size", "0")
    with pytest.raises(InputError, match="no such file, folder or pattern"):
        ask(str(tmp_path / "none.jpg"))
    with pytest.raises(InputError, match="the list cannot be read"):
        ask(f"@{tmp_path / 'none.txt'}")
    with pytest.raises(OptionError, match="what is to be written"):
        batch.run(model, [photos], tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())


def test_another_run_at_the_same_time_is_refused(model, photos, tmp_path):
    from visionport.batch.job import Job

    parts = Parts(out=str(tmp_path / "a.jsonl"), job=Job(artifact=str(model)))
    with parts.claimed(), pytest.raises(OutputError, match="being written by another run"):
        batch.run(model, [photos], tmp_path / "a.jsonl")
