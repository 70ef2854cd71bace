"""One scene: cut-outs pasted on a background, with the exact mask and the exact boxes of what is visible."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipelines.data.dataset import Images, Labels, Masks
from pipelines.data.scenes.assets import LARGEST_OBJECT, OPAQUE, Assets

Boxes = npt.NDArray[np.int32]

#: All of these are choices of this generator.
MOST_OBJECTS = 5
SMALLEST_OBJECT = 0.16
_ROTATION_DEGREES = 30.0
_CENTRE_MARGIN = 0.04
# An object is placed where it leaves this share of every earlier one visible, and shows this share of
# the scene itself.
_LEFT_VISIBLE = 0.3
_LEAST_AREA = 0.0012
_TRIES_PER_OBJECT = 4
_BACKGROUND_SHARE = (0.4, 1.0)
_BLUR_PROBABILITY = 0.4
# Blur radius as a share of the scene's side: about one pixel at 128.
_LARGEST_BLUR = 0.007
_LARGEST_NOISE = 24


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """An image (H, W, 3), its mask of class ids (H, W), and each visible object.

    `boxes` (n, 4) are left, top, right, bottom in pixels, the last two exclusive, around the pixels of
    the object that are visible; `classes` (n,) are class ids, 1 or more.
    """

    image: Images
    mask: Masks
    boxes: Boxes
    classes: Labels


def compose(assets: Assets, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """A scene of `size` (height, width), decided by `rng` alone."""
    height, width = size
    canvas = _background(assets, size, rng)
    objects = np.zeros(
        size, dtype=np.uint8
    )  # 0 where the background is, else 1 + number of the object
    areas: list[int] = []
    classes: list[int] = []
    wanted, tries = int(rng.integers(1, MOST_OBJECTS + 1)), 0
    while len(classes) < wanted and (tries < _TRIES_PER_OBJECT * wanted or not classes):
        tries += 1
        group = int(rng.integers(len(assets.cutouts)))
        cutouts = assets.cutouts[group]
        cutout = _vary(cutouts[int(rng.integers(len(cutouts)))], min(size), rng)
        centre = _CENTRE_MARGIN + (1 - 2 * _CENTRE_MARGIN) * rng.random(2)
        left = round(centre[0] * width - cutout.width / 2)
        top = round(centre[1] * height - cutout.height / 2)
        placed = _place(objects, cutout, (left, top), areas)
        if placed is None:
            continue
        objects = placed
        areas.append(int(np.count_nonzero(objects == len(areas) + 1)))
        classes.append(group + 1)
        canvas.paste(cutout, (left, top), cutout)
    mask = np.array([0, *classes], dtype=np.uint8)[objects]
    return Scene(
        image=_finish(canvas, rng),
        mask=mask,
        boxes=_boxes(objects, len(classes)),
        classes=np.array(classes, dtype=np.int64),
    )


def _background(assets: Assets, size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A random part of a random background, with other colours."""
    height, width = size
    picture = assets.backgrounds[int(rng.integers(len(assets.backgrounds)))]
    share, x, y, mirrored = rng.random(4).tolist()
    low, high = _BACKGROUND_SHARE
    whole = min(picture.width / width, picture.height / height)
    scale = whole * (low + (high - low) * share)
    box_width, box_height = scale * width, scale * height
    left, top = x * (picture.width - box_width), y * (picture.height - box_height)
    box = (left, top, left + box_width, top + box_height)
    canvas = picture.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    if mirrored < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return canvas.point(_colour_table(rng))


def _vary(cutout: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    """The cut-out at a random size, mirrored, rotated and in other colours; RGBA."""
    size, mirrored, turn = rng.random(3).tolist()
    longest = side * SMALLEST_OBJECT * (LARGEST_OBJECT / SMALLEST_OBJECT) ** size
    scale = longest / max(cutout.size)
    width, height = (max(1, round(edge * scale)) for edge in cutout.size)
    varied = cutout.resize((width, height), Image.Resampling.BILINEAR)
    if mirrored < 0.5:
        varied = varied.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    angle = _ROTATION_DEGREES * (2 * turn - 1)
    varied = varied.rotate(angle, Image.Resampling.BILINEAR, expand=True).convert("RGBA")
    return varied.point([*_colour_table(rng), *range(256)])


def _colour_table(rng: np.random.Generator) -> list[int]:
    """Values 0..255 of R, G and B after a random brightness, contrast and tint."""
    brightness, contrast, *tint = rng.random(5)
    levels = (np.arange(256) - 128) * (0.75 + 0.5 * contrast) + 128 + 50 * (brightness - 0.5)
    gains = 0.85 + 0.3 * np.array(tint)
    table = np.clip(gains[:, np.newaxis] * levels, 0, 255)
    values: list[int] = np.round(table).astype(int).ravel().tolist()
    return values


def _place(
    objects: Masks, cutout: Image.Image, corner: tuple[int, int], areas: list[int]
) -> Masks | None:
    """`objects` with one more on top; None if it would be too small or hide too much of another."""
    left, top = corner
    height, width = objects.shape
    opaque = np.asarray(cutout.getchannel("A")) >= OPAQUE
    x0, y0, x1, y1 = max(left, 0), max(top, 0), left + cutout.width, top + cutout.height
    visible = opaque[y0 - top : height - top, x0 - left : width - left]
    if np.count_nonzero(visible) < _LEAST_AREA * objects.size:
        return None
    placed = objects.copy()
    placed[y0:y1, x0:x1][visible] = len(areas) + 1
    remaining = np.bincount(placed.ravel(), minlength=len(areas) + 1)[1 : len(areas) + 1]
    if np.any(remaining < _LEFT_VISIBLE * np.array(areas)):
        return None
    return placed


def _finish(canvas: Image.Image, rng: np.random.Generator) -> Images:
    """Pixels after a slight blur (sometimes) and sensor noise, in integers: exact on every machine."""
    blur, radius, noise = rng.random(3).tolist()
    if blur < _BLUR_PROBABILITY:
        canvas = canvas.filter(ImageFilter.GaussianBlur(radius * _LARGEST_BLUR * min(canvas.size)))
    pixels = np.asarray(canvas, dtype=np.int16)
    draws = rng.integers(0, 256, (2, *pixels.shape), dtype=np.uint8).astype(np.int16)
    grain = (draws[0] - draws[1]) * np.int16(round(noise * _LARGEST_NOISE)) >> 8
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _boxes(objects: Masks, count: int) -> Boxes:
    boxes = np.zeros((count, 4), dtype=np.int32)
    for number in range(count):
        own = objects == number + 1
        columns, rows = np.flatnonzero(own.any(axis=0)), np.flatnonzero(own.any(axis=1))
        boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
