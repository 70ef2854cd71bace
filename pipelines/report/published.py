"""What others published about an architecture: shown beside our figures, never mixed with them."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hw_model.calibrate.published import measurements

QUALITY_TABLE = Path(__file__).with_name("published_quality.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """One figure with where it was published."""

    what: str
    value: float
    unit: str
    source: str


def published_figures(model: str) -> tuple[PublishedFigure, ...]:
    """Everything published about an architecture, quality first; empty for a name nobody wrote about.

    >>> [(figure.what, figure.value) for figure in published_figures("mobilenet_edgetpu_v2_s")]
    [('ImageNet top-1, int8', 77.36), ('latency on pixel6', 1.03)]
    """
    qualities = [figure for name, figure in _qualities() if name == model]
    latencies = [
        PublishedFigure(
            what=f"latency on {row.target}{row.output and ', '}{row.output}",
            value=row.latency_ms,
            unit="ms",
            source=row.source,
        )
        for row in measurements()
        if row.model == model
    ]
    return (*qualities, *latencies)


@cache
def _qualities() -> tuple[tuple[str, PublishedFigure], ...]:
    with QUALITY_TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            (
                row["model"],
                PublishedFigure(
                    what=row["metric"] + (row["form"] and f", {row['form']}"),
                    value=float(row["percent"]),
                    unit="%",
                    source=row["source"],
                ),
            )
            for row in csv.DictReader(file)
        )
