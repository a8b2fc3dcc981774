"""Local maxima of heatmaps, and what other maps hold at them (Zhou et al. 2019, section 4)."""

from typing import Any

import tensorflow as tf

EPSILON = 1e-6  # this near to the largest of its surroundings is a peak


def suppress(heatmap, kernel: int):
    """0 where [b, h, w, c] is not the largest of its channel in a window of `kernel` x `kernel`."""
    if kernel <= 1:
        return heatmap
    largest = tf.nn.max_pool2d(heatmap, kernel, 1, "SAME")
    return tf.where(tf.abs(heatmap - largest) < EPSILON, heatmap, 0.0)


def best(heatmap, kernel: int, k: int):
    """The k highest peaks of all channels: scores float32 [b, k], and y, x, channel, int32 [b, k]."""
    _, h, w, c = size(heatmap)
    flat = tf.reshape(suppress(heatmap, kernel), [-1, h * w * c])
    scores, place = tf.math.top_k(flat, least(k, h * w * c))
    place, channel = place // c, place % c
    return scores, place // w, place % w, channel


def best_of_channels(heatmap, kernel: int, k: int):
    """The k highest peaks of each channel: scores float32 [b, c, k], y and x, int32; past the last place 0."""
    _, h, w, c = size(heatmap)
    flat = tf.reshape(tf.transpose(suppress(heatmap, kernel), [0, 3, 1, 2]), [-1, c, h * w])
    most = least(k, h * w)
    paddings: Any = [[0, 0], [0, 0], [0, k - most]]
    scores, place = (tf.pad(t, paddings) for t in tf.math.top_k(flat, most))
    scores, place = (tf.ensure_shape(t, (None, c, k)) for t in (scores, place))
    return scores, place // w, place % w


def at(x, rows, columns):
    """float32 [b, h, w, c] at int32 [b, m] rows and columns: [b, m, c]."""
    b, h, w, c = size(x)
    return tf.gather(tf.reshape(x, [b, h * w, c]), rows * w + columns, batch_dims=1)


def least(k: int, n):
    return min(k, n) if isinstance(n, int) else tf.minimum(k, n)


def size(x) -> tuple[Any, ...]:
    """The dimensions of [b, h, w, c]: integers where known, else scalar tensors."""
    return tuple(d if d is not None else tf.shape(x)[i] for i, d in enumerate(x.shape))
