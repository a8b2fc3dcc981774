"""How often the right class of a clip is the best one, or among the best five."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from visionport.errors import InputError
from visionport.inputs import tfrecords
from visionport.tasks.base import Measure
from visionport.tasks.classification.metric import TopOne, evaluate
from visionport.tasks.records import OPTION

LABEL = "clip/label/index"


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
    for i, data in enumerate(tfrecords.read(path, OPTION)):
        where = f"{path}: record {i}"
        context, lists = tfrecords.parse_sequence(data, where)
        frames = [tfrecords.Features({tfrecords.IMAGE: f}, where).picture() for f in lists.get(tfrecords.IMAGE, ())]
        if not frames or len({frame.shape for frame in frames}) > 1:
            sizes = "frames of several sizes" if frames else f"no frames in {tfrecords.IMAGE!r}"
            raise InputError(f"{where} has {sizes}, so it is no clip.")
        yield np.stack(frames), context.integers(LABEL)
