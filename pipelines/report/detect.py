"""Test images as a section: the objects in each beside those a model finds, and how well it finds each class."""

from collections.abc import Sequence

import numpy as np

from model_zoo.detection import Detections
from model_zoo.detection.matching import iou
from pipelines.data.dataset import Images, Objects
from pipelines.report.boxes import LEGIBLE_SIDE, class_colour, draw_boxes
from pipelines.report.markup import Html, el, join, swatch, table
from pipelines.report.page import Section, figures
from pipelines.report.png import data_uri
from pipelines.report.training import percent
from pipelines.tasks.average_precision import BoxScore

#: An object counts as found, in the caption of its picture, by a box of its class with this overlap.
_FOUND_IOU = 0.5


def detect_section(
    *,
    title: str,
    lead: str,
    images: Images,
    objects: Sequence[Objects],
    found: Sequence[Detections],
    class_names: Sequence[str],
    score: BoxScore,
) -> Section:
    """`images` (N, H, W, C) with their `objects` and what was `found` in each, as it is to be drawn."""
    shown = figures(
        (
            (_share(score.ap), f"AP on {score.images:,} images, {score.objects:,} objects"),
            (_share(score.ap50), "AP50"),
            (_share(score.ap75), "AP75"),
        )
    )
    rows = join(
        _row(image, present, boxes, class_names)
        for image, present, boxes in zip(images, objects, found, strict=True)
    )
    pictures = el("div", rows, class_="pairs")
    body = join((el("p", lead), shown, pictures, _classes(score, class_names)))
    return Section(title=title, body=body)


def _row(image: Images, present: Objects, found: Detections, names: Sequence[str]) -> Html:
    """An image with its objects, and the same one with what the model found."""
    wanted = int(np.count_nonzero(~present.crowd))
    words = f"found {matched(found, present)} of {wanted} objects, with {len(found)} boxes"
    views = ((present, "truth"), (found, words))
    return el(
        "figure",
        *(
            el(
                "img",
                src=data_uri(draw_boxes(image, boxed, names, least_side=LEGIBLE_SIDE)),
                alt=alt,
                loading="lazy",
            )
            for boxed, alt in views
        ),
        el("figcaption", "truth; ", words),
    )


def matched(found: Detections, present: Objects) -> int:
    """How many objects have a box of their class over them; each box is for one object at most."""
    overlaps = iou(found.boxes, present.boxes) * (
        found.classes[:, None] == present.classes[None, :]
    )
    overlaps[:, present.crowd] = 0
    count = 0
    for row in range(len(found)):  # the surest first, as the metric does
        if len(present) and overlaps[row].max() >= _FOUND_IOU:
            overlaps[:, overlaps[row].argmax()] = 0
            count += 1
    return count


def _classes(score: BoxScore, names: Sequence[str]) -> Html:
    """Average precision of every class, with its colour."""
    rows = [
        (swatch(class_colour(label)), name, _share(ap), _share(ap50))
        for label, (name, ap, ap50) in enumerate(
            zip(names, score.per_class_ap.tolist(), score.per_class_ap50.tolist(), strict=True)
        )
    ]
    return table(("colour", "class", "AP", "AP50"), rows, numeric=(2, 3))


def _share(value: float) -> str:
    return "–" if np.isnan(value) else percent(value)
