"""Checkpoints of both kinds: found, opened from the index alone, read lazily, and refused with a reason."""

import subprocess
import sys
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from places import SHARED
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from visionport.checkpoint.open import open_checkpoint
from visionport.checkpoint.read import OBJECT_GRAPH, VALUE
from visionport.errors import CheckpointError

DAMAGED = sorted(SHARED.glob("real/tf*damaged*"))
GRAPHS = sorted(SHARED.glob("golden/*/*/object_graph.pb"))
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:6918dc53\nsize 166\n"
STATE = 'model_checkpoint_path: "{}"\n'


def save(prefix, **tensors):
    """A name-based checkpoint."""
    names = sorted(tensors)
    data = [tf.constant(tensors[name]) for name in names]
    prefix.parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=data)
    return prefix


def small(prefix, step=7):
    kernel = np.arange(64, dtype=np.float32).reshape(4, 16)
    return save(prefix, **{"a/kernel": kernel, "a/bias": np.zeros(16, np.float32), "global_step": np.int64(step)})


def data_file(prefix):
    return Path(f"{prefix}.data-00000-of-00001")


def index_file(prefix):
    return Path(f"{prefix}.index")


def refused(path, *words):
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    says(caught, *words)


def cannot_read(checkpoint, *words):
    with pytest.raises(CheckpointError) as caught:
        checkpoint["a/bias"]
    says(caught, *words)


def says(caught, *words):
    """One paragraph, with these words."""
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_import_leaves_tensorflow_out():
    code = "import sys, visionport.checkpoint, visionport.inspection; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tf1_mapping(tmp_path):
    checkpoint = open_checkpoint(small(tmp_path / "model.ckpt-7"))
    assert checkpoint.kind == "tf1"
    assert checkpoint.step == 7
    assert checkpoint.complete
    assert checkpoint.warnings == ()
    assert list(checkpoint) == ["a/bias", "a/kernel", "global_step"]
    entry = checkpoint.entries["a/kernel"]
    assert (entry.name, entry.shape, entry.dtype, entry.nbytes) == ("a/kernel", (4, 16), "float32", 256)
    np.testing.assert_array_equal(checkpoint["a/kernel"], np.arange(64, dtype=np.float32).reshape(4, 16))
    assert checkpoint["global_step"].dtype == np.int64
    assert checkpoint.key_of("a/bias") == "a/bias"
    assert checkpoint.key_of("a") is None
    assert checkpoint.get("absent") is None
    with pytest.raises(AttributeError):
        setattr(checkpoint, "kind", "tf2")  # noqa: B010


def test_other_dtypes(tmp_path):
    halves = tf.constant([1.0, 2.0], tf.bfloat16)
    checkpoint = open_checkpoint(save(tmp_path / "x", half=halves, text=["a", "bc"], flag=[True]))
    found = [(name, entry.dtype, entry.nbytes) for name, entry in checkpoint.entries.items()]
    assert found == [("flag", "bool", 1), ("half", "bfloat16", 4), ("text", "string", 0)]
    assert checkpoint["text"].tolist() == [b"a", b"bc"]
    assert checkpoint["half"].astype(np.float32).tolist() == [1, 2]


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_each_of_its_files_names_it(tmp_path, suffix):
    prefix = small(tmp_path / "model.ckpt-7")
    Path(f"{prefix}.meta").write_bytes(b"")
    checkpoint = open_checkpoint(f"{prefix}{suffix}")
    assert checkpoint.prefix == prefix


def test_several_shards(tmp_path):
    parts = [save(tmp_path / "parts" / name, **{name: np.ones(8, np.float32)}) for name in ("a", "b")]
    prefix = tmp_path / "ckpt-1"
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[str(p) for p in parts], destination_prefix=str(prefix))
    checkpoint = open_checkpoint(tmp_path / "ckpt-1.data-00001-of-00002")
    assert checkpoint.complete
    assert checkpoint["b"].sum() == 8
    (tmp_path / "ckpt-1.data-00001-of-00002").unlink()
    checkpoint = open_checkpoint(prefix)
    assert not checkpoint.complete
    assert "ckpt-1.data-00001-of-00002 is missing" in checkpoint.warnings[-1]


# The object graph


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A TF2 training checkpoint: one variable at two paths, a slot, a name that needs escapes."""
    gamma, other, slot = (tf.Variable(tf.constant(value)) for value in ([1.0, 2.0], [3.0], [0.0, 0.0]))
    momentum, iterations, step = (tf.Variable(tf.constant(value)) for value in (0.9, 40, 41))
    model, optimizer = tf.Module(), tf.Module()
    model.first, model.second = tf.Module(), tf.Module()
    model.first.gamma = model.second.gamma = gamma
    model.by_name = {"scope/conv.1": other}
    optimizer.iter, optimizer.momentum, optimizer._variables = iterations, momentum, [slot]
    root = tf.train.Checkpoint(model=model, optimizer=optimizer, step=step)
    return Path(root.save(str(tmp_path_factory.mktemp("trained") / "ckpt")))


def test_tf2_mapping(trained):
    checkpoint = open_checkpoint(trained.parent)
    assert checkpoint.prefix == trained
    assert checkpoint.kind == "tf2"
    assert checkpoint.step == 41
    assert OBJECT_GRAPH not in checkpoint
    assert all(key.endswith(VALUE) for key in checkpoint)
    groups = checkpoint.groups()
    steps = ("optimizer/iter", "optimizer/momentum", "save_counter", "step")
    assert groups["step"] == tuple(name + VALUE for name in steps)
    assert groups["slot"] == (f"optimizer/_variables/0{VALUE}",)
    assert len(groups["model"]) == 2


def test_key_of_finds_every_path(trained):
    checkpoint = open_checkpoint(trained)
    key = f"model/first/gamma{VALUE}"
    for path in ("model/first/gamma", "model/second/gamma", key):
        assert checkpoint.key_of(path) == key
    escaped = "model/by_name/scope.Sconv..1"
    assert checkpoint.key_of(escaped) == escaped + VALUE
    assert checkpoint.key_of("model/first") is None
    assert checkpoint.key_of("model/third/gamma") is None
    assert checkpoint.key_of("") is None


def test_key_of_without_data_is_the_key_itself(trained, tmp_path):
    index_file(tmp_path / "ckpt-1").write_bytes(index_file(trained).read_bytes())
    checkpoint = open_checkpoint(tmp_path / "ckpt-1")
    assert checkpoint.step is None
    assert checkpoint.key_of("model/first/gamma") == f"model/first/gamma{VALUE}"
    assert checkpoint.key_of("model/second/gamma") is None


def test_slots_go_by_their_variables_path(tmp_path):
    graph = TrackableObjectGraph()
    root, gamma = graph.nodes.add(), graph.nodes.add()
    for name in ("first", "second"):
        root.children.add(node_id=1, local_name=name)
    gamma.attributes.add(name="VARIABLE_VALUE", checkpoint_key=f"first{VALUE}")
    average = f"first/.OPTIMIZER_SLOT/optimizer/average{VALUE}"
    values = {f"first{VALUE}": [1.0], average: [2.0], OBJECT_GRAPH: graph.SerializeToString()}
    checkpoint = open_checkpoint(save(tmp_path / "ckpt-1", **values))
    assert checkpoint.key_of("second/.OPTIMIZER_SLOT/optimizer/average") == average
    assert checkpoint.key_of("second/.OPTIMIZER_SLOT/optimizer/momentum") is None


# Directories


def test_state_file_decides(tmp_path):
    small(tmp_path / "ckpt-10")
    small(tmp_path / "ckpt-9")
    (tmp_path / "checkpoint").write_text(STATE.format("ckpt-9"))
    for given in (tmp_path, f"{tmp_path}/", tmp_path / "checkpoint"):
        checkpoint = open_checkpoint(given)
        assert checkpoint.prefix == tmp_path / "ckpt-9"
        assert checkpoint.warnings == ()


@pytest.mark.parametrize("place", ["/home/someone/train/", "C:\\\\train\\\\", "moved/"])
def test_state_file_of_another_place(tmp_path, place):
    small(tmp_path / "ckpt-9")
    (tmp_path / "checkpoint").write_text(STATE.format(f"{place}ckpt-9"))
    assert open_checkpoint(tmp_path).prefix == tmp_path / "ckpt-9"


def test_state_file_that_names_a_checkpoint_elsewhere(tmp_path):
    elsewhere, here = small(tmp_path / "elsewhere" / "ckpt-9"), tmp_path / "here"
    here.mkdir()
    (here / "checkpoint").write_text(STATE.format(elsewhere))
    checkpoint = open_checkpoint(here)
    assert checkpoint.prefix == elsewhere
    assert "elsewhere" in checkpoint.warnings[0]
    small(here / "ckpt-9")
    checkpoint = open_checkpoint(here)
    assert checkpoint.prefix == here / "ckpt-9"
    assert "took" in checkpoint.warnings[0]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (None, "has no `checkpoint` file"),
        (STATE.format("ckpt-99"), "names ckpt-99, which is not there"),
        ("nonsense", "names no checkpoint"),
        ("", "names no checkpoint"),
        (b"\xff\xfe\x00", "names no checkpoint"),
        (LFS, "git lfs pull"),
    ],
)
def test_newest_without_a_state_file(tmp_path, state, word):
    for name in ("ckpt-9", "ckpt-10", "ckpt-11", "model.ckpt", "part-00000-of-00001"):
        small(tmp_path / name)
    data_file(tmp_path / "ckpt-11").unlink()
    if state is not None:
        (tmp_path / "checkpoint").write_bytes(state if isinstance(state, bytes) else state.encode())
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.prefix == tmp_path / "ckpt-10"
    assert word in checkpoint.warnings[0]
    assert "took ckpt-10, the newest complete of 5" in checkpoint.warnings[0]


@pytest.mark.parametrize("name", ["model.ckpt", "part-00000-of-00001", "variables"])
def test_the_only_one(tmp_path, name):
    small(tmp_path / name)
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.prefix == tmp_path / name
    assert "the only one there" in checkpoint.warnings[0]
    if name == "variables":
        small(tmp_path / "others")
        refused(tmp_path, "others, variables", "Give one")


def test_exported_directory(tmp_path):
    prefix = small(tmp_path / "checkpoint" / "ckpt-0")
    (tmp_path / "saved_model").mkdir()
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.prefix == prefix
    assert "no checkpoint itself" in checkpoint.warnings[0]


def test_prefix_beside_directory_of_its_name(tmp_path):
    prefix = small(tmp_path / "model.ckpt-5")
    inner = small(prefix / "ckpt-1")
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.prefix == prefix
    assert "also a checkpoint's prefix" in checkpoint.warnings[0]
    assert open_checkpoint(f"{prefix}/").prefix == inner


# Errors


def test_missing_path(tmp_path):
    small(tmp_path / "model.ckpt-3000")
    refused(tmp_path / "model.ckpt-300", "no such checkpoint", "nearest: model.ckpt-3000")
    refused(tmp_path / "model.ckpt-300.index", "nearest: model.ckpt-3000")
    refused(tmp_path / "absent" / "ckpt-1", "has no 'absent'")


def test_no_checkpoint(tmp_path):
    refused(tmp_path, "it is empty")
    (tmp_path / "pipeline.config").write_text("model {}")
    refused(tmp_path, "it holds pipeline.config")
    small(tmp_path / "train" / "ckpt-1")
    refused(tmp_path, str(tmp_path / "train"))
    (tmp_path / "saved_model.pb").write_bytes(b"")
    refused(tmp_path, "exported model", "visionport freeze")
    refused(tmp_path / "saved_model.pb", "a graph", "visionport freeze")
    refused(tmp_path / "pipeline.config", "--config")
    (tmp_path / "notes").write_text("nothing of the kind" * 9)
    refused(tmp_path / "notes", "notes is a text file, not a checkpoint")


def test_data_without_index(tmp_path):
    prefix = small(tmp_path / "ckpt-1")
    index_file(prefix).unlink()
    for given in (prefix, data_file(prefix), tmp_path):
        refused(given, "ckpt-1.index", "Copy")


def test_index_without_data(tmp_path):
    prefix = small(tmp_path / "ckpt-1")
    data_file(prefix).unlink()
    checkpoint = open_checkpoint(prefix)
    assert not checkpoint.complete
    assert checkpoint.step is None
    assert "a/bias" in checkpoint  # membership, comparison and repr read nothing
    assert checkpoint != open_checkpoint(prefix)
    assert "3 tensors" in repr(checkpoint)
    cannot_read(checkpoint, "a/bias", "ckpt-1.data-00000-of-00001 is missing", "Copy it")


def test_data_that_cannot_be_right(tmp_path):
    prefix = small(tmp_path / "ckpt-1")
    whole = data_file(prefix).read_bytes()
    for content, word in ((LFS.encode(), "git lfs pull"), (b"", "truncated"), (whole[:-1], "truncated")):
        data_file(prefix).write_bytes(content)
        checkpoint = open_checkpoint(prefix)
        assert not checkpoint.complete
        assert word in checkpoint.warnings[0]
        cannot_read(checkpoint, word)
    data_file(prefix).write_bytes(bytes(byte ^ 1 for byte in whole))
    cannot_read(open_checkpoint(prefix), "damaged", "Copy it again")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (bytes(500), "zeros"),
        (LFS.encode(), "git lfs pull"),
        (b"notes" * 9, "damaged"),
        (None, "damaged"),
    ],
)
def test_bad_index(tmp_path, content, word):
    prefix = small(tmp_path / "ckpt-1")
    truncated = index_file(prefix).read_bytes()[:-20]
    index_file(prefix).write_bytes(truncated if content is None else content)
    for given in (prefix, index_file(prefix), tmp_path):
        refused(given, "ckpt-1.index", word)


# What people have


@pytest.mark.parametrize("folder", DAMAGED, ids=[path.name for path in DAMAGED])
def test_real_damaged(folder):
    refused(folder, "git lfs pull" if "lfs" in folder.name else "zeros")


@pytest.mark.parametrize(("kind", "step"), [("tf1", 3000), ("tf2", 4000)])
@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared data")
def test_demo(kind, step):
    checkpoint = open_checkpoint(SHARED / "demo" / kind)
    assert (checkpoint.kind, checkpoint.step, checkpoint.complete, checkpoint.warnings) == (kind, step, True, ())
    assert all(np.isfinite(checkpoint[key]).all() for key in checkpoint.groups()["model"])
    if kind == "tf2":
        every_path_leads_to_its_key(checkpoint, tf.train.load_checkpoint(checkpoint.prefix).get_tensor(OBJECT_GRAPH))


@pytest.mark.parametrize("path", GRAPHS, ids=[f"{path.parent.parent.name}/{path.parent.name}" for path in GRAPHS])
def test_golden_graphs(path, tmp_path):
    graph = path.read_bytes()
    keys = [a.checkpoint_key for node in TrackableObjectGraph.FromString(graph).nodes for a in node.attributes]
    values = dict.fromkeys((key for key in keys if key.endswith(VALUE)), 0.0)
    checkpoint = open_checkpoint(save(tmp_path / "ckpt-0", **values, **{OBJECT_GRAPH: graph}))
    every_path_leads_to_its_key(checkpoint, graph)


def every_path_leads_to_its_key(checkpoint, graph):
    """Takes each edge to each layer, and from there each edge to a variable."""
    nodes = [node.children for node in TrackableObjectGraph.FromString(graph).nodes]
    keys = [[a.checkpoint_key for a in node.attributes] for node in TrackableObjectGraph.FromString(graph).nodes]
    shortest, queue, seen, aliases = {0: ""}, deque([0]), set(), 0
    while queue:
        parent = queue.popleft()
        for child in nodes[parent]:
            path = f"{shortest[parent]}/{escaped(child)}".removeprefix("/")
            if child.node_id not in shortest:
                shortest[child.node_id] = path
                queue.append(child.node_id)
            ways = [(path, child.node_id), *((f"{path}/{escaped(c)}", c.node_id) for c in nodes[child.node_id])]
            for way, node in ways:
                for key in keys[node]:
                    assert checkpoint.key_of(way) == key
                    seen.add(key)
                    aliases += way + VALUE != key
    assert aliases
    assert seen == {key for key in checkpoint if "/.OPTIMIZER_SLOT/" not in key}


def escaped(child):
    return child.local_name.replace(".", "..").replace("/", ".S")
