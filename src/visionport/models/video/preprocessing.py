"""From frames to the clip that a video classifier takes. Reference: official/vision/serving/video_classification.py."""

import tensorflow as tf

from visionport.config.video import VideoClassifier
from visionport.ops import video


def preprocess(model: VideoClassifier, clips, source: str = "image_tensor"):
    """float32 [b, *model.clip_shape] in [0, 1], and int32 [b, 3], the sizes of the frames.

    clips: uint8 [b, t, h, w, 3], whole videos, whose middle clip is taken; of any other source than "image_tensor" a
    serialized tf.train.SequenceExample (scalar string).
    """
    taken = source != "image_tensor"
    if taken:
        clips = video.decode_sequence_example(clips, model.frames, model.temporal_stride)[None]
    out = video.preprocess(clips, model.resizer, taken=taken)
    return out, tf.repeat(tf.constant([model.clip_shape[1:]]), tf.shape(out)[0], axis=0)
