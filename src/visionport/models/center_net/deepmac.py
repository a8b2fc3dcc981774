"""DeepMAC: a mask of whatever a box holds, by a network of its own (Birodkar et al. 2021).

Two heads give each place of the map an embedding of the instance there and one of the pixel. For a box the pixels' are
cropped; coordinates and the embedding of the box's center go beside them, and a small network draws the mask.
Reference: meta_architectures/deepmac_meta_arch.py. In shapes n is the number of boxes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from visionport.config.center_net import DeepMac, Head
from visionport.errors import UnsupportedError
from visionport.models.backbones import hourglass, resnet_v2
from visionport.ops import nn, peaks, roi

SCOPE = "MaskNetwork"
PATH = "model/_mask_net"
INSTANCE, PIXEL = "INSTANCE_EMBEDDING", "PIXEL_EMBEDDING"
STRIDE = 4
NOTE = f"The checkpoint holds no mask network ({PATH}): boxes alone are exported, without detection_masks."


@dataclass(frozen=True, kw_only=True)
class Network:
    """apply: scope, [n, h, w, c] -> [n, h, w, c']. names: object path -> {canonical scope below the network's: path}.

    multiple: of the sides of what it takes.
    """

    apply: Callable
    names: Callable[[str], dict[str, str]]
    multiple: int = 1


def heads(d: DeepMac) -> dict[str, tuple[Head, int]]:
    """name -> (head, channels). Their kernels are 1x3 today; other heads' are 3x3."""
    head = Head(kernel_sizes=(None,))
    return {INSTANCE: (head, d.instance_channels), PIXEL: (head, d.pixel_channels)}


def network_of(d: DeepMac) -> Network:
    if d.network not in NETWORKS:
        raise UnsupportedError(
            f"deepmac_mask_estimation.network_type {d.network!r}: the reference builds no such model. Supported: "
            f"{', '.join(NETWORKS)}, embedding_projection, cond_instN."
        )
    return NETWORKS[d.network]


def is_there(d: DeepMac, params) -> bool:
    """Does the checkpoint hold what the network needs? Notes where not: the boxes are good all the same.

    The reference makes the network's variables when it first draws a mask, so that what was saved before has none.
    """
    found = d.parameter_free or any(key.startswith(f"{PATH}/") for key in params.checkpoint.entries)
    if not found and NOTE not in params.notes:
        params.notes.append(NOTE)
    return found


def masks(d: DeepMac, s, instances, pixels, boxes):
    """Probabilities float32 [b, n, size, size], relative to the box.

    s: the network's scope; instances: float32 [b, h, w, c], pixels: [b, h, w, k], the heads' maps; boxes: float32
    [b, n, 4] corners, in places of the map.
    """
    b, h, w, _ = peaks.size(instances)
    boxes = boxes / tf.cast(tf.stack([h, w, h, w]), tf.float32)
    n = boxes.shape[1] if boxes.shape[1] is not None else tf.shape(boxes)[1]
    seen = whole_maps(d, pixels, boxes) if d.full_resolution else crops(d, pixels, boxes)
    logits = network_logits(d, s, seen, at_centers(instances, boxes))
    if d.full_resolution:
        # The reference takes the number of boxes for the map's height, and the height for the width.
        size = tf.stack([tf.maximum(n, 1), h]) * STRIDE
        logits = tf.raw_ops.ResizeBilinear(images=logits, size=size, half_pixel_centers=True)
        logits = roi.crop([logits], tf.reshape(boxes, [-1, 1, 4]), d.crop_size, image_size=(h, w))
    return tf.sigmoid(tf.reshape(logits, [b, n, *logits.shape[1:3]]))


def crops(d: DeepMac, pixels, boxes):
    """What the network sees of each box: [b * n, size, size, c]."""
    found = roi.crop([pixels], boxes, d.mask_size, image_size=None)
    if not d.uses_coordinates:
        return found
    along = tf.linspace(-1.0, 1.0, d.mask_size)
    places = tf.stack(tf.meshgrid(along, along, indexing="ij"), -1)[None]
    return tf.concat([tf.repeat(places, tf.shape(found)[0], axis=0), found], -1)


def whole_maps(d: DeepMac, pixels, boxes):
    """The whole map for each box, with coordinates from the box's center: [b * n, h, w, c]."""
    _, h, w, _ = peaks.size(pixels)
    found = tf.repeat(pixels, tf.shape(boxes)[1], axis=0)
    if not d.uses_coordinates:
        return found
    places = tf.stack(tf.meshgrid(tf.linspace(0.0, 1.0, h), tf.linspace(0.0, 1.0, w), indexing="ij"), -1)
    centers = tf.reshape((boxes[..., :2] + boxes[..., 2:]) / 2, [-1, 1, 1, 2])
    return tf.concat([places - centers, found], -1)


def at_centers(instances, boxes):
    """The embeddings at the boxes' centers: float32 [b * n, c]. boxes: normalised."""
    _, h, w, c = peaks.size(instances)
    extent = tf.cast(tf.stack([h, w]), tf.float32)
    places = tf.cast((boxes[..., :2] + boxes[..., 2:]) * extent / 2, tf.int32)
    places = tf.minimum(places, tf.stack([h, w]) - 1)
    return tf.reshape(peaks.at(instances, places[..., 0], places[..., 1]), [-1, c])


def network_logits(d: DeepMac, s, x, embeddings):
    """x: [n, h, w, c]; embeddings: [n, e], of the instances. Returns float32 [n, h, w, 1]."""
    if d.network == "embedding_projection":
        return tf.reduce_sum(x * embeddings[:, None, None], -1, keepdims=True)
    if d.network.startswith("cond_inst"):
        return conditional(d, x, embeddings)
    if d.uses_instance:
        everywhere = tf.tile(embeddings[:, None, None], tf.stack([1, *nn.spatial(x), 1]))
        x = tf.concat([x, everywhere], -1)
    network = network_of(d)
    if any(k is not None and k % network.multiple for k in x.shape[1:3]):
        size = tuple(x.shape[1:3])
        raise UnsupportedError(
            f"deepmac_mask_estimation: {d.network} needs sides that are multiples of {network.multiple}, not {size}."
        )
    x = network.apply(s / "net", x)
    return nn.bias(s / "project_out", nn.conv(s / "project_out", x, kernel=1, out=1))


def conditional(d: DeepMac, x, embeddings):
    """1x1 convolutions whose weights and biases are the instance's embedding (Tian et al. 2020)."""
    at, given = 0, int(x.shape[-1])
    for i, out in enumerate(d.conditional_widths):
        kernel = tf.reshape(embeddings[:, at : at + given * out], [-1, 1, given, out])
        at += given * out
        x = tf.matmul(x, kernel) + embeddings[:, None, None, at : at + out]
        at, given = at + out, out
        x = x if i + 1 == len(d.conditional_widths) else tf.nn.relu(x)
    return x


def resnet(s, x, units):
    """Basic blocks, which activate first, after a 1x1 convolution; the width grows where a stack begins."""
    x = nn.bias(s / "input", nn.conv(s / "input", x, kernel=1))
    for i, count in enumerate(units, 1):
        for k in range(count):
            x = resnet_v2.basic(s / f"block{i}" / f"unit_{k + 1}" / "bottleneck_v2", x, 1, project=k == 0)
    return x


def resnet_names(path: str, units) -> dict[str, str]:
    layers = resnet_v2.layers(resnet_v2.basic, units)
    return {"input": f"{path}/input_layer"} | {
        name: f"{path}/model/layer_with_weights-{i}" for i, name in enumerate(layers)
    }


def of_resnet(*units) -> Network:
    return Network(apply=partial(resnet, units=units), names=partial(resnet_names, units=units))


def of_hourglass(*blocks, **how) -> Network:
    multiple = 1 if how else 2 ** (len(blocks) - 1)
    return Network(
        apply=partial(hourglass.small, blocks=blocks, **how), names=lambda path: {"**": path}, multiple=multiple
    )


NETWORKS = {
    "hourglass10": of_hourglass(1, 1),
    "hourglass20": of_hourglass(1, 2, 2),
    "hourglass32": of_hourglass(2, 2, 2, 2),
    "hourglass52": of_hourglass(2, 2, 2, 2, 2, 4),
    "hourglass100": of_hourglass(4, 4, 4, 4, 4, 8),
    "hourglass20_uniform_size": of_hourglass(1, 2, 2, shrinks=False),
    "hourglass20_no_shortcut": of_hourglass(1, 2, 2, shortcut=False),
    "resnet4": of_resnet(2),
    "resnet8": of_resnet(4),
    "resnet12": of_resnet(6),
    "resnet16": of_resnet(8),
    "resnet20": of_resnet(8, 2),
}


def names(d: DeepMac) -> dict[str, str]:
    """Canonical scope -> object path."""
    if d.parameter_free:
        return {}
    found = network_of(d).names(f"{PATH}/_net")
    return {f"{SCOPE}/net/{k}": v for k, v in found.items()} | {f"{SCOPE}/project_out": f"{PATH}/project_out"}
