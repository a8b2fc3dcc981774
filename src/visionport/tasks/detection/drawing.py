"""Detections drawn on their picture: a box, a name and a score each, readable on small and large pictures alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionport.tasks.drawing import colour_of, enlarge, font_for, name_of, shorten, text_colour, text_height

HALO = (0, 0, 0, 110)  # beside the lines: a light box shows on a light picture too

Rectangle = tuple[int, int, int, int]  # left, top, right, bottom, in pixels, right and bottom included


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """One detection on the canvas."""

    box: Rectangle
    colour: tuple[int, int, int]
    text: str


def draw_detections(
    image: np.ndarray,
    answer: Mapping[str, np.ndarray],
    labels: Mapping[int, str] | None = None,
    min_score: float = 0.3,
    max_boxes: int = 100,
    max_labels: int = 100,
) -> Image.Image:
    """The picture with its detections; a small one comes back enlarged, its shape kept.

    image: uint8 [h, w, 3]. answer: `detection_boxes` float [m, 4] as (ymin, xmin, ymax, xmax), normalised, clipped
    here; `detection_scores` [m]; `detection_classes` [m], ids from 1; `num_detections`, a scalar, where
    there is padding. labels: {id: name}; a class without a name, or whose name the font cannot write, is "class 7".
    The `max_boxes` highest scores of at least `min_score` are drawn, the highest on top; the `max_labels` highest of
    them with names.
    """
    canvas = enlarge(image)
    marks = _marks(answer, labels or {}, canvas.size, min_score, max_boxes)
    draw = ImageDraw.Draw(canvas, "RGBA")
    width = line_width(canvas.size)
    for mark in reversed(marks):
        _draw_box(draw, mark, width)
    font = font_for(canvas.size)
    places: list[Rectangle] = []
    named = marks[:max_labels]
    for mark in named:
        places.append(_place(draw, mark, font, width, canvas.size, [other.box for other in marks], places))
    for mark, place in reversed(list(zip(named, places, strict=True))):
        _draw_label(draw, mark, place, font)
    return canvas


def line_width(size: tuple[int, int]) -> int:
    """The width of a box's line on a canvas of this size, in pixels."""
    return max(2, round(min(size) / 170))


def _marks(answer, labels, size, min_score, max_boxes) -> list[_Mark]:
    """What is to be drawn, the highest score first."""
    count = int(np.asarray(answer.get("num_detections", len(answer["detection_scores"]))).item())
    boxes = np.asarray(answer["detection_boxes"], np.float64)[:count]
    scores = np.asarray(answer["detection_scores"], np.float64)[:count]
    classes = np.asarray(answer["detection_classes"])[:count]
    marks = []
    for i in np.argsort(-scores, kind="stable"):
        box = _pixels(boxes[i], size)
        if scores[i] >= min_score and box is not None:
            class_id = round(float(classes[i]))
            text = f"{name_of(class_id, labels)}  {scores[i]:.2f}"
            marks.append(_Mark(box=box, colour=colour_of(class_id), text=text))
    return marks[:max_boxes]


def _pixels(box, size) -> Rectangle | None:
    """The part of a normalised box that is inside the picture, None when there is none."""
    if not np.isfinite(box).all():
        return None
    top, left, bottom, right = box
    if bottom < top or right < left or bottom <= 0 or right <= 0 or top >= 1 or left >= 1:
        return None
    width, height = size
    left, right = (round(float(np.clip(x, 0, 1)) * (width - 1)) for x in (left, right))
    top, bottom = (round(float(np.clip(y, 0, 1)) * (height - 1)) for y in (top, bottom))
    return left, top, right, bottom


def _draw_box(draw, mark, width):
    """The line runs inside the box, its outer edge on the box's edge; a halo of a third of it on both sides."""
    left, top, right, bottom = mark.box
    halo = max(1, width // 3)
    draw.rectangle((left - halo, top - halo, right + halo, bottom + halo), outline=HALO, width=halo)
    inside = (left + width, top + width, right - width, bottom - width)
    if inside[2] - inside[0] > 2 * halo and inside[3] - inside[1] > 2 * halo:
        draw.rectangle(inside, outline=HALO, width=halo)
    draw.rectangle(mark.box, outline=mark.colour, width=width)


def _place(draw, mark, font, line, size, boxes, taken) -> Rectangle:
    """Where a label hides least: outside its box if it can be, off other labels and boxes, inside the picture."""
    left, top, right, bottom = mark.box
    pad = max(2, round(font.size / 4))
    width = min(round(draw.textlength(mark.text, font)) + 2 * pad, size[0])
    height = min(text_height(font) + pad // 2, size[1])
    right_aligned = right - width + 1
    wanted = [
        (left, top - height), (right_aligned, top - height), (left, bottom + 1), (right_aligned, bottom + 1),
        (right + 1, top), (left - width, top), (right + 1, bottom - height + 1), (left - width, bottom - height + 1),
        (left + line, top + line), (left + line, bottom - line - height + 1),
    ]  # fmt: skip
    best, least = (0, 0, width - 1, height - 1), float("inf")
    for rank, (x, y) in enumerate(wanted):
        x, y = max(0, min(x, size[0] - width)), max(0, min(y, size[1] - height))
        place = (x, y, x + width - 1, y + height - 1)
        hidden = sum(_overlap(place, box) for box in boxes)
        cost = (hidden + 6 * sum(_overlap(place, other) for other in taken)) / (width * height) + 0.02 * rank
        if cost < least:
            best, least = place, cost
    return best


def _overlap(a: Rectangle, b: Rectangle) -> int:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    return wide * high if wide > 0 and high > 0 else 0


def _draw_label(draw, mark, place, font):
    left, top, right, bottom = place
    pad = max(2, round(font.size / 4))
    draw.rectangle(place, fill=mark.colour)
    text = _shorten(mark.text, font, right - left + 1 - 2 * pad)
    middle = (top + bottom + 1 - text_height(font)) / 2
    draw.text((left + pad, middle), text, font=font, fill=text_colour(mark.colour))


def _shorten(text, font, room) -> str:
    """A name too long for the picture loses its end, the score stays."""
    name, score = text.rsplit("  ", 1)
    return (
        text if font.getlength(text) <= room else f"{shorten(name, font, room - font.getlength(f' {score}'))} {score}"
    )
