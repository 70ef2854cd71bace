"""A table of numbers coloured by their size: readable without the colours, on paper and on a phone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.report.markup import Html, el, join

#: Colour at its strongest, in percent: text stays readable on it in light and dark.
_STRONGEST = 55


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A number as it is shown, with what a pointer shows."""

    value: float
    text: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Rows of cells, None where there is nothing. With `middle`, smaller values are cool and larger ones warm."""

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    middle: float | None = None


def draw_map(heat: HeatMap) -> Html:
    """The table; each column has its own scale unless there is a middle, since shapes differ by decades."""
    scales = [_scale([row[1][index] for row in heat.rows], heat.middle) for index in _range(heat)]
    head = el(
        "tr", el("th", heat.corner), join(el("th", name, class_="num") for name in heat.columns)
    )
    body = join(
        el("tr", el("th", label), join(_cell(cell, *scales[i]) for i, cell in enumerate(cells)))
        for label, cells in heat.rows
    )
    return el(
        "div", el("table", el("thead", head), el("tbody", body), class_="heat"), class_="scroll"
    )


def _range(heat: HeatMap) -> range:
    return range(len(heat.columns))


def _scale(cells: Sequence[Cell | None], middle: float | None) -> tuple[float, float]:
    """(logarithm without colour, logarithms to full colour)."""
    logs = [math.log2(cell.value) for cell in cells if cell is not None and cell.value > 0]
    if middle is not None:
        return math.log2(middle), 2.0
    low = min(logs, default=0.0)
    return low, max(max(logs, default=0.0) - low, 1e-9)


def _cell(cell: Cell | None, zero: float, span: float) -> Html:
    if cell is None:
        return el("td", "–", class_="num none")
    place = (math.log2(cell.value) - zero) / span if cell.value > 0 else 0.0
    percent = round(_STRONGEST * min(abs(place), 1.0))
    kind = "cool" if place < 0 else "warm"
    return el("td", cell.text, class_=f"num {kind}", style=f"--heat:{percent}%", title=cell.title)
