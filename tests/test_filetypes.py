"""What a file is, whatever it is called."""

import io
import os
import re
import socket
import zipfile

import numpy as np
import pytest
from PIL import Image

from visionport.errors import ConfigError, InputError
from visionport.filetypes import check_file, kind_of_bytes, kind_of_file, open_file, read_file


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


@pytest.fixture
def special(tmp_path):
    """A pipe, a socket, a device, and a link to the pipe: path -> what it is."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    here = os.getcwd()
    os.chdir(tmp_path)  # a socket's name has at most 100 characters
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
    os.chdir(here)
    names = {"pipe": "a pipe", "link": "a pipe", "socket": "a socket"}
    return {tmp_path / name: what for name, what in names.items()} | {os.devnull: "a device"}


def test_what_is_no_file_is_refused_at_once(special):
    for path, what in special.items():
        for read in (check_file, open_file, read_file):
            with pytest.raises(InputError, match=re.escape(f"{path} is {what}, and a file is wanted")):
                read(path)


def test_files_are_read_whole(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    check_file(path)
    check_file(tmp_path)
    check_file(tmp_path / "absent")
    check_file("nul\0name")
    assert read_file(path) == read_file(path, limit=5) == b"12345"
    with pytest.raises(ConfigError, match=r"a has 5 bytes; at most 4 are read"):
        read_file(path, limit=4, error=ConfigError)
    with pytest.raises(InputError, match="is a folder, and a file is wanted"):
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "absent")
    with open_file(path) as file:
        assert os.get_blocking(file.fileno())
