"""Pictures of strangers: bombs, formats that run programs, damaged ones, and those too narrow for a model."""

import io
import logging
import os
import tracemalloc
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile
from places import SHARED

from visionport import config, limits
from visionport.errors import InputError, VisionportError
from visionport.inputs import pictures, preprocessing
from visionport.tasks.video import clips

RANDOM = np.random.default_rng(3)
PIXELS = np.kron(RANDOM.integers(0, 256, (6, 8, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
HOSTILE = SHARED / "cases" / "hostile" / "img"


def saved(kind: str, image=None, **options) -> bytes:
    data = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(data, kind, **options)
    return data.getvalue()


def read(tmp_path, data: bytes, name: str = "p.jpg") -> np.ndarray:
    (tmp_path / name).write_bytes(data)
    return pictures.read(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "1"])
def test_formats_and_modes_that_are_read(tmp_path, kind, mode):
    """By what they hold, whatever they are called."""
    image = Image.fromarray(PIXELS).convert(mode)
    try:
        data = saved(kind, image)
    except (OSError, ValueError):  # the format has no such mode
        pytest.skip(f"no {mode} in {kind}")
    found = read(tmp_path, data, "p.png")
    assert found.shape == PIXELS.shape
    if kind not in ("JPEG", "WEBP", "GIF"):
        np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\n%%EOF\n",
        b"%PDF-1.4\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"P6 2 2 255\n" + bytes(12),
        saved("TGA"),
        saved("PCX"),
        saved("ICO"),
        saved("DDS"),
        saved("SGI"),
        saved("JPEG2000"),
    ],
    ids=["eps", "pdf", "svg", "ppm", "tga", "pcx", "ico", "dds", "sgi", "jpeg2000"],
)
def test_other_formats_are_never_opened(tmp_path, monkeypatch, data):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("runs a program"))
    with pytest.raises(InputError, match="is not an image that can be read"):
        read(tmp_path, data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_what_is_cut_short(tmp_path, kind):
    data = saved(kind)
    for length in range(1, len(data) - 40, len(data) // 12):
        with pytest.raises(InputError, match=r"p\.jpg"):
            read(tmp_path, data[:length])


def test_nothing_is_said_of_a_picture_that_is_read(tmp_path, capfd):
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    odd = saved("TIFF", exif=exif).replace(b"\x12\x01", b"\x12\x99")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for data in (odd, saved("PNG", Image.fromarray(PIXELS).convert("P"), transparency=b"\1\2")):
            try:
                read(tmp_path, data)
            except InputError:
                continue
    logging.getLogger("PIL.TiffImagePlugin").warning("something")
    assert not [w for w in told if "PIL" in w.filename]
    assert capfd.readouterr().err == ""


def test_a_chunk_that_says_it_is_long_takes_no_memory(tmp_path):
    data = bytearray(saved("PNG"))
    at = data.index(b"IDAT") - 4
    data[at] = 0xFF  # 4 GB
    tracemalloc.start()
    try:
        read(tmp_path, bytes(data))
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_animations_of_huge_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "FRAME_PIXELS", 700)
    for kind in ("GIF", "WEBP", "PNG"):
        data = saved(kind, save_all=True, append_images=[Image.fromarray(255 - PIXELS)])
        with pytest.raises(InputError, match=r"p\.jpg has 768 pixels, and at most 700 are read"):
            read(tmp_path, data)
    assert read(tmp_path, saved("PNG")).shape == PIXELS.shape


def test_damaged_exif_does_not_hide_damaged_pixels(tmp_path):
    data = bytearray(saved("PNG"))
    at = data.index(b"IDAT") + 30
    data[at : at + 8] = b"\xff" * 8
    with pytest.raises(InputError, match="the image cannot be read"):
        read(tmp_path, bytes(data), "p.png")


def test_pixels_are_counted_first(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "PICTURE_PIXELS", 700)
    for kind in ("PNG", "GIF", "TIFF", "WEBP", "BMP", "JPEG"):
        data = saved(kind)
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decodes it"))
        with pytest.raises(InputError, match=r"p\.jpg has 768 pixels, and at most 700 are read: make it smaller"):
            read(tmp_path, data)
        monkeypatch.undo()
        monkeypatch.setattr(limits, "PICTURE_PIXELS", 700)


def test_a_jpeg_of_many_scans(tmp_path, monkeypatch):
    data = saved("JPEG", progressive=True)
    scans = pictures.count_scans(data)
    assert scans == data.count(b"\xff\xda") == 10
    assert pictures.count_scans(saved("JPEG")) == 1
    assert pictures.count_scans(data + b"\xff\xda" * 99) == scans  # what lies behind the picture is none of it
    assert read(tmp_path, data).shape == PIXELS.shape
    monkeypatch.setattr(limits, "JPEG_PIXELS", 768 * 9)
    with pytest.raises(InputError, match="is a JPEG of 10 scans, which takes too long"):
        read(tmp_path, data)


def test_clips_are_bounded(tmp_path, monkeypatch):
    frames = [Image.fromarray(np.rot90(PIXELS, 2 * i).copy()) for i in range(4)]
    (tmp_path / "c.gif").write_bytes(saved("GIF", save_all=True, append_images=frames))
    count = len(clips.read(tmp_path / "c.gif"))
    assert count > 2
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(frames):
        frame.save(folder / f"{i}.png")
    assert clips.read(folder).shape == (4, 24, 32, 3)
    monkeypatch.setattr(limits, "CLIP_PIXELS", 2 * 768)
    for path in (tmp_path / "c.gif", folder):
        with pytest.raises(InputError, match="has over 1,536 pixels in its first 3 frames"):
            clips.read(path)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "p.jpg")
    with pytest.raises(InputError, match="is a pipe"):
        pictures.read(tmp_path / "p.jpg")
    with pytest.raises(InputError, match="no such image"):
        pictures.read(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="is a directory"):
        pictures.read(tmp_path)
    with pytest.raises(InputError, match="is a device"):
        pictures.read("/dev/zero")  # type: ignore[arg-type]


NORMAL = config.Normalization(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("resizer", "words"),
    [
        (config.KeepAspectRatio(min_dimension=600, max_dimension=1024), "1x4000 pixels would become 0x1024"),
        (config.KeepAspectRatio(min_dimension=600, max_dimension=1024, pad_to_max=True), "would become 0x1024"),
        (config.ConditionalShape(condition="greater", threshold=100), "would become 0x100"),
        (config.ConditionalShape(condition="smaller", threshold=1000), "would become 1000x4000000"),
        (config.CropAndResize(height=20, width=20), "would become 0x0"),
        (config.FitAndPad(height=64, width=64, multiple=32), "would become 0x64"),
        (config.FixedShape(height=30, width=20), ""),
        (config.FixedShape(height=30, width=20, method="area"), ""),
        (config.CropAndResize(height=20, width=20, crop=None), ""),
        (config.Identity(), ""),
    ],
)
def test_pictures_too_narrow_for_a_model(resizer, words):
    thin, how = np.zeros((4000, 1, 3), np.uint8), preprocessing.describe(resizer, NORMAL)
    if not words:
        preprocessing.check_picture(thin, how)
        assert preprocessing.prepare(thin, how)[0].size
        return
    with pytest.raises(InputError, match=words):
        preprocessing.prepare(thin, how)
    with pytest.raises(InputError, match=words):
        preprocessing.check_picture(thin, how)


@pytest.mark.skipif(not HOSTILE.exists(), reason="needs ../shared")
def test_pictures_that_were_made_to_break():
    sound = []
    for path in sorted(HOSTILE.iterdir()):
        try:
            sound.append((path.name, pictures.read(path).shape))
        except VisionportError:
            continue
    names = ["exif6.jpg", "gray16.png", "one.png", "thin.png", "warn.png"]
    assert [name for name, _ in sound] == names
