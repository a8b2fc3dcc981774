"""A class map over its picture, with a legend; alone as an image with a palette; and as a page draws it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from visionport.tasks.drawing import (
    FAINT,
    INK,
    Colour,
    as_url,
    colour_of,
    enlarge,
    font_for,
    mark_of,
    name_of,
    shorten,
    text_height,
)
from visionport.tasks.drawing import with_paper as paper_below
from visionport.tasks.segmentation.answers import class_map, shares

BACKGROUND = "background"  # a class of this name stays clear, and is black in a mask
OPACITY = 0.45  # of the colour over the picture
MAP_SIDE = 1024  # pixels that a map for a page is long at most
NAMED = 12  # classes in the legend, those with most pixels


def colour(number: int, labels: Mapping[int, str]) -> Colour:
    return (0, 0, 0) if labels.get(number, "").lower() == BACKGROUND else colour_of(number)


def draw_classes(image: np.ndarray, answer: Mapping[str, np.ndarray], labels: Mapping[int, str]) -> Image.Image:
    """The picture uint8 [h, w, 3] under its classes' colours, the legend below; a small one comes back enlarged."""
    found = class_map(answer, image.shape[:2])
    canvas = enlarge(image)
    large = np.asarray(Image.fromarray(found).resize(canvas.size, Image.Resampling.NEAREST))
    return with_legend(tinted(canvas, large, labels), shares(found), labels)


def tinted(canvas: Image.Image, found: np.ndarray, labels: Mapping[int, str]) -> Image.Image:
    """Each class in its colour, with a line between two classes."""
    pixels = np.asarray(canvas).copy()
    for number in np.unique(found):
        if labels.get(int(number), "").lower() == BACKGROUND:
            continue
        here, shade = found == number, np.array(colour(int(number), labels))
        pixels[here] = np.rint(pixels[here] * (1 - OPACITY) + shade * OPACITY).astype(np.uint8)
    pixels[edges(found)] = 255
    return Image.fromarray(pixels)


def edges(found: np.ndarray) -> np.ndarray:
    """Where a pixel has another class than its neighbour above or at its left."""
    edge = np.zeros(found.shape, bool)
    edge[1:] |= found[1:] != found[:-1]
    edge[:, 1:] |= found[:, 1:] != found[:, :-1]
    return edge


def mark_classes(answer: Mapping[str, np.ndarray], labels: Mapping[int, str], size: tuple[int, int]) -> dict[str, Any]:
    """{map: {image, classes}}: see `marks_of` in tasks/base.py. The background is clear."""
    scale = min(1, MAP_SIDE / max(size))
    found = class_map(answer, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))
    pixels = np.zeros((*found.shape, 4), np.uint8)
    for number in np.unique(found):
        if labels.get(int(number), "").lower() != BACKGROUND:
            pixels[found == number] = (*colour(int(number), labels), round(255 * OPACITY))
    pixels[edges(found)] = 255
    classes = [mark_of(number, labels) | {"share": share} for number, share in shares(found)]
    return {"map": {"image": as_url(Image.fromarray(pixels)), "classes": classes}}


def with_legend(canvas: Image.Image, rows: list[tuple[int, float]], labels: Mapping[int, str]) -> Image.Image:
    """Below the canvas each class's colour, name and share of the pixels, in as many columns as there is room for."""
    font = font_for(canvas.size)
    line, square = round(text_height(font) * 1.5), text_height(font)
    texts = [(number, name_of(number, labels), percent(share)) for number, share in rows[:NAMED]]
    if rest := rows[NAMED:]:
        texts.append((-1, f"{len(rest)} more", percent(sum(share for _, share in rest))))
    pad = line // 2
    width = max(canvas.width, paper_below(canvas, 0)[0].width) - 2 * pad
    beside = square + 3 * pad + font.getlength("100 %")
    cell = min(width, round(max(font.getlength(name) for _, name, _ in texts) + beside))
    columns = max(1, width // cell)
    cell = width // columns
    whole, pen = paper_below(canvas, -(-len(texts) // columns) * line + 2 * pad)
    for i, (number, name, share) in enumerate(texts):
        left, top = pad + i % columns * cell, canvas.height + pad + i // columns * line
        middle = top + (line - square) / 2
        if number >= 0:
            box = (left, round(middle), left + square - 1, round(middle) + square - 1)
            clear = labels.get(number, "").lower() == BACKGROUND
            pen.rectangle(box, fill=None if clear else colour(number, labels), outline=FAINT)
        start = left + square + pad // 2
        name = shorten(name, font, cell - beside + pad)
        pen.text((start, middle), name, font=font, fill=INK)
        pen.text((start + font.getlength(f"{name}  "), middle), share, font=font, fill=FAINT)
    return whole


def percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "<1%"


def draw_mask(answer: Mapping[str, np.ndarray], labels: Mapping[int, str], size: tuple[int, int]) -> Image.Image:
    """The class map of the picture's size, (height, width), whose pixels are the classes' numbers.

    With a palette of their colours, the background's black; without one (16 bits) where numbers pass 255.
    """
    found = class_map(answer, size)
    if found.dtype != np.uint8:
        return Image.fromarray(found)
    image = Image.fromarray(found)
    image.putpalette([v for number in range(256) for v in colour(number, labels)])  # makes it one of mode P
    return image
