"""Detections drawn on pictures: what is where, looked up in the pixels."""

import numpy as np
import pytest
from PIL import ImageFont

from visionport.tasks.detection import drawing
from visionport.tasks.detection.drawing import draw_detections, line_width
from visionport.tasks.drawing import COLOURS, LONG_SIDE, colour_of, name_of, text_colour


def answer(*rows, padding=0):
    """rows: (ymin, xmin, ymax, xmax, class, score); padding: rows past num_detections that would be seen."""
    rows = [*rows, *[(0.05, 0.05, 0.95, 0.95, 16, 0.99)] * padding]
    table = np.array(rows, np.float32).reshape(-1, 6)
    return {
        "detection_boxes": table[:, :4],
        "detection_classes": table[:, 4],
        "detection_scores": table[:, 5],
        "num_detections": np.float32(len(rows) - padding),
    }


def grey(height, width):
    return np.full((height, width, 3), 128, np.uint8)


def where(picture, class_id):
    """The pixels (y, x) that have a class's colour."""
    return np.argwhere((np.asarray(picture) == colour_of(class_id)).all(axis=-1))


@pytest.mark.parametrize("size", [(192, 192), (480, 640), (3000, 4000), (900, 300)])
def test_box_is_where_it_belongs(size):
    picture = draw_detections(grey(*size), answer((0.3, 0.25, 0.8, 0.75, 3, 0.9)), {3: "cat"})
    assert picture.width / picture.height == pytest.approx(size[1] / size[0], rel=0.01)
    pixels = np.asarray(picture)
    height, width = pixels.shape[:2]
    line = line_width(picture.size)
    top, left, bottom, right = (
        round(v * (side - 1)) for v, side in zip((0.3, 0.25, 0.8, 0.75), (height, width) * 2, strict=True)
    )
    for y in (bottom, bottom - line + 1):
        assert (pixels[y, left : right + 1] == colour_of(3)).all()
    for x in (left, left + line - 1, right - line + 1, right):
        assert (pixels[top : bottom + 1, x] == colour_of(3)).all()
    margin = 2 * line + 2
    inside = pixels[top + margin : bottom - margin, left + margin : right - margin]
    assert (inside == 128).all()  # nothing of the object itself is covered
    label = where(picture, 3)
    label = label[label[:, 0] < top]
    assert len(label), "the label is above its box"
    assert label[:, 1].min() == left


def test_small_pictures_are_enlarged_and_large_ones_kept():
    assert draw_detections(grey(192, 192), answer(), None).size == (480, 480)
    assert draw_detections(grey(100, 200), answer(), None).size == (960, 480)
    assert draw_detections(grey(3000, 4000), answer(), None).size == (4000, 3000)
    assert max(draw_detections(grey(4, 4000), answer(), None).size) == 4000
    assert max(draw_detections(grey(4, 1000), answer(), None).size) == LONG_SIDE


def test_no_detections_leave_the_picture_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (480, 500, 3), np.uint8)
    before = image.copy()
    np.testing.assert_array_equal(np.asarray(draw_detections(image, answer(padding=2))), image)
    draw_detections(image, answer((0, 0, 1, 1, 1, 1.0)))
    np.testing.assert_array_equal(image, before)


def test_padding_low_scores_and_boxes_outside_are_not_drawn():
    rows = [
        (0.3, 0.3, 0.6, 0.6, 1, 0.9),
        (0.3, 0.3, 0.6, 0.6, 2, 0.29),
        (0.1, 0.1, 0.9, 0.9, 3, np.nan),
        (np.nan, 0.1, 0.9, 0.9, 4, 0.9),
        (1.2, 0.1, 1.9, 0.9, 5, 0.9),
        (0.1, -0.5, 0.9, -0.2, 6, 0.9),
        (0.9, 0.1, 0.1, 0.9, 7, 0.9),
    ]
    picture = draw_detections(grey(480, 480), answer(*rows, padding=3))
    assert len(where(picture, 1))
    assert all(len(where(picture, other)) == 0 for other in (2, 3, 4, 5, 6, 7, 16))
    assert len(where(draw_detections(grey(480, 480), answer(*rows), min_score=0.2), 2))


def test_highest_scores_count():
    rows = [(0.1, 0.1, 0.4, 0.4, 1, 0.5), (0.5, 0.5, 0.9, 0.9, 2, 0.9), (0.5, 0.1, 0.9, 0.4, 3, 0.7)]
    picture = draw_detections(grey(480, 480), answer(*rows), max_boxes=2)
    assert len(where(picture, 1)) == 0
    assert len(where(picture, 2))
    assert len(where(picture, 3))


def test_a_box_that_leaves_the_picture_ends_at_its_edge():
    picture = draw_detections(grey(480, 600), answer((-0.3, -0.2, 0.5, 1.4, 1, 0.9)))
    pixels = np.asarray(picture)
    bottom = round(0.5 * 479)
    for edge in (pixels[0], pixels[bottom], pixels[: bottom + 1, 0], pixels[: bottom + 1, -1]):
        assert (edge == colour_of(1)).all()
    assert (pixels[bottom + 2 * line_width(picture.size) :, 300:] == 128).all()


@pytest.mark.parametrize("size", [(192, 192), (600, 480), (1500, 2000), (40, 900)])
@pytest.mark.parametrize("name", ["x", "traffic light", "a name that is much longer than any picture is wide " * 9])
def test_labels_stay_inside(size, name, monkeypatch):
    places, texts = [], []
    label = drawing._draw_label

    def spy(canvas, mark, place, font):
        places.append(place)
        room = place[2] - place[0] + 1 - 2 * max(2, round(font.size / 4))
        texts.append((drawing._shorten(mark.text, font, room), room, font))
        label(canvas, mark, place, font)

    monkeypatch.setattr(drawing, "_draw_label", spy)
    corners = [(y, x, y + 0.1, x + 0.1, 1, 0.75) for y in (-0.05, 0.5, 0.95) for x in (-0.05, 0.5, 0.95)]
    picture = draw_detections(grey(*size), answer(*corners, (0, 0, 1, 1, 2, 0.5)), {1: name, 2: name})
    assert len(places) == 10
    for left, top, right, bottom in places:
        assert 0 <= left < right < picture.width
        assert 0 <= top < bottom < picture.height
    for text, room, font in texts:
        assert font.getlength(text) <= room
        assert text.endswith(("0.75", "0.50"))


def test_labels_keep_off_each_other():
    """Two detections of one object: both names can be read."""
    rows = [(0.4, 0.4, 0.7, 0.7, 1, 0.9), (0.41, 0.41, 0.69, 0.71, 2, 0.8), (0.39, 0.4, 0.7, 0.69, 3, 0.7)]
    together = draw_detections(grey(480, 480), answer(*rows))
    for i, row in enumerate(rows):
        alone = draw_detections(grey(480, 480), answer(row))
        line = 2 * (0.3 + 0.3) * 480 * line_width(alone.size)
        area = len(where(alone, i + 1)) - line  # of the label, about
        assert len(where(together, i + 1)) > 0.8 * area


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({5: "cat"}, "cat"),
        ({5: " two\n words "}, "two words"),
        ({5: "café"}, "cafe"),
        ({5: "猫"}, "class 5"),
        ({5: ""}, "class 5"),
        ({5: "<b>"}, "<b>"),
        ({4: "dog"}, "class 5"),
        ({}, "class 5"),
    ],
)
def test_names(labels, expected):
    assert name_of(5, labels) == expected


def test_colours():
    assert len(set(COLOURS)) == len(COLOURS)
    assert len({colour_of(i) for i in range(1, 3 * len(COLOURS) + 1)}) == 3 * len(COLOURS)
    assert colour_of(7) == colour_of(7)
    for class_id in range(200):
        background = colour_of(class_id)
        assert contrast(background, text_colour(background)) >= 4.5


def contrast(a, b):
    """WCAG 2.2's contrast ratio."""

    def luminance(colour):
        v = np.array(colour) / 255
        return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_boxes_are_seen_on_any_picture(value):
    image = np.full((480, 480, 3), value, np.uint8)
    changed = np.asarray(draw_detections(image, answer((0.3, 0.3, 0.6, 0.6, 1, 0.9)))).astype(int) - value
    assert np.abs(changed).max() > 100


def test_classes_may_be_ints_and_the_count_an_array():
    given = answer((0.3, 0.3, 0.6, 0.6, 4, 0.9), padding=1)
    expected = draw_detections(grey(480, 480), given)
    given["detection_classes"] = given["detection_classes"].astype(np.int64)
    given["num_detections"] = np.array([1], np.int32)
    assert draw_detections(grey(480, 480), given).tobytes() == expected.tobytes()


def test_text_grows_with_the_picture(monkeypatch):
    sizes = []
    load = ImageFont.load_default
    monkeypatch.setattr(ImageFont, "load_default", lambda size: sizes.append(size) or load(size))
    for side in (192, 480, 2000):
        draw_detections(grey(side, side), answer())
    assert sizes[0] == sizes[1] < sizes[2]
