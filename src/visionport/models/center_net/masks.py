"""CenterNet's masks and DensePose: crops of maps over the whole image (Neverova et al. 2018 for the surface).

Reference: meta_architectures/center_net_meta_arch.py, convert_strided_predictions_to_instance_masks.
"""

import tensorflow as tf

from visionport.config.center_net import CenterNet
from visionport.ops import peaks


def detect(c: CenterNet, found: dict, boxes, classes, true_shapes) -> dict:
    """detection_masks uint8 [b, m, height, width], and with DensePose detection_surface_coords [b, m, ..., 2].

    boxes: [b, m, 4] of the image without padding; classes: int32 [b, m] from 0. A mask is 0 outside, 1 inside, or the
    number of the body part, from 1, for the class that has parts.
    """
    assert c.masks
    heatmap = tf.sigmoid(found["segmentation/heatmap"])
    b, h, w, count = peaks.size(heatmap)
    m = classes.shape[1]
    size = c.masks.height, c.masks.width
    padded = tf.cast(true_shapes[:, None, :2], tf.float32) / tf.cast(tf.stack([h * 4, w * 4]), tf.float32)
    places = tf.reshape(boxes * tf.tile(padded, [1, 1, 2]), [-1, 4])
    image = tf.repeat(tf.range(b), m)
    each = tf.reshape(tf.transpose(heatmap, [0, 3, 1, 2]), [-1, h, w, 1])  # a class, an image
    crops = tf.image.crop_and_resize(each, places, image * count + tf.reshape(classes, [-1]), size)[..., 0]
    masks = tf.cast(crops >= c.masks.threshold, tf.int32)
    out = {}
    if c.densepose:
        has_parts = tf.reshape(classes == c.densepose.class_id, [-1, 1, 1])
        parts = tf.image.crop_and_resize(found["densepose/heatmap"], places, image, size)
        part = tf.argmax(parts, -1, tf.int32)
        surface = tf.image.crop_and_resize(found["densepose/regression"], places, image, size)
        surface = tf.reshape(surface, [-1, *size, c.densepose.num_parts, 2])
        surface = tf.gather(surface, part, batch_dims=3)
        surface *= tf.cast(tf.where(has_parts, masks, 0), tf.float32)[:, :, :, None]
        out["detection_surface_coords"] = tf.reshape(surface, [b, m, *size, 2])
        masks = tf.where(has_parts, masks * (part + 1), masks)
    return out | {"detection_masks": tf.reshape(tf.cast(masks, tf.uint8), [b, m, *size])}
