"""Checkpoints read without TensorFlow: its values, and a sentence for what cannot be right, checksums or not."""

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from places import SHARED
from tables import block_of, entries_of, entry, footer, header, sealed, snappy, strings, table_of, varint, write_index

from visionport import limits
from visionport.checkpoint import object_graph, slices
from visionport.checkpoint.crc32c import byte_table, crc32c, masked
from visionport.checkpoint.dtypes import NAMES, numpy_dtype
from visionport.checkpoint.open import open_checkpoint, open_variables
from visionport.checkpoint.read import OBJECT_GRAPH, VALUE
from visionport.checkpoint.schema import message_class
from visionport.checkpoint.table import unpack
from visionport.errors import CheckpointError, VisionportError
from visionport.inspection.checkpoint import describe_checkpoint

HOSTILE = SHARED / "cases" / "hostile" / "ck"


def save(prefix, tensors, cut=()):
    """cut: (name, how it lies in the whole, value) of parts."""
    names = [*tensors, *(name for name, _, _ in cut)]
    where = [*([""] * len(tensors)), *(place for _, place, _ in cut)]
    values = [*tensors.values(), *(value for _, _, value in cut)]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=where, tensors=values)
    return prefix


def is_tensorflows(prefix, *, but=()):
    """All values are those that TensorFlow reads. but: what it cannot read."""
    reader, checkpoint = tf.train.load_checkpoint(str(prefix)), open_checkpoint(prefix)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    assert set(checkpoint.entries) == set(shapes) - {OBJECT_GRAPH}
    for name, said in checkpoint.entries.items():
        assert (said.shape, said.dtype) == (tuple(shapes[name]), types[name].name)
        if name not in but:
            wanted, found = reader.get_tensor(name), checkpoint[name]
            wanted = np.asarray(wanted, object) if said.dtype == "string" else wanted
            assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), name
            assert found.tolist() == wanted.tolist() if said.dtype == "string" else found.tobytes() == wanted.tobytes()


# Checksums and tables


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 63, 2047, 2051, 4096, 70_001, 1_000_003])
def test_checksums(size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    state = 0xFFFFFFFF
    for byte in data:
        state = byte_table()[(state ^ byte) & 0xFF] ^ state >> 8
    assert crc32c(data) == state ^ 0xFFFFFFFF == crc32c(data[size // 3 :], crc32c(data[: size // 3]))
    assert crc32c(b"123456789") == 0xE3069283


def test_compressed_blocks():
    data = b"abcd" * 20 + bytes(70) + b"x"
    assert unpack(snappy(data)) == data
    assert unpack(varint(10) + b"\x04ab" + bytes([(8 - 4) << 2 | 1, 2])) == b"ab" * 5  # overlaps, short
    assert unpack(varint(6) + b"\x08abc" + bytes([2 << 2 | 3, 3, 0, 0, 0])) == b"abcabc"
    assert unpack(varint(70) + bytes([60 << 2, 69]) + bytes(70)) == bytes(70)
    for bad in (b"\x05\x00", b"\x02\x04a", b"\xff" * 9, varint(4) + b"\x00a\x05\x00", varint(1 << 40) + b"\x00a"):
        with pytest.raises(ValueError, match=r"compressed|number"):
            unpack(bad)


@pytest.mark.parametrize("number", [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 1 << 31, (1 << 62) - 1, (1 << 63) - 1])
def test_keys_of_parts_sort_as_numbers(number):
    near = [number - 1, number, number + 1]
    assert [slices.ordered(n) for n in near] == sorted(slices.ordered(n) for n in near)
    assert len(slices.ordered(number)) == max(number, ~number).bit_length() // 7 + 1


# Values


# TensorFlow makes no values of these from numbers.
NO_CAST = ("int4", "uint4", "int2", "uint2", "float8_e5m2fnuz", "float8_e4m3b11fnuz", "float8_e4m3fnuz")


def test_every_type(tmp_path):
    numbers = np.array([[0, 1, 2], [3, 100, 127]])
    tensors = {}
    for name in NAMES.values():
        if name.startswith("q"):
            tensors[name] = tf.bitcast(tf.constant(numbers, name[1:]), name)
        elif name not in (*NO_CAST, "string", "variant"):
            tensors[name] = tf.cast(tf.constant(numbers, tf.float32), name)
    tensors |= {"words": tf.constant([["a", "bc", "", b"\x00\xff" * 300]]), "word": tf.constant(b"x\x00")}
    tensors |= {"none": tf.zeros([0, 3]), "no words": tf.constant([], tf.string), "scalar": tf.constant(2.5)}
    assert len(tensors) > 24
    is_tensorflows(save(tmp_path / "ckpt-1", tensors))


def test_small_types_are_those_of_a_byte():
    for name in NO_CAST:
        assert numpy_dtype(name).itemsize == tf.dtypes.as_dtype(name).size == 1


def test_partitioned_tensors(tmp_path):
    whole, vector = np.arange(700, dtype=np.float32).reshape(70, 10), np.arange(20_000)
    ends = [0, 63, 64, 65, 128, 129, 8191, 8192, 16384, 20_000]
    cut = [("a", "70 10 0,30:-", whole[:30]), ("a", "70 10 30,40:0,4", whole[30:, :4])]
    cut += [("a", "70 10 30,40:4,6", whole[30:, 4:])]
    cut += [("v/\u00e4", f"20000 {b},{e - b}", vector[b:e]) for b, e in pairwise(ends)]
    prefix = save(tmp_path / "ckpt-1", {"plain": tf.ones([3])}, cut)
    is_tensorflows(prefix)
    np.testing.assert_array_equal(open_checkpoint(prefix)["a"], whole)


V1_TYPES = ("float32", "float64", "int32", "uint8", "int16", "int8", "int64", "bool", "string")
V1_MORE = ("complex64", "float16", "uint16", "qint8", "qint32", "quint8", "complex128")  # TensorFlow saves them only


def test_every_type_of_v1(tmp_path):
    numbers, wanted = np.array([[0, 1, 2], [3, 100, 127]]), {}
    for name in (*V1_TYPES, *V1_MORE):
        plain = tf.as_string(numbers) if name == "string" else tf.cast(numbers, name.removeprefix("q"))
        wanted[name] = tf.bitcast(plain, name) if name.startswith("q") else plain
    wanted |= {
        "zeros": tf.zeros([200, 300]),
        "runs": tf.constant(np.repeat(np.arange(70.0), 999)),
        "none": tf.zeros([0]),
    }
    wanted |= {"scalar": tf.constant(7)}
    path = tmp_path / "model.ckpt"
    tf.raw_ops.Save(filename=str(path), tensor_names=[*wanted], data=[*wanted.values()])
    is_tensorflows(path, but=V1_MORE)
    checkpoint = open_checkpoint(path)
    for name in V1_MORE:
        plain = tf.bitcast(wanted[name], name[1:]) if name.startswith("q") else wanted[name]
        np.testing.assert_array_equal(checkpoint[name], plain.numpy())


def test_parts_of_v1(tmp_path):
    whole = np.arange(12, dtype=np.float32).reshape(4, 3)
    for i, (begin, size) in enumerate(((0, 3), (3, 1))):
        where = [f"4 3 {begin},{size}:-"]
        file = str(tmp_path / f"model.ckpt-{i:05d}-of-00002")
        tf.raw_ops.SaveSlices(
            filename=file, tensor_names=["a"], shapes_and_slices=where, data=[whole[begin : begin + size]]
        )
    np.testing.assert_array_equal(open_checkpoint(tmp_path / "model.ckpt")["a"], whole)


@pytest.mark.parametrize("folder", ["tf1", "tf2"])
@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
def test_demo(folder):
    is_tensorflows(open_checkpoint(SHARED / "demo" / folder).prefix)


# What cannot be right


KERNEL = f"model/a{VALUE}".encode()


def read_all(path) -> None:
    checkpoint = open_checkpoint(path)
    describe_checkpoint(checkpoint)
    for key in checkpoint:
        checkpoint[key]
    checkpoint.object_graph()


def refused(path, *words) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_all(path)
    said = str(caught.value)
    assert said.isprintable()
    for word in words:
        assert word in said
    return said


def dims(*sizes):
    return {"dim": [{"size": n} for n in sizes]}


WRONG = {
    "negative": ({"shape": dims(-5)}, "negative"),
    "minus one": ({"shape": dims(-1)}, "negative"),
    "unknown rank": ({"shape": {"unknown_rank": True}}, "shape is unknown"),
    "many dimensions": ({"shape": dims(*[1] * 300)}, "300 dimensions"),
    "overflow": ({"shape": dims(1 << 32, 1 << 32, 1)}, "larger than any tensor"),
    "overflow beside zero": ({"shape": dims(0, 1 << 62, 1 << 62), "size": 0}, "larger than any tensor"),
    "largest": ({"shape": dims((1 << 63) - 1)}, "larger than any tensor"),
    "no type": ({"dtype": 0}, "its type, 0,"),
    "reference": ({"dtype": 101}, "its type, 101,"),
    "resource": ({"dtype": 20}, "its type, 20,"),
    "another type": ({"dtype": 2}, "it has 16 bytes, and its shape and type need 32"),
    "size": ({"size": 1 << 40}, "it has 1,099,511,627,776 bytes, and its shape and type need 16"),
    "negative size": ({"size": -16}, "no possible place"),
    "negative offset": ({"offset": -16}, "no possible place"),
    "overflowing offset": ({"offset": (1 << 63) - 1}, "no possible place"),
    "far offset": ({"offset": 1 << 50}, "far behind"),
    "shard": ({"shard_id": 1}, "in file 1 of 1"),
    "negative shard": ({"shard_id": -1}, "in file -1 of 1"),
    "short words": ({"dtype": 7, "shape": dims(17)}, "16 bytes for 17 values"),
    "no words": ({"dtype": 7, "shape": dims(4)}, "cannot read 'model/a", "lengths"),
    "object": ({"dtype": 21}, "holds an object"),
    "value": ({"crc32c": 1}, "cannot read", "checksum"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_entries(tmp_path, kind):
    fields, *words = WRONG[kind]
    data = bytes(range(16))
    prefix = write_index(tmp_path / "ckpt-1", {KERNEL: entry([4], data)}, data)
    assert open_checkpoint(prefix)[KERNEL.decode()].tobytes() == data
    message = message_class("BundleEntry").FromString(entry([4], data))
    if "shape" in fields:
        message.ClearField("shape")
    message.MergeFrom(message_class("BundleEntry")(**fields))
    if fields.get("size") == 0:
        message.size = 0
    changed = message.SerializeToString() + (b"\x08\x00" if fields == {"dtype": 0} else b"")
    refused(write_index(prefix, {KERNEL: changed}, data), *words)


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ({b"": header(num_shards=0)}, "counts 0 files"),
        ({b"": header(num_shards=(1 << 31) - 1)}, "counts 2147483647 files"),
        ({b"": header(endianness=1)}, "big-endian"),
        ({b"": header(endianness=9)}, "big-endian"),
        ({b"": header(version={"producer": 9, "min_consumer": 2})}, "newer TensorFlow"),
        ({b"": header(version={"bad_consumers": [1]})}, "newer TensorFlow"),
        ({b"": b"\xff\xff"}, "cannot be read"),
        ({b"a": b"\xff\xff"}, "cannot be read"),
        ({b"a\xff\xfe\x1b[2J": entry([], bytes(4))}, "is not UTF-8"),
        ({b"a": entry([], bytes(4)), b"b": entry([], bytes(4))}, "overlap"),
        ({b"\x00a\x00\x01\x00": entry([], bytes(4))}, "parts of no tensor"),
        ({OBJECT_GRAPH.encode(): entry([1], bytes(4))}, "object graph is none"),
        ({OBJECT_GRAPH.encode(): entry([], dtype=7, size=1 << 40)}, "object graph is none"),
    ],
)
def test_wrong_indices(tmp_path, entries, word):
    refused(write_index(tmp_path / "ckpt-1", entries, bytes(4)), word)


def part(*extents):
    return {"extent": [{"start": s} if n < 0 else {"start": s, "length": n} for s, n in extents]}


@pytest.mark.parametrize(
    ("parts", "stored", "word"),
    [
        ([(0, 2), (2, 2)], [(0, 2), (2, 2)], ""),
        ([(0, 2)], [(0, 2)], "do not make up the whole"),
        ([(0, 2), (0, 2)], [(0, 2)], "missing, or there twice"),
        ([(0, 2), (2, 2)], [(0, 2)], "missing, or there twice"),
        ([(0, 2), (1, 2)], [(0, 2), (1, 2)], "overlap"),
        ([(0, 2), (2, 1 << 62)], [(0, 2)], "outside of it"),
        ([(-2, 2)], [], "outside of it"),
        ([(1, -1)], [], "outside of it"),
        ([(0, 4), (0, 0)], [(0, 4), (0, 0), (1, 0)], "parts of no tensor"),
    ],
)
def test_wrong_parts(tmp_path, parts, stored, word):
    entries = {b"a": entry([4], size=0, slices=[part(p) for p in parts])}
    for i, (start, size) in enumerate(stored):
        entries[slices.key_of("a", ((start, size),))] = entry([size], bytes(4 * size), offset=8 * i)
    prefix = write_index(tmp_path / "ckpt-1", entries, bytes(16))
    if word:
        refused(prefix, word)
    else:
        assert open_checkpoint(prefix)["a"].tolist() == [0, 0, 0, 0]


def raw(prefix: Path, index: bytes):
    Path(f"{prefix}.index").write_bytes(index)
    return prefix


def test_wrong_tables(tmp_path):
    prefix, right = tmp_path / "ckpt-1", sorted({b"": header(), b"a": entry([], bytes(4))}.items())
    assert [*open_checkpoint(raw(prefix, table_of(right, each=1, pack=snappy)))] == ["a"]
    inside = block_of([(b"z", varint(0) + varint(99))])
    for index, word in (
        (table_of(right)[:-1] + b"x", "magic"),
        (b"x" * 47, "shorter than its footer"),
        (table_of([*right, (b"Z", b"")]), "out of order"),
        (table_of([*right, (b"Z", b"")], each=1), "out of order"),
        (table_of([*right, right[-1]]), "out of order"),
        (table_of([]), "no header"),
        (table_of(right[1:]), "no header"),
        (footer(varint(0) * 2 + varint(1 << 60) + varint(9)), "outside of the file"),
        (footer(b"\xff" * 40), "number"),
        (sealed(block_of([])) + footer(varint(0) * 3 + varint(1 << 40)), "too large"),
        (sealed(b"\xff" * 20) + footer(varint(0) * 3 + varint(20)), "restarts"),
        (sealed(b"\x05\x01\x01" + bytes(8)) + footer(varint(0) * 3 + varint(11)), "outside of its block"),
        (sealed(inside) + footer(varint(0) * 3 + varint(len(inside))), "overlap"),
        (table_of(right, pack=lambda block: varint(1 << 40) + block), "larger than it can be"),
        (table_of(right).replace(sealed(block_of(right)), sealed(block_of(right), 7)), "unknown method"),
        (table_of(right).replace(b"\x00", b"\x01", 1), "checksum"),
    ):
        refused(raw(prefix, index), "ckpt-1.index is damaged", word)


def test_too_much_is_not_begun(tmp_path):
    with Path(f"{write_index(tmp_path / 'ckpt-1', {})}.index").open("r+b") as file:
        file.write(b"x")
        file.truncate(1 << 30)
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    many = [(b"", header()), *((b"%06d" % i, b"") for i in range(100_001))]
    begun = time.process_time()
    refused(tmp_path / "ckpt-1", "larger than 64 MiB")
    refused(raw(tmp_path / "ckpt-2", table_of(many)), "more than 100,000 entries")
    assert time.process_time() - begun < 10


def test_files_that_are_none(tmp_path):
    prefix = write_index(tmp_path / "ckpt-1", {b"a": entry([], bytes(4))}, None)
    data = Path(f"{prefix}.data-00000-of-00001")
    os.mkfifo(data)
    refused(prefix, "pipe")
    data.unlink()
    data.mkdir()
    refused(prefix, data.name)
    for make in (os.mkfifo, os.mkdir):
        make(tmp_path / "ckpt-2.index")
        refused(tmp_path / "ckpt-2.index", "ckpt-2")
        (tmp_path / "ckpt-2.index").rmdir() if make is os.mkdir else (tmp_path / "ckpt-2.index").unlink()
    refused("/dev/zero", "/dev/zero")


# Object graphs

VARIABLE = {"attributes": [{"name": "VARIABLE_VALUE", "checkpoint_key": KERNEL.decode()}]}


def child(number, name="a"):
    return {"children": [{"node_id": number, "local_name": name}]}


@pytest.mark.parametrize(
    ("nodes", "word"),
    [
        ([child(1), VARIABLE], ""),
        ([child(1), {**VARIABLE, **child(0)}], ""),  # a circle is no mistake
        ([], "no nodes"),
        ([child(2), VARIABLE], "node 0 leads to one that is not there"),
        ([child(-1), VARIABLE], "node 0 leads to one that is not there"),
        ([{"children": [child(1)["children"][0]] * 2}, VARIABLE], "two children of one name"),
        ([{"slot_variables": [{"original_variable_node_id": 0, "slot_variable_node_id": 7}]}], "not there"),
        ([{"slot_variables": [{"original_variable_node_id": -7}]}], "not there"),
        ([{"attributes": [{"name": "x", "checkpoint_key": f"\x1b[2J{VALUE}"}]}], "which the index does not have"),
        ([child(i + 1, "x" * 1000) for i in range(400)] + [VARIABLE], "too deep"),
        (b"\xff\xff", "cannot be read"),
    ],
)
def test_object_graphs(tmp_path, nodes, word):
    graph = (
        nodes if isinstance(nodes, bytes) else message_class("TrackableObjectGraph")(nodes=nodes).SerializeToString()
    )
    words, checksum = strings([graph])
    entries = {
        KERNEL: entry([], bytes(4)),
        OBJECT_GRAPH.encode(): entry([], words, checksum=checksum, dtype=7, offset=4),
    }
    prefix = write_index(tmp_path / "ckpt-1", entries, bytes(4) + words)
    if word:
        refused(prefix, "object graph is damaged", word)
    else:
        assert open_checkpoint(prefix).key_of("a") == KERNEL.decode()


def test_damaged_strings(tmp_path):
    words, checksum = strings([b"one", b"three"])
    for data, crc in (
        (b"\x04" + words[1:], checksum),
        (words[:2] + bytes(4) + words[6:], checksum),
        (words[:-1] + b"x", checksum),
        (words, checksum + 1),
        (b"\x80" * 14, masked(crc32c(b"\x80" * 14))),
    ):
        prefix = write_index(tmp_path / "ckpt-1", {b"a": entry([2], data, checksum=crc, dtype=7)}, data)
        refused(prefix, "cannot read 'a', its data is damaged")


# V1


def v1(path: Path, entries) -> Path:
    path.write_bytes(table_of(sorted(entries.items())))
    return path


@pytest.mark.parametrize(
    ("meta", "data", "word"),
    [
        ({}, {}, ""),
        ({"type": 0}, {}, "its type, 0,"),
        ({"type": 77}, {}, "its type, 77,"),
        ({"shape": dims(-2)}, {}, "negative"),
        ({"shape": dims(1 << 40, 1 << 40)}, {}, "larger than any tensor"),
        ({"shape": dims(3)}, {}, "2 values for 3"),
        ({"slice": []}, {}, "do not make up"),
        ({"slice": [part((0, -1))] * 2}, {}, "there twice"),
        ({"slice": [part((0, 3))]}, {}, "outside of it"),
        ({"slice": [part((0, 1)), part((1, 1))]}, {}, "values are missing"),
        ({}, {"float_val": [bytes(7)]}, "end too early"),
        ({}, {"float_val": [bytes(400)]}, "100 values for 2"),
        ({}, {"float_val": []}, "0 values for 2"),
        ({"type": 3}, {}, "0 values for 2"),
        ({"type": 21}, {}, "an object"),
    ],
)
def test_wrong_v1(tmp_path, meta, data, word):
    saved = message_class("SavedTensorSlices")
    tensor = {"name": "a", "type": 1, "shape": dims(2), "slice": [part((0, -1))]} | meta
    value = saved(data={"name": "a", "data": {"float_val": [np.array([1, 2], np.float32).tobytes()]} | data})
    entries = {b"": saved(meta={"tensor": [tensor]}).SerializeToString()}
    entries[slices.key_of("a", ((0, -1),))] = value.SerializeToString()
    path = v1(tmp_path / "model.ckpt", entries)
    if word:
        refused(path, "model.ckpt", word)
    else:
        assert open_checkpoint(path)["a"].tolist() == [1, 2]
    entries[b""] = b"\xff\xff"
    refused(v1(path, entries), "does not say what it holds")


# State files


@pytest.mark.parametrize(
    "state",
    [
        b"\n" * 1_000_000,
        b" " * 1_000_000,
        b"model_checkpoint_path" * 50_000,
        b'model_checkpoint_path: "' + b"x" * 300 + b'"',
        b'model_checkpoint_path: "' + b"x/" * 3000 + b'"',
        b'model_checkpoint_path: "\\000"',
        b'model_checkpoint_path: "."',
        b'model_checkpoint_path: "/"',
        b'model_checkpoint_path: "checkpoint"',
        b'model_checkpoint_path: "\\033[2J"',
    ],
)
def test_odd_state_files(tmp_path, state):
    write_index(tmp_path / "ckpt-1", {b"a": entry([], bytes(4))}, bytes(4))
    (tmp_path / "checkpoint").write_bytes(state)
    begun = time.process_time()
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.prefix == tmp_path / "ckpt-1"
    assert checkpoint.warnings[0].isprintable()
    assert time.process_time() - begun < 5


def test_a_state_file_that_leads_outside_says_so(tmp_path):
    write_index(tmp_path / "else" / "ckpt-1", {b"a": entry([], bytes(4))}, bytes(4))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "checkpoint").write_text('model_checkpoint_path: "../else/ckpt-1"')
    assert "names ../else/ckpt-1: took" in open_checkpoint(tmp_path / "here").warnings[0]


def test_folders_in_a_circle(tmp_path):
    (tmp_path / "checkpoint").symlink_to(tmp_path)
    refused(tmp_path, "no checkpoint in this directory")


# As a whole


def test_variables_of_a_saved_model_are_checked_before_tensorflow_sees_them(tmp_path):
    from visionport import freeze
    from visionport.formats.saved_model import SavedModelRunner

    module = tf.Module()
    module.v = tf.Variable(tf.constant([1.0, 2.0]))
    call = tf.function(lambda x: {"y": x * module.v}).get_concrete_function(tf.TensorSpec([2]))
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=call)
    stored = open_variables(tmp_path / "m")
    assert stored
    (name,) = [n for n in stored.stored if n.endswith(VALUE)]
    index = tmp_path / "m" / "variables" / "variables.index"
    entries = entries_of(index)
    message = message_class("BundleEntry").FromString(entries[name.encode()])
    message.shape.dim[0].size = -1
    entries[name.encode()] = message.SerializeToString()
    index.write_bytes(table_of(sorted(entries.items())))
    for use in (lambda: SavedModelRunner(tmp_path / "m"), lambda: freeze(tmp_path / "m", tmp_path / "f.pb")):
        with pytest.raises(VisionportError, match="negative"):
            use()


LIGHT = """
import sys
from visionport.cli import main
try:
    main(sys.argv[1:])
except SystemExit as e:
    print("status", e.code, "tensorflow" in sys.modules, file=sys.stderr)
"""


def run(*arguments) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr.splitlines()[-1]


def test_inspect_and_errors_need_no_tensorflow(tmp_path):
    data = bytes(range(16))
    good = write_index(tmp_path / "ckpt-1", {KERNEL: entry([4], data), b"step" + VALUE.encode(): entry([], data)}, data)
    bad = write_index(tmp_path / "ckpt-2", {KERNEL: entry([-1], data)}, data)
    out, end = run("inspect", f"{write_index(good, {KERNEL: entry([4], data)}, data)}.index", "--json")
    assert (json.loads(out)["variables"][0]["shape"], end) == ([4], "status 0 False")
    config = tmp_path / "pipeline.config"
    config.write_text("model { ssd { num_classes: 1 } }")
    assert run("inspect", bad)[1] == "status 2 False"
    assert run("inspect", bad, "--config", config)[1] == "status 2 False"


@pytest.mark.parametrize("case", sorted(HOSTILE.glob("*")), ids=lambda path: path.name)
def test_hostile(case, tmp_path):
    """Not one of them reaches TensorFlow; what is right after all is read."""
    for file in (case / "ckpt-5.index", SHARED / "demo" / "tf2" / "ckpt-5.data-00000-of-00001"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if case.name in ("dtype7", "dtype21", "graphempty", "graphids", "graphjunk", "same"):
        description = describe_checkpoint(open_checkpoint(tmp_path))
        assert description["complete"] or "truncated" in description["warnings"][-1]
    else:
        refused(tmp_path, "is damaged")


def test_strings_that_are_too_many(tmp_path):
    wide = write_index(tmp_path / "ckpt-1", {b"a": entry([2 << 20], dtype=7, size=(2 << 20) + 4)}, bytes((2 << 20) + 4))
    assert open_checkpoint(wide).complete
    refused(wide, "2,097,152 strings")
    slice_ = part((0, 1))
    refused(write_index(wide, {b"a": entry([1], slices=[slice_] * 300_000)}), "an entry is too large")


def test_graphs_that_are_too_large():
    many = message_class("TrackableObjectGraph")(nodes=[{}] * (limits.OBJECT_GRAPH_NODES + 1))
    with pytest.raises(ValueError, match="200,001 nodes"):
        object_graph.parse(many.SerializeToString(), (), VALUE)
    with pytest.raises(ValueError, match="larger than 8 MiB"):
        object_graph.parse(bytes(limits.OBJECT_GRAPH + 1), (), VALUE)
