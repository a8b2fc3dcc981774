"""How work is cut into pieces, TFRecords read and written, progress told. Needs Beam, as the others here."""

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_inputs import write_examples, write_pictures

pytest.importorskip("apache_beam", reason="run by tests/batch/test_in_environment.py")

from visionport.batch import answering, inputs, outputs, tfrecords
from visionport.batch.failures import Failure
from visionport.batch.inputs import Item
from visionport.batch.job import Job
from visionport.batch.parts import Count, Parts
from visionport.batch.watch import Watch, duration
from visionport.errors import OptionError
from visionport.tasks import task_of

TASK = task_of("detection")


@pytest.mark.parametrize(("count", "pieces", "largest"), [(1, 1, 1), (40, 3, 16), (5000, 64, 79), (200_000, 200, 1000)])
def test_a_list_is_cut_into_pieces_that_hold_all(tmp_path, count, pieces, largest):
    names = [f"folder/ü {i}\u2028.jpg" for i in range(count)]  # which `splitlines` would cut
    (tmp_path / "list.txt").write_text("\n".join(names))
    found, total = inputs.plan([f"@{tmp_path / 'list.txt'}"], TASK, None, str(tmp_path))
    assert (len(found), total, max(p.count or 0 for p in found)) == (pieces, count, largest)
    if count > 10_000:
        found = [found[0], found[-1]]
        names = [*names[:1000], *names[-1000:]]
    items = [item for piece in found for item in inputs.items(piece, "/somewhere", None)]
    assert [item.name for item in items] == names
    assert items[0].path == f"/somewhere/{names[0]}"


def test_tensorflow_reads_what_is_written_and_the_other_way_round(tmp_path):
    import tensorflow as tf

    random = np.random.default_rng(0)
    records = [bytes(random.integers(0, 256, int(n), np.uint8)) for n in random.integers(0, 3000, 50)]
    with open(tmp_path / "mine", "wb") as file:
        tfrecords.write(file, records)
    assert list(tf.data.TFRecordDataset(str(tmp_path / "mine")).as_numpy_iterator()) == records
    with open(tmp_path / "mine", "rb") as file:
        places = tfrecords.places(file, 7)
        assert [count for _, count in places] == [7] * 7 + [1]
        for i, (offset, count) in enumerate(places):
            file.seek(offset)
            assert list(tfrecords.read(file, count)) == records[7 * i : 7 * i + count]


def test_a_tfrecord_of_two_files_and_many_pieces(tmp_path):
    files = write_pictures(tmp_path / "p", 20)
    paths = [write_examples(tmp_path / f"{i}.tfrecord", files) for i in range(2)]
    found, total = inputs.plan([str(p) for p in paths], TASK, None, str(tmp_path))
    assert (len(found), total) == (4, 40)
    items = [item for piece in found for item in inputs.items(piece, "/", None)]
    assert [item.name for item in items] == [f"{path}#{i}" for path in paths for i in range(20)]
    assert all(isinstance(i, Item) and i.data == files[n % 20].read_bytes() for n, i in enumerate(items))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/val.tfrecord", "tfrecord"),
        ("train.record-00001-of-00010", "tfrecord"),
        ("VAL.TFREC.GZ", "tfrecord"),
        ("gs://b/c.parquet", "parquet"),
        ("tfrecord/photo.jpg", ""),
        ("my.tfrecords.jpg", ""),
    ],
)
def test_data_sets_are_known_by_their_names(name, kind):
    assert inputs.kind_of(name) == kind


class Fails:
    """A model that fails where a picture's first pixel is 1, and notes what it is asked."""

    def __init__(self):
        self.asked: list[tuple[int, ...]] = []

    def answer(self, pictures):
        self.asked.append(pictures.shape)
        if (pictures[:, 0, 0, 0] == 1).any():
            raise ValueError("no such picture")
        return [{"detection_boxes": p[:1], "detection_scores": p[0, 0], "detection_classes": p[0, 0]} for p in pictures]


class Array:
    def __init__(self, name, first, size):
        self.name, self.value = name, np.full((*size, 3), first, np.uint8)

    def read(self, task, *, exif=True):
        if self.name == "slow":
            time.sleep(0.05)
        return self.value


def test_pictures_are_put_together_by_their_size_and_fail_alone():
    items: list[Any] = [Array(str(i), i, ((8, 8), (9, 8), (7, 7))[i % 3]) for i in range(12)] + [
        Array("slow", 20, (8, 8))
    ]
    items.insert(5, Failure(name="bad", kind="k", error="e"))
    model: Any = Fails()
    about = answering.About(path=Path("m"), task_name="detection", labels={}, batch=None)
    found = dict(answering.answer_all(model, about, items, Job(artifact="m", batch_size=3)))
    assert sorted(found) == list(range(14))
    assert {n: f.name for n, f in found.items() if isinstance(f, Failure)} == {1: "1", 5: "bad"}
    assert all(f.item is items[n] for n, f in found.items() if isinstance(f, answering.Answered))
    assert (3, 8, 8, 3) in model.asked
    assert (1, 9, 8, 3) in model.asked


def test_an_output_is_known_by_its_suffix():
    assert [outputs.kind_of(f"a{o.suffixes[0]}", None) for o in outputs.OUTPUTS.values()] == [*outputs.OUTPUTS]
    with pytest.raises(OptionError, match="nearest: parquet"):
        outputs.kind_of("a", "parkett")


def test_progress_is_told_in_a_line():
    watch = Watch(Parts(out="a.jsonl", job=Job(artifact="m")), 64, 2000, max_errors=None, quiet=True)
    watch._begun, watch._before = time.perf_counter() - 100, Count(pieces=4, pictures=100)
    line = watch.line(Count(pieces=34, pictures=1100, errors=3))
    assert line == "1,100 of 2,000 pictures, 10/s, 3 errors, 100 s left" or "2 min left" in line
    assert [duration(s) for s in (7.4, 400, 12_000)] == ["7 s", "7 min", "3 h 20 min"]


def test_rows_of_a_table_have_a_line_where_nothing_is_found():
    about = answering.About(path=Path("m"), task_name="detection", labels={}, batch=None)
    empty = {"detection_boxes": np.zeros((0, 4)), "detection_scores": np.zeros(0), "detection_classes": np.zeros(0)}
    one = answering.Answered(number=0, item=Item(name="a.jpg"), picture=np.zeros((4, 5, 3), np.uint8), answer=empty)
    assert outputs.csv_row(one, about, Job(artifact="m")) == b"a.jpg,5,4,,,,,,,\n"
    file = io.BytesIO()
    outputs.write_csv(file, [b"x\n"], TASK, Job(artifact="m"))
    assert file.getvalue() == b"image,width,height,class,label,score,xmin,ymin,xmax,ymax\nx\n"
