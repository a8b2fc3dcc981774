"""Arrays of .npy and .npz: headers that lie, objects, archives that unfold."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from visionport import limits
from visionport.errors import InputError, OptionError
from visionport.graph.decide import parse_constants
from visionport.inputs import side_inputs
from visionport.inputs.arrays import read_array, read_arrays
from visionport.tasks.video import clips

SIDES = (side_inputs.parse("a:float32:1,-1"),)


def npy(header: str, data: bytes = bytes(64), version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(header) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + b"\n" + data


def said(shape, descr="'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def test_what_is_sound(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((1, 5000), np.float32))
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), values)
    np.testing.assert_array_equal(parse_constants([f"x=@{tmp_path / 'a.npy'}"])["x"], values)
    assert side_inputs.read(tmp_path / "a.npz", SIDES)["a"].shape == (1, 5000)
    (tmp_path / "v2.npy").write_bytes(npy(said((4, 2)), bytes(32), version=2))
    assert read_array(tmp_path / "v2.npy").shape == (4, 2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "array|header|magic|empty|reading"),
        (npy(said((1 << 20, 1 << 20))), "takes 4,398,046,511,104 bytes; at most 4,294,967,296 are read"),
        (npy(said((1 << 62, 1 << 62))), "at most 4,294,967,296 are read"),
        (npy(said((100, 100))), r"is cut short: its shape \[100, 100\] takes 40,000 bytes"),
        (npy(said((1,), "'|O'")), "Python objects or records"),
        (npy(said((1,), "[('a', '<f4'), ('b', '|O')]")), "Python objects or records"),
        (npy("__import__('os').mkdir('ran')"), "array|header|malformed"),
        (npy("{" + "(" * 9000 + "}"), "."),
        (npy(said((-1, 3))), "."),
        (npy(said("(3, 'x')")), "."),
        (b"PK\3\4" + bytes(99), "zip"),
        (b"\x80\x04\x95" + bytes(40), "."),  # a pickle
    ],
)
def test_what_is_damaged_or_lies(tmp_path, data, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "a.npz"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=words):
            read_arrays(tmp_path / name)
        with pytest.raises(OptionError, match="--set x="):
            parse_constants([f"x=@{tmp_path / name}"])
        with pytest.raises(InputError, match=r"a\.np"):
            side_inputs.read(tmp_path / name, SIDES)
        with pytest.raises(InputError, match=r"a\.np"):
            clips.read_array(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["a.npy", "a.npz"]


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def test_archives_that_unfold(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    path.write_bytes(packed({"a.npy": npy(said((1 << 19,)), bytes(1 << 21))}))
    assert path.stat().st_size < 1 << 13
    assert read_arrays(path)["a"].shape == (1 << 19,)
    monkeypatch.setattr(limits, "ARRAY_BYTES", 1 << 21)
    with pytest.raises(ValueError, match="1 arrays unpack to 2,097,2"):
        read_arrays(path)
    path.write_bytes(packed({"a.npy": npy(said((1 << 30,)))}))
    with pytest.raises(ValueError, match="at most 2,097,152 are read"):
        read_arrays(path)


def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(InputError, match="is a pipe"):
        parse_constants([f"x=@{tmp_path / 'a.npy'}"])
