"""Programs for people: what they make of a picture is what the network is fed here."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from visionport import config
from visionport.inputs import preprocessing, snippets
from visionport.inputs.quantization import quantized

NORMALIZATIONS = {
    "half": config.Normalization(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    "bgr": config.Normalization(mean=(103.9, 116.8, 123.7), std=(1.0, 2.0, 3.0), bgr=True),
}
FITTED = config.FixedShape(height=24, width=32)


def made(lines: str) -> np.ndarray:
    names: dict[str, Any] = {"np": np, "Image": Image}
    exec(lines, names)
    return names["value"]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("how", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("dtype", "quantization"), [("float32", None), ("uint8", None), ("int8", (0.0078, -1)), ("int16", (3e-5, 0))]
)
def test_the_value_is_what_the_network_takes(picture, how, dtype, quantization):
    description = preprocessing.describe(FITTED, NORMALIZATIONS[how])
    pixels = np.asarray(Image.open(picture))
    fed = np.uint8 if dtype == "uint8" else np.float32
    wanted, _ = preprocessing.prepare(pixels, description, fed)
    if quantization:
        wanted = quantized(wanted, np.dtype(dtype), *quantization)
    value = made(snippets.network_lines(description, (1, 24, 32, 3), dtype, quantization, str(picture)))
    assert (value.dtype, value.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(value, wanted, atol=1 if quantization else 1e-4)


def test_resized_and_padded(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20), (255, 255, 255)).save(path)
    resizer = config.KeepAspectRatio(min_dimension=32, max_dimension=32, pad_to_max=True)
    description = preprocessing.describe(resizer, NORMALIZATIONS["half"])
    value = made(snippets.network_lines(description, (4, 32, 32, 3), "float32", None, str(path)))
    assert value.shape == (4, 32, 32, 3)  # it takes four at once
    assert (value[:, :16] == 1).all()
    np.testing.assert_allclose(
        value[:1, 16:], preprocessing.prepare(np.asarray(Image.open(path)), description)[0][:, 16:], atol=0.01
    )


@pytest.mark.parametrize("shape", [(1, None, None, 3), (1, 8, 24, 32, 3)])
def test_what_takes_more_than_a_few_lines_is_left_out(shape):
    assert (
        snippets.network_lines(preprocessing.describe(FITTED, NORMALIZATIONS["half"]), shape, "float32", None, "a")
        == ""
    )
