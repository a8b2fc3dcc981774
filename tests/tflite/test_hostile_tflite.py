"""TFLite files of strangers: what is damaged, or made to take all memory, is refused with a sentence, in time."""

import contextlib
import inspect
import io
import itertools
import re
import zipfile
from collections.abc import Callable
from types import SimpleNamespace as Op
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite_files
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from places import SHARED
from tflite_files import operation, tensor

from visionport import limits
from visionport.errors import ArtifactError, InputError, VisionportError
from visionport.inputs import preprocessing
from visionport.tflite import checks, flexbuffer, packed, trial, verifier
from visionport.tflite.contents import custom_attributes
from visionport.tflite.delegates import judge
from visionport.tflite.description import describe_tflite
from visionport.tflite.flatbuffer import add_metadata, make, parse, serialize
from visionport.tflite.mend import MendRequest, mend_file
from visionport.tflite.preprocessing import NAME, read

NETWORK, LOOP, DETECTOR = tflite_files.network(), tflite_files.loop(), tflite_files.detector()
HOSTILE = SHARED / "cases" / "hostile" / "tfl"


def mutable(data: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))


# ---------------------------------------------------------------- the flatbuffer


WIDTHS = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int16": 2, "Uint16": 2, "Int32": 4, "Uint32": 4, "Float32": 4}
WIDTHS |= {"Int64": 8, "Uint64": 8, "Float64": 8}
ACCESSOR = re.compile(
    r"    def (\w+)\(self(, j)?\):\n"
    r"        o = flatbuffers\.number_types\.UOffsetTFlags\.py_type\(self\._tab\.Offset\((\d+)\)\)\n"
    r"((?:        .*\n)+)"
)


def generated_tables() -> dict[str, dict[int, str]]:
    """Table -> slot -> kind, as the verifier writes it, by the generated code's own text."""
    parts = re.split(r"^class (\w+)\(object\):", inspect.getsource(schema), flags=re.M)
    sources = dict(zip(parts[1::2], parts[2::2], strict=True))
    found: dict[str, dict[int, str]] = {}
    for table, text in sources.items():
        for name, vector, offset, body in ACCESSOR.findall(text):
            if name.endswith(("AsNumpy", "Length", "IsNone")):
                continue
            number = re.search(r"Get\(flatbuffers\.number_types\.(\w+)Flags", body)
            made = re.search(r"obj = (\w+)\(\)", body)
            kind = "text" if "_tab.String" in body else "union" if "_tab.Union" in body else ""
            kind = kind or (made[1] if made else str(WIDTHS[number[1]]) if number else "")
            found.setdefault(table, {})[(int(offset) - 4) // 2] = f"[{kind}]" if vector else kind
    return found


def test_the_verifier_knows_each_table_of_the_installed_schema():
    checked = 0
    for table, generated in generated_tables().items():
        own = dict(enumerate(kind for _, kind in verifier.fields_of(table)))
        if any(not kind.isdecimal() for kind in generated.values()):
            assert generated == {i: own.get(i) for i in generated}, table
            checked += 1
    assert checked >= 40


@pytest.mark.parametrize("data", [NETWORK, LOOP, DETECTOR], ids=["network", "loop", "detector"])
def test_what_is_cut_short_is_refused(data):
    described = len(parse(data).subgraphs)
    assert described
    model = packed.cut_packed(data)
    for length in (*range(0, len(model) - 64, 41), len(model) // 2):
        with pytest.raises(ArtifactError):
            parse(model[:length])


@pytest.mark.parametrize(
    ("at", "number", "words"),
    [
        (0, 1 << 30, "Model is damaged or cut short"),
        (0, (1 << 32) - 4, "Model is damaged or cut short"),
    ],
)
def test_offsets_that_lead_outside(at, number, words):
    data = NETWORK[:at] + number.to_bytes(4, "little") + NETWORK[at + 4 :]
    with pytest.raises(ArtifactError, match=words):
        parse(data)


def shared(count: int, text: bytes = b"graph") -> bytes:
    """A model of `count` graphs that are one and the same, with a name."""
    b = flatbuffers.Builder(0)
    name = b.CreateString(text)
    schema.SubGraphStart(b)
    schema.SubGraphAddName(b, name)
    graph = schema.SubGraphEnd(b)
    schema.ModelStartSubgraphsVector(b, count)
    for _ in range(count):
        b.PrependUOffsetTRelative(graph)
    graphs = b.EndVector()
    schema.BufferStart(b)
    empty = schema.BufferEnd(b)
    schema.ModelStartBuffersVector(b, 1)
    b.PrependUOffsetTRelative(empty)
    buffers = b.EndVector()
    schema.ModelStart(b)
    schema.ModelAddVersion(b, 3)
    schema.ModelAddSubgraphs(b, graphs)
    schema.ModelAddBuffers(b, buffers)
    b.Finish(schema.ModelEnd(b), file_identifier=b"TFL3")
    return bytes(b.Output())


def test_parts_that_are_shared_count_as_often_as_they_are_read():
    assert len(parse(shared(9)).subgraphs) == 9
    with pytest.raises(ArtifactError, match=f"over {limits.TFLITE_TABLES:,} tables"):
        parse(shared(limits.TFLITE_TABLES))
    with pytest.raises(ArtifactError, match=f"over {limits.TFLITE_TEXT:,} bytes of names"):
        parse(shared(5000, b"x" * 10_000))


def test_numbers_that_are_shared(monkeypatch):
    monkeypatch.setattr(limits, "TFLITE_NUMBERS", 30)
    with pytest.raises(ArtifactError, match="over 30 numbers"):
        parse(NETWORK)


# ---------------------------------------------------------------- what does not fit


def first(parsed, name: str = "tensors"):
    return getattr(parsed.subgraphs[0], name)[0]


def changes() -> dict[str, Callable]:
    def set_on(part: Callable, **values):
        def change(parsed):
            for name, value in values.items():
                setattr(part(parsed), name, value)

        return change

    def main(parsed):
        return parsed.subgraphs[0]

    def weights(parsed):
        return main(parsed).tensors[1]

    def scales(parsed):
        return weights(parsed).quantization

    def conv(parsed):
        return first(parsed, "operators")

    def signature(parsed):
        return parsed.signatureDefs[0]

    far = np.array([0, 99], np.int32)
    return {
        "there are 7": set_on(conv, inputs=far),
        "graph 0: its inputs names the tensor 99": set_on(main, inputs=far),
        "graph 0: its outputs names the tensor -1": set_on(main, outputs=np.array([-1], np.int32)),
        "names the tensor -2": set_on(conv, outputs=np.array([-2], np.int32)),
        "the kind of operation 9": set_on(conv, opcodeIndex=9),
        "the buffer 77, and there are": set_on(weights, buffer=77),
        "the metadata 'TFLITE_METADATA' names the buffer 50": lambda p: setattr(p.metadata[0], "buffer", 50),
        "the signature 'serving_default' names the graph 3": set_on(signature, subgraphIndex=3),
        "the tensor 4000000000": lambda p: setattr(signature(p).outputs[0], "tensorIndex", 4_000_000_000),
        "which none can have": set_on(weights, shape=np.array([4, 3, 3, -3], np.int32)),
        r"has the shape \[1, 1": set_on(weights, shape=np.ones(99, np.int32)),
        "two shapes that do not fit": set_on(weights, shapeSignature=np.array([-1], np.int32)),
        "has 108 bytes, and its shape": set_on(weights, shape=np.array([4, 3, 3, 1000], np.int32)),
        "a scale that is no number": set_on(scales, scale=[float("nan")] * 4),
        "4 scales and 2 zero points": set_on(scales, zeroPoint=[0, 0]),
        "scales along axis 4": set_on(scales, quantizedDimension=4),
        "at most 4,294,967,296 are run": set_on(first, shape=np.full(4, 1 << 12, np.int32)),
        "is no text in UTF-8": set_on(first, name=b"\xff\xfe"),
    }


@pytest.mark.parametrize("words", changes())
def test_what_does_not_fit(words, tmp_path):
    parsed = mutable(packed.cut_packed(NETWORK))
    changes()[words](parsed)
    data = serialize(parsed)
    with pytest.raises(ArtifactError, match=words) as error:
        parse(data)
    (tmp_path / "m.tflite").write_bytes(data)
    with pytest.raises(InputError, match=re.escape(str(error.value)[:40])):
        describe_tflite(tmp_path / "m.tflite")
    with pytest.raises(ArtifactError):
        mend_file(data, MendRequest())


@pytest.mark.parametrize(("body", "words"), [(7, "the graph 7, and there are 3"), (0, r"the graphs \[0\] call each")])
def test_graphs_that_are_called(body, words):
    parsed = mutable(LOOP)
    first(parsed, "operators").builtinOptions.bodySubgraphIndex = body
    with pytest.raises(ArtifactError, match=words):
        parse(serialize(parsed))


def test_tensors_that_are_left_out_are_sound(tmp_path):
    """-1 stands for none; weights may be in a buffer of their own, open sizes in the signature of the shape."""
    parsed = mutable(packed.cut_packed(NETWORK))
    first(parsed, "operators").inputs = np.array([0, 1, -1], np.int32)
    first(parsed).shapeSignature = np.array([-1, 8, 8, 3], np.int32)
    (tmp_path / "m.tflite").write_bytes(serialize(parsed))
    found = describe_tflite(tmp_path / "m.tflite")
    assert found["inputs"][0]["shape"] == [-1, 8, 8, 3]
    assert found["ops"] == {"CONV_2D": 1, "MEAN": 1, "SOFTMAX": 1}


# ---------------------------------------------------------------- what is packed behind it


def behind(files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO(packed.cut_packed(NETWORK))
    with zipfile.ZipFile(stream, "a", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def test_labels_that_are_sound():
    assert packed.labels_of(behind({"a.bin": b"\0", "labels.txt": "é\nb\n".encode()})) == ["é", "b"]
    assert packed.labels_of(NETWORK) == ["a", "b", "c", "d"]
    assert packed.labels_of(packed.cut_packed(NETWORK)) == packed.packed_files(packed.cut_packed(NETWORK)) == []


@pytest.mark.parametrize("name", ["../x.txt", "/etc/x.txt", "a/../../x.txt", "C:\\x.txt", "..\\x.txt", "a/.."])
def test_names_that_lead_out(name):
    with pytest.raises(ArtifactError, match="leads out of any folder"):
        packed.packed_files(behind({name: b"x"}))


def test_an_archive_that_unfolds(monkeypatch):
    data = behind({"labels.txt": bytes(limits.PACKED_TEXT + 1)})
    assert len(data) < limits.PACKED_TEXT // 100
    with pytest.raises(ArtifactError, match="unpacks to 16,777,217 bytes; at most 16,777,216 are read"):
        packed.labels_of(data)
    # One that says less than it holds.
    liar = data.replace((limits.PACKED_TEXT + 1).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    with pytest.raises(ArtifactError, match="is damaged"):
        packed.labels_of(liar)
    monkeypatch.setattr(limits, "PACKED_FILES", 5)
    with pytest.raises(ArtifactError, match="6 files are packed behind it; at most 5"):
        packed.packed_files(behind({f"{i}.bin": b"" for i in range(6)}))


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [(6, b"\x01\x00", "is encrypted"), (8, b"\x63\x00", "is damaged"), (14, b"\1\2\3\4", "Bad CRC-32")],
)
def test_an_archive_that_is_damaged(at, value, words):
    """at: in the local header; the central one says the same two bytes further."""
    data = bytearray(behind({"labels.txt": b"a\nb\n" * 99}))
    for mark, more in ((b"PK\3\4", 0), (b"PK\1\2", 2)):
        start = data.rindex(mark) + at + more
        data[start : start + len(value)] = value
    with pytest.raises(ArtifactError, match=words):
        packed.labels_of(bytes(data))


def test_names_that_are_there_twice():
    stream = io.BytesIO(NETWORK)
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("labels.txt", "other\n")
    with pytest.raises(ArtifactError, match=r"two files packed behind it are called 'labels\.txt'"):
        packed.labels_of(stream.getvalue())


# ---------------------------------------------------------------- flexbuffers


def test_options_of_custom_operations():
    values = {"a": 1, "b": 0.25, "c": True}
    assert flexbuffer.read_map(flexbuffer.write_map(values)) == values
    nested = {"k": [1, "x", {"y": [0.5, None]}], "v": [1, 2, 3], "t": b"12"}
    assert flexbuffer.read_map(bytes(flexbuffers.Dumps(nested))) == nested


def deep(levels: int) -> bytes:
    value: dict = {}
    for _ in range(levels):
        value = {"k": value}
    return bytes(flexbuffers.Dumps(value))


def doubling(levels: int) -> bytes:
    """{"k": a vector that holds a vector twice, which holds another twice, and so on}: 2^levels values."""
    vector = flexbuffers.Type.Pack(flexbuffers.Type.VECTOR, flexbuffers.BitWidth.W8)
    data = bytearray(b"\x01\x07") + bytes([flexbuffers.Type.Pack(flexbuffers.Type.UINT, flexbuffers.BitWidth.W8)])
    start = 1
    for _ in range(levels):
        data.append(2)
        here = len(data)
        data += bytes([here - start, here + 1 - start, vector, vector])
        start = here
    key = len(data)
    data += b"k\0\x01"
    keys = len(data)
    data += bytes([keys - key])
    data += bytes([len(data) - keys, 1, 1])  # where the keys are, their width, and how many values there are
    at = len(data)
    data += bytes([at - start, vector])
    data += bytes([len(data) - at, flexbuffers.Type.Pack(flexbuffers.Type.MAP, flexbuffers.BitWidth.W8), 1])
    return bytes(data)


def test_options_that_unfold():
    assert flexbuffer.read_map(doubling(2)) == {"k": [[[7]] * 2] * 2}
    for data in (deep(limits.FLEXBUFFER_DEPTH + 2), doubling(25), b"\xff" * 40, bytes(limits.FLEXBUFFER_BYTES + 1)):
        assert flexbuffer.read_map(data) is None
        assert custom_attributes(np.frombuffer(data, np.uint8)) == {"bytes": len(data)}


# ---------------------------------------------------------------- run in a process of its own


def test_files_that_are_sound_are_tried_once(monkeypatch):
    for data in (NETWORK, DETECTOR):
        trial.try_file(data, "m.tflite")
    monkeypatch.setattr(trial.subprocess, "run", lambda *_, **__: pytest.fail("tried again"))
    trial.try_file(DETECTOR, "m.tflite")
    trial.trust(LOOP)
    trial.try_file(LOOP, "m.tflite")


def test_a_loop_without_an_end(monkeypatch):
    parsed = mutable(LOOP)
    parsed.buffers[1].data = np.frombuffer(np.array([1 << 30], np.int32).tobytes(), np.uint8)
    monkeypatch.setattr(limits, "TRIAL_SECONDS", 1)
    with pytest.raises(ArtifactError, match="takes more than 1 seconds for its first call"):
        trial.try_file(serialize(parsed), "endless.tflite")


def test_a_file_that_takes_all_memory():
    t = schema.TensorType
    data = serialize(
        tflite_files.model(
            [tensor("dims", (2,), t.INT32, 1), tensor("x", (1,), t.FLOAT32), tensor("out", (), t.FLOAT32)],
            [operation(0, (0, 1), (2,))],
            [tflite_files.code("FILL")],
            (1,),
            (2,),
            [np.array([1 << 20, 1 << 20], np.int32)],
        )
    )
    with pytest.raises(ArtifactError, match=r"large\.tflite: LiteRT (crashes on|takes more|does not take)"):
        trial.try_file(data, "large.tflite")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.abort()", "LiteRT crashes on it .Aborted"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "LiteRT crashes on it .Segmentation fault"),
        ("raise SystemExit(12)", "bytes of memory"),
    ],
)
def test_a_process_that_dies(monkeypatch, program, words):
    monkeypatch.setattr(trial, "__name__", "nothing")
    real = trial.subprocess.run

    def run(command, **options):
        assert command[1:3] == ["-I", "-c"]
        return real([*command[:3], program, *command[4:]], **options)

    monkeypatch.setattr(trial.subprocess, "run", run)
    with pytest.raises(ArtifactError, match=words):
        trial.try_file(serialize(mutable(packed.cut_packed(NETWORK))) + program.encode(), "m.tflite")


def test_kernels_that_die_of_being_asked():
    """One of LiteRT's own reads inputs that are not there."""
    assert isinstance(checks.is_known_op("odml.scaled_dot_product_attention"), bool)  # and this process lives
    assert checks.is_known_op("Mfcc")
    assert not checks.is_known_op("NoSuchOp")
    parsed = mutable(packed.cut_packed(NETWORK))
    custom = schema.BuiltinOperator.CUSTOM
    name = b"odml.scaled_dot_product_attention"
    parsed.operatorCodes[2] = make(
        schema.OperatorCodeT, builtinCode=custom, deprecatedBuiltinCode=custom, customCode=name
    )
    with pytest.raises(ArtifactError, match=r"LiteRT (crashes|does not)"):
        trial.try_file(serialize(parsed), "m.tflite")


# ---------------------------------------------------------------- what it says of its pictures


DESCRIPTION = {"resizer": "FixedShape", "height": 4, "width": 4, "method": "bilinear", "grayscale": False}
DESCRIPTION |= {"mean": [0, 0, 0], "std": [1, 1, 1]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"height": 1 << 40}, "height is 1099511627776, which it cannot be"),
        ({"height": -4}, "height is -4"),
        ({"height": True}, "height is True"),
        ({"height": "4"}, "height is '4'"),
        ({"height": 1 << 16, "width": 1 << 16}, "pictures of 4,294,967,296 pixels"),
        ({"std": [1, 0, 1]}, "std is"),
        ({"std": [1, float("nan"), 1]}, "std is"),
        ({"mean": [0]}, "no mean and std of three channels"),
        ({"mean": {"a": 1}}, "no mean and std of three channels"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"resizer": "os.system"}, "cannot be read"),
        ({"resizer": ["FixedShape"]}, "cannot be read"),
        ({"more": 1}, "cannot be read"),
        ({"pad_value": 1}, "cannot be read"),
    ],
)
def test_what_a_file_says_of_its_pictures(change, words, tmp_path):
    import json

    parsed = mutable(packed.cut_packed(DETECTOR))
    add_metadata(parsed, NAME, json.dumps(DESCRIPTION | change).encode())
    (tmp_path / "m.tflite").write_bytes(serialize(parsed))
    if not words:
        assert read(tmp_path / "m.tflite")[0] == DESCRIPTION
        return
    with pytest.raises(InputError, match=words):
        read(tmp_path / "m.tflite")


@pytest.mark.parametrize("said", [b"", b"{", b"[" * 100_000, b"9" * 9999, b"null", b"[]", b'"x"', b"\xff"])
def test_what_is_no_description(said, tmp_path):
    parsed = mutable(packed.cut_packed(DETECTOR))
    add_metadata(parsed, NAME, said)
    (tmp_path / "m.tflite").write_bytes(serialize(parsed))
    with pytest.raises(InputError, match=r"m\.tflite"):
        read(tmp_path / "m.tflite")


def test_descriptions_of_ours_are_sound():
    from visionport import config

    normal = config.Normalization(mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 3.0), bgr=True)
    for resizer in (
        config.KeepAspectRatio(min_dimension=600, max_dimension=1024, pad_to_max=True),
        config.ConditionalShape(condition="greater", threshold=100),
        config.PadToMultiple(multiple=32),
        config.Identity(),
        config.CropAndResize(height=224, width=224, crop=None),
        config.FitAndPad(height=512, width=512, multiple=32),
        config.MiddleClip(frames=16, temporal_stride=2, short_side=256, side=224),
    ):
        preprocessing.check(preprocessing.describe(resizer, normal))


# ---------------------------------------------------------------- what delegates take


def test_pieces_of_many_operations():
    """A chain of 100,000 in time; what waits for itself is left."""
    tensors = [Op() for _ in range(100_001)]
    chain = [Op(inputs=[a], outputs=[b]) for a, b in itertools.pairwise(tensors)]
    found = judge.pieces(chain, [i % 3 > 0 for i in range(len(chain))])
    assert len(found) == 33_333
    assert found[0] == [1, 2]
    chain[0].inputs = [tensors[-1]]
    assert judge.pieces(chain, [True] * len(chain)) == []


@pytest.mark.skipif(not HOSTILE.exists(), reason="needs ../shared")
def test_files_that_were_made_to_break():
    for path in sorted(HOSTILE.iterdir()):
        for way in (lambda p: describe_tflite(p), lambda p: mend_file(p.read_bytes(), MendRequest()), read):
            with contextlib.suppress(VisionportError):  # nothing else may come
                way(path)
