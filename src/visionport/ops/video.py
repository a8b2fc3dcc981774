"""Clips of videos: which frames, of which size. Reference: official/vision/ops/preprocess_ops_3d.py."""

import tensorflow as tf

from visionport import config
from visionport.ops import image

FRAMES = "image/encoded"  # of a SequenceExample: an image a frame


def middle_clip(video, frames: int, stride: int, axis: int = 0):
    """`frames` of the video's along an axis, `stride` apart, from its middle; of a shorter one over and over."""
    length = video.shape[axis] if video.shape[axis] is not None else tf.shape(video)[axis]
    offset = (length - frames * stride) // 2
    offset = max(0, offset) if isinstance(offset, int) else tf.maximum(0, offset)
    return tf.gather(video, (offset + stride * tf.range(frames)) % length, axis=axis)


def resize_short_side(video, size: int):
    """uint8 [b, h, w, c], frames so large that the short side is `size`; fractions are cut off, as in the reference."""
    height, width = tf.unstack(tf.shape(video)[1:3])
    larger = [tf.maximum(size, height * size // width), tf.maximum(size, width * size // height)]
    return tf.cast(image.resize(video, larger, half_pixel_centers=True), video.dtype)


def preprocess(clips, clip: config.MiddleClip, *, taken: bool = False):
    """float32 [b, frames, side, side, 3] in [0, 1] of whole videos uint8 [b, t, h, w, 3].

    taken: they are the middle clips already.
    """
    if not taken:
        clips = middle_clip(clips, clip.frames, clip.temporal_stride, axis=1)
    shape = tf.shape(clips)
    frames = tf.reshape(clips, tf.concat([[-1], shape[2:]], 0))
    frames = resize_short_side(frames, clip.short_side)
    frames = tf.image.resize_with_crop_or_pad(frames, clip.side, clip.side)
    out = tf.image.convert_image_dtype(frames, tf.float32)
    return tf.reshape(out, (-1, clip.frames, clip.side, clip.side, 3))


def decode_sequence_example(data, frames: int, stride: int):
    """uint8 [frames, h, w, 3], the middle clip of a serialized tf.train.SequenceExample (scalar string)."""
    features = {FRAMES: tf.io.FixedLenSequenceFeature((), tf.string)}
    encoded = tf.io.parse_single_sequence_example(data, {}, features)[1][FRAMES]
    spec = tf.TensorSpec((None, None, 3), tf.uint8)
    return tf.map_fn(image.decode, middle_clip(encoded, frames, stride), fn_output_signature=spec)
