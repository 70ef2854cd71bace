"""A training run as a section: what it reached and the curve of every epoch."""

from collections.abc import Mapping, Sequence

from pipelines.report.chart import Chart, Dot, Line, draw
from pipelines.report.markup import Html, join
from pipelines.report.page import Section, figures, legend, note

History = Sequence[Mapping[str, float]]


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.2f} %"


def training_section(
    *,
    title: str,
    lead: str,
    history: History,
    metrics: Mapping[str, float],
    images: int,
    wall_seconds: float,
) -> Section:
    """The section for a run with its history of one row per epoch."""
    shown = figures(
        (
            (percent(metrics["top1"]), f"top-1 on {images:,} test images"),
            (len(history), "epochs"),
            (f"{wall_seconds:.0f} s", "wall time"),
        )
    )
    return Section(title=title, body=join((note(lead), shown, history_chart(history))))


def history_chart(history: History) -> Html:
    """Top-1 on training and test images by epoch."""
    series = {
        "line": ("test images", "val_top1"),
        "line2": ("training images, augmented", "top1"),
    }
    lines, dots, entries = [], [], []
    for kind, (words, key) in series.items():
        points = tuple((row["epoch"], 100 * row[key]) for row in history if key in row)
        if points:
            lines.append(Line(points=points, kind=kind, label=words))
            entries.append((kind, words))
        if kind == "line":
            dots += [
                Dot(x=x, y=y, title=f"epoch {x:g}: {y:.2f} % on {words}", kind="front")
                for x, y in points
            ]
    chart = Chart(
        x_label="epoch",
        y_label="top-1, %",
        alt="top-1 by epoch",
        lines=tuple(lines),
        dots=tuple(dots),
        whole_x=True,
    )
    return join((legend(entries), draw(chart)))
