"""Inputs and outputs that are no files of this machine. Needs Beam: tests/batch/test_in_environment.py runs it."""

import functools
import http.server
import threading
from pathlib import Path
from typing import Any

import pytest
from batch_inputs import rows, write_examples, write_table

pytest.importorskip("apache_beam", reason="run by tests/batch/test_in_environment.py")

from apache_beam.io import filesystem, localfilesystem  # pyright: ignore[reportMissingImports]

from visionport import batch
from visionport.errors import InputError, OutputError

BUCKET = Path()


def on_disk(value) -> Any:
    """disk://bucket/a -> a below BUCKET, in lists too."""
    if isinstance(value, list):
        return [on_disk(v) for v in value]
    return str(BUCKET / value.removeprefix("disk://bucket/")) if str(value).startswith("disk://") else value


def from_disk(path: str) -> str:
    return f"disk://bucket/{Path(path).relative_to(BUCKET)}"


class DiskFileSystem(localfilesystem.LocalFileSystem):
    """A bucket as Beam sees one: reached through Beam alone, without folders, files whole when they are closed."""

    @classmethod
    def scheme(cls):
        return "disk"

    def has_dirs(self):
        return False

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def _list(self, dir_or_prefix):
        for file in sorted(f for f in BUCKET.rglob("*") if f.is_file()):
            if from_disk(str(file)).startswith(dir_or_prefix):
                yield filesystem.FileMetadata(from_disk(str(file)), file.stat().st_size)

    def metadata(self, path):
        return filesystem.FileMetadata(path, self.size(path))

    def create(self, path, *arguments, **how):
        Path(on_disk(path)).parent.mkdir(parents=True, exist_ok=True)
        return super().create(on_disk(path), *arguments, **how)

    def open(self, path, *arguments, **how):
        return super().open(on_disk(path), *arguments, **how)

    def rename(self, source_file_names, destination_file_names):
        for target in on_disk(destination_file_names):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        super().rename(on_disk(source_file_names), on_disk(destination_file_names))

    def exists(self, path):
        return Path(on_disk(path)).is_file()

    def size(self, path):
        return super().size(on_disk(path))

    def delete(self, paths):
        super().delete(on_disk(paths))


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Path:
    monkeypatch.setitem(globals(), "BUCKET", tmp_path)
    return tmp_path


def by_name(found: list[dict]) -> dict:
    return {Path(row["image"]).name: {k: v for k, v in row.items() if k != "image"} for row in found}


def test_a_bucket(detector, photos, wanted, bucket):
    for file in (photos / "b").glob("*.jpg"):
        (bucket / "in").mkdir(exist_ok=True)
        (bucket / "in" / file.name).write_bytes(file.read_bytes())
    (bucket / "in" / "bad.jpg").write_bytes(b"")
    model, place = detector / "model.tflite", "disk://bucket"
    done = batch.run(model, [f"{place}/in/*.jpg"], f"{place}/out/a.jsonl")
    assert (done.answered, dict(done.errors)) == (15, {"empty": 1})
    mine = by_name([row for row in wanted if "/b/" in row["image"]])
    assert by_name(rows(bucket / "out" / "a.jsonl")) == mine
    assert rows(bucket / "out" / "a.errors.jsonl")[0]["image"] == f"{place}/in/bad.jpg"
    assert {f.name for f in (bucket / "out").rglob("*") if f.is_file()} == {"a.jsonl", "a.errors.jsonl"}
    with pytest.raises(OutputError, match="exists"):
        batch.run(model, [f"{place}/in"], f"{place}/out/a.jsonl")
    with pytest.raises(InputError, match="no file has such a name"):
        batch.run(model, [f"{place}/nothing"], f"{place}/out/b.jsonl")


def test_data_sets_in_a_bucket_to_a_folder_there(detector, photos, wanted, bucket):
    files = [Path(row["image"]) for row in wanted if "/b/" in row["image"]]
    write_examples(bucket / "in.tfrecord", files)
    write_table(bucket / "in.parquet", files, nested=True)
    for name in ("in.tfrecord", "in.parquet"):
        out = f"{name}.out"
        batch.run(detector / "model.tflite", [f"disk://bucket/{name}"], f"disk://bucket/{out}", to="jsonl")
        found = [row for part in sorted((bucket / out).glob("part-*")) for row in rows(part)]
        by_number = sorted(found, key=lambda row: int(row["image"].rpartition("#")[2]))
        answers = [{k: v for k, v in row.items() if k != "image"} for row in by_number]
        assert answers == [{k: v for k, v in row.items() if k != "image"} for row in wanted if "/b/" in row["image"]]
        assert (bucket / out / "_batch.json").is_file()


def test_pictures_of_the_web(detector, photos, wanted, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(photos / "b")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        place = f"http://127.0.0.1:{server.server_port}"
        names = [f.name for f in sorted((photos / "b").glob("*.jpg"))[:4]]
        (tmp_path / "list.txt").write_text("\n".join(f"{place}/{name}" for name in [*names, "none.jpg"]))
        done = batch.run(detector / "model.tflite", [f"@{tmp_path / 'list.txt'}"], tmp_path / "a.jsonl")
    finally:
        server.shutdown()
        server.server_close()
    assert dict(done.errors) == {"no such file": 1}
    mine = by_name([row for row in wanted if "/b/" in row["image"]])
    assert by_name(rows(tmp_path / "a.jsonl")) == {name: mine[name] for name in names}
