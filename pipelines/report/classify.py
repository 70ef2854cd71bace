"""A held-out batch as a section: each picture with what the model sees in it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.report.markup import Html, el, join
from pipelines.report.page import Section, figures
from pipelines.report.png import data_uri


def classify_section(
    *,
    title: str,
    lead: str,
    images: npt.NDArray[np.uint8],
    labels: Sequence[int],
    scores: npt.NDArray[np.float32],
    class_names: Sequence[str],
    facts: Sequence[tuple[object, object]] = (),
) -> Section:
    """`images` (N, H, W, C) as they are in the data set, `scores` (N, classes) as probabilities."""
    pictures = join(
        _picture(image, int(label), row, class_names)
        for image, label, row in zip(images, labels, scores, strict=True)
    )
    right = int(np.sum(scores.argmax(axis=1) == np.asarray(labels)))
    shown = figures([(f"{right} of {len(images)}", "of these right"), *facts])
    body = join((el("p", lead), shown, el("div", pictures, class_="pictures")))
    return Section(title=title, body=body)


def _picture(
    image: npt.NDArray[np.uint8], label: int, row: npt.NDArray[Any], names: Sequence[str]
) -> Html:
    guess = int(row.argmax())
    wrong = guess != label
    caption: list[object] = [names[guess], el("small", f"{100 * float(row[guess]):.0f} % sure")]
    if wrong:
        caption.append(el("small", f"is: {names[label]}", class_="bad"))
    return el(
        "figure",
        el("img", src=data_uri(image), alt=names[label], loading="lazy"),
        el("figcaption", *caption),
        class_="wrong" if wrong else None,
    )
