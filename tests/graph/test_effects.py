"""What a stranger's graph does outside of itself is refused by name before anything of it is loaded or run."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from strangers import build_graph, save_v1, save_v2, v1, visionport, write_graph
from tensorflow.core.protobuf import saved_model_pb2

import visionport as package
from visionport.errors import InputError, UnsupportedError
from visionport.formats.frozen_graph import FORMAT as FROZEN_GRAPH
from visionport.formats.saved_model import FORMAT as SAVED_MODEL
from visionport.graph import effects
from visionport.graph.sources import read_graph_def
from visionport.scripts import freeze_graph

raw = tf.raw_ops


def write(path):
    return raw.WriteFile(filename=str(path), contents="ran", name="writes")


# Op -> what makes it, given the path of a file that must stay unwritten.
OPS = {
    "WriteFile": write,
    "ReadFile": lambda p: raw.ReadFile(filename=str(p), name="it"),
    "MatchingFiles": lambda p: raw.MatchingFiles(pattern=f"{p.parent}/*", name="it"),
    "SaveV2": lambda p: raw.SaveV2(prefix=str(p), tensor_names=["a"], shape_and_slices=[""], tensors=[1.0], name="it"),
    "RestoreV2": lambda p: raw.RestoreV2(
        prefix=str(p), tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32], name="it"
    )[0],
    "MergeV2Checkpoints": lambda p: raw.MergeV2Checkpoints(
        checkpoint_prefixes=[str(p)], destination_prefix=str(p), name="it"
    ),
    "PyFunc": lambda p: v1.py_func(lambda: p.write_text("ran") and np.float32(1), [], tf.float32, name="it"),
    "EagerPyFunc": lambda p: tf.py_function(lambda: p.write_text("ran") and 1.0, [], tf.float32, name="it"),
    "PyFuncStateless": lambda p: v1.py_func(lambda: np.float32(1), [], tf.float32, stateful=False, name="it"),
    "TFRecordDatasetV2": lambda p: raw.TFRecordDatasetV2(
        filenames=[str(p)], compression_type="", buffer_size=0, byte_offsets=[0], name="it"
    ),
    "TextLineDataset": lambda p: raw.TextLineDataset(filenames=[str(p)], compression_type="", buffer_size=0, name="it"),
    "FixedLengthRecordReaderV2": lambda p: raw.FixedLengthRecordReaderV2(record_bytes=1, name="it"),
    "WholeFileReaderV2": lambda p: raw.WholeFileReaderV2(name="it"),
    "DebugIdentity": lambda p: raw.DebugIdentity(input=1.0, debug_urls=[f"file://{p}"], name="it"),
    "DebugIdentityV2": lambda p: raw.DebugIdentityV2(input=1.0, debug_urls=[f"file://{p}"], name="it"),
    "PrintV2": lambda p: raw.PrintV2(input="ran", output_stream=f"file://{p}", name="it"),
    "SummaryWriter": lambda p: raw.SummaryWriter(name="it"),
    "ImmutableConst": lambda p: raw.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=str(p), name="it"),
    "Abort": lambda p: raw.Abort(name="it"),
    "CollectiveReduce": lambda p: raw.CollectiveReduce(
        input=1.0,
        group_size=2,
        group_key=1,
        instance_key=1,
        merge_op="Add",
        final_op="Id",
        subdiv_offsets=[],
        name="it",
    ),
    "ConfigureDistributedTPU": lambda p: raw.ConfigureDistributedTPU(name="it"),
    "SqlDataset": lambda p: raw.SqlDataset(
        driver_name="sqlite",
        data_source_name=str(p),
        query="",
        output_types=[tf.string],
        output_shapes=[[]],
        name="it",
    ),
    "FixedUnigramCandidateSampler": lambda p: raw.FixedUnigramCandidateSampler(
        true_classes=np.zeros([1, 1], np.int64),
        num_true=1,
        num_sampled=1,
        unique=True,
        range_max=1,
        vocab_file=str(p),
        name="it",
    )[0],
    "DecodeProtoV2": lambda p: (
        raw.DecodeProtoV2(
            bytes=["a"], message_type="a", field_names=[], output_types=[], descriptor_source=str(p), name="it"
        ).sizes
    ),
    "InitializeTableFromTextFileV2": lambda p: raw.InitializeTableFromTextFileV2(
        table_handle=raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64),
        filename=str(p),
        key_index=-2,
        value_index=-1,
        name="it",
    ),
}


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "ran"


def refused(done, op, canary):
    code, printed = done
    assert code == 2, printed
    assert f"{op} (node " in printed
    assert "--allow-unsafe-ops" in printed
    assert not canary.exists()


@pytest.mark.parametrize("op", OPS)
def test_an_op_with_effects_outside_is_refused(tmp_path, canary, op):
    graph = build_graph(lambda x: [OPS[op](canary)])
    path = write_graph(tmp_path / "g.pb", graph)
    name = next(n.name for n in graph.node if n.op == op)
    done = visionport("freeze", path, "--output", "out", "--optimize", "--out", tmp_path / "f.pb")
    refused(done, op, canary)
    assert f"(node {name})" in done[1]
    assert not (tmp_path / "f.pb").exists()
    with pytest.raises(UnsupportedError, match=op):
        FROZEN_GRAPH.check_foreign(path)
    listed = json.loads(visionport("inspect", path, "--json")[1])["unsafe_ops"]
    assert op in [f["op"] for f in listed]
    assert f"{len(listed)} with effects outside" in visionport("inspect", path)[1]
    assert not canary.exists()


def in_function(path):
    return [tf.function(lambda: tf.function(lambda: (write(path), 1.0)[1])())()]


def in_branch(path):
    return [tf.cond(v1.placeholder_with_default(True, []), lambda: (write(path), 1.0)[1], lambda: 2.0)]


def in_loop(path):
    def body(i):
        with tf.control_dependencies([write(path)]):
            return i + 1

    return tf.nest.flatten(tf.while_loop(lambda i: i < 3, body, [0]))


def in_dataset(path):
    def body(i):
        write(path)
        return i

    return [tf.data.Dataset.range(3).map(body).reduce(np.int64(0), add)]


def add(a, b):
    return a + b


@pytest.mark.parametrize("build", [in_function, in_branch, in_loop, in_dataset])
def test_functions_are_looked_into(tmp_path, canary, build):
    graph = build_graph(lambda x: build(canary))
    path = write_graph(tmp_path / "g.pb", graph)
    for command in (("freeze", "--output"), ("convert", "--output-arrays")):
        done = visionport(command[0], path, command[1], "out", "--out", tmp_path / "out.file")
        refused(done, "WriteFile", canary)
        assert " of the function " in done[1]


def test_what_is_not_needed_is_not_looked_at(tmp_path, canary):
    graph = build_graph(lambda x: [])
    with tf.Graph().as_default() as whole:
        tf.import_graph_def(graph, name="")
        write(canary)
        raw.ReadFile(filename=str(canary))
        more = whole.as_graph_def()
    path = write_graph(tmp_path / "g.pb", more)
    assert visionport("freeze", path, "--output", "out", "--out", tmp_path / "f.pb")[0] == 0
    assert not canary.exists()


def test_a_branch_that_is_decided_may_hold_it(tmp_path, canary):
    def build(x):
        def trained():
            with tf.control_dependencies([write(canary)]):
                return x * 3.0

        training = v1.placeholder(tf.bool, [], name="training")
        tf.identity(tf.cond(training, trained, lambda: x), name="end")

    path = write_graph(tmp_path / "g.pb", build_graph(build))
    command = ("freeze", path, "--output", "end", "--out", tmp_path / "f.pb")
    assert visionport(*command, "--set", "training=false")[0] == 0
    refused(visionport(*command, "--set", "training=true", "--overwrite"), "WriteFile", canary)


def test_a_file_decides_no_branch(tmp_path):
    """What decides a branch is computed when an input is fixed; not by reading a file."""
    secret = tmp_path / "secret"
    secret.write_text("yes")

    def build(x):
        length = tf.strings.length(raw.ReadFile(filename=str(secret)))
        return [tf.cond(length > 0, lambda: tf.identity(1.0), lambda: tf.identity(2.0))]

    path = write_graph(tmp_path / "g.pb", build_graph(build))
    done = visionport("freeze", path, "--output", "out", "--set", "x=[[1,2,3,4]]", "--out", tmp_path / "f.pb")
    refused(done, "ReadFile", tmp_path / "f.pb")


def test_a_cut_behind_a_file_reads_none(tmp_path):
    """Types and shapes of nodes to feed are found by an import, which evaluates shapes."""
    missing = tmp_path / "missing"

    def build(x):
        length = tf.strings.length(raw.ReadFile(filename=str(missing), name="it"))
        tf.multiply(tf.reshape(tf.ones([4]), tf.reshape(length, [1]), name="cut"), 3.0, name="end")
        return []

    path = write_graph(tmp_path / "g.pb", build_graph(build))
    code, printed = visionport("freeze", path, "--input", "cut", "--output", "end", "--out", tmp_path / "f.pb")
    assert code == 0, printed


def test_the_flag_lets_it_run(tmp_path, canary):
    path = write_graph(tmp_path / "g.pb", build_graph(lambda x: [write(canary)]))
    frozen = package.freeze(path, tmp_path / "f.pb", outputs=["out"], allow_unsafe_ops=True)
    assert frozen.outputs == ("out",)
    assert not canary.exists()
    saved = save_v1(tmp_path / "sm", lambda x: [], lambda: write(canary))
    command = ("convert", saved, "--out", tmp_path / "m.tflite")
    refused(visionport(*command), "WriteFile", canary)
    assert visionport(*command, "--allow-unsafe-ops")[0] == 0
    assert canary.read_text() == "ran"


def test_the_old_script_has_it_too(tmp_path, canary, capsys):
    path = write_graph(tmp_path / "g.pb", build_graph(lambda x: [write(canary)]))
    flags = [
        f"--input_graph={path}",
        "--input_binary",
        "--output_node_names=out",
        f"--output_graph={tmp_path / 'f.pb'}",
    ]
    with pytest.raises(SystemExit) as end:
        freeze_graph.main(flags)
    refused((end.value.code, capsys.readouterr().err), "WriteFile", canary)
    freeze_graph.main([*flags, "--allow-unsafe-ops"])
    assert "--allow-unsafe-ops" in capsys.readouterr().out
    assert (tmp_path / "f.pb").exists()


def test_folding_reads_no_file(tmp_path):
    """Even where it is allowed: what a file says today is not for the graph."""
    secret = tmp_path / "secret"
    secret.write_text("yes")

    def build(x):
        tf.identity(tf.strings.length(raw.ReadFile(filename=str(secret))), name="end")
        return []

    path = write_graph(tmp_path / "g.pb", build_graph(build))
    package.freeze(path, tmp_path / "f.pb", outputs=["end"], optimize=True, allow_unsafe_ops=True)
    ops = {n.op for n in read_graph_def(tmp_path / "f.pb")[0].node}
    assert {"ReadFile", "StringLength"} <= ops


def test_the_flag_is_for_graphs():
    code, printed = visionport("export", "--config", "a", "--checkpoint", "b", "--out", "c", "--allow-unsafe-ops")
    assert code == 2
    assert "--meta" in printed


# --- SavedModels ---


def collected(path):
    """A SavedModel's only MetaGraphDef, and what writes it again."""
    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    return saved.meta_graphs[0], lambda: file.write_bytes(saved.SerializeToString())


@pytest.mark.parametrize("command", ["freeze", "convert"])
def test_what_initialises_a_saved_model_is_looked_at(tmp_path, canary, command):
    saved = save_v1(tmp_path / "sm", lambda x: [], lambda: write(canary))
    refused(visionport(command, saved, "--out", tmp_path / "out.file"), "WriteFile", canary)
    with pytest.raises(UnsupportedError, match="WriteFile"):
        SAVED_MODEL.check_foreign(saved)
    meta, store = collected(saved)
    meta.collection_def["legacy_init_op"].CopyFrom(meta.collection_def["saved_model_main_op"])
    del meta.collection_def["saved_model_main_op"]
    meta.signature_def.pop("__saved_model_init_op", None)
    store()
    refused(visionport(command, saved, "--out", tmp_path / "out.file"), "WriteFile", canary)


class Writes(tf.saved_model.experimental.TrackableResource):
    """A resource that writes a file when it is made."""

    def __init__(self, path):
        super().__init__()
        self.path = str(path)

    def _create_resource(self):
        return raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="mine")

    def _initialize(self):
        raw.WriteFile(filename=self.path, contents="ran")


def test_what_initialises_an_object_is_looked_at(tmp_path, canary):
    table = Writes(canary)
    saved = save_v2(tmp_path / "sm", lambda x: {"out": x * 2}, table=table)
    canary.unlink(missing_ok=True)  # saving calls it
    meta, store = collected(saved)
    del meta.collection_def["saved_model_main_op"]
    meta.signature_def.pop("__saved_model_init_op", None)
    store()
    refused(visionport("freeze", saved, "--out", tmp_path / "f.pb"), "WriteFile", canary)
    with pytest.raises(UnsupportedError, match="WriteFile"):
        SAVED_MODEL.check_foreign(saved)


def test_a_saver_restores_its_own_variables_only(tmp_path):
    saved = save_v1(tmp_path / "sm", lambda x: [])
    SAVED_MODEL.check_foreign(saved)
    assert visionport("freeze", saved, "--out", tmp_path / "f.pb")[0] == 0
    meta, store = collected(saved)
    other = meta.graph_def.node.add(name="elsewhere", op="Const")
    other.attr["dtype"].type = tf.string.as_datatype_enum
    other.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/etc/other"))
    restore = next(n for n in meta.graph_def.node if n.op == "RestoreV2")
    restore.input[0] = "elsewhere"
    store()
    code, printed = visionport("freeze", saved, "--out", tmp_path / "g.pb")
    assert code == 2
    assert "RestoreV2 (node " in printed


@pytest.fixture
def vocabulary(tmp_path):
    """A SavedModel with a table filled from its own asset, and a signature that needs the table."""
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")
    whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    initializer = tf.lookup.TextFileInitializer(str(words), tf.string, whole, tf.int64, line)
    table = tf.lookup.StaticHashTable(initializer, -1)

    def run(x):
        return {"out": x * 2 + tf.cast(table.lookup(tf.constant("dog")), tf.float32)}

    return save_v2(tmp_path / "sm", run, table=table)


def test_a_table_of_its_own_assets_passes(vocabulary):
    SAVED_MODEL.check_foreign(vocabulary)
    assert package.inspect(vocabulary)["meta_graphs"][0]["unsafe_ops"] == []
    runner = SAVED_MODEL.open(vocabulary, None)  # pyright: ignore[reportArgumentType]
    answer = runner.call("serving_default", {"x": np.ones([1, 4], np.float32)})
    np.testing.assert_array_equal(answer["out"], np.full([1, 4], 3.0))


@pytest.mark.parametrize("name", ["../../words.txt", "/etc/hostname", "link"])
def test_an_asset_outside_is_refused(tmp_path, vocabulary, name):
    meta, store = collected(vocabulary)
    meta.asset_file_def[0].filename = name
    (vocabulary / "assets" / "link").symlink_to(tmp_path / "words.txt")
    store()
    for command in ("freeze", "convert", "inspect"):
        more = () if command == "inspect" else ("--out", tmp_path / "out.file")
        code, printed = visionport(command, vocabulary, *more)
        assert code == 2
        assert "leads out of" in printed
    with pytest.raises(InputError, match="leads out of"):
        SAVED_MODEL.check_foreign(vocabulary)


def test_a_table_of_another_file_is_refused(tmp_path):
    """A constant in place of the asset, and an asset that the signature reads itself."""
    other = tmp_path / "other.txt"
    other.write_text("a\n")
    saved = save_v1(tmp_path / "sm", lambda x: [], lambda: OPS["InitializeTableFromTextFileV2"](other))
    code, printed = visionport("freeze", saved, "--out", tmp_path / "f.pb")
    assert code == 2
    assert "InitializeTableFromTextFileV2 (node it)" in printed


def test_predict_asks_before_it_opens(tmp_path, canary, monkeypatch):
    write_graph(tmp_path / "g.pb", build_graph(lambda x: [write(canary)]))
    reading = {"input": "x", "type": "image_tensor", "signature": "graph"}
    manifest = {
        "visionport": "1",
        "model": {"task": "detection"},
        "files": {},
        "preprocessing": {},
        "artifacts": [{"format": "frozen_graph", "path": "g.pb", "reading": reading}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr("visionport.manifest.read", lambda folder: manifest)
    with pytest.raises(UnsupportedError, match=r"WriteFile \(node writes\)"):
        package.load(tmp_path)
    assert package.load(tmp_path, allow_unsafe_ops=True).format == "frozen_graph"
    assert not canary.exists()


# --- sound ones ---


def test_what_stays_inside_passes(tmp_path):
    """Variables, tables, random numbers, lists, queues, loops, assertions, prints and data sets in memory."""

    def build(x):
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), 0)
        array = tf.TensorArray(tf.float32, 2).unstack(tf.random.normal([2, 4]))
        loop = tf.while_loop(lambda i, a: i < 2, lambda i, a: (i + 1, a + array.read(i)), [0, tf.zeros([4])])
        boxes = tf.image.non_max_suppression(tf.zeros([3, 4]), tf.zeros([3]), 2)
        crop, *_ = tf.image.sample_distorted_bounding_box([9, 9, 3], tf.zeros([1, 1, 4]))
        data = tf.data.Dataset.from_tensor_slices([1, 2]).shuffle(2).map(tf.square).batch(2).prefetch(1)
        total = data.unbatch().reduce(0, add)
        queue = v1.FIFOQueue(3, tf.float32)
        said = tf.print("hello", output_stream=sys.stderr)
        return [
            table.lookup(tf.constant("a")),
            *loop,
            boxes,
            crop,
            total,
            queue.enqueue(1.0),
            said,
            v1.Assert(True, [x]),
        ]

    assert effects.find_all(build_graph(build)) == []


def test_every_op_of_the_registry_is_judged():
    """None that reads files, runs Python, sends or receives passes by its name alone."""
    from tensorflow.core.framework import node_def_pb2, op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    ops = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())).op
    passed = {o.name for o in ops if not effects.effect_of(node_def_pb2.NodeDef(op=o.name))}
    stateful = {o.name for o in ops if o.is_stateful}
    words = (
        "File",
        "Record",
        "PyFunc",
        "Rpc",
        "Summary",
        "Save",
        "Restore",
        "Recv",
        "Debug",
        "DataService",
        "TPU",
        "Sql",
    )
    strange = {n for n in passed & stateful if any(w in n for w in words)}
    assert strange == set()
    assert len(passed & stateful) < 260
    assert {"Conv2D", "VarHandleOp", "RandomUniform", "HashTableV2", "While", "TensorListReserve"} <= passed
