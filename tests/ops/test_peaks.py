"""Peaks of heatmaps against loops."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from visionport.ops import peaks

SEEDS = range(6)
NOTHING = (0.0, 0, 0)


def heatmap(seed, *, ties=False):
    """[2, h, w, 3]; with ties, of few different values."""
    random = np.random.default_rng(seed)
    shape = (2, *random.integers(1, 9, 2), 3)
    return (random.integers(0, 4, shape) / 4 if ties else random.uniform(0.01, 1, shape)).astype(np.float32)


def is_peak(one, y, x, c, kernel):
    reach = kernel // 2
    around = one[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1, c]
    return around.max() - one[y, x, c] < peaks.EPSILON


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_suppress(kernel, ties):
    run = tf.function(lambda x: peaks.suppress(x, kernel), [tf.TensorSpec((None, None, None, 3))])
    for seed in SEEDS:
        x = heatmap(seed, ties=ties)
        expected = np.zeros_like(x)
        for b, y, x_, c in np.ndindex(x.shape):
            if is_peak(x[b], y, x_, c, kernel):
                expected[b, y, x_, c] = x[b, y, x_, c]
        np.testing.assert_array_equal(run(x), expected)


def ranked(one, kernel):
    """(score, y, x, channel) of every place, no peak counting 0: best first, of equal ones the first of the map."""
    rows = [(one[y, x, c] if is_peak(one, y, x, c, kernel) else 0.0, y, x, c) for y, x, c in np.ndindex(one.shape)]
    return sorted(rows, key=lambda r: -r[0])


@pytest.mark.parametrize("k", [1, 4, 50])
def test_best(k):
    """Of all channels together, and of each; channels with fewer places than k are filled up with 0."""
    together = tf.function(lambda x: peaks.best(x, 3, k), [tf.TensorSpec((None, None, None, 3))])
    apart = tf.function(lambda x: peaks.best_of_channels(x, 3, k), [tf.TensorSpec((None, None, None, 3))])
    for seed in SEEDS:
        x = heatmap(seed, ties=seed % 2 == 0)
        found, found_apart = ([v.numpy() for v in run(x)] for run in (together, apart))
        for b in range(2):
            rows = ranked(x[b], 3)[:k]
            for values, of_rows in zip(found, zip(*rows, strict=True), strict=True):
                np.testing.assert_array_equal(values[b], np.array(of_rows, values.dtype))
            for c in range(3):
                rows = [(s, y, x_) for s, y, x_, _ in ranked(x[b][..., c : c + 1], 3)]
                rows = (rows + [NOTHING] * k)[:k]
                for values, of_rows in zip(found_apart, zip(*rows, strict=True), strict=True):
                    np.testing.assert_array_equal(values[b, c], np.array(of_rows, values.dtype))


def test_at():
    for seed in SEEDS:
        x, random = heatmap(seed), np.random.default_rng(seed)
        rows, columns = (random.integers(0, d, (2, 7)) for d in x.shape[1:3])
        found = peaks.at(tf.constant(x), tf.constant(rows, tf.int32), tf.constant(columns, tf.int32)).numpy()
        for b, i in itertools.product(range(2), range(7)):
            np.testing.assert_array_equal(found[b, i], x[b, rows[b, i], columns[b, i]])
