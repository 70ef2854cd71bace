"""A contact sheet of a data set: some of its images with what is known about them, and a legend."""

import numpy as np
from PIL import Image, ImageDraw

from pipelines.data.dataset import BoxSplit, Images, LabelSplit, MaskSplit, Split, subset
from pipelines.report.boxes import draw_boxes
from pipelines.report.palette import colours, overlay

_GAP = 4
_LINE = 16
_SWATCH = 12
_LEAST_SIDE = 96
# Names of objects are written into the image.
_LEAST_BOXED_SIDE = 224
_SHEET_WIDTH = 1200
_LEGEND_COLUMN = 150
_MOST_IN_LEGEND = 160

Cell = tuple[Images, str]


def contact_sheet(split: Split, class_names: tuple[str, ...], *, count: int = 24) -> Images:
    """`count` images, always the same ones, as one RGB picture.

    Images with masks are shown twice, alone and with the mask over them, those with boxes with them drawn;
    of others the class is named.
    """
    chosen = subset(split, count)
    everything = range(len(chosen))
    if isinstance(chosen, MaskSplit):
        pairs = zip(*chosen.read_pairs(everything), strict=True)
        cells = [(_beside(image, overlay(image, mask)), "") for image, mask in pairs]
        return _with_legend(_grid(cells), class_names)
    if isinstance(chosen, BoxSplit):
        boxed = zip(*chosen.read_boxed(everything), strict=True)
        side = _LEAST_BOXED_SIDE
        return _grid([(draw_boxes(*pair, class_names, least_side=side), "") for pair in boxed])
    images = [np.broadcast_to(image, (*image.shape[:2], 3)) for image in chosen.read(everything)]
    labels = chosen.labels.tolist() if isinstance(chosen, LabelSplit) else []
    names = [class_names[label] for label in labels] or [""] * len(images)
    return _grid(list(zip(images, names, strict=True)))


def _beside(image: Images, shown: Images) -> Images:
    return np.concatenate([np.broadcast_to(image, shown.shape), shown], axis=1)


def _grid(cells: list[Cell]) -> Images:
    """Cells of one size in rows, small ones enlarged, each with its text below."""
    height, width = cells[0][0].shape[:2]
    factor = max(1, -(-_LEAST_SIDE // height))
    cell_width = width * factor + _GAP
    cell_height = height * factor + _GAP + (_LINE if any(text for _, text in cells) else 0)
    columns = max(1, min(len(cells), _SHEET_WIDTH // cell_width))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (pixels, text) in enumerate(cells):
        left = _GAP + place % columns * cell_width
        top = _GAP + place // columns * cell_height
        enlarged = np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)
        sheet.paste(Image.fromarray(enlarged), (left, top))
        pen.text((left, top + height * factor + 1), text, fill="black")
    return np.asarray(sheet)


def _with_legend(pixels: Images, class_names: tuple[str, ...]) -> Images:
    """The colour of every class but 0, which is not painted, below the pictures."""
    entries = list(enumerate(class_names))[1 : _MOST_IN_LEGEND + 1]
    height, width = pixels.shape[:2]
    columns = max(1, width // _LEGEND_COLUMN)
    rows = -(-len(entries) // columns)
    page = Image.new("RGB", (width, height + rows * _LINE + _GAP), "white")
    page.paste(Image.fromarray(pixels), (0, 0))
    pen = ImageDraw.Draw(page)
    palette = colours().tolist()
    for place, (label, name) in enumerate(entries):
        left = _GAP + place % columns * _LEGEND_COLUMN
        top = height + place // columns * _LINE
        pen.rectangle((left, top, left + _SWATCH, top + _SWATCH), fill=tuple(palette[label]))
        pen.text((left + _SWATCH + 4, top), name, fill="black")
    return np.asarray(page)
