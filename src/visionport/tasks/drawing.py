"""What drawings of every task share: sizes, colours, names that the font can write, bars below a picture."""

import base64
import colorsys
import io
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

SHORT_SIDE = 480  # smaller pictures are enlarged to this, so that the text has room
LONG_SIDE = 1920  # ... unless the other side would pass this

# One hue a class, neighbours far apart; ids past the end begin again, lighter or darker.
COLOURS = (
    "#ffd60a", "#2f80ed", "#ff4d4f", "#2ecc71", "#c44dff", "#ff922b", "#22d3ee", "#f06595", "#a0d911", "#8c6a4f",
    "#5c5cff", "#12b886", "#e8b4ff", "#b0413e", "#8fbcff", "#7f8c1d",
)  # fmt: skip

# Of what stands below a picture.
PAPER, INK, FAINT, TRACK = (255, 255, 255), (28, 28, 30), (130, 130, 135), (232, 232, 235)
LEAST_WIDTH = 360  # of it, in pixels, for the names

Colour = tuple[int, int, int]  # r, g, b


def enlarge(image: np.ndarray) -> Image.Image:
    """The picture uint8 [h, w, 3], a small one so large that text has room, its shape kept."""
    picture = Image.fromarray(image)
    scale = min(SHORT_SIDE / min(picture.size), LONG_SIDE / max(picture.size))
    if scale <= 1:
        return picture.copy()
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def font_for(size: tuple[int, int]):
    """Pillow's own font, as large as suits a canvas of this size."""
    return ImageFont.load_default(max(13, round(min(size) / 24)))


def colour_of(class_id: int) -> Colour:
    """The colour of a class, always the same, as (r, g, b)."""
    turn, index = divmod(class_id - 1, len(COLOURS))
    red, green, blue = ImageColor.getrgb(COLOURS[index])[:3]
    hue, light, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    light *= (1, 0.72, 1.2)[turn % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, min(light, 0.88), saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def text_colour(background: Colour) -> Colour:
    """Black or white, whichever stands out more (relative luminance, WCAG 2.2); the contrast is at least 4.5."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (0, 0, 0) if luminance > 0.179 else (255, 255, 255)


def name_of(class_id: int, labels: Mapping[int, str]) -> str:
    """A class's name in the ASCII that Pillow's own font can write."""
    letters = unicodedata.normalize("NFKD", " ".join(labels.get(class_id, "").split()))
    name = "".join(c for c in letters if not unicodedata.combining(c))
    return name if name and name.isascii() and name.isprintable() else f"class {class_id}"


def mark_of(class_id: int, labels: Mapping[int, str]) -> dict[str, Any]:
    """A class for a page: its number, its name in any letters, its colour as #rrggbb."""
    name = labels.get(class_id) or f"class {class_id}"
    return {"class": class_id, "label": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour_of(class_id))}


def as_url(image: Image.Image) -> str:
    """The image as a PNG in a data URL."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def shorten(text: str, font, room: float) -> str:
    """A text too long for the room, in pixels, loses its end."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(f"{text}…") > room:
        text = text[:-1].rstrip()
    return f"{text}…"


def text_height(font) -> int:
    ascent, descent = font.getmetrics()
    return ascent + descent


def with_paper(canvas: Image.Image, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """The canvas with so much room below it, and a pen for it; a narrow canvas stands in the middle."""
    width = max(canvas.width, LEAST_WIDTH)
    whole = Image.new("RGB", (width, canvas.height + height), PAPER)
    whole.paste(canvas, ((width - canvas.width) // 2, 0))
    return whole, ImageDraw.Draw(whole)


def with_bars(canvas: Image.Image, rows: Sequence[tuple[str, float, Colour]], min_score: float) -> Image.Image:
    """The canvas and below it a bar for each (name, score from 0 to 1, colour); those below `min_score` are faint."""
    font = font_for(canvas.size)
    line = round(text_height(font) * 1.5)
    pad = line // 2
    whole, pen = with_paper(canvas, len(rows) * line + 2 * pad if rows else 0)
    number = round(font.getlength("0.00")) + 1
    widest = max((font.getlength(name) for name, _, _ in rows), default=0)
    room = min(round(widest) + 1, round(whole.width * 0.4))
    left, right = 2 * pad + room, whole.width - 2 * pad - number
    for i, (name, score, colour) in enumerate(rows):
        top = canvas.height + pad + i * line
        high, low = top + line // 5, top + line - line // 5 - 1
        ink = INK if score >= min_score else FAINT
        pen.text((pad, top + (line - text_height(font)) / 2), shorten(name, font, room), font=font, fill=ink)
        pen.rectangle((left, high, right, low), fill=TRACK)
        end = left + round(float(np.clip(score, 0, 1)) * (right - left))
        pen.rectangle((left, high, end, low), fill=colour)
        pen.text((right + pad, top + (line - text_height(font)) / 2), f"{score:.2f}", font=font, fill=ink)
    return whole
