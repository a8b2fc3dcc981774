"""What a file is, whatever it is called."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from visionport.filetypes import kind_of_bytes, kind_of_file


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return data.getvalue()


def picture(kind: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (3, 3)).save(data, kind)
    return data.getvalue()


def array() -> bytes:
    data = io.BytesIO()
    np.save(data, np.zeros(3))
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (zipped("model/data.pkl", "model/byteorder"), "a PyTorch file"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02ctorch._utils\n", "a PyTorch file"),
        (zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "a Keras file (HDF5)"),
        (zipped("notes.txt"), "an archive"),
        (b"\x1f\x8b\x08" + bytes(20), "an archive"),
        (zipped("image.npy"), "a NumPy archive"),
        (array(), "a NumPy array"),
        *((picture(kind), "a picture") for kind in ("JPEG", "PNG", "GIF", "TIFF", "WEBP")),
        (b"\x1c\0\0\0TFL3", "a TFLite file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\n<!doctype html>", "a web page (HTML)"),
        (b"model { ssd { } }", ""),
        (b"", ""),
    ],
)
def test_by_bytes(data, kind):
    assert kind_of_bytes(data) == kind


def test_by_name_where_bytes_do_not_tell(tmp_path):
    for name, kind in {
        "a.onnx": "an ONNX model",
        "b.pt": "a PyTorch file",
        "c.bin": "",
        "d.tar.gz": "an archive",
    }.items():
        (tmp_path / name).write_bytes(b"x")
        assert kind_of_file(tmp_path / name) == kind
    assert kind_of_file(tmp_path) == kind_of_file(tmp_path / "absent.pt") == ""
