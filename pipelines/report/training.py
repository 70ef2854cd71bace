"""A training run as a section: what it reached and the curve of every epoch."""

from collections.abc import Mapping, Sequence

from pipelines.report.chart import Chart, Dot, Line, draw
from pipelines.report.markup import Html, join
from pipelines.report.page import Section, figures, legend, note
from pipelines.tasks import METRIC_WORDS, TASKS

HEADLINES = tuple(task.HEADLINE for task in TASKS.values())
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
            *(
                (percent(value), f"{METRIC_WORDS[key]} on {images:,} test images")
                for key, value in metrics.items()
                if key in HEADLINES
            ),
            (len(history), "epochs"),
            (f"{wall_seconds:.0f} s", "wall time"),
        )
    )
    return Section(title=title, body=join((note(lead), shown, history_chart(history))))


def history_chart(history: History) -> Html:
    """The task's headline metric on training and test images by epoch."""
    headline = next(key for key in HEADLINES if f"val_{key}" in history[-1])
    words = METRIC_WORDS[headline]
    series = {
        "line": ("test images", f"val_{headline}"),
        "line2": ("training images, augmented", headline),
    }
    lines, dots, entries = [], [], []
    for kind, (images, key) in series.items():
        points = tuple((row["epoch"], 100 * row[key]) for row in history if key in row)
        if points:
            lines.append(Line(points=points, kind=kind, label=images))
            entries.append((kind, images))
        if kind == "line":
            dots += [
                Dot(x=x, y=y, title=f"epoch {x:g}: {y:.2f} % on {images}", kind="front")
                for x, y in points
            ]
    chart = Chart(
        x_label="epoch",
        y_label=f"{words}, %",
        alt=f"{words} by epoch",
        lines=tuple(lines),
        dots=tuple(dots),
        whole_x=True,
    )
    return join((legend(entries), draw(chart)))
