"""What answers are written as: a row a picture, in parts that are joined to one file at the end.

A part holds the rows of a piece. Which columns a task's rows have is for the task to say: its `fields`, `features`,
`coco` (tasks/base.py).
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from visionport.batch import files, tfrecords
from visionport.batch.answering import About, Answered
from visionport.batch.inputs import SOURCE_ID
from visionport.batch.job import Job
from visionport.errors import OptionError, nearest
from visionport.tasks.base import Task, coco_of, features_of


def record(one: Answered, about: About, job: Job) -> dict[str, Any]:
    """A picture's answer as plain data, ready for JSON; with `raw`, the artifact's own outputs in it."""
    size, task = size_of(one), about.task
    row: dict[str, Any] = {"image": one.item.name}
    if all(name in one.answer for name in task.outputs):
        row |= task.record(one.answer, about.labels, size, job.min_score)
    else:
        row |= {"width": size[1], "height": size[0]}
    return row | ({"raw": {name: np.asarray(value) for name, value in one.answer.items()}} if job.raw else {})


def size_of(one: Answered) -> tuple[int, int]:
    """(height, width) of its picture."""
    return one.picture.shape[-3], one.picture.shape[-2]


# ---------------------------------------------------------------- JSON, a line a picture


def json_row(one: Answered, about: About, job: Job) -> bytes:
    row = record(one, about, job)
    if job.raw:
        row["raw"] = {name: value.tolist() for name, value in row["raw"].items()}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def write_bytes(file, rows: Sequence[bytes], task: Task, job: Job) -> None:
    file.writelines(rows)


def join_bytes(file, parts: Iterator[Any], task: Task, job: Job) -> None:
    for part in parts:
        shutil.copyfileobj(part, file, 1 << 20)


# ---------------------------------------------------------------- CSV, a line an object


def csv_row(one: Answered, about: About, job: Job) -> bytes:
    """The lines of a picture; one with empty cells where its answer has no rows."""
    row, columns = record(one, about, job), csv_columns(about.task)
    plain = {"image": row["image"], **{k: v for k, v in row.items() if not isinstance(v, list)}}
    lists = [v for v in row.values() if isinstance(v, list)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    for inner in lists[0] if lists and lists[0] else [{}]:
        writer.writerow(plain | dict(leaves(inner)))
    return text.getvalue().encode()


def csv_columns(task: Task) -> list[str]:
    names = ["image"]
    for name, kind in task.fields.items():
        names += [key for key, _ in leaves(kind[0])] if isinstance(kind, list) else [name]
    return names


def leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        yield from leaves(value) if isinstance(value, Mapping) else [(name, value)]


def join_csv(file, parts: Iterator[Any], task: Task, job: Job) -> None:
    file.write((",".join(csv_columns(task)) + "\n").encode())
    join_bytes(file, parts, task, job)


def write_csv(file, rows: Sequence[bytes], task: Task, job: Job) -> None:
    join_csv(file, iter([io.BytesIO(b"".join(rows))]), task, job)


# ---------------------------------------------------------------- COCO's results


def coco_rows(one: Answered, about: About, job: Job) -> bytes:
    image = {"image_id": image_id(one)}
    found = [image | row for row in coco_of(about.task, one.answer, size_of(one), job.min_score)]
    return b"".join(json.dumps(row).encode() + b"\n" for row in found)


def image_id(one: Answered) -> int | str:
    """What COCO calls the picture: its source's id, or its file's name without the suffix; digits as a number."""
    name = source_id(one.item) or PurePath(one.item.name).stem
    return int(name) if name.isdecimal() else name


def join_coco(file, parts: Iterator[Any], task: Task, job: Job) -> None:
    """A list in JSON of the parts' lines."""
    between = b"["
    for part in parts:
        for line in part:
            file.write(between + line.rstrip(b"\n"))
            between = b",\n"
    file.write(b"]\n" if between != b"[" else b"[]\n")


def write_coco(file, rows: Sequence[bytes], task: Task, job: Job) -> None:
    join_coco(file, iter([io.BytesIO(b"".join(rows))]), task, job)


# ---------------------------------------------------------------- TFRecord of tf.Examples


def example_row(one: Answered, about: About, job: Job) -> bytes:
    """What came in, without the picture, and the answer's features: evaluation finds labels and detections in it."""
    from tensorflow.core.example import example_pb2

    task, size = about.task, size_of(one)
    example = example_pb2.Example.FromString(one.item.source or b"")
    found: dict[str, Any] = {}
    if all(name in one.answer for name in task.outputs):
        found |= features_of(task, one.answer, about.labels, size, job.min_score)
    if SOURCE_ID not in example.features.feature:
        found[SOURCE_ID] = [one.item.name]
    for name, value in one.answer.items() if job.raw else ():
        found |= {f"raw/{name}": np.ravel(value).tolist(), f"raw/{name}/shape": list(np.shape(value))}
    for name, values in found.items():
        fill(example.features.feature[name], values)
    return example.SerializeToString(deterministic=True)


def fill(feature, values: Sequence[Any]) -> None:
    if values and isinstance(values[0], (str, bytes)):
        feature.bytes_list.value[:] = [v.encode() if isinstance(v, str) else v for v in values]
    elif values and isinstance(values[0], int):
        feature.int64_list.value[:] = values
    else:
        feature.float_list.value[:] = values


def source_id(item) -> str:
    """`image/source_id` of the record that a picture came in; "" where it has none."""
    if not getattr(item, "source", None):
        return ""
    from tensorflow.core.example import example_pb2

    values = example_pb2.Example.FromString(item.source).features.feature[SOURCE_ID].bytes_list.value
    return values[0].decode("utf-8", "replace") if values else ""


def write_records(file, rows: Sequence[bytes], task: Task, job: Job) -> None:
    tfrecords.write(file, rows)


# ---------------------------------------------------------------- Parquet


def table_row(one: Answered, about: About, job: Job) -> dict[str, Any]:
    row = record(one, about, job)
    if job.raw:
        raw = {n: np.asarray(v) for n, v in row["raw"].items() if np.asarray(v).dtype.kind in "fiub"}
        row["raw"] = [
            (n, {"shape": list(v.shape), "values": np.ravel(v).astype(float).tolist()}) for n, v in raw.items()
        ]
    return row


def schema_of(task: Task, job: Job) -> Any:
    """The columns of a task's rows, from its `fields`."""
    import pyarrow  # pyright: ignore[reportMissingImports]

    plain = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}

    def column(kind) -> Any:
        if isinstance(kind, list):
            return pyarrow.list_(column(kind[0]))
        if isinstance(kind, Mapping):
            return pyarrow.struct([(name, column(inner)) for name, inner in kind.items()])
        return plain[kind]

    found = [("image", pyarrow.string()), *((name, column(kind)) for name, kind in task.fields.items())]
    if job.raw:
        tensor = {"shape": pyarrow.list_(pyarrow.int64()), "values": pyarrow.list_(pyarrow.float64())}
        found.append(("raw", pyarrow.map_(pyarrow.string(), pyarrow.struct(list(tensor.items())))))
    return pyarrow.schema(found)


def write_table(file, rows: Sequence[Mapping[str, Any]], task: Task, job: Job) -> None:
    import pyarrow  # pyright: ignore[reportMissingImports]
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema_of(task, job)), file)


def join_tables(file, parts: Iterator[Any], task: Task, job: Job) -> None:
    """Small parts share a row group."""
    import pyarrow  # pyright: ignore[reportMissingImports]
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    with parquet.ParquetWriter(file, schema_of(task, job)) as writer:
        kept: list[Any] = []
        for part in parts:
            kept.append(parquet.read_table(pyarrow.BufferReader(part.read())))
            if sum(t.num_rows for t in kept) >= GROUP:
                writer.write_table(pyarrow.concat_tables(kept))
                kept = []
        if kept:
            writer.write_table(pyarrow.concat_tables(kept))


GROUP = 10_000  # rows of a Parquet file's row group


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, kw_only=True)
class Output:
    """One kind of output.

    row: a picture's answer as it lies in a part; part: writes the rows of a part, as `join` reads them; alone: writes
    rows as a file of its own; join: writes one file of parts. raw: whether it can hold an artifact's own outputs.
    """

    suffixes: tuple[str, ...]
    row: Callable[[Answered, About, Job], Any]
    part: Callable[..., None] = write_bytes
    alone: Callable[..., None] = write_bytes
    join: Callable[..., None] = join_bytes
    raw: bool = True
    check: Callable[[Task], Any] = lambda task: None  # raises OptionError where a task's answers cannot be so written


def check_coco(task: Task) -> None:
    if not hasattr(task, "coco"):
        coco_of(task, {}, (0, 0), 0)


OUTPUTS: Mapping[str, Output] = {
    "jsonl": Output(suffixes=(".jsonl", ".ndjson"), row=json_row),
    "parquet": Output(
        suffixes=(".parquet", ".pq"), row=table_row, part=write_table, alone=write_table, join=join_tables
    ),
    "tfrecord": Output(
        suffixes=(".tfrecord", ".tfrecords", ".record"), row=example_row, part=write_records, alone=write_records
    ),
    "coco": Output(suffixes=(".json",), row=coco_rows, alone=write_coco, join=join_coco, raw=False, check=check_coco),
    "csv": Output(suffixes=(".csv",), row=csv_row, alone=write_csv, join=join_csv, raw=False),
}


def kind_of(out: str, to: str | None) -> str:
    """The output that is meant. Raises OptionError where neither --to nor the suffix tells."""
    if to:
        if to not in OUTPUTS:
            raise OptionError(f"--to {to!r} is unknown{nearest(to, OUTPUTS)}. One of: {', '.join(OUTPUTS)}.")
        return to
    found = [name for name, output in OUTPUTS.items() if out.lower().endswith(output.suffixes)]
    if not found:
        suffixes = ", ".join(output.suffixes[0] for output in OUTPUTS.values())
        raise OptionError(
            f"--out {out}: what is to be written? End it in {suffixes}, or add --to ({', '.join(OUTPUTS)})."
        )
    return found[0]


def is_file(out: str, to: str) -> bool:
    """Whether one file is asked for; otherwise a folder of parts."""
    return out.lower().endswith(OUTPUTS[to].suffixes)


def part_name(number: int, to: str) -> str:
    return f"part-{number:07}{OUTPUTS[to].suffixes[0]}"


def open_parts(folder: str, names: Sequence[str]) -> Iterator[Any]:
    for name in names:
        with files.open_read(files.join(folder, name)) as file:
            yield file
