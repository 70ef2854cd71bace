"""Test images as a section: what is in each, what the model sees, and how well it finds each class."""

from collections.abc import Sequence

import numpy as np

from pipelines.data.dataset import Images, Masks
from pipelines.report.markup import Html, el, join, swatch, table
from pipelines.report.page import Section, figures
from pipelines.report.palette import colours, overlay
from pipelines.report.png import data_uri
from pipelines.report.training import percent
from pipelines.tasks.segment import SegmentationScore


def segment_section(
    *,
    title: str,
    lead: str,
    images: Images,
    masks: Masks,
    found: Masks,
    class_names: Sequence[str],
    score: SegmentationScore,
    counted: int,
) -> Section:
    """`images` (N, H, W, C) with their `masks` and the `found` ones (N, H, W); `score` is over `counted` images."""
    shown = figures(
        (
            (percent(score.miou), f"mIoU on {counted:,} images"),
            (percent(score.pixel_accuracy), "pixel accuracy"),
        )
    )
    rows = join(
        _row(image, mask, guess) for image, mask, guess in zip(images, masks, found, strict=True)
    )
    pictures = el("div", rows, class_="triples")
    body = join((el("p", lead), shown, pictures, _classes(score, class_names)))
    return Section(title=title, body=body)


def _row(image: Images, mask: Masks, guess: Masks) -> Html:
    """An image, its mask and what the model found, side by side."""
    right = float(np.mean((mask == guess)[mask != 255])) if (mask != 255).any() else 0.0
    views = (
        (np.broadcast_to(image, (*image.shape[:2], 3)), "image"),
        (overlay(image, mask), "truth"),
        (overlay(image, guess), f"found, {100 * right:.0f} % of pixels right"),
    )
    return el(
        "figure",
        *(
            el("img", src=data_uri(np.ascontiguousarray(view)), alt=words, loading="lazy")
            for view, words in views
        ),
        el("figcaption", "image, truth, ", views[2][1]),
    )


def _classes(score: SegmentationScore, names: Sequence[str]) -> Html:
    """Intersection over union of every class, with its colour."""
    rows = [
        (swatch(colours()[label].tolist()), name, "–" if np.isnan(iou) else percent(float(iou)))
        for label, (name, iou) in enumerate(zip(names, score.iou, strict=True))
    ]
    return table(("colour", "class", "IoU"), rows, numeric=(2,))
