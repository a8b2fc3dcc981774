"""Context R-CNN's attention: boxes look at features of the same camera's other images (Beery et al. 2020).

Reference: meta_architectures/context_rcnn_lib.py, context_rcnn_lib_tf2.py.
"""

from itertools import count

import tensorflow as tf

from visionport.config.faster_rcnn import Context
from visionport.ops import nn

BLOCK, SELF = "AttentionBlock{head}_AttentionLayer{layer}", "SelfAttentionBlock"
QUERY, KEY, VALUE = "fully_connected", "fully_connected_1", "fully_connected_2"
PATH = "model/_context_feature_extract_fn"
HIDDEN = -100000.0  # the weight of what does not count, before the softmax
EPSILON = 1e-3  # of the projections' batch norms, whatever the config says


def attend(c: Context, s, features, boxes: int, real_boxes, memory, real_memory):
    """What is added to the boxes' features: float32 [b * n, 1, 1, c].

    features: float32 [b * n, h, w, c] of n = `boxes` an image, of which the first real_boxes, int32 [b], count; memory:
    float32 [b, m, d], features of other images, of which the first real_memory, int32 [b], count.
    """
    x = tf.reshape(tf.reduce_mean(features, [1, 2]), (-1, boxes, features.shape[-1]))
    counted = tf.range(boxes)[None] < real_boxes[:, None]
    in_memory = tf.range(size(memory, 1))[None] < real_memory[:, None]
    outs = (f"fully_connected_{i}" if i else "fully_connected" for i in count())
    own = block(c, s, s / SELF, next(outs), x, counted, x, counted) if c.self_attention else 0.0
    if not c.long_term:
        return tf.reshape(own, (-1, 1, 1, x.shape[-1]))
    start = out = (own + x) / 2 if c.self_attention and c.in_sequence else x
    for layer in range(c.layers):
        blocks = (s / BLOCK.format(head=head, layer=layer) for head in range(c.heads))
        found = [block(c, s, b, next(outs), out, counted, memory, in_memory) for b in blocks]
        out = out + tf.add_n(found) / c.heads if c.adds_input else tf.add_n(found)
    out = out + start if c.adds_input else out
    out = out if c.in_sequence else out + own
    return tf.reshape(out, (-1, 1, 1, x.shape[-1]))


def block(c: Context, s, inner, out: str, x, counted, memory, in_memory):
    """Attention of x [b, n, c] over memory [b, m, d]: float32 [b, n, c]."""
    queries, keys, values = (
        tf.math.l2_normalize(project(inner / name, v, c), -1)
        for name, v in ((QUERY, x), (KEY, memory), (VALUE, memory))
    )
    queries *= tf.cast(counted, tf.float32)[:, :, None]
    values *= tf.cast(in_memory, tf.float32)[:, :, None]
    weights = tf.where(in_memory[:, None], tf.matmul(queries, keys, transpose_b=True), HIDDEN)
    found = tf.matmul(tf.nn.softmax(weights / c.temperature), values)
    return project(s / out, found, c, x.shape[-1])


def project(s, x, c: Context, width=None):
    """Fully connected, batch norm, relu6: float32 [b, n, in] -> [b, n, out]."""
    flat = tf.reshape(x, (-1, x.shape[-1]))
    y = nn.dense(s, flat, out=width) if c.use_bias else tf.matmul(flat, s("weights", (x.shape[-1], width)))
    y = nn.batch_norm(s / "BatchNorm", y[:, None, None], EPSILON)
    return tf.reshape(tf.nn.relu6(y), (-1, size(x, 1), y.shape[-1]))


def size(x, axis):
    return x.shape[axis] if x.shape[axis] is not None else tf.shape(x)[axis]


def names() -> dict[str, str]:
    """Canonical scope -> object path in a TF2 checkpoint, which has one block of one head."""
    inner = BLOCK.format(head=0, layer=0)
    scopes = {f"{inner}/{QUERY}": "query", f"{inner}/{KEY}": "key", f"{inner}/{VALUE}": "val", QUERY: "feature"}
    out = {scope: f"{PATH}/_{name}_proj/projection" for scope, name in scopes.items()}
    return out | {f"{scope}/BatchNorm": f"{PATH}/_{name}_proj/batch_norm" for scope, name in scopes.items()}
