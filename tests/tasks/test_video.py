"""Video classification as a task: clips from files, examples, record, drawing, metric."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from task_records import encoded, sequence, write

from visionport.errors import InputError
from visionport.inputs import pictures
from visionport.prediction import Predictor
from visionport.tasks import task_of
from visionport.tasks.base import files_of, read_picture
from visionport.tasks.drawing import colour_of

TASK = task_of("video")
METRIC: Any = TASK.metric
CLIP = np.stack([np.full((12, 16, 3), shade, np.uint8) for shade in (0, 90, 180, 250)])


def answer(*probs):
    return TASK.answer({"probs": np.array([probs], np.float32)}, {}, np.ones(2))


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_an_animation_is_a_clip(tmp_path, kind):
    path = tmp_path / f"clip.{kind}"
    first, *rest = [Image.fromarray(frame) for frame in CLIP]
    how: dict[str, Any] = {"lossless": True} if kind == "webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=40, **how)
    np.testing.assert_array_equal(read_picture(TASK, path), CLIP)


def test_a_clip_is_one_question():
    """Not as many pictures as it has frames; a batch of clips is."""

    class Counts:
        """Stands for an Asker: the frames of what it is asked."""

        task, batch = TASK, 1

        def __call__(self, clip):
            return len(clip)

    asker: Any = Counts()
    predictor = Predictor(path=Path(), format="tflite", labels={}, asker=asker)
    assert predictor(CLIP) == len(CLIP)
    assert predictor(np.stack([CLIP, CLIP])) == [len(CLIP)] * 2


def test_a_folder_is_a_clip_in_the_order_of_names(tmp_path):
    for i, frame in enumerate(CLIP):
        Image.fromarray(frame).save(tmp_path / f"{9 - i}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    np.testing.assert_array_equal(read_picture(TASK, tmp_path), CLIP[::-1])


def test_an_array_is_a_clip(tmp_path):
    np.save(tmp_path / "c.npy", CLIP)
    np.savez(tmp_path / "c.npz", anything=CLIP)
    for name in ("c.npy", "c.npz"):
        np.testing.assert_array_equal(read_picture(TASK, tmp_path / name), CLIP)


def test_what_is_no_clip(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.gif").write_text("no picture")
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "float.npy", CLIP.astype(np.float32))
    np.savez(tmp_path / "two.npz", a=CLIP, b=CLIP)
    uneven = tmp_path / "uneven"
    uneven.mkdir()
    Image.fromarray(CLIP[0]).save(uneven / "0.png")
    Image.fromarray(CLIP[1][:5]).save(uneven / "1.png")
    for name, said in {
        "none.gif": "no such image",
        "none.npy": "no such clip",
        "empty": "no pictures",
        "text.gif": "is not an image",
        "text.npy": "is no array",
        "float.npy": r"uint8 \[frames, h, w, 3\], RGB, not float32",
        "two.npz": r"holds 2 arrays \(a, b\)",
        "uneven": "1.png is 5x16, but 0.png is 12x16",
    }.items():
        with pytest.raises(InputError, match=said):
            read_picture(TASK, tmp_path / name)


def test_the_bundled_clips_move():
    clips = TASK.examples((), None)
    assert len(clips) == len(pictures.BUNDLED)
    assert len({clip.shape for clip in clips.values()}) > 1
    for clip in clips.values():
        assert clip.dtype == np.uint8
        assert clip.shape[0] == 16
        assert clip.shape[3] == 3
        assert all((a != b).any() for a, b in itertools.pairwise(clip))
    assert {clip.shape for clip in TASK.examples((), (20, 30)).values()} == {(16, 20, 30, 3)}


def test_given_clips_have_the_size_of_the_export(tmp_path):
    np.save(tmp_path / "c.npy", CLIP)
    assert list(TASK.examples((tmp_path / "c.npy",), (12, 16))) == ["c.npy"]
    with pytest.raises(InputError, match=r"c.npy is 12,16, but --image-size is 8,8"):
        TASK.examples((tmp_path / "c.npy",), (8, 8))


def test_it_answers_as_a_classifier():
    given = answer(0.1, 0.7, 0.2)
    assert TASK.record(given, {1: "run"}, (12, 16), 0.3) == {
        "width": 16,
        "height": 12,
        "classes": [{"class": 1, "label": "run", "score": 0.7}],
    }
    assert TASK.describe(given, {1: "run"}) == "run 0.70"
    assert list(files_of(TASK, CLIP, given, {}, 0.3)) == ["classes"]


@pytest.mark.parametrize(("frames", "shown"), [(1, 1), (3, 3), (20, 6)])
def test_frames_stand_above_bars(frames, shown):
    shades = np.linspace(1, 24, frames).round().astype(np.uint8)  # darker than the ink
    clip = np.repeat(np.repeat(shades[:, None, None, None], 30, 1), 40, 2).repeat(3, 3)
    pixels = np.asarray(TASK.draw(clip, answer(0.1, 0.7, 0.2), {}, 0.3))
    large = [s for s in shades if (pixels == s).all(-1).sum() > 200 * 200]
    assert len(large) == shown
    assert {shades[0], shades[-1]} <= set(large)
    bar = np.argwhere((pixels == colour_of(1)).all(-1))
    assert len(bar)
    assert bar[:, 0].min() > np.argwhere((pixels == shades[-1]).all(-1))[:, 0].max()


def test_how_often_the_right_class_is_the_best(tmp_path):
    clips = [CLIP, CLIP[::-1], CLIP[:2]]
    path = write(
        tmp_path / "r.tfrecord",
        [
            sequence({"clip/label/index": [label]}, {"image/encoded": [encoded(frame) for frame in clip]})
            for clip, label in zip(clips, (1, 0, 1), strict=True)
        ],
    )
    seen = []
    runs = {"a": lambda clip: seen.append(clip) or answer(0.2, 0.8)}
    measured = METRIC.evaluate(runs, path, None)["a"]
    assert measured.value == pytest.approx(2 / 3)
    assert measured.more == "top-5: 1.0000"
    for got, wanted in zip(seen, clips, strict=True):
        np.testing.assert_array_equal(got, wanted)
    with pytest.raises(InputError, match="--image-size is 4,4"):
        METRIC.evaluate(runs, path, (4, 4))
    with pytest.raises(InputError, match=r"record 0 is no tf\.train\.SequenceExample"):
        METRIC.evaluate(runs, write(path, [b"no example"]), None)
    with pytest.raises(InputError, match="record 0 has no frames"):
        METRIC.evaluate(runs, write(path, [sequence({"clip/label/index": [0]}, {"image/encoded": []})]), None)
