"""A segmenter: a backbone, a decoder where there is one, a head that gives each pixel its class logits.

Reference: official/vision/modeling/segmentation_model.py, official/vision/serving/semantic_segmentation.py.
"""

import tensorflow as tf

from visionport import config
from visionport.config.segmentation import Segmenter
from visionport.errors import UnsupportedError
from visionport.models import backbones
from visionport.models.heads import segmentation as heads
from visionport.models.necks import decoders
from visionport.models.segmentation.preprocessing import preprocess  # noqa: F401 (of this meta-architecture)
from visionport.ops import image, nn, portable

OF_PICTURES = ("image_info",)


def normalization(model: Segmenter) -> config.Normalization:
    return model.normalization


def predict(model: Segmenter, s, images, true_shapes=None) -> dict:
    """feature_maps and decoded (by level or endpoint), logits float32 [b, h, w, classes] at the head's own size.

    And mask_scores float32 [b, classes] where there is such a head. images: float32 [b, H, W, 3], preprocessed.
    """
    maps = backbones.backbone(s / "backbone", images, model.backbone)
    decoded = decoders.decode(s / "decoder", maps, model.decoder, backbones.levels(model.backbone))
    logits = heads.segmentation_head(s / "head", maps, decoded, model)
    out = {"feature_maps": maps, "decoded": decoded, "logits": logits}
    if model.mask_scoring_head:
        out["mask_scores"] = heads.mask_scores(s / "mask_scoring_head", logits, model)
    return out


def postprocess(model: Segmenter, s, prediction: dict, images, sizes=None) -> dict:
    """logits float32 [b, H, W, classes] of the input's size, or of the picture's own, by `rescale_output`.

    And mask_scores and image_info (see ops/image.py) where there are. sizes: int32 [b, 3] of the pictures as
    `preprocess` gives them; None for images that came preprocessed, whose own is not known.
    """
    info = None if sizes is None else image.image_info(sizes, model.resizer)
    if not model.rescale_output:
        logits = image.resize(prediction["logits"], nn.spatial(images), half_pixel_centers=True)
    elif info is None:
        raise UnsupportedError(
            "export_config.rescale_output: preprocessed images (input type tflite) do not tell the picture's size. Set "
            "it to false for that export."
        )
    else:
        logits = to_pictures(prediction["logits"], info, model.resizer)
    out = {"logits": logits}
    if "mask_scores" in prediction:
        out["mask_scores"] = prediction["mask_scores"]
    return out if info is None else out | {"image_info": info}


def to_pictures(logits, image_info, resizer: config.FitAndPad):
    """Logits at the size of the pictures; where these differ, padded below and right with 0 to the largest."""
    if logits.shape[0] == 1 or portable.PORTABLE.get():  # other runtimes take pictures of one size, in one array
        return to_picture(logits, image_info[0], resizer)
    largest = tf.reduce_max(tf.cast(image_info[:, 0], tf.int32), 0)

    def padded(one):
        out = to_picture(one[0][None], one[1], resizer)[0]
        missing = tf.concat([largest - tf.shape(out)[:2], [0]], 0)
        return tf.pad(out, tf.stack([tf.zeros_like(missing), missing], 1))

    shape = tf.TensorSpec((None, None, logits.shape[-1]), tf.float32)
    return tf.map_fn(padded, (logits, image_info), fn_output_signature=shape)


def to_picture(logits, info, resizer: config.FitAndPad):
    """[1, h, w, classes] at the picture's size; info: float32 [4, 2]."""
    height, width = tf.unstack(tf.cast(info[0], tf.int32))
    if not resizer.keep_aspect_ratio:
        return image.resize(logits, (height, width), half_pixel_centers=True)
    # As large as the padded input would be if its picture had the original size.
    whole = tf.cast(tf.math.ceil(info[1] / info[2]), tf.int32)
    return image.resize(logits, whole, half_pixel_centers=True)[:, :height, :width]


def exported(whole: config.Config, outputs: dict) -> dict:
    """The outputs of an export."""
    return outputs


def reading(whole: config.Config) -> dict:
    """How a manifest says that the outputs are to be read: the size that logits have, the input's or the picture's."""
    return {"logits": "picture" if whole.model.rescale_output else "input"}


def names(model: Segmenter) -> dict[str, str]:
    """Canonical scope -> object path."""
    parts = {
        "backbone": backbones.names(model.backbone),
        "decoder": decoders.names(model.decoder, backbones.levels(model.backbone)),
        "head": heads.head_names(model.head),
    }
    if model.mask_scoring_head:
        parts["mask_scoring_head"] = heads.mask_scoring_names(model.mask_scoring_head)
    return {f"{part}/{scope}": f"model/{part}/{path}" for part, table in parts.items() for scope, path in table.items()}


def known_unread(model: Segmenter):
    """Is this checkpoint key one that inference does not need?"""
    return lambda key: False
