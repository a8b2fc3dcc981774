"""Pictures as people have them: turned, of 16 bits, empty, of other kinds, too large."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionport.errors import InputError
from visionport.inputs import pictures

RANDOM = np.random.default_rng(5)
SMALL = RANDOM.integers(0, 256, (4, 6, 3), np.uint8)

# EXIF orientation -> the picture as it is to be seen, of the pixels as they lie in the file (EXIF 2.3, tag 0x0112)
SEEN = {
    1: SMALL,
    2: SMALL[:, ::-1],
    3: SMALL[::-1, ::-1],
    4: SMALL[::-1],
    5: SMALL.transpose(1, 0, 2),
    6: np.rot90(SMALL, -1),
    7: SMALL[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(SMALL, 1),
}


@pytest.mark.parametrize("orientation", SEEN)
def test_exif(tmp_path, orientation):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = orientation
    Image.fromarray(SMALL).save(tmp_path / "p.png", exif=exif)
    np.testing.assert_array_equal(pictures.read(tmp_path / "p.png"), SEEN[orientation])
    np.testing.assert_array_equal(pictures.read(tmp_path / "p.png", exif=False), SMALL)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_gray_of_16_bits_is_scaled(tmp_path, suffix):
    """As TensorFlow's decoder does, which drops the low byte."""
    gray = RANDOM.integers(0, 1 << 16, (5, 7)).astype(np.uint16)
    Image.fromarray(gray).save(tmp_path / f"p.{suffix}")
    found = pictures.read(tmp_path / f"p.{suffix}")
    np.testing.assert_array_equal(found, np.repeat((gray >> 8).astype(np.uint8)[..., None], 3, 2))
    if suffix == "png":
        import tensorflow as tf

        decoded = tf.io.decode_image((tmp_path / "p.png").read_bytes(), channels=3).numpy()
        np.testing.assert_array_equal(found, decoded)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jpg", b"", "is empty (0 bytes)"),
        ("a.jpg", b"\0\0\0\x18ftypheic" + bytes(99), "HEIC picture, which is not read here: convert it to JPEG"),
        ("a.jpg", b"<!DOCTYPE html><html></html>", "It is a web page (HTML)"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid", "It is a Git LFS pointer"),
        ("a.jpg", b"\xff\xd8\xff" + bytes(9), "not an image that can be read (JPEG, PNG"),
    ],
)
def test_what_is_no_picture(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r".+") as error:
        pictures.read(tmp_path / name)
    assert words in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def test_32_bits(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match="pixels of 32 bits"):
        pictures.read(tmp_path / "f.tif")


def test_a_bomb_names_its_size_and_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("RGB", (50, 60)).save(tmp_path / "large.png")
    with pytest.raises(InputError, match=r"large\.png has 3,000 pixels, and at most 2,000 are read: make it smaller"):
        pictures.read(tmp_path / "large.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "fits.png")
    assert pictures.read(tmp_path / "fits.png").shape == (40, 40, 3)  # which Pillow only warns of


def test_folders_and_patterns(tmp_path):
    names = ["b.jpg", "a.PNG", "notes.txt", "below/c.jpeg"]
    (tmp_path / "below").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"x")

    def found(path: str) -> list[str]:
        return [str(p.relative_to(tmp_path)) for p in pictures.found_at(tmp_path / path)]

    assert found(".") == ["a.PNG", "b.jpg", "below/c.jpeg"]
    assert found("*.jpg") == ["b.jpg"]
    assert found("**/*.jp*g") == ["b.jpg", "below/c.jpeg"]
    assert found("absent.jpg") == ["absent.jpg"]  # reading it tells
    (tmp_path / "[1].jpg").write_bytes(b"x")
    assert pictures.found_at(Path(tmp_path / "[1].jpg")) == [tmp_path / "[1].jpg"]
    for path, words in (("*.gif", "no file has such a name"), ("none", "no pictures")):
        (tmp_path / "none").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=words):
            pictures.found_at(tmp_path / path)
