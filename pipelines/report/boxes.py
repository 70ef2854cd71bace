"""Boxes of objects drawn over their image, in the colours of their classes and with their names."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from model_zoo.detection.nms import Detections
from pipelines.data.dataset import Images, Objects
from pipelines.report.palette import colours

#: For `least_side`: names on boxes can be read on such a picture.
LEGIBLE_SIDE = 256
#: Text below this height in pixels cannot be read.
_LEAST_TEXT = 10
_PAD = 2
#: Of a pixel; shares in single precision miss the border of a pixel by as much.
_ROUNDING = 1e-3
Colour = tuple[int, int, int]
Corners = tuple[int, int, int, int]


def class_colour(label: int) -> Colour:
    """RGB of a class of objects; the palette's first colour is the background's.

    >>> class_colour(0)
    (128, 0, 0)
    """
    red, green, blue = colours(label + 2)[-1].tolist()
    return red, green, blue


def draw_boxes(
    image: Images,
    boxed: Objects | Detections,
    class_names: Sequence[str],
    *,
    scores: bool = True,
    least_side: int = 0,
) -> Images:
    """The image (H, W, 1 or 3) in RGB with every box, its class and, where it was found, its score in percent.

    A small image is enlarged by a whole factor until its shorter side has `least_side` pixels.
    """
    factor = max(1, -(-least_side // min(image.shape[:2])))
    rgb = np.broadcast_to(image, (*image.shape[:2], 3)).repeat(factor, axis=0)
    page = Image.fromarray(np.ascontiguousarray(rgb.repeat(factor, axis=1)))
    pen = ImageDraw.Draw(page)
    short = min(page.size)
    font = ImageFont.load_default(max(_LEAST_TEXT, short // 28))
    line = max(1, short // 220)
    corners = _pixels(boxed.boxes, page.size)
    texts = _labels(boxed, class_names, scores)
    # The surest last, so that it lies on top.
    drawn = list(zip(corners, boxed.classes.tolist(), texts, strict=True))[::-1]
    for (left, top, right, bottom), label, _ in drawn:
        around = (left - line, top - line, right + line, bottom + line)
        pen.rectangle(around, outline="white", width=line)
        pen.rectangle((left, top, right, bottom), outline=class_colour(label), width=2 * line)
    for box, label, text in drawn:
        _write(pen, box, text, class_colour(label), font, page.size)
    return np.asarray(page)


def _labels(boxed: Objects | Detections, class_names: Sequence[str], scores: bool) -> list[str]:
    names = [
        class_names[label] if label < len(class_names) else f"class {label}"
        for label in boxed.classes.tolist()
    ]
    if isinstance(boxed, Objects):
        crowd = boxed.crowd.tolist()
        return [
            f"{name} (crowd)" if many else name for name, many in zip(names, crowd, strict=True)
        ]
    if not scores:
        return names
    sure = boxed.scores.tolist()
    return [f"{name} {100 * share:.0f}%" for name, share in zip(names, sure, strict=True)]


def _pixels(boxes: npt.NDArray[np.float32], size: tuple[int, int]) -> list[Corners]:
    """Left, top, right and bottom of boxes in pixels that they cover, inside a picture of `size` (W, H)."""
    width, height = size
    shares = np.clip(boxes, 0, 1).astype(np.float64) * (height, width, height, width)
    first = np.minimum(np.floor(shares[:, :2] + _ROUNDING), (height - 1, width - 1)).astype(int)
    last = np.maximum(np.ceil(shares[:, 2:] - _ROUNDING).astype(int) - 1, first)
    return [
        (x0, y0, x1, y1) for (y0, x0), (y1, x1) in zip(first.tolist(), last.tolist(), strict=True)
    ]


def _write(
    pen: ImageDraw.ImageDraw,
    box: Corners,
    text: str,
    colour: Colour,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    size: tuple[int, int],
) -> None:
    """The text on a plate of the box's colour: above the box where there is room, else inside; never off the image."""
    width = int(pen.textlength(text, font=font)) + 2 * _PAD
    height = sum(font.getmetrics()) if isinstance(font, ImageFont.FreeTypeFont) else _LEAST_TEXT + 2
    left = max(0, min(box[0], size[0] - width))
    top = box[1] - height if box[1] >= height else box[1]
    top = max(0, min(top, size[1] - height))
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
    red, green, blue = colour
    ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 110 else "white"
    pen.text((left + _PAD, top), text, fill=ink, font=font)
