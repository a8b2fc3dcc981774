"""Vision Transformers (Dosovitskiy et al. 2021; DeiT, Touvron et al. 2021): a picture as a sentence of patches.

Reference: official/vision/modeling/backbones/vit.py and layers/nn_blocks.py (TransformerEncoderBlock).
"""

import math
from typing import NamedTuple

import tensorflow as tf

from visionport.config.backbones.vit import Vit
from visionport.errors import MismatchError, UnsupportedError, nearest
from visionport.ops import image, nn


class Network(NamedTuple):
    patch_size: int
    hidden_size: int
    mlp_dim: int
    num_heads: int
    num_layers: int


NETWORKS = {
    "vit-ti16": Network(16, 192, 768, 3, 12),
    "vit-s16": Network(16, 384, 1536, 6, 12),
    "vit-b16": Network(16, 768, 3072, 12, 12),
    "vit-b32": Network(32, 768, 3072, 12, 12),
    "vit-l16": Network(16, 1024, 4096, 16, 24),
    "vit-l32": Network(32, 1024, 4096, 16, 24),
    "vit-h14": Network(14, 1280, 5120, 16, 32),
    "vit-g14": Network(14, 1408, 5632, 16, 40),
    "vit-G14": Network(14, 1664, 8192, 16, 48),
    "vit-e14": Network(14, 1792, 15360, 16, 56),
}
POOLERS = ("token", "gap", "none")
EPSILON = 1e-6  # of layer norm


def vit(s, x, config: Vit) -> dict:
    """What the config asks for: "pre_logits" [b, 1, 1, c], "encoded_tokens" [b, patches, c], and the patches as a
    feature map by their level, "4" for 16 pixels: [b, h / patch, w / patch, hidden].

    s: the backbone's scope; x: float32 [b, h, w, 3] of a known height and width.
    """
    net = network(config)
    rows, columns = patches_of(nn.spatial(x), net)
    width = net.hidden_size
    how = {"kernel": net.patch_size, "stride": net.patch_size, "padding": "VALID", "out": width}
    x = nn.bias(s / "embedding", nn.conv(s / "embedding", x, **how))
    x = tf.reshape(x, (-1, rows * columns, width))
    has_token = config.pooler == "token"
    if has_token:
        token = s / "token"
        x = tf.concat([token("cls", (1, 1, width)) + tf.zeros_like(x[:, :1]), x], 1)
    x = x + positions(s / "positions", (rows, columns), net, config)
    for i in range(net.num_layers):
        x = encoder_block(s / f"block_{i}", x, net, layer_scale=bool(config.layer_scale_init_value))
    x = layer_norm(s / "norm", x)

    points = {}
    tokens = x[:, 1:] if has_token else x
    if config.output_2d_feature_maps:
        points[level_of(net)] = tf.reshape(tokens, (-1, rows, columns, width))
    if config.pooler != "none":
        x = x[:, 0] if has_token else tf.reduce_mean(x, 1)
    if config.representation_size:
        x = tf.tanh(linear(s / "representation", x, config.representation_size))
    if config.pooler != "none":
        points["pre_logits"] = tf.reshape(x, (-1, 1, 1, x.shape[-1]))
    elif config.output_encoded_tokens:
        points["encoded_tokens"] = x
    return points


def patches_of(size, net: Network) -> tuple[int, int]:
    """Rows and columns of patches in an input of that size."""
    height, width = size
    if not (isinstance(height, int) and isinstance(width, int)):
        raise UnsupportedError("a Vision Transformer's positions are those of one input size: give the input's size.")
    if min(height, width) < net.patch_size:
        raise UnsupportedError(f"input size {height}x{width}: smaller than one patch of {net.patch_size} pixels.")
    return height // net.patch_size, width // net.patch_size


def positions(s, grid: tuple[int, int], net: Network, config: Vit):
    """The embedding of each place, [1, n, hidden], interpolated where `pos_embed_shape` says so.

    grid: the patches of the input; the class token, which has a place of its own before them, is none.
    """
    found = s("pos_embedding", (1, None, net.hidden_size))
    token = int(config.pooler == "token")
    wanted, length = token + grid[0] * grid[1], found.shape[1]
    trained = config.pos_embed_shape or grid
    if length is None or length == wanted:
        return found
    if length != token + trained[0] * trained[1]:
        raise MismatchError(size_problem(length - token, grid, net))
    places = tf.reshape(found[:, token:], (1, *trained, net.hidden_size))
    places = tf.reshape(image.resize(places, grid, half_pixel_centers=True), (1, -1, net.hidden_size))
    return tf.concat([found[:, :1], places], 1) if token else places


def size_problem(length: int, grid: tuple[int, int], net: Network) -> str:
    """What to say of position embeddings for another number of patches."""
    side, patch = math.isqrt(length), net.patch_size
    square = side * side == length
    shape = f"[{side}, {side}]" if square else "[ROWS, COLUMNS]"
    trained = f"{length} patches" + f" ({side * patch}x{side * patch} pixels)" * square
    given = f"{grid[0]}x{grid[1]} patches ({grid[0] * patch}x{grid[1] * patch} pixels)"
    return (
        f"the checkpoint's position embeddings are of {trained}, the input is of {given}. Export at the size that it "
        f"was trained at, or have them interpolated by backbone.vit.pos_embed_shape: {shape}."
    )


def encoder_block(s, x, net: Network, *, layer_scale):
    """Self-attention and two dense layers, each behind a layer norm and around a shortcut.

    layer_scale: each is scaled channel by channel (Touvron et al. 2021).
    """

    def scaled(s, y):
        return y * s("layerscale_gamma", (1, 1, net.hidden_size)) if layer_scale else y

    y = attention(s / "attention", layer_norm(s / "attention_norm", x), net)
    x = x + scaled(s / "attention_scale", y)
    y = linear(s / "mlp_1", layer_norm(s / "mlp_norm", x), net.mlp_dim)
    y = linear(s / "mlp_2", tf.nn.gelu(y, approximate=True), net.hidden_size)
    return x + scaled(s / "mlp_scale", y)


def attention(s, x, net: Network):
    """Of every token to every token (Vaswani et al. 2017): [b, n, c] -> [b, n, c]."""
    heads, width = net.num_heads, net.hidden_size // net.num_heads
    tokens = x.shape[1]
    rows = tf.reshape(x, (-1, net.hidden_size))

    def project(name):
        scope = s / name
        weights = tf.reshape(scope("weights", (net.hidden_size, heads, width)), (net.hidden_size, -1))
        y = tf.matmul(rows, weights, name=scope.prefix) + tf.reshape(scope("biases", (heads, width)), (-1,))
        return tf.transpose(tf.reshape(y, (-1, tokens, heads, width)), (0, 2, 1, 3))

    query, key, value = (project(name) for name in ("query", "key", "value"))
    share = tf.nn.softmax(tf.matmul(query * (1 / math.sqrt(width)), key, transpose_b=True))
    y = tf.reshape(tf.transpose(tf.matmul(share, value), (0, 2, 1, 3)), (-1, net.hidden_size))
    out = s / "output"
    weights = tf.reshape(out("weights", (heads, width, net.hidden_size)), (-1, net.hidden_size))
    y = tf.matmul(y, weights, name=out.prefix) + out("biases", (net.hidden_size,))
    return tf.reshape(y, (-1, tokens, net.hidden_size))


def layer_norm(s, x):
    """Each token by its own mean and deviation (Ba et al. 2016)."""
    width = (x.shape[-1],)
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, s("beta", width), s("gamma", width), EPSILON)


def linear(s, x, out):
    """A dense layer of the last axis."""
    y = nn.dense(s, tf.reshape(x, (-1, x.shape[-1])), out=out)
    return tf.reshape(y, (-1, *x.shape[1:-1], out))


def network(config: Vit) -> Network:
    if config.model_name not in NETWORKS:
        raise UnsupportedError(
            f"backbone.vit.model_name {config.model_name!r} is unknown{nearest(config.model_name, NETWORKS)}. "
            f"One of: {', '.join(NETWORKS)}."
        )
    if config.pooler not in POOLERS:
        raise UnsupportedError(
            f"backbone.vit.pooler {config.pooler!r} is unknown{nearest(config.pooler, POOLERS)}. "
            f"One of: {', '.join(POOLERS)}."
        )
    return NETWORKS[config.model_name]


def levels(config: Vit) -> dict[str, int | None]:
    """The width of the level that a decoder may take."""
    net = network(config)
    return {level_of(net): net.hidden_size} if config.output_2d_feature_maps else {}


def level_of(net: Network) -> str:
    """The level whose pixels are nearest to a patch in size."""
    return str(round(math.log2(net.patch_size)))


def names(config: Vit) -> dict[str, str]:
    """Canonical scope -> path below the backbone."""
    net = network(config)
    layers = ["embedding", *["token"] * (config.pooler == "token"), "encoder"]
    layers += ["representation"] * bool(config.representation_size)
    out = {name: f"layer_with_weights-{i}" for i, name in enumerate(layers)}
    encoder = out.pop("encoder")
    out |= {"positions": f"{encoder}/_pos_embed", "norm": f"{encoder}/_norm"}
    for i in range(net.num_layers):
        out |= {f"block_{i}/{scope}": f"{encoder}/_encoder_layers/{i}/{path}" for scope, path in BLOCK.items()}
    return out


BLOCK = {
    "attention_norm": "_attention_layer_norm",
    "attention/query": "_attention_layer/_query_dense",
    "attention/key": "_attention_layer/_key_dense",
    "attention/value": "_attention_layer/_value_dense",
    "attention/output": "_attention_layer/_output_dense",
    "attention_scale": "_layer_scale_attn",
    "mlp_norm": "_output_layer_norm",
    "mlp_1": "_intermediate_dense",
    "mlp_2": "_output_dense",
    "mlp_scale": "_layer_scale_mlp",
}
