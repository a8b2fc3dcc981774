"""Quantised values: each is the inverse of the other, within half a step."""

import numpy as np
import pytest

from visionport.inputs.quantization import dequantized, quantized

SEEDS = range(20)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_round_trips(dtype):
    info = np.iinfo(dtype)
    for seed in SEEDS:
        random = np.random.default_rng(seed)
        scale, zero = float(random.uniform(1e-4, 3)), int(random.integers(info.min, info.max + 1))
        integers = np.arange(info.min, info.max + 1).astype(dtype)
        values = dequantized(integers, scale, zero)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, (integers.astype(np.float64) - zero) * scale, rtol=1e-6)
        again = quantized(values, dtype, scale, zero)
        assert again.dtype == dtype
        np.testing.assert_array_equal(again, integers)

        x = random.uniform(values[0], values[-1], 500).astype(np.float32)
        np.testing.assert_allclose(dequantized(quantized(x, dtype, scale, zero), scale, zero), x, atol=scale * 0.501)
        beyond = np.array([values[0] - 100 * scale, values[-1] + 100 * scale], np.float32)
        np.testing.assert_array_equal(quantized(beyond, dtype, scale, zero), [info.min, info.max])


def test_what_is_not_quantised_stays():
    x = np.array([0.4, -3.7, 1e9], np.float32)
    np.testing.assert_array_equal(dequantized(x, 0.0, 0), x)
    np.testing.assert_array_equal(quantized(x, np.float32, 0.0, 0), x)
    pixels = np.array([0, 7, 255], np.uint8)
    np.testing.assert_array_equal(quantized(pixels, np.uint8, 0.5, 3), pixels)
