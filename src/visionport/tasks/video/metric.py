"""How often the right class of a clip is the best one, or among the best five."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from visionport.errors import InputError
from visionport.inputs.calibration import raw
from visionport.tasks.base import Measure
from visionport.tasks.classification.metric import TopOne, evaluate

FRAMES, LABEL = "image/encoded", "clip/label/index"


class TopOneOfClips(TopOne):
    """One clip a video, from its middle."""

    def evaluate(
        self, runs: Mapping[str, Callable], path: Path, size: tuple[int, int] | None = None
    ) -> dict[str, Measure]:
        return evaluate(runs, path, size, labelled(path))


def labelled(path: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The videos uint8 [frames, h, w, 3] of a TFRecord of tf.train.SequenceExamples, and their classes.

    Reference: official/vision/dataloaders/video_input.py.
    """
    import tensorflow as tf

    from visionport.ops import image

    frames = {FRAMES: tf.io.FixedLenSequenceFeature((), tf.string)}
    for i, data in enumerate(raw(path, "--evaluate")):
        try:
            labels, lists = tf.io.parse_single_sequence_example(data, {LABEL: tf.io.VarLenFeature(tf.int64)}, frames)
            clip = np.stack([image.decode(frame).numpy() for frame in lists[FRAMES]])
        except (tf.errors.InvalidArgumentError, ValueError) as e:
            raise InputError(
                f"{path}: record {i} is no labelled tf.train.SequenceExample: {str(e).splitlines()[0]}"
            ) from None
        yield clip, labels[LABEL].values.numpy()
