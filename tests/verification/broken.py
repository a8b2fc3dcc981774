"""Broken copies of an export: one artifact changed as a faulty writer or a careless hand might have changed it.

The files' sizes and hashes in the manifest are those of the broken artifact, so that `visionport verify` takes it for
what was exported and compares. All else of the manifest says what the artifact ought to be.
"""

import functools
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from visionport import manifest
from visionport.graph import edit
from visionport.tflite import flatbuffer

SOUND = "sound"
FORMATS = ("saved_model", "frozen_graph", "tflite")

BOXES, CLASSES, SCORES, COUNT = "detection_boxes", "detection_classes", "detection_scores", "num_detections"
RAW = "raw_detection_scores"

# What each kind does to the outputs, {name: tensor} -> the same; of graphs that are batches of one picture.
CHANGES = {
    SOUND: lambda o: o,
    "no boxes": lambda o: without(o, BOXES),
    "no scores": lambda o: without(o, SCORES),
    "no count": lambda o: without(o, COUNT),
    "no raw head": lambda o: without(o, RAW),
    "boxes renamed": lambda o: without(o, BOXES) | {"boxes": o[BOXES]},
    "raw head renamed": lambda o: without(o, RAW) | {"scores": o[RAW]},
    "classes as integers": lambda o: o | {CLASSES: tf.cast(o[CLASSES], tf.int32)},
    "scores as float16": lambda o: o | {SCORES: tf.cast(o[SCORES], tf.float16)},
    "raw head as float64": lambda o: o | {RAW: tf.cast(o[RAW], tf.float64)},
    "two pictures": lambda o: {k: tf.concat([v, v], 0) for k, v in o.items()},
    "all zero": lambda o: {k: tf.zeros_like(v) for k, v in o.items()},
    "scores zero": lambda o: o | {SCORES: tf.zeros_like(o[SCORES])},
    "raw head zero": lambda o: o | {RAW: tf.zeros_like(o[RAW])},
    "x and y exchanged": lambda o: o | {BOXES: tf.gather(o[BOXES], [1, 0, 3, 2], axis=-1)},
    "classes off by one": lambda o: o | {CLASSES: o[CLASSES] + 1},
    "another normalisation": lambda o: o,
    "another picture's size": lambda o: o | {BOXES: o[BOXES] * 0.5},
}


def without(outputs, name):
    return {k: v for k, v in outputs.items() if k != name}


def normalized(pixels):
    """Pixels as a network of [-1, 1] sees them where it is fed [0, 1]."""
    return tf.cast(tf.round(tf.cast(pixels, tf.float32) / 2 + 127.5), pixels.dtype)


def break_export(export: Path, folder: Path, kind: str, which: str) -> Path:
    """A copy of an export in `folder` that has one artifact alone, of the format `which`, broken as `kind` says.

    "sound": changed in the same way, but to no effect.
    """
    content = json.loads((export / "manifest.json").read_text("utf-8"))
    (artifact,) = (a for a in content["artifacts"] if a["format"] == which)
    left_out = ["manifest.json", *(a["path"] for a in content["artifacts"])]
    shutil.copytree(export, folder, ignore=shutil.ignore_patterns(*left_out))
    BREAKERS[which](export / artifact["path"], folder / artifact["path"], kind)
    content["options"]["formats"] = [which]
    manifest.write(folder, content | {"artifacts": [artifact]})
    return folder


load = functools.cache(tf.saved_model.load)


def break_saved_model(path: Path, target: Path, kind: str) -> None:
    """Loaded, each signature wrapped, and saved again under the same names."""
    loaded = load(str(path))

    def wrapped(signature):
        ((name, spec),) = signature.structured_input_signature[1].items()

        def run(value):
            if kind == "another normalisation" and spec.dtype == tf.uint8:
                value = normalized(value)
            return CHANGES[kind](dict(signature(**{name: value})))

        return tf.function(run, [tf.TensorSpec(spec.shape, spec.dtype, name)], autograph=False)

    root = tf.Module()
    root.loaded = loaded
    signatures = {key: wrapped(signature) for key, signature in loaded.signatures.items()}
    tf.saved_model.save(root, str(target), signatures)


def break_frozen_graph(path: Path, target: Path, kind: str) -> None:
    """The graph imported into another, between whose input and outputs it stands."""
    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    names = [n.name for n in definition.node if n.name.startswith(("detection_", "num_", "raw_"))]
    (source,) = (n for n in definition.node if n.op == "Placeholder")
    with tf.Graph().as_default() as graph:
        dtype = tf.as_dtype(source.attr["dtype"].type)
        given = tf.compat.v1.placeholder(dtype, tf.TensorShape(source.attr["shape"].shape), source.name)
        fed = normalized(given) if kind == "another normalisation" else given
        found = tf.import_graph_def(definition, {f"{source.name}:0": fed}, [f"{n}:0" for n in names], name="sound")
        for name, value in CHANGES[kind](dict(zip(names, found, strict=True))).items():
            tf.identity(value, name)
    made = graph.as_graph_def()
    edit.keep(made.node, lambda n: n.name != f"sound/{source.name}")  # which nothing reads any more
    target.write_bytes(made.SerializeToString())


def break_tflite(path: Path, target: Path, kind: str) -> None:
    """The same in the flatbuffer: operations put before the first or behind the last."""
    model = Flatbuffer(path.read_bytes())
    boxes, classes, scores, count = (int(i) for i in model.main.outputs)
    if kind == SOUND:
        for index in (boxes, classes, scores, count):
            model.put_behind(index, "MUL", np.float32(1))
    elif kind in (dropped := {"no boxes": boxes, "no scores": scores, "no count": count}):
        model.drop(dropped[kind])
    elif kind == "boxes renamed":
        model.rename(boxes, "boxes")
    elif kind == "classes as integers":
        model.put_behind(classes, "CAST", dtype="INT32")
    elif kind == "scores as float16":
        model.put_behind(scores, "CAST", dtype="FLOAT16")
    elif kind == "two pictures":
        for index in (boxes, classes, scores, count):
            model.double(index)
    elif kind == "all zero":
        for index in (boxes, classes, scores, count):
            model.put_behind(index, "MUL", np.float32(0))
    elif kind == "scores zero":
        model.put_behind(scores, "MUL", np.float32(0))
    elif kind == "x and y exchanged":
        model.put_behind(boxes, "GATHER", np.array([1, 0, 3, 2], np.int32), axis=-1)
    elif kind == "classes off by one":
        model.put_behind(classes, "ADD", np.float32(1))
    elif kind == "another picture's size":
        model.put_behind(boxes, "MUL", np.float32(0.5))
    elif kind == "another normalisation":
        model.normalize_otherwise()
    target.write_bytes(model.data())


# The schema's tables of options, by operation; a cast has none that is needed.
TABLES = {
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "GATHER": "GatherOptions",
    "CONCATENATION": "ConcatenationOptions",
    "SUM": "ReducerOptions",
}


class Flatbuffer:
    """A TFLite file being changed. Metadata behind the flatbuffer goes, which no test here looks at."""

    def __init__(self, data: bytes):
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.parsed = flatbuffer.parse(data)
        self.main = self.parsed.subgraphs[0]
        self.heads = [int(i) for i in self.main.operators[-1].inputs[:2]]  # of the detection op
        self.changed: list[int] = []  # tensors behind it

    def data(self) -> bytes:
        """With the heads read once more behind the changes, so that nothing takes their place in memory before."""
        for index in self.heads if self.changed else ():
            for changed in self.changed:
                shape = self.main.tensors[index].shape
                index = self.add("MUL", [index, self.total(changed)], shape)
        return flatbuffer.serialize(self.parsed)

    def total(self, index: int) -> int:
        """The sum of a tensor's numbers, float32 []."""
        shape = self.main.tensors[index].shape
        axes = self.constant(np.arange(len(shape), dtype=np.int32))
        return self.add("SUM", [self.add("CAST", [index], shape), axes], [])

    def entries(self, index):
        """Of the signature, those of an output."""
        return [e for e in self.parsed.signatureDefs[0].outputs if e.tensorIndex == index]

    def drop(self, index: int) -> None:
        self.main.outputs = np.array([i for i in self.main.outputs if i != index], np.int32)
        signature = self.parsed.signatureDefs[0]
        signature.outputs = [e for e in signature.outputs if e.tensorIndex != index]

    def rename(self, index: int, name: str) -> None:
        self.main.tensors[index].name = name
        for entry in self.entries(index):
            entry.name = name

    def replace(self, index: int, other: int) -> None:
        """Gives another tensor out in an output's place, under its names."""
        self.main.outputs = np.array([other if i == index else i for i in self.main.outputs], np.int32)
        old, new = self.main.tensors[index], self.main.tensors[other]
        new.name, old.name = old.name, f"{flatbuffer.text(old.name)}_sound"
        self.changed.append(other)
        for entry in self.entries(index):
            entry.tensorIndex = other

    def tensor(self, name: str, shape, dtype: str, data: bytes | None = None) -> int:
        buffer = 0
        if data is not None:
            self.parsed.buffers.append(flatbuffer.make(self.schema.BufferT, data=np.frombuffer(data, np.uint8)))
            buffer = len(self.parsed.buffers) - 1
        kind = getattr(self.schema.TensorType, dtype)
        how = {"name": name, "shape": np.array(shape, np.int32), "type": kind, "buffer": buffer, "hasRank": True}
        self.main.tensors.append(flatbuffer.make(self.schema.TensorT, **how))
        return len(self.main.tensors) - 1

    def constant(self, value) -> int:
        value = np.asarray(value)
        return self.tensor(f"constant_{len(self.main.tensors)}", value.shape, value.dtype.name.upper(), value.tobytes())

    def operation(self, name: str, inputs, output: int, options: Mapping[str, Any] = MappingProxyType({})):
        """An operation, not yet put anywhere. options: fields of the schema's table for it."""
        code = getattr(self.schema.BuiltinOperator, name)
        codes = {"builtinCode": code, "deprecatedBuiltinCode": min(code, 127), "version": 1}
        self.parsed.operatorCodes.append(flatbuffer.make(self.schema.OperatorCodeT, **codes))
        ends = {"inputs": np.array(inputs, np.int32), "outputs": np.array([output], np.int32)}
        made = flatbuffer.make(self.schema.OperatorT, opcodeIndex=len(self.parsed.operatorCodes) - 1, **ends)
        if table := TABLES.get(name):
            made.builtinOptions = flatbuffer.make(getattr(self.schema, f"{table}T"), **options)
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, table)
        return made

    def add(self, name: str, inputs, shape, dtype: str = "FLOAT32", **options) -> int:
        """The output of an operation behind all others."""
        out = self.tensor(f"{name}_{len(self.main.tensors)}", shape, dtype)
        self.main.operators.append(self.operation(name, inputs, out, options))
        return out

    def put_behind(self, index: int, name: str, value=None, dtype: str = "FLOAT32", **options) -> None:
        """An operation of an output, and of a constant where there is a value; it is the output then."""
        inputs = [index] if value is None else [index, self.constant(value)]
        self.replace(index, self.add(name, inputs, self.main.tensors[index].shape, dtype, **options))

    def double(self, index: int) -> None:
        """An output twice, along the first axis."""
        first, *rest = self.main.tensors[index].shape
        self.replace(index, self.add("CONCATENATION", [index, index], [2 * first, *rest], axis=0))

    def normalize_otherwise(self) -> None:
        """The input as a network of [-1, 1] sees it where it is fed [0, 1]."""
        (index,) = (int(i) for i in self.main.inputs)
        tensor = self.main.tensors[index]
        half = self.tensor("half", tensor.shape, "FLOAT32")
        moved = self.tensor("moved", tensor.shape, "FLOAT32")
        for op in self.main.operators:
            op.inputs = np.array([moved if i == index else i for i in op.inputs], np.int32)
        self.main.operators[:0] = [
            self.operation("MUL", [index, self.constant(np.float32(0.5))], half),
            self.operation("ADD", [half, self.constant(np.float32(0.5))], moved),
        ]


BREAKERS = {"saved_model": break_saved_model, "frozen_graph": break_frozen_graph, "tflite": break_tflite}

# A TFLite file shows no raw heads among its outputs.
KINDS = [
    (kind, which)
    for which in FORMATS
    for kind in CHANGES
    if kind != SOUND and (which != "tflite" or "raw head" not in kind)
]
