"""R-FCN's second stage: maps a part of a box and class, each proposal votes over its own parts (Dai et al. 2016).

Reference: meta_architectures/rfcn_meta_arch.py, predictors/rfcn_box_predictor.py.
"""

import dataclasses

import tensorflow as tf

from visionport.config.faster_rcnn import RfcnHeads
from visionport.ops import nn, roi

PATH = "model/_rfcn_box_predictor"
LAYERS = {  # canonical scope -> layers in a TF2 checkpoint: convolution, batch norm
    "reduce_depth": "_shared_conv_layers",
    "refined_locations": "_box_encoder_layers",
    "class_predictions": "_class_predictor_layers",
}


def heads(h: RfcnHeads, s, features, boxes, num_classes: int):
    """float32 [b * n, classes, 4] box encodings and [b * n, classes + 1] logits.

    features: float32 [b, h, w, c] of the whole image; boxes: float32 [b, n, 4] corners, normalised.
    """
    linear = dataclasses.replace(h.hyperparams, activation="none")
    x = nn.complete(s / "reduce_depth", nn.conv(s / "reduce_depth", features, kernel=1), h.hyperparams)
    out = []
    for name, width in (("refined_locations", 4 * num_classes), ("class_predictions", num_classes + 1)):
        y = nn.conv(s / name, x, kernel=1, out=h.bins[0] * h.bins[1] * width)
        out.append(roi.vote(nn.complete(s / name, y, linear), boxes, h.bins, h.crop_size))
    return tf.reshape(out[0], (-1, num_classes, 4)), out[1]


def names(scope: str) -> dict[str, str]:
    """Canonical scope -> object path in a TF2 checkpoint."""
    out = {f"{scope}/{name}": f"{PATH}/{layers}/0" for name, layers in LAYERS.items()}
    return out | {f"{scope}/{name}/BatchNorm": f"{PATH}/{layers}/1" for name, layers in LAYERS.items()}
